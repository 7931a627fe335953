"""What sellers and warehouses do with stock: receive, adjust, count, move between pools, write off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from tradepost.kernel.errors import Refusal
from tradepost.kernel.ids import gene_of
from tradepost.kernel.tx import Tx
from tradepost.trade.inventory import store
from tradepost.trade.inventory.api import signal_increases
from tradepost.trade.inventory.claims import Delta, MovementValues
from tradepost.trade.inventory.model import (
    Level,
    Movement,
    MovementRow,
    StockChange,
    StockCount,
    StockMove,
)
from tradepost.trade.inventory.rules import QUANTITY_MAX, UnitKey, invalid_quantity

Recorded = dict[tuple[str, str, str, str, str], int]
"""(sku_id, reference, kind, location_id, pool) to the change of on_hand that was recorded."""


class Step(msgspec.Struct, frozen=True):
    """One change of one stock unit, as it is recorded."""

    kind: Movement
    change: StockChange


def receive(tx: Tx, changes: Sequence[StockChange]) -> list[Level]:
    """Goods came in: `delta` above 0. The levels after all changes, in order; a known reference changes nothing.

    Raises Refusal `inventory.quantity_invalid` or `inventory.reference_conflict`, and then nothing was changed.
    """
    _check(changes, 1, QUANTITY_MAX)
    return _apply(tx, [Step(Movement.RECEIVE, change) for change in changes])


def adjust(tx: Tx, changes: Sequence[StockChange]) -> list[Level]:
    """Correct stock by a delta of either sign; its reference is the idempotency key.

    Raises Refusal `inventory.below_committed` (extra committed) when less would be left than is promised,
    `inventory.sku_unknown` for taking from a stock unit that does not exist, and those of `receive`.
    """
    _check(changes, -QUANTITY_MAX, QUANTITY_MAX)
    return _apply(tx, [Step(Movement.ADJUST, change) for change in changes])


def write_off(tx: Tx, changes: Sequence[StockChange]) -> list[Level]:
    """Goods are lost or broken: `delta` below 0. Raises what `adjust` raises."""
    _check(changes, -QUANTITY_MAX, -1)
    return _apply(tx, [Step(Movement.WRITE_OFF, change) for change in changes])


def count(tx: Tx, counts: Sequence[StockCount]) -> list[Level]:
    """Set what was counted, if nobody changed it since `expected_version` (0: there is no such unit yet).

    Raises Refusal `version.conflict` (extra version), `inventory.below_committed`, and those of `receive`.
    """
    present = _levels(tx, [(c.sku_id, c.location_id, c.pool) for c in counts])
    recorded = _recorded(tx, [(c.sku_id, c.reference) for c in counts])
    steps: list[Step] = []
    for c in counts:
        if not 0 <= c.on_hand <= QUANTITY_MAX:
            raise invalid_quantity(c.on_hand, c.sku_id, f"0..{QUANTITY_MAX}")
        before = recorded.get((c.sku_id, c.reference, str(Movement.COUNT), c.location_id, c.pool))
        level = present[(gene_of(c.sku_id), c.sku_id, c.location_id, c.pool)]
        if before is None and level.version != c.expected_version:
            raise Refusal(
                "version.conflict",
                f"The stock of {c.sku_id} is at version {level.version}, not {c.expected_version}.",
                field="expected_version",
                expected=str(level.version),
                extra={"version": level.version, "on_hand": level.on_hand},
            )
        delta = c.on_hand - level.on_hand if before is None else before
        steps.append(Step(Movement.COUNT, _change(c, c.location_id, c.pool, delta)))
    return _apply(tx, steps)


def move(tx: Tx, moves: Sequence[StockMove]) -> list[Level]:
    """Take available pieces to another pool or location; the total stays. The levels of source and target.

    Raises Refusal `inventory.below_committed`, `inventory.sku_unknown`, `inventory.reference_conflict` or
    `inventory.quantity_invalid` (also for a move to where the goods are).
    """
    steps: list[Step] = []
    for m in moves:
        target = m.to_location_id or m.location_id
        if not 0 < m.quantity <= QUANTITY_MAX or (target, m.to_pool) == (m.location_id, m.from_pool):
            raise invalid_quantity(m.quantity, m.sku_id, "at least 1, to another pool or location")
        steps.append(Step(Movement.MOVE_OUT, _change(m, m.location_id, m.from_pool, -m.quantity)))
        steps.append(Step(Movement.MOVE_IN, _change(m, target, m.to_pool, m.quantity)))
    return _apply(tx, steps)


def _change(source: StockCount | StockMove, location_id: str, pool: str, delta: int) -> StockChange:
    return StockChange(
        sku_id=source.sku_id,
        location_id=location_id,
        pool=pool,
        delta=delta,
        reference=source.reference,
        at_ms=source.at_ms,
    )


def _check(changes: Sequence[StockChange], least: int, most: int) -> None:
    for change in changes:
        if not least <= change.delta <= most or change.delta == 0:
            raise invalid_quantity(change.delta, change.sku_id, f"{least}..{most}, not 0")


def _unit(change: StockChange) -> UnitKey:
    return (gene_of(change.sku_id), change.sku_id, change.location_id, change.pool)


def _levels(tx: Tx, units: Sequence[tuple[str, str, str]]) -> dict[UnitKey, Level]:
    """The levels of these units; one that does not exist is empty at version 0."""
    skus = {(gene_of(sku_id), sku_id): None for sku_id, _, _ in units}
    found = store.units_of(tx, list(skus))
    return {
        (gene_of(u[0]), *u): found.get((gene_of(u[0]), *u)) or Level(u[0], u[1], u[2], 0, 0, 0, 0)
        for u in units
    }


def _recorded(tx: Tx, references: Sequence[tuple[str, str]]) -> Recorded:
    keys = {(gene_of(sku_id), sku_id, reference): None for sku_id, reference in references}
    rows: list[MovementRow] = store.movements_of(tx, list(keys))
    return {(r.sku_id, r.reference, r.kind, r.location_id, r.pool): r.on_hand for r in rows}


def _apply(tx: Tx, steps: Sequence[Step]) -> list[Level]:
    changes = [step.change for step in steps]
    levels = _levels(tx, [(c.sku_id, c.location_id, c.pool) for c in changes])
    recorded = _recorded(tx, [(c.sku_id, c.reference) for c in changes])
    before = dict(levels)
    movements: list[MovementValues] = []
    for step in steps:
        change = step.change
        key = (change.sku_id, change.reference, str(step.kind), change.location_id, change.pool)
        known = recorded.get(key)
        if known is not None:
            if known != change.delta:
                raise _reference_conflict(change, known)
            continue
        recorded[key] = change.delta
        unit = _unit(change)
        levels[unit] = judge_change(levels[unit], change.delta)
        movements.append((unit[0], *key, change.delta, 0, 0, change.at_ms))
    _write(tx, before, levels, movements)
    return [levels[_unit(change)] for change in changes]


def judge_change(level: Level, delta: int) -> Level:
    """The level after a change of on_hand. Raises Refusal `inventory.below_committed` or `inventory.sku_unknown`."""
    if level.version == 0 and delta < 0:
        raise Refusal(
            "inventory.sku_unknown",
            f"{level.sku_id} has no stock at {level.location_id} in pool {level.pool}.",
            field="sku_id",
            extra={"sku_id": level.sku_id},
        )
    committed = level.held + level.reserved
    if level.on_hand + delta < committed:
        raise Refusal(
            "inventory.below_committed",
            f"{level.on_hand + delta} pieces of {level.sku_id} would be left, {committed} are promised.",
            field="quantity",
            expected=f"at least {committed - level.on_hand}",
            extra={"sku_id": level.sku_id, "committed": committed, "on_hand": level.on_hand},
        )
    version = level.version + 1 if delta or level.version == 0 else level.version
    return msgspec.structs.replace(level, on_hand=level.on_hand + delta, version=version)


def _write(
    tx: Tx,
    before: Mapping[UnitKey, Level],
    after: dict[UnitKey, Level],
    movements: Sequence[MovementValues],
) -> None:
    touched = {(m[0], m[1], m[4], m[5]): None for m in movements}
    fresh = {unit: after[unit].on_hand for unit in touched if before[unit].version == 0}
    changed: dict[UnitKey, Delta] = {
        unit: (after[unit].on_hand - before[unit].on_hand, 0, 0) for unit in touched if unit not in fresh
    }
    store.shift(tx, changed)
    store.insert_units(tx, fresh)
    for unit in touched:  # however many changes of this call met in one unit, its row was written once
        written = before[unit].version + (1 if unit in fresh or changed[unit][0] else 0)
        after[unit] = msgspec.structs.replace(after[unit], version=written)
    store.insert_movements(tx, movements)
    signal_increases(tx, movements)


def _reference_conflict(change: StockChange, known: int) -> Refusal:
    return Refusal(
        "inventory.reference_conflict",
        f"Reference {change.reference} recorded a change of {known}, not {change.delta}.",
        field="reference",
        extra={"sku_id": change.sku_id, "recorded": known},
    )
