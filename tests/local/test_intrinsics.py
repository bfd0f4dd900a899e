import pytest

from local.intrinsics import Evaluator
from local.template import Template, TemplateError

TEMPLATE: Template = {
    "Parameters": {"Stage": {"Default": "dev"}, "LayerArn": {"Default": ""}},
    "Mappings": {"Sizes": {"dev": {"Memory": 512}}},
    "Conditions": {
        "HasLayer": {"Fn::Not": [{"Fn::Equals": [{"Ref": "LayerArn"}, ""]}]},
        "IsDev": {"Fn::Equals": [{"Ref": "Stage"}, "dev"]},
        "Both": {"Fn::And": [{"Condition": "HasLayer"}, {"Condition": "IsDev"}]},
        "Either": {"Fn::Or": [{"Condition": "HasLayer"}, {"Condition": "IsDev"}]},
    },
    "Resources": {
        "Table": {"Type": "AWS::DynamoDB::Table", "Properties": {}},
        "Named": {
            "Type": "AWS::DynamoDB::Table",
            "Properties": {"TableName": {"Fn::Sub": "${Stage}-named"}},
        },
    },
}


@pytest.mark.parametrize(
    ("value", "result"),
    [
        ({"Ref": "Stage"}, "dev"),
        ({"Ref": "Table"}, "Table"),
        ({"Ref": "Named"}, "dev-named"),
        ({"Ref": "AWS::Region"}, "us-east-1"),
        (
            {"Fn::GetAtt": ["Named", "Arn"]},
            "arn:aws:dynamodb:us-east-1:000000000000:table/dev-named",
        ),
        ({"Fn::Sub": "${Stage}/${Table}/${!Kept}"}, "dev/Table/${Kept}"),
        ({"Fn::Sub": ["${x}", {"x": {"Ref": "Stage"}}]}, "dev"),
        ({"Fn::Sub": "${Table.Arn}"}, "arn:aws:dynamodb:us-east-1:000000000000:table/Table"),
        ({"Fn::Join": ["-", ["a", {"Ref": "Stage"}]]}, "a-dev"),
        ({"Fn::FindInMap": ["Sizes", {"Ref": "Stage"}, "Memory"]}, 512),
        ({"Fn::If": ["HasLayer", "yes", "no"]}, "no"),
        ({"Fn::If": ["Both", "yes", "no"]}, "no"),
        ({"Fn::If": ["Either", "yes", "no"]}, "yes"),
        ({"plain": [1, {"Ref": "Stage"}]}, {"plain": [1, "dev"]}),
    ],
)
def test_intrinsic_functions_have_their_value(value: object, result: object) -> None:
    assert Evaluator(TEMPLATE).evaluate(value) == result


def test_no_value_removes_the_property_and_the_list_element_around_it() -> None:
    nothing = {"Fn::If": ["HasLayer", "x", {"Ref": "AWS::NoValue"}]}

    assert Evaluator(TEMPLATE).evaluate({"a": nothing, "b": [nothing, 1]}) == {"b": [1]}


def test_a_given_parameter_beats_its_default() -> None:
    evaluator = Evaluator(TEMPLATE, {"LayerArn": "arn:layer"})

    assert evaluator.evaluate({"Fn::If": ["HasLayer", "yes", "no"]}) == "yes"


@pytest.mark.parametrize(
    "value",
    [
        {"Ref": "Missing"},
        {"Fn::If": ["Missing", 1, 2]},
        {"Fn::Cidr": []},
        {"Fn::Sub": "${Missing}"},
    ],
)
def test_what_cannot_be_evaluated_is_refused(value: object) -> None:
    with pytest.raises(TemplateError):
        Evaluator(TEMPLATE).evaluate(value)
