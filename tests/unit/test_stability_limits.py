"""Limits as data: which cells a request has, what happens at the bounds, and the limiter that shares or does not."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from tradepost.stability.cache import CacheDown
from tradepost.stability.gcra import Cell
from tradepost.stability.limiter import Limiter
from tradepost.stability.limits import Asker, By, Exceeded, LimitRule, LimitTable, LocalCells, refuse_exceeded

ASKER = Asker(
    "POST /v1/checkouts", app="app_1", buyer="byr_1", seller="sel_1", ip="192.0.2.7", skus=("a", "b", "a")
)


def rule(name: str, by: By, requests: int = 10, **more: object) -> LimitRule:
    return msgspec.convert({"name": name, "by": by.value, "requests": requests, **more}, LimitRule)


def names(rules: Sequence[LimitRule], asker: Asker = ASKER) -> list[str]:
    return [cell.key for cell in LimitTable(tuple(rules)).cells(asker)]


def test_every_subject_of_a_request_has_its_cell() -> None:
    rules = [rule(by.value, by) for by in By]
    assert names(rules) == [
        "route/POST /v1/checkouts",
        "app/app_1",
        "buyer/byr_1",
        "seller/sel_1",
        "ip/192.0.2.7",
        "sku/a",
        "sku/b",
    ]


def test_nobody_is_counted_by_no_limit() -> None:
    assert names([rule(by.value, by) for by in By], Asker("GET /v1/offers")) == ["route/GET /v1/offers"]


def test_routes_narrow_a_rule_and_are_counted_together() -> None:
    placing = rule("placing", By.APP, routes=["POST /v1/checkouts", "POST /v1/quotes"])
    everywhere = rule("all", By.APP)
    assert names([placing, everywhere]) == ["all/app_1", "placing/app_1"]
    assert names([placing, everywhere], ASKER._replace(route="POST /v1/quotes")) == [
        "all/app_1",
        "placing/app_1",
    ]
    assert names([placing, everywhere], ASKER._replace(route="GET /v1/offers")) == ["all/app_1"]


def test_a_rule_that_names_its_subjects_replaces_the_general_one_for_them() -> None:
    rules = [rule("apps", By.APP), rule("partners", By.APP, 500, only=["app_1", "app_2"])]
    assert names(rules) == ["partners/app_1"]
    assert names(rules, ASKER._replace(app="app_9")) == ["apps/app_9"]


def test_of_very_many_skus_the_first_256_are_counted() -> None:
    assert len(names([rule("sku", By.SKU)], ASKER._replace(skus=[str(n) for n in range(300)]))) == 256


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "Big", "by": "app", "requests": 1},
        {"name": "a", "by": "moon", "requests": 1},
        {"name": "a", "by": "app", "requests": 0},
        {"name": "a", "by": "app", "requests": 101, "per_ms": 1},
        {"name": "a", "by": "app", "requests": 1, "brust": 3},
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(wrong, LimitRule)


def test_beyond_the_bound_the_cell_used_longest_ago_is_forgotten() -> None:
    store = LocalCells(cells_max=2)
    a, b, c = (Cell(key, 1_000_000, 1_000_000) for key in "abc")
    assert [store.decide([cell], 10**9) for cell in (a, b, c)] == [None] * 3
    assert len(store) == 2
    assert store.decide([b], 10**9) is not None
    assert store.decide([a], 10**9) is None


def test_divided_limits_give_each_process_its_part_and_at_least_one() -> None:
    cell = Cell("a", 1_000, 4_000)
    for divided, allowed in ((1, 4), (2, 2), (8, 1)):
        store = LocalCells()
        let_in = sum(store.decide([cell], 10**9, divided) is None for _ in range(10))
        assert let_in == allowed


def test_the_refusal_names_the_limit_and_the_wait() -> None:
    refusal = refuse_exceeded(Exceeded(Cell("a/x", 1, 1, "a"), 1_200_000))
    assert (refusal.code, refusal.extra) == ("limit.exceeded", {"limit": "a", "retry_after_s": 2})


class Shared:
    """Shared cells that answer as they are told to."""

    def __init__(self) -> None:
        self.answer: Exceeded | Exception | None = None
        self.asked = 0

    async def decide(self, cells: Sequence[Cell]) -> Exceeded | None:
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Clock:
    def __init__(self) -> None:
        self.us = 10**9

    def __call__(self) -> int:
        return self.us


async def test_no_rule_no_cells_and_rules_change_with_the_next_request() -> None:
    rules: list[tuple[LimitRule, ...]] = [()]
    limiter = Limiter(lambda: rules[0], Clock())
    assert limiter.cells(ASKER) == []
    rules[0] = (rule("apps", By.APP, 1),)
    cells = limiter.cells(ASKER)
    assert await limiter.refuse(cells) is None
    refusal = await limiter.refuse(cells)
    assert refusal is not None
    assert refusal.code == "limit.exceeded"
    rules[0] = ()
    assert limiter.cells(ASKER) == []


async def test_shared_cells_decide_while_they_are_there() -> None:
    shared, clock = Shared(), Clock()
    limiter = Limiter(lambda: (), clock, shared)
    cells = [Cell("a", 1_000, 1_000, "a")]
    assert [await limiter.refuse(cells) for _ in range(3)] == [None] * 3
    shared.answer = Exceeded(cells[0], 5_000)
    assert await limiter.refuse(cells) is not None
    assert shared.asked == 4
    assert await limiter.refuse(cells) is not None
    assert shared.asked == 4, "a cell that said no is not asked again before its time"
    clock.us += 5_000
    shared.answer = None
    assert await limiter.refuse(cells) is None


async def test_without_the_shared_cells_each_process_grants_its_part_and_no_new_burst() -> None:
    shared, clock = Shared(), Clock()
    limiter = Limiter(lambda: (), clock, shared, workers=lambda: 2)
    cells = [Cell("a", 1_000_000, 10_000_000, "a")]
    for _ in range(10):
        assert await limiter.refuse(cells) is None
    shared.answer = CacheDown()
    assert await limiter.refuse(cells) is not None, "the burst was used up together with the others"
    clock.us += 60_000_000
    assert sum([await limiter.refuse(cells) is None for _ in range(10)]) == 5
    assert limiter.gauges()["limits_decided_alone"] == 11


def test_a_limiter_says_by_what_a_route_is_counted() -> None:
    rules: list[tuple[LimitRule, ...]] = [()]
    limiter = Limiter(lambda: rules[0], lambda: 0)
    assert limiter.asks("POST /v1/checkouts") == frozenset()
    rules[0] = (rule("apps", By.APP), rule("hot", By.SKU, routes=["POST /v1/checkouts"]))
    assert limiter.asks("POST /v1/checkouts") == {By.APP, By.SKU}
    assert limiter.asks("GET /v1/offers") == {By.APP}
