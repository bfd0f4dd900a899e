"""The whole template, deployed into an emulator that enforces the rights of functions."""

import asyncio
import io
import json
import os
import subprocess
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest

from local.intrinsics import Evaluator
from local.routes import routes
from local.seed import seed, seed_personas
from parley import bootstrap
from parley.adapters.dynamodb.completions import DynamoCompletions
from parley.domain.conversations import Conversation, Origin
from parley.domain.errors import Conflict
from parley.domain.ids import ConversationId
from parley.domain.routes import ModelRoute
from parley.domain.tenants import Tenant
from parley.domain.turns import Checkpoint, TextDelta
from tests.routes.conftest import NOW, ROOT, TEMPLATE
from tests.routes.test_rights import ALIAS
from tests.support.aws import ENVIRONMENT, REGION, ministack
from tests.support.completions import kept

STACK = "parley"
BUCKET = "code"
TRANSLATOR = ROOT / ".venv-sam/bin/python"

STREAMED = Origin(
    dialect="sessions",
    key_id="key_test_demo",
    user="user-81",
    telling={"include_usage": True, "choices": 1},
)

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


class Deployment:
    """A stack in the emulator, seen as its owner and as its clients see it."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._session: Any = boto3.Session()  # whose types know no service that isn't named
        self.iam = self.client("iam")
        self.functions = self.client("lambda")

    def client(self, service: str) -> Any:
        """A client with the rights of the account's owner."""
        return self._session.client(service, endpoint_url=self._endpoint, region_name=REGION)

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
            [TRANSLATOR, ROOT / "scripts/plain-template", ROOT / "template.yaml", BUCKET],
            env={**os.environ, "AWS_DEFAULT_REGION": REGION},
            stdout=subprocess.PIPE,
            check=True,
        )
        s3.put_object(Bucket=BUCKET, Key="template.json", Body=translated.stdout)
        formation = self.client("cloudformation")
        formation.create_stack(
            StackName=STACK,
            TemplateURL=f"{self._endpoint}/{BUCKET}/template.json",
            Capabilities=["CAPABILITY_IAM"],
            Parameters=[{"ParameterKey": "Stage", "ParameterValue": "prod"}],
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
        returned = self.invoke(STREAMING[name], event)
        return 502 if returned is None else int(returned["statusCode"])

    def send(self, event: Mapping[str, Any]) -> httpx.Response:
        """Send an event's request to the REST API."""
        headers = {
            name: value
            for name, value in event["headers"].items()
            if name.lower() not in {"host", "accept-encoding", "content-length"}
        }
        return httpx.request(
            event["httpMethod"],
            f"{self._endpoint}/prod{event['path']}",
            params=event["queryStringParameters"],
            headers={**headers, "Host": f"{self.ids['Api']}.execute-api.localhost"},
            content=event["body"],
            timeout=60,
        )

    def invoke(self, function: str, event: Mapping[str, Any]) -> Any:
        """What a function returns for an event; None where it raises."""
        answer = self.functions.invoke(
            FunctionName=self.ids[function], Payload=json.dumps(event).encode()
        )
        returned = json.loads(answer["Payload"].read())
        return None if "FunctionError" in answer else returned

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
            self.iam.delete_policy_version(
                PolicyArn=arn, VersionId=made["PolicyVersion"]["VersionId"]
            )

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


@pytest.fixture(scope="session")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """The template as its owner has deployed it, with the demo tenant and what event files name."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        patch.setenv("AUTH", "true")
        with ministack(tmp_path_factory.mktemp("ministack")) as url:
            made = Deployment(url)
            made.create()
            patch.setenv("AWS_ENDPOINT_URL", url)
            for name, value in made.variables("Streaming").items():
                if name.startswith("PARLEY_"):
                    patch.setenv(name, value)
            bootstrap.services.cache_clear()
            pepper = made.client("secretsmanager").get_secret_value(
                SecretId=os.environ["PARLEY_PEPPER_SECRET"]
            )
            asyncio.run(_fill(bootstrap.services(), pepper["SecretString"]))
            yield made
    bootstrap.services.cache_clear()


async def _fill(services: bootstrap.Services, pepper: str) -> None:
    await seed(services.directory, pepper)
    scripted = ModelRoute("scripted", "scripted")
    models = {"wesen-chat-v1": scripted, "smollm2-135m": scripted}
    await services.directory.put_tenant(Tenant(id="demo", created_at=NOW, models=models))
    await seed_personas(services.personas)


def restore() -> None:
    """Have everything there that event files name, whatever was removed of it."""
    asyncio.run(_restore(bootstrap.services()))


async def _restore(services: bootstrap.Services) -> None:
    chat = Conversation(
        id=ConversationId(4711), tenant="demo", user="user-81", created_at=NOW, updated_at=NOW
    )
    moved = replace(chat, id=ConversationId(4712), user="abc-123", alias=ALIAS)
    for each in (chat, moved):
        with suppress(Conflict):
            await services.store.create(each)
            await _leave_dead(services, each)
    basics = services.basics
    with suppress(Conflict):
        await DynamoCompletions(basics.database, basics.tables).keep(kept("Hi!"))


async def _leave_dead(services: bootstrap.Services, chat: Conversation) -> None:
    """Begin a turn, as if its function had died a minute ago in the middle of the reply."""
    begun = services.basics.clock.now() - timedelta(minutes=1)
    _, reply = await services.store.append_turn(
        chat, text="Hello", model="any", at=begun, origin=STREAMED
    )
    grown = Checkpoint(number=1, shown=0, deltas=(TextDelta("Hi"),), shows=1, at=begun)
    await services.store.checkpoint(chat.tenant, reply.id, grown)
