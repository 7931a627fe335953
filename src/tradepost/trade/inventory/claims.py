"""What a claim does to what an owner holds: release, ship, put back (reserving has its own file). Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from tradepost.kernel.errors import Refusal
from tradepost.kernel.ids import gene_of
from tradepost.trade.inventory.model import (
    HELD,
    HOLD_STATES,
    RELEASED,
    RETURNED,
    Claim,
    HoldLine,
    Movement,
)
from tradepost.trade.inventory.rules import LimitKey, UnitKey, invalid_quantity

LineKey = tuple[int, str, str, str, str]
"""(gene, owner_id, sku_id, location_id, pool): one row of `holds`."""
Delta = tuple[int, int, int]
"""Change of (on_hand, held, reserved)."""
MovementValues = tuple[int, str, str, str, str, str, int, int, int, int]
"""A row of `movements` in column order."""


def line_key(line: HoldLine) -> LineKey:
    """The primary key of a hold row."""
    return (line.gene, line.owner_id, line.sku_id, line.location_id, line.pool)


class Settlement:
    """What a list of claims comes to, as rows. Later claims see what earlier ones did."""

    def __init__(self, lines: Iterable[HoldLine], applied: Iterable[tuple[str, str, str]]) -> None:
        self.before = {line_key(line): line for line in lines}
        self.after = dict(sorted(self.before.items()))
        self.applied = set(applied)
        self.deltas: dict[UnitKey, Delta] = {}
        self.movements: list[MovementValues] = []
        self.tombstones: list[HoldLine] = []
        self.limits: dict[LimitKey, int] = {}
        self._owned: dict[tuple[str, str], list[LineKey]] = {}
        for key in self.after:
            self._owned.setdefault((key[1], key[2]), []).append(key)

    def owned(self, owner_id: str, sku_id: str) -> list[HoldLine]:
        """The present rows of an owner for a SKU, lowest location first, without tombstones."""
        rows = [self.after[key] for key in self._owned.get((owner_id, sku_id), ())]
        return [line for line in rows if line.quantity]

    def is_buried(self, owner_id: str, sku_id: str) -> bool:
        """Whether the owner has a row of any kind for this SKU."""
        return (owner_id, sku_id) in self._owned

    def bury(self, line: HoldLine) -> None:
        """Leave a tombstone."""
        self.tombstones.append(line)
        self.after[line_key(line)] = line
        self._owned[(line.owner_id, line.sku_id)] = [line_key(line)]

    def write(
        self, kind: Movement, claim: Claim, line: HoldLine, after: HoldLine, delta: Delta, pool: str
    ) -> None:
        """Change a hold row and a stock unit, with the movement that says so."""
        self.after[line_key(line)] = after
        self.shift((line.gene, line.sku_id, line.location_id, pool), delta)
        key = (line.gene, line.sku_id, claim.reference, str(kind), line.location_id, pool)
        last = self.movements[-1] if self.movements else None
        if last is not None and last[:6] == key:  # goods of several pools going back into one
            self.movements[-1] = (
                *key,
                last[6] + delta[0],
                last[7] + delta[1],
                last[8] + delta[2],
                claim.at_ms,
            )
        else:
            self.movements.append((*key, *delta, claim.at_ms))
        limited = line.limited - after.limited
        if limited:
            limit = (line.gene, line.sku_id, line.buyer_id)
            self.limits[limit] = self.limits.get(limit, 0) - limited

    def shift(self, unit: UnitKey, delta: Delta) -> None:
        """Add to the change of one stock unit."""
        on_hand, held, reserved = self.deltas.get(unit, (0, 0, 0))
        self.deltas[unit] = (on_hand + delta[0], held + delta[1], reserved + delta[2])

    def changed(self) -> list[tuple[HoldLine, HoldLine]]:
        """(before, after) of every hold row that is no longer what it was."""
        return [(line, self.after[key]) for key, line in self.before.items() if self.after[key] != line]


def settle(
    kind: Movement,
    claims: Sequence[Claim],
    lines: Iterable[HoldLine],
    applied: Iterable[tuple[str, str, str]],
) -> Settlement:
    """Decide one kind of step for many claims, in order; `applied` are (sku_id, reference, kind) done before.

    Raises Refusal `inventory.hold_unknown`, `inventory.not_held`, `inventory.not_shipped` or
    `inventory.quantity_invalid` for the first claim that cannot be.
    """
    step = _STEPS[kind]
    settlement = Settlement(lines, applied)
    for claim in claims:
        for sku_id, quantity in _sum_items(claim).items():
            done = (sku_id, claim.reference, str(kind))
            if done in settlement.applied:
                continue
            settlement.applied.add(done)
            step(settlement, claim, sku_id, quantity)
    return settlement


def _sum_items(claim: Claim) -> Mapping[str, int]:
    total: dict[str, int] = {}
    for sku_id, quantity in claim.items:
        if quantity < 1:
            raise invalid_quantity(quantity, sku_id, "at least 1")
        total[sku_id] = total.get(sku_id, 0) + quantity
    return total


def _release(settlement: Settlement, claim: Claim, sku_id: str, quantity: int) -> None:
    lines = settlement.owned(claim.owner_id, sku_id)
    if not lines:
        if not settlement.is_buried(claim.owner_id, sku_id):
            settlement.bury(_tombstone(claim, sku_id))
        return
    if all(line.state == RELEASED for line in lines):
        return
    for line, part in _spread(lines, quantity, claim, sku_id):
        rest = line.open_quantity - part
        given = "release part" if rest else "release rest" if line.shipped else "release"
        after = _advance(line, given, open_quantity=rest, limited=max(line.limited - part, 0))
        delta = (0, -part, 0) if line.state == HELD else (0, 0, -part)
        settlement.write(Movement.RELEASE, claim, line, after, delta, line.pool)


def _ship(settlement: Settlement, claim: Claim, sku_id: str, quantity: int) -> None:
    lines = _need(settlement, claim, sku_id)
    for line, part in _spread(lines, quantity, claim, sku_id):
        rest = line.open_quantity - part
        after = _advance(
            line, "ship part" if rest else "ship", open_quantity=rest, shipped=line.shipped + part
        )
        delta = (-part, -line.open_quantity, rest) if line.state == HELD else (-part, 0, -part)
        settlement.write(Movement.SHIP, claim, line, after, delta, line.pool)


def _put_back(settlement: Settlement, claim: Claim, sku_id: str, quantity: int) -> None:
    left = quantity
    for line in _need(settlement, claim, sku_id):
        part = min(line.shipped - line.returned, left)
        if part:
            after = msgspec.structs.replace(line, returned=line.returned + part)
            settlement.write(Movement.PUT_BACK, claim, line, after, (part, 0, 0), claim.pool or RETURNED)
            left -= part
    if left:
        raise _beyond("inventory.not_shipped", claim, sku_id, quantity, quantity - left)


_STEPS: dict[Movement, Callable[[Settlement, Claim, str, int], None]] = {
    Movement.RELEASE: _release,
    Movement.SHIP: _ship,
    Movement.PUT_BACK: _put_back,
}


def _advance(line: HoldLine, given: str, **changes: int) -> HoldLine:
    return msgspec.structs.replace(line, state=HOLD_STATES.next(line.state, given), **changes)


def _need(settlement: Settlement, claim: Claim, sku_id: str) -> list[HoldLine]:
    lines = settlement.owned(claim.owner_id, sku_id)
    if not lines:
        raise refuse_unknown(claim, sku_id)
    return lines


def refuse_unknown(claim: Claim, sku_id: str) -> Refusal:
    """The refusal of a claim on what its owner never held."""
    return Refusal(
        "inventory.hold_unknown",
        f"{claim.owner_id} holds nothing of {sku_id}.",
        extra={"owner_id": claim.owner_id, "sku_id": sku_id},
    )


def _spread(
    lines: Sequence[HoldLine], quantity: int, claim: Claim, sku_id: str
) -> list[tuple[HoldLine, int]]:
    """Which rows give how much, lowest location first. Raises `inventory.not_held` beyond what is open."""
    available = sum(line.open_quantity for line in lines)
    if quantity > available:
        raise _beyond("inventory.not_held", claim, sku_id, quantity, available)
    parts: list[tuple[HoldLine, int]] = []
    for line in lines:
        part = min(line.open_quantity, quantity)
        if part:
            parts.append((line, part))
            quantity -= part
    return parts


def _beyond(code: str, claim: Claim, sku_id: str, quantity: int, possible: int) -> Refusal:
    return Refusal(
        code,
        f"{quantity} pieces of {sku_id} were claimed for {claim.owner_id}; {possible} are possible.",
        field="quantity",
        expected=f"at most {possible}",
        extra={"owner_id": claim.owner_id, "sku_id": sku_id, "possible": possible},
    )


def _tombstone(claim: Claim, sku_id: str) -> HoldLine:
    gene = gene_of(sku_id)
    return HoldLine(gene, claim.owner_id, sku_id, "", "", "", "", RELEASED, 0, 0, 0, 0, 0, claim.at_ms)
