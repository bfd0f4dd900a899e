"""Everything on the local port: the REST API, the WebSocket API, and what functions call."""

from local.application import LocalApi, read_request, respond
from local.asgi import Message, Receive, Scope, Send
from local.intrinsics import Evaluator
from local.lambda_gateway import LambdaGateway
from local.routes import functions
from local.runtime import Invoker
from local.socket_gateway import SocketGateway
from local.template import Template


class LocalStack:
    """Answers as all of the deployed stack's front doors would."""

    def __init__(self, template: Template) -> None:
        """Read the routes and import the functions behind them."""
        evaluator = Evaluator(template)
        self._rest = LocalApi(template)
        self._sockets = SocketGateway(template, evaluator, Invoker().invoke)
        by_name = {function.name: function for function, _ in functions(template, evaluator)}
        self._lambda = LambdaGateway(by_name, Invoker().invoke)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or connection, or the life of the stack."""
        match scope["type"]:
            case "lifespan":
                await self._rest(scope, receive, self._after_invocations(send))
            case "websocket" if self._sockets.serves(scope):
                await self._sockets.serve(scope, receive, send)
            case "websocket":
                # A REST API takes an upgrade for any other request.
                await self._rest(*_as_http(scope, send))
            case "http" if scope["path"].startswith(("/@connections/", "/2015-03-31/")):
                await self._serve_functions(scope, receive, send)
            case _:
                await self._rest(scope, receive, send)

    def _after_invocations(self, send: Send) -> Send:
        """Say that the stack has ended only when what functions have started has, too."""

        async def ended(message: Message) -> None:
            if message["type"].startswith("lifespan.shutdown"):
                await self._lambda.drain()
            await send(message)

        return ended

    async def _serve_functions(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a call of an AWS service, unless it is none."""
        request = await read_request(scope, receive)
        answer = await self._sockets.manage(request) or await self._lambda.answer(request)
        if answer is None:
            await self._rest(scope, _nothing, send)
        else:
            await respond(send, answer)


def _as_http(scope: Scope, send: Send) -> tuple[Scope, Receive, Send]:
    """A WebSocket handshake as the GET request that it is."""

    async def refuse(message: Message) -> None:
        await send({**message, "type": f"websocket.{message['type']}"})

    return {**scope, "type": "http", "method": "GET"}, _nothing, refuse


async def _nothing() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}
