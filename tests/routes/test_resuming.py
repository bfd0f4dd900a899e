"""A stream of any dialect is told on from wherever it was lost, to the byte."""

import asyncio
import importlib
import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from parley import bootstrap
from parley.domain.ids import MessageId
from parley.domain.tenants import KeyKind
from parley.services.turns.turn import ToldAgain
from tests.routes.conftest import ROOT, Context, Invoke, Reply
from tests.support.sse import data

Resume = Callable[..., Reply]

STREAMS = {
    "apps/create_message": {"query": "{}", "response_mode": "streaming", "conversation_id": ""},
    "consultant/stream_message": {"message": "{}"},
    "openai/create_completion": {"messages": [{"role": "user", "content": "{}"}], "stream": True},
    "personas/continue_session": {"message": "{}"},
    "personas/create_session": {"message": "{}"},
    "sessions/send_message": {"content": "{}", "stream": True},
}
"""What streams, and what has it say something."""

CALL = {"call": "f", "arguments": {"city": "Gondar", "days": 3}}
REPLIES = {
    "a reply": ({"text": "ሰላም "}, {"text": "👋"}, {"text": "b", "repeat": 5}),
    "thoughts and a call": ({"think": "Hm."}, {"text": "a"}, CALL, {"text": "b"}),
    "the longest reply": ({"text": "a"}, {"finish": "length"}),
    "a failure": ({"text": "a"}, {"text": "b"}, {"fail": "error"}),
    "nothing": ({"text": ""},),
}


@pytest.fixture
def say(invoke: Invoke, stored_chat: str) -> Callable[..., Reply]:
    """Has a dialect stream the reply that steps make."""

    def say(route: str, *steps: Mapping[str, Any], **more: Any) -> Reply:
        text = json.dumps(f"script:{json.dumps(steps)}")
        fields = json.loads(json.dumps(STREAMS[route]).replace('"{}"', text))
        reply = invoke(route, fields=fields | more)
        assert reply.status == 200, reply.text
        return reply

    return say


@pytest.fixture
def resume(services: bootstrap.Services) -> Resume:
    """Invokes the route for a turn of any id."""

    def resume(turn: str, after: int | None = None, key: str = "sk_test_demo") -> Reply:
        event = json.loads((ROOT / "events/sessions/resume_turn.json").read_text())
        event["path"] = f"/v1/turns/{turn}/events"
        event["pathParameters"] = {"turnId": turn}
        query = {} if after is None else {"starting_after": str(after)}
        event["queryStringParameters"] = query
        event["multiValueQueryStringParameters"] = {name: [each] for name, each in query.items()}
        event["headers"]["Authorization"] = f"Bearer {key}"
        event["multiValueHeaders"]["Authorization"] = [f"Bearer {key}"]
        answer = importlib.import_module("functions.streaming.app").handler(event, Context())
        headers = {name: ", ".join(each) for name, each in answer["multiValueHeaders"].items()}
        return Reply(answer["statusCode"], headers | answer["headers"], answer["body"])

    return resume


def events(reply: Reply) -> list[str]:
    return [f"{event}\n\n" for event in reply.text.split("\n\n")[:-1]]


@pytest.mark.parametrize("route", STREAMS)
@pytest.mark.parametrize("steps", REPLIES.values(), ids=REPLIES)
def test_a_stream_goes_on_behind_any_event(
    say: Callable[..., Reply], resume: Resume, route: str, steps: tuple[Mapping[str, Any], ...]
) -> None:
    told = say(route, *steps)
    turn = told.headers["x-parley-turn"]
    sent = events(told)
    assert resume(turn).text == told.text
    for received in range(len(sent) + 3):
        rest = resume(turn, received)
        assert rest.status == 200
        assert rest.text == "".join(sent[received:])
        assert rest.headers["x-parley-turn"] == turn


@pytest.mark.parametrize("route", STREAMS)
def test_the_first_event_names_the_turn(say: Callable[..., Reply], route: str) -> None:
    told = say(route, {"text": "a"})
    first = json.loads(data(told.text)[0])
    first = first.get("data", first)
    shown = {str(first.get(field)) for field in ("id", "message_id")}
    assert told.headers["x-parley-turn"] in shown


@pytest.mark.parametrize("route", STREAMS)
def test_events_are_numbered_where_clients_read_more_than_data(
    say: Callable[..., Reply], route: str
) -> None:
    told = say(route, {"text": "a", "repeat": 3})
    numbers = [line for line in told.text.splitlines() if line.startswith("id: ")]
    numbered = [event for event in data(told.text) if event != "[DONE]"]
    if route in {"apps/create_message", "openai/create_completion"}:
        assert all(line.startswith("data: ") for line in told.text.split("\n") if line)
    else:
        assert numbers == [f"id: {number}" for number, _ in enumerate(numbered, start=1)]


@pytest.mark.parametrize("route", STREAMS)
def test_a_turn_goes_by_every_form_of_its_id(
    say: Callable[..., Reply], resume: Resume, route: str
) -> None:
    told = say(route, {"text": "a"})
    shown = told.headers["x-parley-turn"]
    bare = shown.removeprefix("chatcmpl-")
    id_ = MessageId.from_number(int(bare)) if bare.isdecimal() else MessageId.parse(bare)
    forms = [str(id_), str(id_).replace("-", ""), str(id_.number), f"chatcmpl-{id_}"]
    assert [resume(form).text for form in forms] == [told.text] * len(forms)


@pytest.mark.parametrize(
    "name", ["0", "1", "9" * 16, "9" * 400, "chatcmpl-", "x", "%00", "b6016570-001c-8562"]
)
def test_what_is_no_turn_reads_like_an_unknown_one(resume: Resume, name: str) -> None:
    reply = resume(name)
    assert reply.status == 404
    assert json.loads(reply.text)["error"]["code"] == "not_found"


@pytest.mark.parametrize("route", STREAMS)
def test_a_strangers_turn_reads_like_an_unknown_one(
    say: Callable[..., Reply], resume: Resume, invoke: Invoke, route: str
) -> None:
    turn = say(route, {"text": "a"}).headers["x-parley-turn"]
    token = invoke("personas/get_token", user_id="somebody-else").json["token"]
    for key in ("sk_test_neighbour", token):
        number = 4243 if route.startswith("openai") else 4242  # a completion's are odd
        mine, nobodys = resume(turn, key=key), resume(str(number), key=key)
        assert (mine.status, mine.text) == (nobodys.status, nobodys.text)
        assert mine.status == 404


def test_any_apis_key_will_do(
    say: Callable[..., Reply],
    resume: Resume,
    services: bootstrap.Services,
    loop: asyncio.AbstractEventLoop,
) -> None:
    """Since turns of all of them are heard on one route."""
    told = say("apps/create_message", {"text": "a"})
    tenant = loop.run_until_complete(services.directory.get_tenant("demo"))
    assert tenant is not None
    issued = services.credentials.issue(tenant, KeyKind.TEST, scopes=frozenset({"apps"}))
    _, key = loop.run_until_complete(issued)
    assert resume(told.headers["x-parley-turn"], key=key).text == told.text


def test_a_stream_of_several_choices_is_not_told_from_its_middle(
    say: Callable[..., Reply], resume: Resume
) -> None:
    told = say("openai/create_completion", {"text": "a"}, n=2)
    refused = resume(told.headers["x-parley-turn"], 1)
    assert refused.status == 400
    assert "several choices" in json.loads(refused.text)["error"]["message"]


def test_a_reader_that_comes_back_reads_what_it_missed_and_no_more(
    say: Callable[..., Reply],
    resume: Resume,
    services: bootstrap.Services,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = say("sessions/send_message", {"text": "a", "repeat": 200})
    heard: list[Any] = []
    tell = ToldAgain.events

    async def noted(turn: ToldAgain) -> Any:
        async for event in tell(turn):
            heard.append(event)
            yield event

    monkeypatch.setattr(ToldAgain, "events", noted)
    resume(told.headers["x-parley-turn"], 195)
    assert len(heard) <= 204 - 195 + 4
