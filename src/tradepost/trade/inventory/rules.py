"""Who gets the stock: first come, first served, decided in memory for a whole batch. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from tradepost.kernel.errors import Refusal
from tradepost.kernel.ids import gene_of
from tradepost.trade.inventory.model import HELD, RELEASED, Allocation, Demand, Held, HoldLine, HoldRequest

UnitKey = tuple[int, str, str, str]
"""(gene, sku_id, location_id, pool): one stock unit."""
LimitKey = tuple[int, str, str]
"""(gene, sku_id, buyer_id)."""
Bin = tuple[str, str]
"""(sku_id, pool): what a demand asks for; its stock units are served in order of location."""
Wanted = dict[tuple[str, str, str], int]
"""(owner_id, sku_id, pool) to pieces, summed over lines and kits."""

QUANTITY_MAX = 1_000_000_000


class Shelves:
    """The available pieces a batch may give away, by SKU and pool, in order of location."""

    def __init__(self, units: Iterable[tuple[int, str, str, str, int]]) -> None:
        self.skus: set[str] = set()
        self.free: dict[Bin, int] = {}
        self._units: dict[Bin, list[UnitKey]] = {}
        self._left: dict[UnitKey, int] = {}
        for gene, sku_id, location_id, pool, available in sorted(units):
            self.skus.add(sku_id)
            kept, unit = (sku_id, pool), (gene, sku_id, location_id, pool)
            self.free[kept] = self.free.get(kept, 0) + max(available, 0)
            self._units.setdefault(kept, []).append(unit)
            self._left[unit] = max(available, 0)

    def take(self, kept: Bin, quantity: int) -> list[tuple[UnitKey, int]]:
        """Take pieces that `free` says are there, lowest location id first."""
        self.free[kept] -= quantity
        parts: list[tuple[UnitKey, int]] = []
        for unit in self._units[kept]:
            taken = min(self._left[unit], quantity)
            if taken:
                self._left[unit] -= taken
                parts.append((unit, taken))
                quantity -= taken
                if not quantity:
                    break
        return parts


class Admission:
    """What a batch of hold requests comes to: an answer for each, and the rows that make it true."""

    def __init__(self) -> None:
        self.answers: list[Held | Refusal] = []
        self.spent: dict[UnitKey, int] = {}
        self.lines: list[HoldLine] = []
        self.limits: dict[LimitKey, int] = {}
        self.admitted: list[HoldRequest] = []
        self.sold_out: dict[Bin, int] = {}


def admit(
    requests: Sequence[HoldRequest],
    shelves: Shelves,
    earlier: Mapping[str, Sequence[HoldLine]],
    taken: Mapping[LimitKey, int],
) -> Admission:
    """Serve requests in order, each whole or not at all; `requests` carry only this shard's demands.

    `earlier` are the holds owners already have, `taken` what buyers already took of limited SKUs. A request
    that repeats an earlier one, in the database or in this batch, gets the same answer.
    """
    admission = Admission()
    known = {owner: list(lines) for owner, lines in earlier.items()}
    counted = dict(taken)
    seen: dict[str, tuple[HoldRequest, Held | Refusal]] = {}
    for request in requests:
        before = seen.get(request.checkout_id)
        if before is not None and before[0] == request:
            admission.answers.append(before[1])
            continue
        answer = _answer(request, shelves, known, counted, admission)
        seen[request.checkout_id] = (request, answer)
        admission.answers.append(answer)
    admission.sold_out = {kept: shelves.free.get(kept, 0) for kept in admission.sold_out}
    return admission


def _answer(
    request: HoldRequest,
    shelves: Shelves,
    known: dict[str, list[HoldLine]],
    counted: dict[LimitKey, int],
    admission: Admission,
) -> Held | Refusal:
    wanted: Wanted = {}
    for demand in request.demands:
        if not 0 < demand.quantity <= QUANTITY_MAX:
            return invalid_quantity(demand.quantity, demand.sku_id, f"1..{QUANTITY_MAX}")
        key = (demand.owner_id, demand.sku_id, demand.pool)
        wanted[key] = wanted.get(key, 0) + demand.quantity
    for owner_id, _, _ in wanted:
        if owner_id in known:
            return _repeat(request, wanted, known)
    refusal = _find_missing(wanted, shelves, admission.sold_out)
    if refusal is not None:
        return refusal
    limited = _sum_limited(request)
    for bound, (quantity, limit) in limited.items():
        if counted.get(bound, 0) + quantity > limit:
            return _limit_reached(bound[1], limit, counted.get(bound, 0))
    for bound, (quantity, _) in limited.items():
        counted[bound] = counted.get(bound, 0) + quantity
        admission.limits[bound] = admission.limits.get(bound, 0) + quantity
    return _serve(request, wanted, limited, shelves, known, admission)


def _find_missing(wanted: Wanted, shelves: Shelves, sold_out: dict[Bin, int]) -> Refusal | None:
    if len(wanted) == 1:
        needs = {(sku_id, pool): quantity for (_, sku_id, pool), quantity in wanted.items()}
    else:
        needs = sum_bins(wanted)
    for kept, quantity in needs.items():
        available = shelves.free.get(kept, 0)
        if quantity > available:
            if kept[0] not in shelves.skus:
                return Refusal(
                    "inventory.sku_unknown",
                    f"No stock is kept of {kept[0]}.",
                    field="sku_id",
                    extra={"sku_id": kept[0]},
                )
            sold_out[kept] = available
            return refuse_sold_out(kept, quantity, available)
    return None


def sum_bins(wanted: Mapping[tuple[str, str, str], int]) -> dict[Bin, int]:
    """Pieces by SKU and pool over all owners of a request."""
    needs: dict[Bin, int] = {}
    for (_, sku_id, pool), quantity in wanted.items():
        needs[(sku_id, pool)] = needs.get((sku_id, pool), 0) + quantity
    return needs


def refuse_sold_out(kept: Bin, quantity: int, available: int) -> Refusal:
    """The refusal of a demand that is larger than what is left."""
    return Refusal(
        "inventory.sold_out",
        f"{quantity} pieces of {kept[0]} were asked for, {available} are available.",
        field="quantity",
        expected=f"at most {available}",
        extra={"sku_id": kept[0], "available": available},
    )


def invalid_quantity(quantity: int, sku_id: str, expected: str) -> Refusal:
    """The refusal of a quantity outside its range."""
    return Refusal(
        "inventory.quantity_invalid",
        f"{quantity} pieces of {sku_id} cannot be.",
        field="quantity",
        expected=expected,
        extra={"sku_id": sku_id},
    )


def _limit_reached(sku_id: str, limit: int, taken: int) -> Refusal:
    remaining = max(limit - taken, 0)
    return Refusal(
        "inventory.limit_reached",
        f"A buyer may have {limit} pieces of {sku_id}; {taken} are taken.",
        field="quantity",
        expected=f"at most {remaining}",
        extra={"sku_id": sku_id, "limit": limit, "remaining": remaining},
    )


def _sum_limited(request: HoldRequest) -> dict[LimitKey, tuple[int, int]]:
    """(pieces, strictest limit) by limited SKU."""
    found: dict[LimitKey, tuple[int, int]] = {}
    for demand in request.demands:
        if demand.limit_per_buyer > 0:
            key = (gene_of(demand.sku_id), demand.sku_id, request.buyer_id)
            quantity, limit = found.get(key, (0, demand.limit_per_buyer))
            found[key] = (quantity + demand.quantity, min(limit, demand.limit_per_buyer))
    return found


def _serve(
    request: HoldRequest,
    wanted: Wanted,
    limited: Mapping[LimitKey, tuple[int, int]],
    shelves: Shelves,
    known: dict[str, list[HoldLine]],
    admission: Admission,
) -> Held:
    allocations: list[Allocation] = []
    spent = admission.spent
    counts = _limited_pieces(request.demands) if limited else {}
    for key, quantity in wanted.items():
        owner_id, sku_id, pool = key
        left = counts.get(key, 0)
        for unit, part in shelves.take((sku_id, pool), quantity):
            spent[unit] = spent.get(unit, 0) + part
            counts_here = min(part, left)
            left -= counts_here
            allocations.append(Allocation(owner_id, sku_id, unit[2], pool, part))
            line = HoldLine(
                unit[0],
                owner_id,
                sku_id,
                unit[2],
                pool,
                request.checkout_id,
                request.buyer_id,
                HELD,
                part,
                part,
                0,
                0,
                counts_here,
                request.at_ms,
            )
            admission.lines.append(line)
            known.setdefault(owner_id, []).append(line)
    admission.admitted.append(request)
    return Held(request.checkout_id, tuple(allocations))


def _limited_pieces(demands: Sequence[Demand]) -> Wanted:
    pieces: Wanted = {}
    for demand in demands:
        if demand.limit_per_buyer > 0:
            key = (demand.owner_id, demand.sku_id, demand.pool)
            pieces[key] = pieces.get(key, 0) + demand.quantity
    return pieces


def _repeat(request: HoldRequest, wanted: Wanted, known: Mapping[str, Sequence[HoldLine]]) -> Held | Refusal:
    """The answer to a request whose owners hold something already."""
    owners = dict.fromkeys(owner_id for owner_id, _, _ in wanted)
    lines = [line for owner_id in owners for line in known.get(owner_id, ())]
    if any(line.state == RELEASED for line in lines):
        return Refusal(
            "inventory.released",
            f"The stock of checkout {request.checkout_id} was given back.",
            extra={"checkout_id": request.checkout_id},
        )
    present: Wanted = {}
    for line in lines:
        key = (line.owner_id, line.sku_id, line.pool)
        present[key] = present.get(key, 0) + line.quantity
    if present != wanted:
        return Refusal(
            "inventory.hold_conflict",
            f"The orders of checkout {request.checkout_id} hold something else already.",
            extra={"checkout_id": request.checkout_id},
        )
    order = {key: place for place, key in enumerate(wanted)}
    lines.sort(key=lambda line: (order[(line.owner_id, line.sku_id, line.pool)], line.location_id))
    return Held(
        request.checkout_id,
        tuple(Allocation(x.owner_id, x.sku_id, x.location_id, x.pool, x.quantity) for x in lines),
    )
