"""What switches refuse before anything is read or asked: the only place where they touch an operation as a whole."""

from __future__ import annotations

from tradepost.stability.switches import NEW_CARTS_OFF, READ_ONLY, Switches, refusal_of
from tradepost.surfaces.api.operation import Operation

READING = frozenset(("GET", "HEAD", "OPTIONS"))
WRITES_NOTHING = frozenset(("make_quote",))
"""Operations that have a body and change nothing."""

KEPT_IN_READ_ONLY = frozenset(
    (
        "hear_webhook",
        "confirm_payment",
        "decide_redirect",
        "set_config",
        "rollback_config",
        "record_drill",
    )
)
"""Payment results, and what switches it off again."""

OPENS_CARTS = frozenset(("create_cart",))


def refuse_or_pass(operation: Operation, switches: Switches) -> None:
    """Raise Refusal `switch.read_only` or `switch.new_carts_off` where a switch that is on refuses the operation.

    Ask only while `switches.active` is not empty: a shop that is whole pays one attribute for all of this.
    """
    if switches.is_on(READ_ONLY) and is_refused_in_read_only(operation):
        raise refusal_of(
            "switch.read_only", f"{operation.method} {operation.path} waits until the shop writes again."
        )
    if switches.is_on(NEW_CARTS_OFF) and operation.name in OPENS_CARTS:
        raise refusal_of("switch.new_carts_off", "Carts are not opened just now; existing ones work.")


def is_refused_in_read_only(operation: Operation) -> bool:
    """Whether an operation is a write of a caller that read-only refuses."""
    return (
        operation.method not in READING
        and operation.name not in WRITES_NOTHING
        and operation.name not in KEPT_IN_READ_ONLY
    )
