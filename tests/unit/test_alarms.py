"""What the template watches is what functions tell."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from local import ROOT, TEMPLATE
from local.intrinsics import Evaluator
from local.template import load, resources
from parley.telemetry.metrics import NAMESPACE, UNITS

DOCUMENT = load(TEMPLATE)
EVALUATOR = Evaluator(DOCUMENT)
WIDGETS = json.loads(
    EVALUATOR.evaluate(DOCUMENT["Resources"]["Dashboard"]["Properties"]["DashboardBody"])
)["widgets"]


def alarms() -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield from resources(DOCUMENT, "AWS::CloudWatch::Alarm")


def test_every_alarm_of_ours_is_of_a_metric_that_is_told_and_all_are_told_on_the_topic() -> None:
    ours = {alarm["MetricName"] for _, alarm in alarms() if alarm.get("Namespace") == NAMESPACE}
    assert ours <= UNITS.keys()
    assert {"ServerErrors", "TimeToFirstToken", "BudgetUsed", "BudgetRefusals"} <= ours
    for name, alarm in alarms():
        assert alarm["AlarmActions"] == alarm["OKActions"] == [{"Ref": "AlarmTopic"}], name
        assert alarm["TreatMissingData"] == "notBreaching", name


def test_what_throttles_or_gives_up_has_an_alarm() -> None:
    watched = {alarm.get("MetricName") for _, alarm in alarms()}
    assert {"Throttles", "5XXError", "ApproximateNumberOfMessagesVisible"} <= watched
    [tables] = (alarm for name, alarm in alarms() if name == "TableThrottleAlarm")
    named = {
        metric["MetricStat"]["Metric"]["Dimensions"][0]["Value"]["Ref"]
        for metric in tables["Metrics"]
        if "MetricStat" in metric
    }
    assert named == {name for name, _ in resources(DOCUMENT, "AWS::DynamoDB::Table")}


def test_the_dashboard_shows_every_metric_there_is_but_the_latency_of_requests() -> None:
    text = json.dumps(WIDGETS)
    shown = set(re.findall(r'"Parley", "(\w+)"', text)) | set(
        re.findall(r'MetricName=\\+"(\w+)', text)
    )
    assert shown == UNITS.keys() - {"Latency"}


def test_the_document_names_every_metric_and_every_alarm() -> None:
    told = (ROOT / "docs" / "observe.md").read_text()
    assert [name for name in UNITS if f"`{name}`" not in told] == []
    assert [name for name, _ in alarms() if f"`{name}`" not in told] == []


def test_jobs_that_were_not_done_are_kept() -> None:
    reply = DOCUMENT["Resources"]["Reply"]["Properties"]["EventInvokeConfig"]
    destination = reply["DestinationConfig"]["OnFailure"]
    assert destination == {"Type": "SQS", "Destination": {"Fn::GetAtt": ["AbandonedJobs", "Arn"]}}
