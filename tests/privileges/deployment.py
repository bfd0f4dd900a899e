"""The whole template, deployed into an emulator that enforces the rights of functions."""

import io
import json
import os
import subprocess
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
import httpx

from local.intrinsics import Evaluator
from local.routes import routes
from tests.routes.conftest import ROOT, TEMPLATE
from tests.support.aws import REGION

STACK = "parley"
STAGE = "prod"
BUCKET = "code"
TRANSLATOR = ROOT / ".venv-sam/bin/python"

PATIENCE = 60
"""Seconds: a busy machine may take its time."""

EVENTS: Mapping[str, Any] = {
    f"{path.parent.name}/{path.stem}": json.loads(path.read_text(encoding="utf-8"))
    for path in sorted((ROOT / "events").glob("*/*.json"))
}

DECLARED = routes(TEMPLATE, Evaluator(TEMPLATE))
_STREAMING = {(each.method, each.resource): each.function.name for each in DECLARED if each.streams}
STREAMING: Mapping[str, str] = {
    name: _STREAMING[event["httpMethod"], event["resource"]]
    for name, event in EVENTS.items()
    if (event.get("httpMethod"), event.get("resource")) in _STREAMING
}
"""The function behind each route that streams, by the name of its event file."""


Serves = Callable[[AbstractContextManager[None]], bool]


class FunctionError(Exception):
    """A function has raised."""


class Deployment:
    """A stack in the emulator, seen as its owner and as its clients see it."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self._session: Any = boto3.Session()  # whose types know no service that isn't named
        self.iam = self.client("iam")
        self.functions = self.client("lambda")

    def client(self, service: str) -> Any:
        """A client with the rights of the account's owner."""
        return self._session.client(service, endpoint_url=self.endpoint, region_name=REGION)

    def create(self) -> None:
        """Deploy the template."""
        s3 = self.client("s3")
        s3.create_bucket(Bucket=BUCKET)
        for name, content in {
            "functions": _zipped(ROOT / "functions"),
            "parley": _zipped(ROOT / "layers/parley", "python"),
            # The emulator's own Python has what these would bring.
            **dict.fromkeys(("dependencies", "search", "docs"), _nothing()),
        }.items():
            s3.put_object(Bucket=BUCKET, Key=f"{name}.zip", Body=content)
        translated = subprocess.run(
            [
                TRANSLATOR,
                ROOT / "scripts/plain-template",
                ROOT / "template.yaml",
                BUCKET,
                self.endpoint,
            ],
            env={**os.environ, "AWS_DEFAULT_REGION": REGION},
            stdout=subprocess.PIPE,
            check=True,
        )
        s3.put_object(Bucket=BUCKET, Key="template.json", Body=translated.stdout)
        formation = self.client("cloudformation")
        formation.create_stack(
            StackName=STACK,
            TemplateURL=f"{self.endpoint}/{BUCKET}/template.json",
            Capabilities=["CAPABILITY_IAM"],
            Parameters=[{"ParameterKey": "Stage", "ParameterValue": STAGE}],
        )
        formation.get_waiter("stack_create_complete").wait(
            StackName=STACK, WaiterConfig={"Delay": 1}
        )

    @cached_property
    def ids(self) -> Mapping[str, str]:
        """Physical ids by logical ones."""
        found = self.client("cloudformation").describe_stack_resources(StackName=STACK)
        return {
            each["LogicalResourceId"]: each["PhysicalResourceId"]
            for each in found["StackResources"]
        }

    @cached_property
    def pepper(self) -> str:
        """What keys are hashed with."""
        manager = self.client("secretsmanager")
        pepper: str = manager.get_secret_value(SecretId=self.ids["PepperSecret"])["SecretString"]
        return pepper

    def arn(self, function: str) -> str:
        """The ARN of a function."""
        found = self.functions.get_function_configuration(FunctionName=self.ids[function])
        arn: str = found["FunctionArn"]
        return arn

    def variables(self, function: str) -> Mapping[str, str]:
        """The environment of a function."""
        found = self.functions.get_function_configuration(FunctionName=self.ids[function])
        variables: Mapping[str, str] = found["Environment"]["Variables"]
        return variables

    def ask(self, name: str) -> int:
        """The status of the answer to an event file's request.

        It goes through the REST API, but for routes that stream, which the emulator's has not.
        """
        event = EVENTS[name]
        if name not in STREAMING:
            return self.send(event).status_code
        try:
            return int(self.invoke(STREAMING[name], event)["statusCode"])
        except FunctionError:
            return 502

    def send(self, event: Mapping[str, Any], auth: httpx.Auth | None = None) -> httpx.Response:
        """Send an event's request to the REST API, as `auth` signs it."""
        headers = {
            name: value
            for name, value in event["headers"].items()
            if name.lower() not in {"host", "accept-encoding", "content-length"}
        }
        return httpx.request(
            event["httpMethod"],
            f"{self.stage('Api')}{event['path']}",
            params=event["queryStringParameters"],
            headers=headers,
            content=event["body"],
            auth=auth,
            timeout=PATIENCE,
        )

    def stage(self, api: str) -> str:
        """Where the emulator has the stage of an API."""
        return f"{self.endpoint}/_aws/execute-api/{self.ids[api]}/{STAGE}"

    def invoke(self, function: str, event: Mapping[str, Any]) -> Any:
        """What a function returns for an event.

        Raises:
            FunctionError: it has raised.
        """
        answer = self.functions.invoke(
            FunctionName=self.ids[function], Payload=json.dumps(event).encode()
        )
        returned = json.loads(answer["Payload"].read())
        if "FunctionError" in answer:
            raise FunctionError(returned)
        return returned

    def does(self, function: str, event: Mapping[str, Any]) -> bool:
        """Whether a function that returns nothing does what an event asks of it."""
        try:
            self.invoke(function, event)
        except FunctionError:
            return False
        return True

    def restart(self, function: str, **variables: str) -> None:
        """Have a function go on in a process that remembers nothing, with these variables, too."""
        self.functions.update_function_configuration(
            FunctionName=self.ids[function],
            Environment={"Variables": {**self.variables(function), **variables}},
        )

    def spared(self, function: str, serves: Serves) -> set[str]:
        """The actions of its own that a function serves without, each taken away by itself.

        Args:
            serves: tells whether the function serves, in the block of what it is given.

        Raises:
            AssertionError: it doesn't serve with all of them.
        """
        assert serves(nullcontext())
        return {
            action for action in self.actions(function) if serves(self.without(function, action))
        }

    @contextmanager
    def without(self, function: str, action: str) -> Iterator[None]:
        """Take one action out of a function's own policy for the length of a block."""
        role = self.role(function)
        whole = self.policies(role)
        for name, document in whole.items():
            self._put(role, name, _reduced(document, action))
        try:
            yield
        finally:
            for name, document in whole.items():
                self._put(role, name, document)

    def actions(self, function: str) -> list[str]:
        """What a function may do by policies of its own."""
        found = self.policies(self.role(function)).values()
        given = [each["Action"] for document in found for each in document["Statement"]]
        return sorted({each for one in given for each in ([one] if isinstance(one, str) else one)})

    def shares(self, function: str, policy: str) -> bool:
        """Whether a function has a policy that others have, too."""
        attached = self.iam.list_attached_role_policies(RoleName=self.role(function))
        arns = [each["PolicyArn"] for each in attached["AttachedPolicies"]]
        return self.ids[policy] in arns

    def role(self, function: str) -> str:
        """The name of a function's role."""
        found = self.functions.get_function_configuration(FunctionName=self.ids[function])
        role: str = found["Role"].rpartition("/")[2]
        return role

    @contextmanager
    def without_shared(self, policy: str, action: str) -> Iterator[None]:
        """Take one action out of a policy that many functions have, for the length of a block."""
        arn = self.ids[policy]
        before = self.iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        found = self.iam.get_policy_version(PolicyArn=arn, VersionId=before)
        reduced = json.dumps(_reduced(found["PolicyVersion"]["Document"], action))
        made = self.iam.create_policy_version(
            PolicyArn=arn, PolicyDocument=reduced, SetAsDefault=True
        )
        try:
            yield
        finally:
            whole = json.dumps(found["PolicyVersion"]["Document"])
            self.iam.create_policy_version(PolicyArn=arn, PolicyDocument=whole, SetAsDefault=True)
            for version in (before, made["PolicyVersion"]["VersionId"]):  # of five that may be
                self.iam.delete_policy_version(PolicyArn=arn, VersionId=version)

    def policies(self, role: str) -> Mapping[str, Any]:
        """The documents of a role's own policies by their names."""
        names = self.iam.list_role_policies(RoleName=role)["PolicyNames"]
        return {
            name: self.iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
            for name in names
        }

    def _put(self, role: str, name: str, document: Mapping[str, Any]) -> None:
        self.iam.put_role_policy(
            RoleName=role, PolicyName=name, PolicyDocument=json.dumps(document)
        )


def _reduced(document: Mapping[str, Any], action: str) -> Mapping[str, Any]:
    statements = []
    for statement in document["Statement"]:
        given = statement["Action"]
        left = [each for each in ([given] if isinstance(given, str) else given) if each != action]
        if left:
            statements.append(statement | {"Action": left})
    nothing = [{"Effect": "Deny", "Action": "none:*", "Resource": "*"}]
    return {**document, "Statement": statements or nothing}


def _zipped(folder: Path, below: str = "") -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                archive.write(path, Path(below, path.relative_to(folder)))
        if not below:
            # The emulator's Python has OpenAI's client installed, which no layer carries.
            archive.writestr("openai/__init__.py", "")
    return content.getvalue()


def _nothing() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("python/nothing", "")
    return content.getvalue()
