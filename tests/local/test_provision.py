from collections.abc import Iterator

import boto3
import pytest
from moto import mock_aws

from local.provision import create_secrets, create_tables
from local.template import Template

TEMPLATE: Template = {
    "Resources": {
        "Table": {
            "Type": "AWS::DynamoDB::Table",
            "Properties": {
                "BillingMode": "PAY_PER_REQUEST",
                "DeletionProtectionEnabled": True,
                "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
                "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
                "TimeToLiveSpecification": {"AttributeName": "expires_at", "Enabled": True},
            },
        },
        "Pepper": {
            "Type": "AWS::SecretsManager::Secret",
            "Properties": {"GenerateSecretString": {"PasswordLength": 64}},
        },
    }
}


@pytest.fixture(autouse=True)
def aws() -> Iterator[None]:
    with mock_aws():
        yield


def test_tables_are_made_as_declared_and_once() -> None:
    dynamodb = boto3.client("dynamodb")

    assert create_tables(TEMPLATE, dynamodb) == ["Table"]
    dynamodb.put_item(TableName="Table", Item={"pk": {"S": "kept"}})
    assert create_tables(TEMPLATE, dynamodb) == ["Table"]

    assert dynamodb.scan(TableName="Table")["Count"] == 1
    expiry = dynamodb.describe_time_to_live(TableName="Table")["TimeToLiveDescription"]
    assert expiry["AttributeName"] == "expires_at"


def test_a_table_that_is_there_gets_the_expiry_that_it_was_made_without() -> None:
    dynamodb = boto3.client("dynamodb")
    declared = TEMPLATE["Resources"]["Table"]["Properties"]
    before = {name: value for name, value in declared.items() if "TimeToLive" not in name}
    table = {"Type": "AWS::DynamoDB::Table", "Properties": before}
    create_tables({"Resources": {"Table": table}}, dynamodb)

    create_tables(TEMPLATE, dynamodb)

    expiry = dynamodb.describe_time_to_live(TableName="Table")["TimeToLiveDescription"]
    assert expiry["TimeToLiveStatus"] == "ENABLED"


def test_a_secret_is_generated_once_and_kept() -> None:
    secrets = boto3.client("secretsmanager")

    assert create_secrets(TEMPLATE, secrets) == ["Pepper"]
    first = secrets.get_secret_value(SecretId="Pepper")["SecretString"]
    assert create_secrets(TEMPLATE, secrets) == ["Pepper"]

    assert len(first) == 64
    assert secrets.get_secret_value(SecretId="Pepper")["SecretString"] == first
