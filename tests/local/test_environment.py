from local.environment import of_functions
from local.template import Template

TEMPLATE: Template = {
    "Resources": {
        "Table": {"Type": "AWS::DynamoDB::Table", "Properties": {}},
        "Function": {
            "Type": "AWS::Serverless::Function",
            "Properties": {
                "CodeUri": "functions/",
                "Handler": "a.b.handler",
                "Environment": {
                    "Variables": {"PARLEY_TABLE": {"Ref": "Table"}, "PARLEY_LOG_LEVEL": "INFO"}
                },
            },
        },
    }
}


def test_functions_find_the_local_store_and_never_the_developers_account() -> None:
    shell = {"AWS_PROFILE": "work", "AWS_SESSION_TOKEN": "real", "AWS_REGION": "eu-west-1"}

    found = of_functions(TEMPLATE, shell, "http://127.0.0.1:4566")

    assert found["PARLEY_TABLE"] == "Table"
    assert found["AWS_ENDPOINT_URL"] == "http://127.0.0.1:4566"
    assert (found["AWS_ACCESS_KEY_ID"], found["AWS_REGION"]) == ("local", "us-east-1")
    assert not {"AWS_PROFILE", "AWS_SESSION_TOKEN"} & found.keys()


def test_the_shell_wins_over_the_template_for_parleys_settings() -> None:
    found = of_functions(TEMPLATE, {"PARLEY_LOG_LEVEL": "DEBUG"}, "http://127.0.0.1:4566")

    assert found["PARLEY_LOG_LEVEL"] == "DEBUG"


def test_the_local_store_is_reached_past_a_proxy() -> None:
    found = of_functions(TEMPLATE, {"NO_PROXY": "intra.net"}, "http://172.17.0.1:4566")

    assert found["NO_PROXY"] == "intra.net,172.17.0.1,127.0.0.1"
