"""Every route of the personas dialect, through the deployed entry point and its event file."""

import json
from collections.abc import Mapping
from typing import Any

import jwt
import pytest

from parley.dialects.personas.body import mend
from tests.routes.conftest import Invoke, Reply
from tests.support.sse import data

PRODUCTION = {"X-API-Key": "sk_prod_demo"}
BY_ID = {"persona_id": 1, "version_type": "next"}


def events(reply: Reply) -> list[Any]:
    assert reply.status == 200, reply.text
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert reply.text.endswith("\n\n")
    return [json.loads(event) for event in data(reply.text)]


def with_token(invoke: Invoke, **body: Any) -> Mapping[str, str]:
    return {"X-API-Key": invoke("personas/get_token", **body).json["token"]}


# Tokens ------------------------------------------------------------------------------------------


def test_get_token_answers_with_a_token_and_its_end(invoke: Invoke) -> None:
    reply = invoke("personas/get_token")
    assert reply.status == 200
    assert set(reply.json) == {"token", "expires_at"}
    payload = jwt.decode(reply.json["token"], options={"verify_signature": False})
    assert payload["exp"] == reply.json["expires_at"] == payload["iat"] + 3600
    assert payload["sub"] == "3f0c1a52-8d0e-4b7e-9a54-6f1f0b2c7d11"
    assert payload["persona"] == {"id": 1, "version": "next"}
    assert payload["iss"] == "parley-local"


def test_get_token_takes_the_keys_default_persona_without_a_selector(invoke: Invoke) -> None:
    for headers in (None, PRODUCTION):
        token = invoke("personas/get_token", headers=headers, persona=None).json["token"]
        payload = jwt.decode(token, options={"verify_signature": False})
        assert payload["persona"] == {"id": 1, "version": "production"}


def test_get_token_takes_no_token(invoke: Invoke) -> None:
    reply = invoke("personas/get_token", headers=with_token(invoke), persona=None)
    assert reply.status == 403
    assert reply.json["type"] == "error"
    assert reply.json["code"] == "forbidden"
    assert "API keys only" in reply.json["message"]


def test_get_token_says_which_rule_a_selector_breaks(invoke: Invoke) -> None:
    refused = invoke("personas/get_token", headers=PRODUCTION, persona=BY_ID)
    assert refused.status == 403
    assert refused.json["code"] == "persona_selector_not_allowed"
    assert refused.json["message"].startswith("Production keys select personas by alias only")
    for persona, status, code in (
        ({"alias": "nobody"}, 404, "persona_not_found"),
        ({"alias": "coffee-expert"}, 404, "persona_not_found"),
        ({"persona_id": 47, "version_type": "production"}, 404, "persona_not_found"),
        ({"persona_id": 1}, 400, "invalid_request"),
        ({"alias": "my-alias", "persona_id": 1}, 400, "invalid_request"),
        ({"persona_id": 1, "version_type": "old"}, 400, "invalid_request"),
        ({}, 400, "invalid_request"),
        ("my-alias", 400, "invalid_request"),
    ):
        reply = invoke("personas/get_token", persona=persona)
        assert (reply.status, reply.json["code"]) == (status, code), persona
        assert reply.json["param"].startswith("persona")


def test_get_token_counts_against_the_limit_and_says_what_is_left(invoke: Invoke) -> None:
    left = [int(invoke("personas/get_token").headers["x-ratelimit-remaining"]) for _ in range(2)]
    assert left[0] - left[1] == 1


# Sessions ----------------------------------------------------------------------------------------


def test_create_session_streams_the_session_its_tokens_and_the_end(invoke: Invoke) -> None:
    first, *tokens, done = events(invoke("personas/create_session"))
    assert set(first) == {"type", "session_id", "message_id"}
    assert first["type"] == "session_created"
    assert tokens
    assert {event["type"] for event in tokens} == {"token"}
    assert done["type"] == "done"
    assert done["finish_reason"] == "stop"
    assert set(done["usage"]) == {"prompt_tokens", "completion_tokens", "total_tokens"}


def test_create_session_gives_the_conversation_what_the_persona_is(invoke: Invoke) -> None:
    script = f"script:{json.dumps([{'echo': 'request'}])}"
    first, *tokens, _ = events(
        invoke("personas/create_session", persona=None, message=script, user_id="user-81")
    )
    told = json.loads("".join(event["content"] for event in tokens))
    assert told["messages"][0]["role"] == "system"
    assert told["messages"][0]["text"].startswith("You are a friendly guide")
    assert told["parameters"]["max_tokens"] == 120
    [chat] = invoke("sessions/list_chats", query={"user": "user-81"}).json["data"]
    assert chat["id"] == first["session_id"]
    assert chat["title"] == "Travel guide"


def test_create_session_with_a_token_is_its_users(invoke: Invoke) -> None:
    headers = with_token(invoke, user_id="ada")
    events(invoke("personas/create_session", headers=headers, persona=None))
    [chat] = invoke("sessions/list_chats", query={"user": "ada"}).json["data"]
    assert chat["user"] == "ada"
    refused = invoke("personas/create_session", headers=headers, persona=None, user_id="eve")
    assert (refused.status, refused.json["code"]) == (403, "forbidden")


def test_create_session_refuses_another_persona_than_the_tokens(invoke: Invoke) -> None:
    headers = with_token(invoke)
    events(invoke("personas/create_session", headers=headers, persona=BY_ID))
    other = {"persona_id": 47, "version_type": "next"}
    refused = invoke("personas/create_session", headers=headers, persona=other)
    assert (refused.status, refused.json["code"]) == (403, "persona_selector_not_allowed")


def test_continue_session_goes_on_in_the_same_session(invoke: Invoke) -> None:
    created = events(invoke("personas/create_session"))[0]["session_id"]
    for where in ({"session_id": created}, {"query": {"session_id": created}, "session_id": None}):
        first, *_, done = events(invoke("personas/continue_session", **where))
        assert (first["type"], first["session_id"]) == ("session_continued", created)
        assert done["type"] == "done"


def test_continue_session_without_a_session_says_what_is_missing(invoke: Invoke) -> None:
    reply = invoke("personas/continue_session", session_id=None)
    assert reply.status == 400
    assert reply.json["param"] == "session_id"
    assert "name the session" in reply.json["message"]


def test_continue_session_refuses_two_sessions_at_once(invoke: Invoke) -> None:
    reply = invoke("personas/continue_session", query={"session_id": "another"})
    assert (reply.status, reply.json["param"]) == (400, "session_id")


def test_continue_session_finds_neither_unknown_sessions_nor_those_of_others(
    invoke: Invoke,
) -> None:
    mine = events(invoke("personas/create_session", user_id="ada"))[0]["session_id"]
    token = with_token(invoke, user_id="eve")
    elsewhere = {"X-API-Key": "sk_test_conformance"}
    refusals = [
        invoke("personas/continue_session"),
        invoke("personas/continue_session", session_id=mine, headers=token),
        invoke("personas/continue_session", session_id=mine, headers=elsewhere),
    ]
    assert {refused.status for refused in refusals} == {404}
    assert len({refused.text for refused in refusals}) == 1


def test_continue_session_works_for_the_user_of_a_token(invoke: Invoke) -> None:
    mine = events(invoke("personas/create_session", user_id="ada"))[0]["session_id"]
    token = with_token(invoke, user_id="ada")
    events(invoke("personas/continue_session", session_id=mine, headers=token))


def test_continue_session_refuses_another_persona_than_the_sessions(invoke: Invoke) -> None:
    created = events(invoke("personas/create_session"))[0]["session_id"]
    other = {"persona_id": 47, "version_type": "next"}
    events(invoke("personas/continue_session", session_id=created, persona=BY_ID))
    refused = invoke("personas/continue_session", session_id=created, persona=other)
    assert (refused.status, refused.json["param"]) == (400, "persona")


def test_create_session_tells_a_failure_before_the_first_event_by_its_status(
    invoke: Invoke,
) -> None:
    script = f"script:{json.dumps([{'fail': 'unavailable'}])}"
    reply = invoke("personas/create_session", message=script)
    assert reply.status == 503
    assert (reply.json["type"], reply.json["code"]) == ("error", "model_unavailable")


def test_continue_session_tells_a_failure_in_the_stream_as_its_last_event(invoke: Invoke) -> None:
    created = events(invoke("personas/create_session"))[0]["session_id"]
    script = f"script:{json.dumps([{'text': 'half'}, {'fail': 'error'}])}"
    *_, token, error = events(
        invoke("personas/continue_session", session_id=created, message=script)
    )
    assert token == {"type": "token", "content": "half"}
    assert error["type"] == "error"
    assert error["code"] == "model_error"
    assert error["message"]


# Bodies as the documentation writes them ---------------------------------------------------------

AS_DOCUMENTED = """{
"persona": { "persona_id": 1, "version_type": "next" }
"message" : "Talk to me"
}"""


def test_a_body_without_the_comma_between_its_members_is_understood() -> None:
    assert json.loads(mend(AS_DOCUMENTED)) == {"persona": BY_ID, "message": "Talk to me"}


def test_a_body_without_any_comma_is_understood() -> None:
    assert json.loads(mend('{"a": 1 "b": "2" "c": [3] "d": {"e": null "f": true}}')) == {
        "a": 1,
        "b": "2",
        "c": [3],
        "d": {"e": None, "f": True},
    }


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{}",
        '{"message": "said \\"no\\" , \\"why\\": x"}',
        '{"message": "a", "b": 1}',
        "{'message': 'a'}",
        '{"message": "a" b: 1}',
        '{"message": "she said "no" to me"}',
        '{"a": ["b" "c"]}',
        '{"a": 1 "b"}',
        '{"a": 1,, "b": 2}',
        '{"a": 1 "b": 2',
        '{"a": 1}{"b": 2}',
        "{" + " ".join(f'"{number}": 1' for number in range(12)) + "}",
        "[" * 100_000,
    ],
)
def test_any_other_body_stays_as_it_is(body: str) -> None:
    assert mend(body) == body
