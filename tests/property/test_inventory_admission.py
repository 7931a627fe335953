"""Admission never promises more than there is, whatever mixture of duplicates, kits and limits arrives."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tradepost.kernel.errors import Refusal
from tradepost.kernel.ids import gene_of
from tradepost.testing.world import TestWorld
from tradepost.trade.inventory import Demand, Held, HoldRequest
from tradepost.trade.inventory.rules import Shelves, admit

SKUS = [TestWorld(seed=seed).mint("sku", seed) for seed in (1, 2, 3)]
KITS = [((0, 1),), ((1, 1),), ((0, 2), (1, 1)), ((0, 1), (1, 3), (2, 1))]
"""What a line may be: components (SKU, pieces for one)."""

lines = st.tuples(st.integers(0, 3), st.integers(1, 3), st.sampled_from([0, 3, 5]), st.integers(1, 2))
"""(kit, quantity, limit of it, which of the checkout's orders)."""
checkouts = st.tuples(st.lists(lines, min_size=1, max_size=4), st.integers(0, 1))


def build(number: int, picked: list[tuple[int, int, int, int]], buyer: int) -> HoldRequest:
    """A checkout with its kits expanded, as the caller does it."""
    demands = tuple(
        Demand(
            owner_id=f"ord_{number}_{order}",
            sku_id=SKUS[sku],
            quantity=quantity * per_kit,
            limit_per_buyer=limit,
        )
        for kit, quantity, limit, order in picked
        for sku, per_kit in KITS[kit]
    )
    return HoldRequest(checkout_id=f"chk_{number}", buyer_id=f"byr_{buyer}", at_ms=1, demands=demands)


@settings(max_examples=400, deadline=None)
@given(
    stock=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 12)), max_size=9),
    baskets=st.lists(checkouts, min_size=1, max_size=8),
    order=st.lists(st.integers(0, 7), min_size=1, max_size=16),
)
def test_admission_never_oversells(
    stock: list[tuple[int, int, int]],
    baskets: list[tuple[list[tuple[int, int, int, int]], int]],
    order: list[int],
) -> None:
    there = {(gene_of(SKUS[s]), SKUS[s], f"loc_{at}", "shop"): count for s, at, count in stock}
    known = [build(number, picked, buyer) for number, (picked, buyer) in enumerate(baskets)]
    requests = [known[at % len(known)] for at in order]
    admission = admit(requests, Shelves((*unit, count) for unit, count in there.items()), {}, {})

    for unit, count in admission.spent.items():
        assert 0 < count <= there[unit]
    by_unit: dict[tuple[int, str, str, str], int] = {}
    for line in admission.lines:
        key = (line.gene, line.sku_id, line.location_id, line.pool)
        by_unit[key] = by_unit.get(key, 0) + line.quantity
    assert by_unit == admission.spent
    answers: dict[str, Held | Refusal] = {}
    for request, answer in zip(requests, admission.answers, strict=True):
        assert answers.setdefault(request.checkout_id, answer) == answer, "a duplicate gets the same answer"
    rows = {(line.owner_id, line.sku_id, line.location_id) for line in admission.lines}
    assert len(rows) == len(admission.lines), "one row per owner and stock unit"
    _check_answers(known, answers, there)
    _check_limits(known, answers)


def _check_answers(
    known: list[HoldRequest],
    answers: dict[str, Held | Refusal],
    there: dict[tuple[int, str, str, str], int],
) -> None:
    """Each got all it asked for or nothing, and the total taken fits what was there."""
    for request in known:
        answer = answers.get(request.checkout_id)
        if isinstance(answer, Held):
            for sku_id in SKUS:
                wanted = sum(d.quantity for d in request.demands if d.sku_id == sku_id)
                assert sum(a.quantity for a in answer.allocations if a.sku_id == sku_id) == wanted
    for sku_id in SKUS:
        taken = sum(
            a.quantity
            for answer in answers.values()
            if isinstance(answer, Held)
            for a in answer.allocations
            if a.sku_id == sku_id
        )
        assert taken <= sum(count for unit, count in there.items() if unit[1] == sku_id)


def _check_limits(known: list[HoldRequest], answers: dict[str, Held | Refusal]) -> None:
    """What a buyer got of a SKU under a limit stays within the loosest limit he was under."""
    for buyer in ("byr_0", "byr_1"):
        mine = [
            d
            for r in known
            if r.buyer_id == buyer and isinstance(answers.get(r.checkout_id), Held)
            for d in r.demands
            if d.limit_per_buyer
        ]
        for sku_id in SKUS:
            limited = [d for d in mine if d.sku_id == sku_id]
            if limited:
                assert sum(d.quantity for d in limited) <= max(d.limit_per_buyer for d in limited)
