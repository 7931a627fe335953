"""Who may do what: one table of (kind, step, party, states), with each market's changes. Nothing else decides it."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from tradepost.kernel.errors import Kind, Refusal, declare_problems
from tradepost.trade.aftersales.model import RETURN_STATES, CaseKind
from tradepost.trade.aftersales.policy import policy_of
from tradepost.trade.orders import ORDER_STATES

BUYER, SELLER, OPERATOR, SYSTEM = "BUYER", "SELLER", "OPERATOR", "SYSTEM"
PARTIES = (BUYER, SELLER, OPERATOR, SYSTEM)
CANCEL = "cancel"
ANY = "*"
"""Every kind of case."""
KINDS = (CANCEL, *CaseKind)
_INPUTS = {"ship_back": "ship back", "add_evidence": "add evidence", "judge": "dismiss"}
"""Steps whose input to the state table is called otherwise."""
ON_ORDER = frozenset({"cancel", "cancel_rest", "request"})
"""Steps that look at the order's state; all others at the case's."""

_FREE = ("UNPAID", "ON_HOLD", "AWAITING_SHIPMENT")
_SENT = ("PARTIALLY_SHIPPING", "AWAITING_COLLECTION", "IN_TRANSIT", "DELIVERED", "COMPLETED")
_PAID = ("ON_HOLD", "AWAITING_SHIPMENT", *_SENT)
_OVER = ("DELIVERED", "COMPLETED")
_BACK = (CaseKind.RETURN_REFUND, CaseKind.EXCHANGE)
_KEPT = (CaseKind.REFUND_ONLY, CaseKind.REPLACEMENT, CaseKind.CLAIM)


class Permission(msgspec.Struct, frozen=True):
    """One row: `party` may take `step` on `kind` in these states, and why the row is as it is."""

    kind: str
    step: str
    party: str
    states: tuple[str, ...]
    note: str = ""


def _each(
    kinds: tuple[str, ...], step: str, parties: tuple[str, ...], states: tuple[str, ...], note: str = ""
) -> list[Permission]:
    return [Permission(kind, step, party, states, note) for kind in kinds for party in parties]


TABLE: tuple[Permission, ...] = (
    *_each((CANCEL,), "cancel", PARTIES, _FREE, "the whole order or units of it; nothing may be packed"),
    *_each(
        (CANCEL,), "cancel_rest", (SELLER, OPERATOR, SYSTEM), ("PARTIALLY_SHIPPING",), "what is not packed"
    ),
    *_each(
        (CaseKind.REFUND_ONLY,), "request", (BUYER,), ("IN_TRANSIT", *_OVER), "parcels that never came too"
    ),
    *_each(
        (CaseKind.REFUND_ONLY,), "request", (SELLER, OPERATOR), _PAID, "goodwill at any time after payment"
    ),
    *_each(
        (CaseKind.RETURN_REFUND,), "request", (BUYER, SELLER, OPERATOR), _SENT, "units that were delivered"
    ),
    *_each((CaseKind.EXCHANGE,), "request", (BUYER, SELLER, OPERATOR), _SENT, "units that were delivered"),
    *_each((CaseKind.REPLACEMENT,), "request", (BUYER, SELLER, OPERATOR), _SENT, "units that were delivered"),
    *_each((CaseKind.CLAIM,), "request", (BUYER, OPERATOR), _SENT, "units that were delivered"),
    *_each(_BACK, "approve", (SELLER, OPERATOR), ("REQUESTED",)),
    *_each(_BACK, "approve", (SYSTEM,), ("REQUESTED",), "the seller was silent"),
    *_each(_KEPT, "grant", (SELLER, OPERATOR), ("REQUESTED",)),
    *_each(_KEPT, "grant", (SYSTEM,), ("REQUESTED",), "the seller was silent"),
    *_each((ANY,), "refuse", (SELLER, OPERATOR), ("REQUESTED",)),
    *_each(_BACK, "refuse", (SELLER, OPERATOR), ("INSPECTING",), "the goods are not what was sent"),
    *_each((ANY,), "close", (BUYER,), ("REQUESTED", "APPROVED")),
    *_each(_BACK, "close", (SYSTEM,), ("APPROVED",), "the buyer sent nothing back"),
    *_each(_BACK, "ship_back", (BUYER, OPERATOR), ("APPROVED",)),
    *_each(_BACK, "arrive", (SELLER, OPERATOR), ("APPROVED", "SHIPPED_BACK")),
    *_each(_BACK, "receive", (SELLER, OPERATOR), ("APPROVED", "SHIPPED_BACK", "INSPECTING")),
    *_each(_BACK, "receive", (SYSTEM,), ("SHIPPED_BACK", "INSPECTING"), "the seller was silent"),
    *_each((ANY,), "escalate", (BUYER,), ("REFUSED",), "while the market's span for it lasts"),
    *_each(_BACK, "escalate", (SELLER,), ("SHIPPED_BACK",), "the parcel is not what was agreed"),
    *_each((ANY,), "add_evidence", (BUYER, SELLER, OPERATOR), ("DISPUTED",)),
    *_each((ANY,), "judge", (OPERATOR,), ("DISPUTED",)),
    *_each((ANY,), "judge", (SYSTEM,), ("DISPUTED",), "only one side brought evidence in time"),
)
"""The default of every market."""

declare_problems(
    {
        "aftersales.not_allowed": (
            Kind.CONFLICT,
            "Not yours to do now",
            "Read the case and the table of who may do what: `expected` says when it would be.",
        ),
    }
)


def rows_of(market: str) -> list[Permission]:
    """The table as a market has it: its changes put in the place of the default's rows."""
    changed = {(row.kind, row.step, row.party): row.states for row in policy_of(market).change}
    found = []
    for kind, step, party, states, note in _expanded():
        other = changed.pop((kind, step, party), None)
        if other is None:
            found.append(Permission(kind, step, party, states, note))
        elif other:
            found.append(Permission(kind, step, party, other, "this market's own"))
    found += [Permission(*key, states, "this market's own") for key, states in changed.items() if states]
    return found


def _expanded() -> Iterator[tuple[str, str, str, tuple[str, ...], str]]:
    """One row for each (kind, step, party): states of several rows joined."""
    merged: dict[tuple[str, str, str], tuple[tuple[str, ...], str]] = {}
    for row in TABLE:
        for kind in CaseKind if row.kind == ANY else (row.kind,):
            key = (str(kind), row.step, row.party)
            states, note = merged.get(key, ((), ""))
            joined = tuple(dict.fromkeys((*states, *row.states)))
            merged[key] = joined, "; ".join(dict.fromkeys(part for part in (note, row.note) if part))
    for (kind, step, party), (states, note) in merged.items():
        yield kind, step, party, states, note


def states_for(market: str, kind: str, step: str, party: str) -> tuple[str, ...]:
    """The states in which a party may take a step; none for never."""
    for row in rows_of(market):
        if (row.kind, row.step, row.party) == (kind, step, party):
            return row.states
    return ()


def may(market: str, kind: str, step: str, party: str, state: str) -> bool:
    """Whether the table has it. `state` is the order's for `cancel`, `cancel_rest` and `request`, else the case's."""
    return state in states_for(market, kind, step, party)


def require(market: str, kind: str, step: str, party: str, state: str) -> None:
    """Raise Refusal `aftersales.not_allowed` unless the table has it.

    A step that the case's state does not know is refused by the state table, with `state.conflict`.
    """
    if may(market, kind, step, party, state):
        return
    if step not in ON_ORDER:
        RETURN_STATES.next(state, _INPUTS.get(step, step))
    states = states_for(market, kind, step, party)
    raise Refusal(
        "aftersales.not_allowed",
        f"A {party} cannot {step} a {kind} of something {state}.",
        expected=" or ".join(states) or "another party",
        extra={"state": state, "allowed": list(states)},
    )


def known_states(step: str) -> tuple[str, ...]:
    """The states that a row of this step may name."""
    return ORDER_STATES.states if step in ON_ORDER else RETURN_STATES.states
