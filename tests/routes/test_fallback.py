"""What a path doesn't answer, through the deployed entry point and its event file."""

from tests.routes.conftest import Invoke


def test_refuse_method_says_which_methods_there_are(invoke: Invoke) -> None:
    reply = invoke("fallback/refuse_method")
    assert reply.status == 405
    assert reply.headers["allow"] == "GET"
    assert reply.json["error"]["code"] == "method_not_allowed"
