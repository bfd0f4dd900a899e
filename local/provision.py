"""Creates what the template declares in the local store: tables and secrets."""

from typing import TYPE_CHECKING, Any

from local.intrinsics import Evaluator
from local.template import Template, resources

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_secretsmanager import SecretsManagerClient

_TABLE_PROPERTIES = {
    "AttributeDefinitions",
    "KeySchema",
    "BillingMode",
    "GlobalSecondaryIndexes",
    "LocalSecondaryIndexes",
}


def create_tables(template: Template, dynamodb: "DynamoDBClient") -> list[str]:
    """Create every table that isn't there yet; return the names of all of them.

    One that is there gets the expiry of its items, should it be older than that.
    """
    evaluator = Evaluator(template)
    present = set(dynamodb.list_tables()["TableNames"])
    names = []
    for logical_id, properties in resources(template, "AWS::DynamoDB::Table"):
        name = evaluator.physical_name(logical_id)
        names.append(name)
        if name not in present:
            definition: dict[str, Any] = evaluator.evaluate(
                {key: value for key, value in properties.items() if key in _TABLE_PROPERTIES}
            )
            dynamodb.create_table(TableName=name, **definition)
        expiry = properties.get("TimeToLiveSpecification")
        if expiry and not _expires(dynamodb, name):
            dynamodb.update_time_to_live(
                TableName=name, TimeToLiveSpecification=evaluator.evaluate(expiry)
            )
    return names


def create_secrets(template: Template, secrets: "SecretsManagerClient") -> list[str]:
    """Create every secret that isn't there yet; return the names of all of them.

    A secret's text is made at its first creation and kept, as on AWS.
    """
    evaluator = Evaluator(template)
    present = {secret["Name"] for secret in secrets.list_secrets()["SecretList"]}
    names = []
    for logical_id, properties in resources(template, "AWS::SecretsManager::Secret"):
        name = evaluator.physical_name(logical_id)
        names.append(name)
        if name not in present:
            generate = evaluator.evaluate(properties.get("GenerateSecretString") or {})
            text = properties.get("SecretString")
            if text is None:
                text = secrets.get_random_password(**generate)["RandomPassword"]
            secrets.create_secret(Name=name, SecretString=evaluator.evaluate(text))
    return names


def _expires(dynamodb: "DynamoDBClient", table: str) -> bool:
    expiry = dynamodb.describe_time_to_live(TableName=table)["TimeToLiveDescription"]
    return expiry.get("TimeToLiveStatus") == "ENABLED"
