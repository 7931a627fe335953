"""An operation: one method of one path, what it takes, who may use it, what it answers. Served raw or by Litestar."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from tradepost.stability.admission import Priority
from tradepost.surfaces.api.platform import Platform
from tradepost.trade.parties import Principal

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
ANYBODY = Principal(party_id="", role="")
Act = Callable[["Call"], Awaitable[Any]]


class Call(msgspec.Struct, kw_only=True):
    """One request as an operation sees it: decoded, authenticated, bounded."""

    platform: Platform
    principal: Principal
    path: Mapping[str, str]
    query: Any
    body: Any
    raw: bytes
    headers: Mapping[str, str]
    key: str
    request_hash: str

    def shard(self, gene: int) -> int:
        """The shard of a gene."""
        return self.platform.db.shard_of(gene)

    def now_ms(self) -> int:
        """This moment."""
        return self.platform.world.now_ms()


class Answer(NamedTuple):
    """A body that is already encoded, where the plain result would not do. `status` 0 is the operation's own.

    A body in pieces is sent as they come; what fails after the second of them breaks the connection off.
    """

    body: bytes | AsyncIterator[bytes]
    status: int = 0
    media_type: str = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """The row of the route table from which routing, checks and the OpenAPI document are made.

    `also` names further media types of a good answer, `accepts` those of the body. `body_bytes_max` bounds the
    body below the platform's own bound. `priority` None is never shed nor limited, so that operators can always undo;
    `skus` tells what a body asks for, so that limits by SKU count it.
    """

    method: str
    path: str
    act: Act
    summary: str
    description: str
    tag: str
    status: int = 200
    body: Any = None
    query: Any = None
    returns: Any = None
    media_type: str = JSON
    also: tuple[str, ...] = ()
    accepts: tuple[str, ...] = (JSON,)
    scope: str = ""
    roles: tuple[str, ...] = ()
    public: bool = False
    keyed: bool = False
    hot: bool = False
    bulk: bool = False
    priority: Priority | None = Priority.BROWSE
    skus: Callable[[Platform, Any], Sequence[str]] | None = None
    body_bytes_max: int = 0
    example: Any = None
    answer: Any = None
    codes: tuple[str, ...] = ()

    @property
    def route(self) -> str:
        """What limits call this operation."""
        return f"{self.method} {self.path}"

    @property
    def name(self) -> str:
        """The operation id: the function's name."""
        return getattr(self.act, "__name__", "act")

    @property
    def reads_body(self) -> bool:
        """Whether a body is looked at."""
        return self.body is not None or self.accepts != (JSON,)


class Routes:
    """The operations of one file, in order. Use `@ROUTES.add("GET", "/v1/things")` on an `async def act(call)`.

    `common` are facts of every operation of the file that does not say otherwise.
    """

    def __init__(self, tag: str, **common: Any) -> None:
        self.tag = tag
        self._common = common
        self.operations: list[Operation] = []

    def add(self, method: str, path: str, **facts: Any) -> Callable[[Act], Act]:
        """Register an operation; its docstring's first line is the summary, the rest the description."""

        facts = {**self._common, **facts}
        facts.setdefault("priority", Priority.BROWSE if method == "GET" else Priority.ORDER)

        def register(act: Act) -> Act:
            summary, _, description = (act.__doc__ or "").strip().partition("\n")
            self.operations.append(
                Operation(
                    method=method,
                    path=path,
                    act=act,
                    summary=summary,
                    description=" ".join(description.split()),
                    tag=self.tag,
                    **facts,
                )
            )
            return act

        return register
