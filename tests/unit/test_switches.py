"""Switches: each keeps its declaration, is felt when the centre says so, and refuses what it says."""

from __future__ import annotations

import pytest
from tests.memory_centre import MemoryCentre

from tradepost.kernel.errors import Kind, Refusal
from tradepost.stability.keys import Document, Rule, encode_document
from tradepost.stability.live import LiveConfig
from tradepost.stability.switches import (
    NEW_CARTS_OFF,
    READ_ONLY,
    Switches,
    declared_switches,
    find_switch,
    refusal_of,
    switch_rows,
)
from tradepost.surfaces.api.degrading import (
    KEPT_IN_READ_ONLY,
    OPENS_CARTS,
    WRITES_NOTHING,
    is_refused_in_read_only,
    refuse_or_pass,
)
from tradepost.surfaces.api.operation import Operation
from tradepost.surfaces.api.routes import OPERATIONS
from tradepost.surfaces.cli.drill_proofs import PROOFS
from tradepost.testing.world import TestWorld

FIRST_ONES = {
    "coupons_off",
    "events_slow_lane",
    "new_carts_off",
    "quote_cache_only",
    "read_only",
    "timeline_off",
}
WRITES = [one for one in OPERATIONS if one.method != "GET"]
BY_NAME = {one.name: one for one in OPERATIONS}


def test_every_switch_says_what_it_drops_what_stays_and_how_it_is_tested() -> None:
    assert set(declared_switches()) >= FIRST_ONES
    for name, *sentences in switch_rows():
        assert all(len(sentence) > 20 for sentence in sentences), name


def test_every_switch_has_a_drill() -> None:
    assert set(PROOFS) == set(declared_switches())


def test_nothing_is_on_without_a_centre() -> None:
    switches = Switches()
    assert (switches.active, set(switches.gauges().values())) == (frozenset(), {0})


async def test_a_switch_is_felt_by_the_instances_it_names(world: TestWorld) -> None:
    centre = MemoryCentre()
    here, there = LiveConfig(centre, world, instance="a"), LiveConfig(centre, world, instance="b")
    for live in (here, there):
        await live.start()
    one, other = Switches(here), Switches(there)
    rules = (Rule(value=True, instances=("a",)),)
    revision = centre.put(READ_ONLY.key.name, encode_document(Document(version=1, rules=rules)))
    for live in (here, there):
        await live.wait(revision - 1, 5)
    assert (one.is_on(READ_ONLY), other.is_on(READ_ONLY)) == (True, False)
    assert one.header == (b"tradepost-degraded", b"read_only")
    assert one.gauges()["switch_read_only"] == 1
    revision = centre.put(NEW_CARTS_OFF.key.name, encode_document(Document(version=1, value=True)))
    await here.wait(revision - 1, 5)
    assert one.header[1] == b"new_carts_off, read_only"
    for live in (here, there):
        await live.close()


def test_an_unknown_switch_is_refused() -> None:
    with pytest.raises(Refusal) as refused:
        find_switch("nothing")
    assert refused.value.code == "switch.unknown"
    assert find_switch("switch.read_only") is READ_ONLY


def test_the_lists_of_exceptions_name_operations_there_are() -> None:
    assert set(BY_NAME) >= KEPT_IN_READ_ONLY | WRITES_NOTHING | OPENS_CARTS


@pytest.mark.parametrize("operation", WRITES, ids=lambda one: one.name)
def test_read_only_refuses_every_write_but_payment_results_and_its_own_end(operation: Operation) -> None:
    kept = operation.name in KEPT_IN_READ_ONLY | WRITES_NOTHING
    assert is_refused_in_read_only(operation) is not kept
    if kept:
        refuse_or_pass(operation, Switches(on=("read_only",)))
    else:
        with pytest.raises(Refusal) as refused:
            refuse_or_pass(operation, Switches(on=("read_only",)))
        assert (refused.value.code, refused.value.extra["retry_after_s"]) == ("switch.read_only", 5)
        assert refused.value.problem.kind == Kind.OVERLOADED


def test_reads_pass_whatever_is_on() -> None:
    switches = Switches(on=tuple(declared_switches()))
    for operation in OPERATIONS:
        if operation.method == "GET":
            refuse_or_pass(operation, switches)


def test_new_carts_off_refuses_new_carts_alone() -> None:
    switches = Switches(on=("new_carts_off",))
    names = []
    for operation in OPERATIONS:
        try:
            refuse_or_pass(operation, switches)
        except Refusal as refusal:
            names.append((operation.name, refusal.code))
    assert names == [("create_cart", "switch.new_carts_off")]


def test_a_refusal_names_its_switch() -> None:
    refusal = refusal_of("switch.quote_cache_only", "no", offer_ids=["off_1"])
    assert refusal.extra == {"switch": "quote_cache_only", "retry_after_s": 5, "offer_ids": ["off_1"]}
