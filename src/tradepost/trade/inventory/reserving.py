"""Paid orders: what they hold becomes reserved, row by row. Pure, and the one step that every sold piece takes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from tradepost.trade.inventory.claims import Delta, MovementValues, refuse_unknown
from tradepost.trade.inventory.model import HELD, Claim, HoldLine, Movement
from tradepost.trade.inventory.rules import UnitKey, invalid_quantity

_RESERVE = str(Movement.RESERVE)


class Reserved(msgspec.Struct, frozen=True):
    """The hold rows that turn from held to reserved, the change of each stock unit, and the movements."""

    lines: list[HoldLine]
    deltas: dict[UnitKey, Delta]
    movements: list[MovementValues]


def reserve_lines(claims: Sequence[Claim], lines: Iterable[HoldLine]) -> Reserved:
    """Whole rows, whatever a claim's quantity: an order is paid for as a whole. What is not held is left alone.

    Raises Refusal `inventory.hold_unknown` or `inventory.quantity_invalid` for the first claim that cannot be.
    """
    owned: dict[tuple[str, str], list[HoldLine]] = {}
    for line in lines:
        if line.quantity:
            owned.setdefault((line.owner_id, line.sku_id), []).append(line)
    turned: list[HoldLine] = []
    deltas: dict[UnitKey, Delta] = {}
    movements: list[MovementValues] = []
    for claim in claims:
        for sku_id, quantity in claim.items:
            if quantity < 1:
                raise invalid_quantity(quantity, sku_id, "at least 1")
            found = owned.get((claim.owner_id, sku_id))
            if found is None:
                raise refuse_unknown(claim, sku_id)
            for line in found:
                if line.state != HELD:
                    continue
                unit, pieces = (line.gene, sku_id, line.location_id, line.pool), line.open_quantity
                _, held, reserved = deltas.get(unit, (0, 0, 0))
                deltas[unit] = (0, held - pieces, reserved + pieces)
                movements.append(
                    (
                        line.gene,
                        sku_id,
                        claim.reference,
                        _RESERVE,
                        unit[2],
                        unit[3],
                        0,
                        -pieces,
                        pieces,
                        claim.at_ms,
                    )
                )
                turned.append(line)
            owned[claim.owner_id, sku_id] = []
    return Reserved(turned, deltas, movements)
