from pathlib import Path

import pytest

from local.template import TemplateError, load, resources


def template(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "template.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_short_tags_become_their_long_form(tmp_path: Path) -> None:
    path = template(
        tmp_path,
        """
        Resources:
          Thing:
            Type: T
            Properties:
              Ref: !Ref Other
              GetAtt: !GetAtt Other.Nested.Arn
              Sub: !Sub ["${x}-y", {x: !Ref Other}]
              If: !If [Has, a, !Ref "AWS::NoValue"]
              Condition: !Condition Has
        """,
    )

    assert load(path)["Resources"]["Thing"]["Properties"] == {
        "Ref": {"Ref": "Other"},
        "GetAtt": {"Fn::GetAtt": ["Other", "Nested.Arn"]},
        "Sub": {"Fn::Sub": ["${x}-y", {"x": {"Ref": "Other"}}]},
        "If": {"Fn::If": ["Has", "a", {"Ref": "AWS::NoValue"}]},
        "Condition": {"Condition": "Has"},
    }


def test_dates_stay_text(tmp_path: Path) -> None:
    path = template(tmp_path, "Version: 2012-10-17\nResources: {}\n")

    assert load(path)["Version"] == "2012-10-17"


@pytest.mark.parametrize("text", ["a: [", "just text", "Resources: 3", ""])
def test_what_is_no_template_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(TemplateError):
        load(template(tmp_path, text))


def test_a_missing_template_is_named(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match=r"template\.yaml"):
        load(tmp_path / "template.yaml")


def test_resources_of_one_type_keep_the_templates_order(tmp_path: Path) -> None:
    path = template(
        tmp_path,
        "Resources: {B: {Type: T, Properties: {x: 1}}, X: {Type: Other}, A: {Type: T}}",
    )

    assert list(resources(load(path), "T")) == [("B", {"x": 1}), ("A", {})]
