"""The table of who may do what, row by row: every party tries every step of every kind in every state."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace
from tests.trade_floor import TradeFloor
from tests.unit.test_aftersales import delivered

from tradepost.kernel.errors import Refusal
from tradepost.kernel.tx import Tx
from tradepost.markets import all_markets
from tradepost.testing.world import TestWorld
from tradepost.trade import aftersales
from tradepost.trade.aftersales import PARTIES, RETURN_STATES, CaseKind, Evidence, store
from tradepost.trade.aftersales.permissions import (
    KINDS,
    ON_ORDER,
    TABLE,
    known_states,
    may,
    rows_of,
    states_for,
)
from tradepost.trade.aftersales.rules import accept_cancel
from tradepost.trade.orders import ORDER_STATES, LineQuantity

ONE = (LineQuantity(1, 1),)
Act = Callable[[Tx, str, str], Any]
STEPS: dict[str, tuple[str, Act]] = {
    "approve": ("approve", lambda tx, case_id, party: aftersales.approve(tx, case_id, 1, party)),
    "grant": ("grant", lambda tx, case_id, party: aftersales.approve(tx, case_id, 1, party)),
    "refuse": ("refuse", lambda tx, case_id, party: aftersales.refuse(tx, case_id, "worn", 1, party)),
    "close": ("close", lambda tx, case_id, party: aftersales.close(tx, case_id, 1, party)),
    "ship_back": ("ship back", lambda tx, case_id, party: aftersales.ship_back(tx, case_id, "T", 1, party)),
    "arrive": ("arrive", lambda tx, case_id, party: aftersales.arrive(tx, case_id, 1, party)),
    "receive": ("receive", lambda tx, case_id, party: aftersales.receive(tx, case_id, 1, party=party)),
    "escalate": ("escalate", lambda tx, case_id, party: aftersales.escalate(tx, case_id, 1, party)),
    "add_evidence": (
        "add evidence",
        lambda tx, case_id, party: aftersales.add_evidence(tx, case_id, Evidence(party=party, note="n")),
    ),
    "judge": ("dismiss", lambda tx, case_id, party: aftersales.judge(tx, case_id, "SELLER", "x", 1, party)),
}
"""Each step of the table: the input of the state table it stands for, and how it is taken."""


@pytest.fixture
def floor(world: TestWorld) -> TradeFloor:
    return TradeFloor(world)


def outcome(floor: TradeFloor, work: Callable[[Tx], Any]) -> str:
    """Code of the refusal, or "" when the step went through; nothing of it stays."""

    class Undo(Exception):
        pass

    def tried(tx: Tx) -> None:
        work(tx)
        raise Undo

    try:
        floor.run(tried)
    except Refusal as refusal:
        return refusal.code
    except Undo:
        return ""
    raise AssertionError


@pytest.mark.parametrize(("kind", "step"), list(itertools.product(CaseKind, STEPS)))
def test_every_step_is_open_to_those_whom_the_table_names(floor: TradeFloor, kind: str, step: str) -> None:
    if (step == "grant") is (kind in ("return_refund", "exchange")) and step in ("approve", "grant"):
        assert all(not states_for("GB", kind, step, party) for party in PARTIES)
        return
    order_id = delivered(floor)
    case = aftersales.new_case(order_id, floor.mint("return"), "worn", 1, lines=ONE, kind=kind)
    case = floor.run(aftersales.request_case, case, "OPERATOR" if kind == "claim" else "SELLER")
    given, act = STEPS[step]
    for state, party in itertools.product(RETURN_STATES.states, PARTIES):
        floor.run(lambda tx, state=state: store.update_returns(tx, [(1, replace(case, state=state))]))
        said = outcome(floor, lambda tx, party=party: act(tx, case.return_id, party))
        if may("GB", kind, step, party, state):
            assert said == "", (state, party)
        elif RETURN_STATES.accepts(state, given) and any(
            may("GB", kind, step, one, state) for one in PARTIES
        ):
            assert said == "aftersales.not_allowed", (state, party)
        else:
            assert said in ("state.conflict", "aftersales.not_allowed"), (state, party)


@pytest.mark.parametrize("market", ["GB", "JP"])
@pytest.mark.parametrize("kind", CaseKind)
def test_every_kind_may_be_asked_for_by_those_whom_the_table_names(
    floor: TradeFloor, kind: str, market: str
) -> None:
    order_id = delivered(floor)
    for state, party in itertools.product(ORDER_STATES.states, PARTIES):

        def ask(tx: Tx, state: str = state, party: str = party) -> None:
            tx.execute(
                "UPDATE orders SET state = ?, market = ? WHERE order_id = ?", (state, market, order_id)
            )
            case = aftersales.new_case(order_id, floor.mint("return"), "worn", 1, lines=ONE, kind=kind)
            aftersales.request_case(tx, case, party)

        expected = "" if may(market, kind, "request", party, state) else "aftersales.not_allowed"
        assert outcome(floor, ask) == expected, (state, party)


@pytest.mark.parametrize("market", ["GB", "JP"])
def test_every_party_may_cancel_as_the_table_says(floor: TradeFloor, market: str) -> None:
    order_id = delivered(floor)
    for state, party in itertools.product(ORDER_STATES.states, PARTIES):
        order = replace(floor.order(order_id), state=state, market=market)
        for whole in (True, False):
            steps = ("cancel",) if whole else ("cancel", "cancel_rest")
            allowed = any(may(market, "cancel", step, party, state) for step in steps)
            if state in ("COMPLETED", "CANCELLED"):
                continue  # the order's own table refuses these
            if allowed:
                accept_cancel(order, party, whole=whole)
            else:
                with pytest.raises(Refusal) as refused:
                    accept_cancel(order, party, whole=whole)
                assert refused.value.code == "aftersales.cancel_too_late"


@pytest.mark.parametrize("market", ["", *aftersales.all_policies(), *all_markets()])
def test_every_row_names_what_there_is(market: str) -> None:
    for row in rows_of(market):
        assert row.kind in KINDS
        assert row.party in PARTIES
        assert row.step in STEPS or row.step in ON_ORDER
        assert row.states
        assert set(row.states) <= set(known_states(row.step))
    keys = [(row.kind, row.step, row.party) for row in rows_of(market)]
    assert len(keys) == len(set(keys))


def test_a_market_changes_rows_and_nothing_else() -> None:
    changed = {(c.kind, c.step, c.party): c.states for c in aftersales.policy_of("JP").change}
    assert changed
    for row in rows_of("JP"):
        key = (row.kind, row.step, row.party)
        assert row.states == changed.get(key, states_for("", *key))


def test_every_default_row_is_reachable() -> None:
    """No row of the table names a state in which the state table never accepts its step."""
    for row in TABLE:
        if row.step not in ON_ORDER:
            given = STEPS[row.step][0]
            assert all(RETURN_STATES.accepts(state, given) for state in row.states), row
