"""Degradation switches: each says what it drops, what stays true meanwhile, and how a drill proves it.

A switch is a key of the config centre. Its effect stands at one place, named here; `Switches` is what that place
asks, and costs one attribute while nothing is switched.
"""

from __future__ import annotations

import msgspec

from tradepost.kernel.errors import Kind, Refusal, declare_problems
from tradepost.stability.keys import Audience, Key, declare_key
from tradepost.stability.live import LiveConfig

BY_INSTANCE: frozenset[Audience] = frozenset(("instance",))
PREFIX = "switch."
HEADER = b"tradepost-degraded"
RETRY_AFTER_S = 5

declare_problems(
    {
        "switch.read_only": (
            Kind.OVERLOADED,
            "The shop only answers reads just now",
            "Nothing was changed. Repeat the same request after Retry-After seconds, with the same key.",
        ),
        "switch.new_carts_off": (
            Kind.OVERLOADED,
            "No new carts just now",
            "Carts that exist work, and buying now without a cart does too. Repeat after Retry-After seconds.",
        ),
        "switch.quote_cache_only": (
            Kind.OVERLOADED,
            "Only offers asked for before are priced just now",
            "Repeat after Retry-After seconds, or leave out the offers that `offer_ids` names.",
        ),
        "switch.unknown": (
            Kind.NOT_FOUND,
            "No such switch",
            "See `tradepost drill --list` for the switches there are.",
        ),
    }
)


class Switch(msgspec.Struct, frozen=True, kw_only=True):
    """One declared switch and its promise."""

    name: str
    key: Key[bool]
    drops: str
    keeps: str
    place: str
    tested: str


_SWITCHES: dict[str, Switch] = {}


def declare_switch(name: str, *, drops: str, keeps: str, place: str, tested: str) -> Switch:
    """Declare a switch, off by default, with its key `switch.NAME`."""
    key = declare_key(
        PREFIX + name, bool, False, "", None, f"Degradation switch. Drops: {drops}", audiences=BY_INSTANCE
    )
    switch = Switch(name=name, key=key, drops=drops, keeps=keeps, place=place, tested=tested)
    _SWITCHES[name] = switch
    return switch


def declared_switches() -> dict[str, Switch]:
    """Every switch by name."""
    return dict(sorted(_SWITCHES.items()))


def find_switch(name: str) -> Switch:
    """The switch of a name. Raises Refusal `switch.unknown`."""
    try:
        return _SWITCHES[name.removeprefix(PREFIX)]
    except KeyError:
        raise Refusal(
            "switch.unknown",
            f"There is no switch {name[:60]!r}.",
            field="switch",
            expected=" or ".join(declared_switches()),
        ) from None


COUPONS_OFF = declare_switch(
    "coupons_off",
    drops="Adjustments: every line is priced at its list price.",
    keeps="Signed quotes keep the price they promised; totals are the lines, tax and shipping to the minor unit.",
    place="trade.pricing: the point `pricing.adjustments` answers with its default, no adjustments.",
    tested="Quotes under load carry no adjustment and cost what their lines add up to.",
)
EVENTS_SLOW_LANE = declare_switch(
    "events_slow_lane",
    drops="Consumers that move neither money nor stock wait; lists of sellers and projections fall behind.",
    keeps="Orders are paid, stock is reserved and refunded as ever; what waits is delivered in order afterwards.",
    place="events: the relay of the slow lane stands still.",
    tested="Orders placed under load are paid while it is on, and every list has them after it.",
)
NEW_CARTS_OFF = declare_switch(
    "new_carts_off",
    drops="Opening carts: POST /v1/carts is refused with 503.",
    keeps="Carts that exist can be read and changed; quotes and checkouts work.",
    place="surfaces.api.degrading: the serving step refuses the operation.",
    tested="A new cart is refused, an older one is changed, and a quote is priced.",
)
QUOTE_CACHE_ONLY = declare_switch(
    "quote_cache_only",
    drops="Reading offers from the database for a quote: offers that this process does not remember are refused.",
    keeps="A remembered offer costs what it cost; what is placed is held and paid as ever.",
    place="trade.checkout: pricing a basket whose offers are not all in the offer book.",
    tested="A quote of a remembered offer keeps its total; one of an unknown offer is refused by the switch.",
)
READ_ONLY = declare_switch(
    "read_only",
    drops="Every write of a caller, with 503, but for what is named as kept.",
    keeps="Reads and quotes answer; providers' webhooks, payment results and this config surface are taken; "
    "orders that were acknowledged are there and go on.",
    place="surfaces.api.degrading: the serving step refuses the operation.",
    tested="Writes are refused with Retry-After, reads and quotes answer, a webhook is heard.",
)
TIMELINE_OFF = declare_switch(
    "timeline_off",
    drops="The timeline of GET /v1/orders/{order_id}: its logs are not read.",
    keeps="The order itself, its states and its amounts; the timeline is whole again afterwards.",
    place="surfaces.api.routes.orders: reading an order.",
    tested="An order is read without timeline and with the same state, and with all of it afterwards.",
)


class Switches:
    """What is switched in this process. `active` and `header` are made anew when the centre says something."""

    def __init__(self, live: LiveConfig | None = None, *, on: tuple[str, ...] = ()) -> None:
        self._live = live
        self.active: frozenset[str] = frozenset(on)
        self.header: tuple[bytes, bytes] = (HEADER, b"")
        if live is not None:
            live.on_change(lambda _: self._look(live))
            self._look(live)
        self._name()

    def _look(self, live: LiveConfig) -> None:
        self.active = frozenset(name for name, switch in _SWITCHES.items() if live.get(switch.key))
        self._name()

    def _name(self) -> None:
        self.header = (HEADER, ", ".join(sorted(self.active)).encode())

    def is_on(self, switch: Switch) -> bool:
        """Whether this switch is on here and now."""
        return switch.name in self.active

    def gauges(self) -> dict[str, int]:
        """One number a switch for /metrics: 1 when it is on."""
        return {f"switch_{name}": int(name in self.active) for name in sorted(_SWITCHES)}


def refusal_of(code: str, detail: str, **more: list[str]) -> Refusal:
    """The 503 of a switch whose code is `switch.NAME`, with Retry-After."""
    return Refusal(
        code, detail, extra={"switch": code.removeprefix(PREFIX), "retry_after_s": RETRY_AFTER_S, **more}
    )


def switch_rows() -> list[tuple[str, str, str, str, str]]:
    """(switch, drops, keeps, where its effect stands, how it is tested) of every switch: the reference table."""
    return [
        (f"`{one.name}`", one.drops, one.keeps, one.place, one.tested) for one in declared_switches().values()
    ]
