"""What the HTTP surface needs from the composition root."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from tradepost.events import Runtime
from tradepost.kernel.tx import Storage
from tradepost.kernel.world import World
from tradepost.stability.admission import Admission
from tradepost.stability.desk import ConfigDesk
from tradepost.stability.limiter import Limiter
from tradepost.stability.switches import Switches
from tradepost.telemetry.metrics import Board, Numbers
from tradepost.telemetry.spans import Spans
from tradepost.trade.cart import CartMemory
from tradepost.trade.checkout import Context
from tradepost.trade.parties import KeyRing
from tradepost.trade.payments import ProviderFact, Providers


async def always_ready() -> Mapping[str, bool]:
    """The readiness of a process that has nothing to wait for."""
    return {}


async def no_numbers() -> Numbers:
    """The gauges of a process that has none."""
    return {}


class Groups(msgspec.Struct, frozen=True, kw_only=True):
    """Commits by how many calls they carried: upper bounds, commits of each class, and calls in all."""

    bounds: Sequence[int]
    counts: Sequence[int]
    calls: int


class Sandbox(Protocol):
    """The sandbox provider as its own page for buyers sees it."""

    async def ask(self, payment_id: str) -> ProviderFact | None:
        """What it knows of a payment."""
        ...

    async def complete_redirect(self, payment_id: str, *, paid: bool = True) -> ProviderFact:
        """The buyer has decided; deciding again changes nothing. Raises Refusal `payments.not_found`."""
        ...

    async def raise_dispute(
        self, payment_id: str, amount_minor: int = 0, *, lost: bool = True
    ) -> ProviderFact:
        """The buyer's bank takes money back and will decide. Raises Refusal `payments.not_found`."""
        ...


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of one request; bytes, lines, rows, milliseconds."""

    body_bytes_max: int = 1 << 20
    lines_max: int = 2_000
    page_default: int = 50
    page_max: int = 200
    import_bytes_max: int = 64 << 20
    key_wait_ms: int = 5_000
    deadline_ms: int = 10_000


class Platform(msgspec.Struct, frozen=True, kw_only=True):
    """The wired rooms. `checkout` brings offer book, sold-out hints, signing secret and terms.

    `checks` names what must be true before traffic is welcome; `gauges` gives numbers for /metrics by name, such
    as queue depth and outbox lag, read when they are asked for; `board` counts what happens in this process.
    `conditions` says which parts answer that the shop can do without, `warnings` what is wrong and stops nothing.
    `sandbox` is None in production, `config` where no config centre is followed, `spans` where nothing is traced.
    """

    db: Storage
    world: World
    keyring: KeyRing
    checkout: Context
    runtime: Runtime
    providers: Providers
    limits: Limits = Limits()
    checks: Callable[[], Awaitable[Mapping[str, bool]]] = always_ready
    gauges: Callable[[], Awaitable[Numbers]] = no_numbers
    groups: Callable[[], Groups | None] = lambda: None
    conditions: Callable[[], Mapping[str, bool]] = dict
    warnings: Callable[[], Mapping[str, str]] = dict
    sandbox: Sandbox | None = None
    config: ConfigDesk | None = None
    switches: Switches = msgspec.field(default_factory=Switches)
    admission: Admission | None = None
    limiter: Limiter | None = None
    board: Board = msgspec.field(default_factory=Board)
    spans: Spans | None = None
    carts: CartMemory = msgspec.field(default_factory=CartMemory)
