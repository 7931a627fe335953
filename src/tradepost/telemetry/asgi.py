"""The ASGI layer that gives every request its trace id and tells it in the answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

from tradepost.kernel.world import World
from tradepost.telemetry.trace import ANSWER_HEADER, TRACE_ID, read_parent

if TYPE_CHECKING:
    from tradepost.telemetry.spans import Spans

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

ROUTE = "tradepost.route"
"""Where in the scope a served operation writes its path template, for the name of the request's span."""


class Traced:
    """`await traced(scope, receive, send)`: the application with a trace id bound around each request.

    The id is the caller's where a usable `traceparent` came, else a new one from World. Whether spans are recorded
    is decided here and not by the caller, so that no stranger can make the shop record.
    """

    def __init__(self, app: AsgiApp, world: World, spans: Spans | None = None) -> None:
        self._app = app
        self._world = world
        self._spans = spans
        self.refuse_early: Callable[[bytes, bytes], bytes | None] = getattr(
            app, "refuse_early", lambda method, url: None
        )
        """What the application refuses before there is a request to trace."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        parent = read_parent(scope["headers"])
        trace = parent[3:35] or f"{self._world.chance(128):032x}"
        spans = self._spans
        if spans is not None and spans.chooses(self._world.chance(16)):
            await self._record(spans, trace, parent, scope, receive, send)
            return
        before = TRACE_ID.set(trace)  # what `bound` does, without a generator: every request passes here
        try:
            await self._app(scope, receive, _telling(send, trace, None))
        finally:
            TRACE_ID.reset(before)

    async def _record(
        self, spans: Spans, trace: str, parent: str, scope: Scope, receive: Receive, send: Send
    ) -> None:
        status: list[int] = []
        with spans.request(trace, parent, scope["method"]) as span:
            try:
                await self._app(scope, receive, _telling(send, trace, status))
            finally:
                span.answered(scope.get(ROUTE, ""), status[0] if status else 0)


def _telling(send: Send, trace: str, status: list[int] | None) -> Send:
    """`send` that adds the trace id to the head of the answer and notes its status."""
    header = (ANSWER_HEADER, trace.encode("ascii"))

    def tell(message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), header]
            if status is not None:
                status.append(message["status"])
        return send(message)

    return tell
