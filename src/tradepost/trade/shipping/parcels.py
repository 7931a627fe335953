"""Which units travel together: parcels by location, each within what its method carries."""

from __future__ import annotations

from collections.abc import Sequence

from tradepost.kernel.errors import Refusal
from tradepost.trade.shipping.model import PARCELS_MAX, Load, Method

Packed = tuple[str, list[tuple[int, int]], int, int]
"""(location, (line, units) in order, grams, worth in minor units)."""


def pack(loads: Sequence[Load], method: Method) -> list[Packed]:
    """Parcels in order of location and line, filled one after the other; the cost is flat in units of equal parcels.

    Raises Refusal `shipping.too_large` for a unit that no parcel carries, or for more than 200 parcels.
    """
    parcels: list[Packed] = []
    for location in dict.fromkeys(load.location_id for load in loads):
        _fill(parcels, [load for load in loads if load.location_id == location], method)
    if not parcels:
        raise Refusal("shipping.too_large", "There is nothing to send.", field="loads")
    return parcels


def _fill(parcels: list[Packed], loads: Sequence[Load], method: Method) -> None:
    current: list[tuple[int, int]] = []
    grams = units = worth = 0
    for load in loads:
        left = load.units
        while left:
            room = _room(load, grams, units, method)
            if not room:
                if not current:
                    raise _too_large(
                        f"One unit of line {load.line_no} is heavier than {method.code} carries."
                    )
                _close(parcels, load.location_id, current, grams, worth)
                current, grams, units, worth = [], 0, 0, 0
                continue
            taken = left if room < 0 else min(left, room)
            current.append((load.line_no, taken))
            grams, units, worth = (
                grams + taken * load.weight_g,
                units + taken,
                worth + taken * load.unit_minor,
            )
            left -= taken
    if current:
        _close(parcels, loads[0].location_id, current, grams, worth)


def _room(load: Load, grams: int, units: int, method: Method) -> int:
    """How many more units fit; below zero for any number."""
    rooms = []
    if method.weight_max_g and load.weight_g:
        rooms.append((method.weight_max_g - grams) // load.weight_g)
    if method.units_max:
        rooms.append(method.units_max - units)
    return min(rooms) if rooms else -1


def _close(
    parcels: list[Packed], location_id: str, units: list[tuple[int, int]], grams: int, worth: int
) -> None:
    if len(parcels) == PARCELS_MAX:
        raise _too_large(f"More than {PARCELS_MAX} parcels.")
    parcels.append((location_id, units, grams, worth))


def _too_large(detail: str) -> Refusal:
    return Refusal(
        "shipping.too_large", detail, field="lines", expected="goods that the seller's methods carry"
    )
