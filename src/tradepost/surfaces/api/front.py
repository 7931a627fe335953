"""The ASGI entrance: exact hot pairs go straight to their operation, everything else through Litestar's router."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

from litestar import Litestar, Request, Response
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler

from tradepost.kernel.errors import Refusal
from tradepost.surfaces.api.operation import Operation
from tradepost.surfaces.api.problems import PROBLEM_JSON, render_defect, render_problem
from tradepost.surfaces.api.raw import NOSNIFF, AsgiApp, Receive, Scope, Send
from tradepost.surfaces.api.serve import Server


class Front:
    """`await front(scope, receive, send)`."""

    def __init__(self, server: Server, operations: Sequence[Operation], rest: AsgiApp) -> None:
        self._serve = server.serve
        hot = [one for one in operations if one.hot]
        self._exact = {(one.method, one.path): one for one in hot if "{" not in one.path}
        self._templates = Templates(hot, operations)
        self._early = {(one.method.encode(), one.path.encode()): one for one in self._exact.values()}
        self._refuse_early = server.refuse_early
        self._rest = rest

    def refuse_early(self, method: bytes, url: bytes) -> bytes | None:
        """The whole answer to a hot request there is no room for, None to let it in; see `joined.JoinedProtocol`."""
        operation = self._early.get((method, url))
        return None if operation is None else self._refuse_early(operation)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] == "http":
            operation = self._exact.get((scope["method"], scope["path"]))
            if operation is not None:
                await self._serve(operation, {}, scope, receive, send)
                return
            if not scope.get("root_path"):
                found = self._templates.find(scope["method"], scope["path"])
                if found is not None:
                    await self._serve(*found, scope, receive, send)
                    return
        await self._rest(scope, receive, send)


class Templates:
    """Finds hot operations whose paths have parameters, as Litestar's router would; says None where it is in doubt.

    The server has decoded the path already, for this and for the router. A path with empty parts, which the router
    puts right, and a value that is a fixed part of another route are the router's.
    """

    def __init__(self, hot: Sequence[Operation], operations: Sequence[Operation]) -> None:
        self._by_size: dict[tuple[str, int], list[_Template]] = {}
        paths = {one.path for one in operations}
        for one in hot:
            if "{" in one.path:
                template = _Template(one, paths)
                self._by_size.setdefault((one.method, template.size), []).append(template)

    def find(self, method: str, path: str) -> tuple[Operation, dict[str, str]] | None:
        """The operation and its path's values."""
        given = path.split("/")
        for template in self._by_size.get((method, len(given)), ()):
            values = template.values(given)
            if values is not None:
                return template.operation, values
        return None


class _Template:
    """A path in parts, and what each parameter may not be because a route has it as a fixed part there."""

    def __init__(self, operation: Operation, paths: Iterable[str]) -> None:
        self.operation = operation
        parts = operation.path.split("/")
        self.size = len(parts)
        self._fixed = [(at, part) for at, part in enumerate(parts) if not part.startswith("{")]
        shapes = [_shape(path) for path in paths]
        shape = _shape(operation.path)
        self._open = [
            (
                at,
                part[1:-1],
                frozenset(["", *[one[at] for one in shapes if one[:at] == shape[:at] and len(one) > at]]),
            )
            for at, part in enumerate(parts)
            if part.startswith("{")
        ]

    def values(self, given: Sequence[str]) -> dict[str, str] | None:
        """The values by name when these parts, as many as the template has, fit it."""
        for at, part in self._fixed:
            if given[at] != part:
                return None
        values = {}
        for at, name, taken in self._open:
            value = given[at]
            if value in taken:
                return None
            values[name] = value
        return values


def _shape(path: str) -> list[str]:
    """The parts of a path, parameters without their names."""
    return ["{}" if part.startswith("{") else part for part in path.split("/")]


def create_litestar(
    server: Server, operations: Sequence[Operation], lifespan: Sequence[Any] = ()
) -> Litestar:
    """Litestar with every operation as a route; it routes and nothing more, so raw and routed answers are alike."""

    def refuse(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
        return _problem(
            server, _refuse_route(operations, request.scope["method"], request.scope["path"], error)
        )

    def break_down(_: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
        return _problem(server, error)

    return Litestar(
        [_handler(server, operation) for operation in operations],
        openapi_config=None,
        logging_config=None,
        lifespan=list(lifespan),
        exception_handlers={HTTPException: refuse, Exception: break_down},
    )


def _handler(server: Server, operation: Operation) -> HTTPRouteHandler:
    async def handle(request: Request) -> Response:  # type: ignore[type-arg]
        return _Sent(server, operation, request)

    handle.__doc__ = operation.summary
    return HTTPRouteHandler(
        operation.path.replace("}", ":str}"),
        http_method=cast(Any, operation.method),
        status_code=operation.status,
        include_in_schema=False,
        name=operation.name,
    )(handle)


class _Sent(Response[None]):
    """A response that lets the operation answer on the connection itself."""

    def __init__(self, server: Server, operation: Operation, request: Request[Any, Any, Any]) -> None:
        super().__init__(None, status_code=operation.status)
        self._served = (server, operation)
        self._path = dict(request.path_params)

    def to_asgi_response(self, *_: Any, **__: Any) -> Any:
        """An ASGI application that serves the operation."""
        server, operation = self._served

        async def application(scope: Any, receive: Any, send: Any) -> None:
            await server.serve(operation, self._path, scope, receive, send)

        return application


def _refuse_route(
    operations: Sequence[Operation], method: str, path: str, error: HTTPException
) -> Refusal | HTTPException:
    if error.status_code not in (404, 405):
        return error
    allowed = [one.method for one in operations if _fits(one.path, path)]
    if allowed:
        return Refusal(
            "route.method_not_allowed",
            f"{path[:200]} has no {method[:20]}.",
            expected=", ".join(sorted(set(allowed))),
        )
    return Refusal("route.unknown", f"There is no {path[:200]}.", expected="/docs")


def _fits(template: str, path: str) -> bool:
    wanted, given = template.strip("/").split("/"), path.strip("/").split("/")
    return len(wanted) == len(given) and all(
        part == there or (part.startswith("{") and there) for part, there in zip(wanted, given, strict=True)
    )


def _problem(server: Server, error: Exception) -> Response[bytes]:
    trace_id = server.trace_id()
    status, body, headers = (
        render_problem(error, trace_id) if isinstance(error, Refusal) else render_defect(error, trace_id)
    )
    server.meter.count("unrouted", status, 0)
    return Response(
        body,
        status_code=status,
        media_type=PROBLEM_JSON.decode(),
        headers={name.decode(): value.decode() for name, value in (NOSNIFF, *headers)},
    )
