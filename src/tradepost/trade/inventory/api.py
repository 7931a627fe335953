"""What orders do with stock: hold, reserve, release, ship, put back. Set-based, few statements for many items."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from tradepost.kernel.errors import Refusal
from tradepost.kernel.ids import gene_of
from tradepost.kernel.tx import BatchHandler, Tx
from tradepost.trade.inventory import store
from tradepost.trade.inventory.claims import MovementValues, Settlement, settle
from tradepost.trade.inventory.model import Claim, Confirmed, Deadline, Held, HoldLine, HoldRequest, Movement
from tradepost.trade.inventory.reserving import reserve_lines
from tradepost.trade.inventory.rules import Admission, LimitKey, Shelves, UnitKey, admit

SOLD_OUT = "sold_out"
STOCK_UP = "stock_up"
"""Signal topics; the key is `<sku_id>/<pool>`."""


def hold(tx: Tx, requests: Sequence[HoldRequest]) -> list[Held | Refusal]:
    """Hold stock for many checkouts at once, first come first served, each whole or not at all.

    Only demands whose SKU this shard keeps are looked at. A request that was applied before gets the same
    answer. Answers, in order, `Held` or a Refusal `inventory.sold_out` (extra sku_id, available),
    `.limit_reached`, `.sku_unknown`, `.released`, `.hold_conflict`, `.quantity_invalid`: a refused request
    changed nothing. Raises Refusal `inventory.contended` for all when another writer took the stock meanwhile.
    """
    genes: dict[str, int] = {}
    local = _only_here(tx, requests, genes)
    owners = {(genes[d.sku_id], d.owner_id): None for r in local for d in r.demands}
    earlier: dict[str, list[HoldLine]] = {}
    for line in store.lines_of(tx, list(owners)):
        earlier.setdefault(line.owner_id, []).append(line)
    shelves = Shelves(store.free_units(tx, [(gene, sku_id) for sku_id, gene in genes.items()]))
    limited = _limit_keys(local, genes)
    taken = store.taken_of(tx, limited) if limited else {}
    admission = admit(local, shelves, earlier, taken)
    _write_admission(tx, admission, taken, genes)
    return admission.answers


def _only_here(tx: Tx, requests: Sequence[HoldRequest], genes: dict[str, int]) -> Sequence[HoldRequest]:
    """The requests without demands of other shards; fills `genes` with those of this one."""
    elsewhere: set[str] = set()
    for request in requests:
        for demand in request.demands:
            sku_id = demand.sku_id
            if sku_id not in genes and sku_id not in elsewhere:
                gene = gene_of(sku_id)
                if tx.keeps(gene):
                    genes[sku_id] = gene
                else:
                    elsewhere.add(sku_id)
    if not elsewhere:
        return requests
    return [
        msgspec.structs.replace(r, demands=tuple(d for d in r.demands if d.sku_id in genes)) for r in requests
    ]


def _limit_keys(requests: Sequence[HoldRequest], genes: dict[str, int]) -> list[LimitKey]:
    keys = {
        (genes[d.sku_id], d.sku_id, r.buyer_id): None
        for r in requests
        for d in r.demands
        if d.limit_per_buyer > 0
    }
    return list(keys)


def _write_admission(tx: Tx, admission: Admission, taken: dict[LimitKey, int], genes: dict[str, int]) -> None:
    for (sku_id, pool), available in admission.sold_out.items():
        tx.signal(SOLD_OUT, f"{sku_id}/{pool}", available)
    if not admission.lines:
        return
    store.take(tx, admission.spent)
    store.insert_lines(tx, admission.lines)
    store.insert_movements(
        tx,
        [
            (x.gene, x.sku_id, x.owner_id, "hold", x.location_id, x.pool, 0, x.quantity, 0, x.at_ms)
            for x in admission.lines
        ],
    )
    if admission.limits:
        store.change_limits(tx, admission.limits, taken)
    waiting = [request for request in admission.admitted if request.expires_at_ms]
    if waiting:
        store.insert_deadlines(tx, _deadlines(waiting, genes))


def _deadlines(requests: Iterable[HoldRequest], genes: dict[str, int]) -> list[Deadline]:
    found: list[Deadline] = []
    for request in requests:
        owners: dict[int, dict[str, None]] = {}
        for demand in request.demands:
            owners.setdefault(genes[demand.sku_id], {})[demand.owner_id] = None
        found += [
            Deadline(gene, request.checkout_id, request.buyer_id, tuple(ids), request.expires_at_ms)
            for gene, ids in owners.items()
        ]
    return found


HOLD: BatchHandler[HoldRequest, Held] = BatchHandler(
    "tradepost.trade.inventory.api:HOLD", hold, HoldRequest, Held, lambda request: len(request.demands)
)
"""The hold as a commit of its own, for stock on another shard than the buyer."""


def reserve(tx: Tx, claims: Sequence[Claim]) -> None:
    """Holds become reservations: they were paid for. Whole rows, whatever the quantity; repeats do nothing.

    Raises Refusal `inventory.hold_unknown`.
    """
    local = _kept_here(tx, claims)
    owners = _owners(local)
    if owners:
        # no look for earlier movements: a hold that was reserved is no longer held, so a repeat changes nothing
        reserved = reserve_lines(local, store.lines_of(tx, owners))
        store.shift(tx, reserved.deltas)
        store.reserve_lines(tx, reserved.lines)
        store.insert_movements(tx, reserved.movements)


def release(tx: Tx, claims: Sequence[Claim]) -> None:
    """Give held or reserved pieces back to their pools; a buyer's limit counts down.

    What was never held leaves a tombstone, so a hold that comes later is refused. Repeats do nothing.
    Raises Refusal `inventory.not_held` beyond what is still open.
    """
    _apply(tx, Movement.RELEASE, claims)


def ship(tx: Tx, claims: Sequence[Claim]) -> None:
    """Pieces leave the house. Repeats do nothing.

    Raises Refusal `inventory.hold_unknown` or `inventory.not_held`.
    """
    _apply(tx, Movement.SHIP, claims)


def put_back(tx: Tx, claims: Sequence[Claim]) -> None:
    """Shipped pieces came back to their location, into the claim's pool (`returned` when empty).

    Raises Refusal `inventory.hold_unknown` or `inventory.not_shipped`. Repeats do nothing.
    """
    _apply(tx, Movement.PUT_BACK, claims)


def _apply(tx: Tx, kind: Movement, claims: Sequence[Claim]) -> None:
    local = _kept_here(tx, claims)
    owners = _owners(local)
    if not owners:
        return
    references = {(gene_of(sku_id), sku_id, c.reference): None for c in local for sku_id, _ in c.items}
    applied = [(row.sku_id, row.reference, row.kind) for row in store.movements_of(tx, list(references))]
    settlement = settle(kind, local, store.lines_of(tx, owners), applied)
    write_settlement(tx, kind, settlement)


def _owners(claims: Sequence[Claim]) -> list[tuple[int, str]]:
    """(gene, owner) of every hold that the claims name, each once."""
    return list(dict.fromkeys((gene_of(sku_id), c.owner_id) for c in claims for sku_id, _ in c.items))


def _kept_here(tx: Tx, claims: Sequence[Claim]) -> Sequence[Claim]:
    """The claims without items of other shards; untouched when there are none."""
    if all(tx.keeps(gene_of(sku_id)) for claim in claims for sku_id, _ in claim.items):
        return claims
    return [
        msgspec.structs.replace(c, items=tuple(item for item in c.items if tx.keeps(gene_of(item[0]))))
        for c in claims
    ]


def write_settlement(tx: Tx, kind: Movement, settlement: Settlement) -> None:
    """Write what claims came to, and tell the caches what is available again."""
    missing: dict[UnitKey, int] = {}
    if kind is Movement.PUT_BACK:
        wanted = {(unit[0], unit[1]): None for unit in settlement.deltas}
        present = store.units_of(tx, list(wanted))
        missing = {unit: d[0] for unit, d in settlement.deltas.items() if unit not in present}
    store.shift(tx, {unit: d for unit, d in settlement.deltas.items() if unit not in missing})
    if missing:
        store.insert_units(tx, missing)
    store.update_lines(tx, settlement.changed())
    store.insert_lines(tx, settlement.tombstones)
    store.insert_movements(tx, settlement.movements)
    if settlement.limits:
        store.change_limits(tx, settlement.limits, store.taken_of(tx, list(settlement.limits)))
    signal_increases(tx, settlement.movements)


def signal_increases(tx: Tx, movements: Iterable[MovementValues]) -> None:
    """Tell this process's caches which bins may have more than before."""
    more = {f"{m[1]}/{m[5]}": None for m in movements if m[6] - m[7] - m[8] > 0}
    for key in more:
        tx.signal(STOCK_UP, key)


def confirm_deadlines(tx: Tx, items: Sequence[Confirmed]) -> list[bool]:
    """Their checkouts exist: holds on this shard no longer wait for them. Repeats do nothing."""
    keys = {(gene, item.checkout_id) for item in items for gene in item.genes if tx.keeps(gene)}
    store.delete_deadlines(tx, sorted(keys))
    return [True] * len(items)


CONFIRM: BatchHandler[Confirmed, bool] = BatchHandler(
    "tradepost.trade.inventory.api:CONFIRM", confirm_deadlines, Confirmed, bool, lambda item: len(item.genes)
)
"""Deadlines that found their checkout, a statement for all that wait in the queue."""


def settle_deadlines(tx: Tx, kept: Sequence[Deadline], freed: Sequence[Deadline], at_ms: int) -> None:
    """Forget deadlines that were answered; what the freed ones still hold goes back. Repeats do nothing."""
    owners = {(d.gene, owner_id): d.checkout_id for d in freed for owner_id in d.owners}
    open_items: dict[tuple[str, str], list[tuple[str, int]]] = {}
    for line in store.lines_of(tx, list(owners)):
        if line.open_quantity:
            key = (line.owner_id, owners[(line.gene, line.owner_id)])
            open_items.setdefault(key, []).append((line.sku_id, line.open_quantity))
    claims = [
        Claim(owner_id=owner, reference=f"{owner}.expired", at_ms=at_ms, items=tuple(items))
        for (owner, _), items in open_items.items()
    ]
    release(tx, claims)
    store.delete_deadlines(tx, [(d.gene, d.checkout_id) for d in (*kept, *freed)])
