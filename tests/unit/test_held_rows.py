"""A row that is refused waits by itself: its timer goes on with the others, except when storage fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import pytest
from tests.money_floor import DAY, HERE, MoneyFloor, discounted
from tests.trade_floor import TradeFloor
from tests.unit.test_aftersales import delivered
from tests.unit.test_cases import ask, now, step

from tradepost.kernel.errors import Refusal
from tradepost.kernel.events import Sweep
from tradepost.kernel.tx import Storage, Tx
from tradepost.testing.world import TestWorld
from tradepost.trade import aftersales, settlement
from tradepost.trade.aftersales import casework
from tradepost.trade.settlement import Account, cutting, jobs, store
from tradepost.trade.settlement.payouts import paying
from tradepost.trade.settlement.payouts import store as payout_store
from tradepost.trade.settlement.payouts.port import BankFact, BankStatus, PayoutCall

HOUR_MS = 3_600_000


class OneShard:
    """The memory database of a floor as a storage of one shard."""

    shards = 1

    def __init__(self, floor: TradeFloor) -> None:
        self._floor = floor

    def shard_of(self, gene: int) -> int:
        return 0

    async def transact(self, shard: int, work: Callable[..., Any], *args: Any) -> Any:
        return self._floor.run(work, *args)

    async def read(self, shard: int, work: Callable[..., Any], *args: Any) -> Any:
        return self._floor.run(work, *args)


class Bank:
    """Counts what it is sent and says nothing yet; `name` is that of whichever bank it stands for."""

    def __init__(self, name: str = "sandbox") -> None:
        self.name = name
        self.sent: list[str] = []

    async def send(self, call: PayoutCall) -> BankFact:
        self.sent.append(call.payout_id)
        return BankFact(payout_id=call.payout_id, attempt=call.attempt, status=BankStatus.PENDING)

    async def ask(self, call: PayoutCall) -> BankFact | None:
        return None


@pytest.fixture
def floor() -> Iterator[MoneyFloor]:
    made = MoneyFloor(TestWorld())
    yield made
    made.database.close()


def storage(floor: TradeFloor) -> Storage:
    return cast(Storage, OneShard(floor))


def named(sweeps: Sequence[Sweep], name: str) -> Sweep:
    [found] = [one for one in sweeps if one.name == name]
    return found


def refusing(code: str, known: Callable[..., Any], chosen: Callable[..., bool]) -> Callable[..., Any]:
    def act(tx: Tx, *args: Any) -> Any:
        if chosen(*args):
            raise Refusal(code, "As the test says.")
        return known(tx, *args)

    return act


def with_payouts(floor: MoneyFloor) -> str:
    floor.run(settlement.set_destination, floor.seller, HERE, 0, floor.world.now_ms())
    floor.sell((discounted(1, 1, 10_000),))
    floor.world.advance(7 * DAY)
    floor.settle()
    floor.world.advance(DAY)
    floor.cut()
    [payout_id] = floor.run(payout_store.due_payouts, floor.world.now_ms(), 10)
    return str(payout_id)


async def test_a_refused_case_does_not_keep_the_others(
    world: TestWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    floor = TradeFloor(world)
    order_id = delivered(floor)
    held, other = ask(floor, order_id), ask(floor, order_id)
    floor.world.advance(48 * HOUR_MS)
    sweep = named(aftersales.sweeps(storage(floor), floor.world), "aftersales.cases")
    decide = casework.decide_by_default

    def choose(return_id: str, at_ms: int) -> bool:
        return return_id == held.return_id

    monkeypatch.setattr(casework, "decide_by_default", refusing("storage.unavailable", decide, choose))
    with pytest.raises(Refusal):
        await sweep.act([held.return_id, other.return_id])
    assert step(floor, aftersales.get_return, other).state == "REQUESTED"
    monkeypatch.setattr(casework, "decide_by_default", refusing("orders.not_found", decide, choose))
    await sweep.act([held.return_id, other.return_id])
    assert step(floor, aftersales.get_return, other).state == "APPROVED"
    waiting = step(floor, aftersales.get_return, held)
    assert (waiting.state, waiting.deadline_at_ms) == ("REQUESTED", now(floor) + HOUR_MS)
    decided = step(floor, aftersales.get_return, other)
    kept = step(floor, casework.postpone, decided, now(floor), now(floor) + HOUR_MS)
    assert kept == decided, "a deadline that has not passed stays"


async def test_a_refused_account_does_not_keep_the_others(
    floor: MoneyFloor, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_payouts(floor)
    other = floor.mint("seller")
    now_ms = floor.world.now_ms()
    for party in (floor.seller, other):
        key = (party, "GB", "GBP")
        account = floor.run(store.lock_accounts, [key])[key]
        due = Account(
            party_id=party, market="GB", currency="GBP", balance_minor=account.balance_minor, next_at_ms=1
        )
        floor.run(store.save_accounts, [due])
    sweep = named(jobs.sweeps(storage(floor), floor.world, Bank()), "settlement.cut")
    refused = refusing("market.unknown", cutting.cut, lambda key, *_: key[0] == floor.seller)
    monkeypatch.setattr(cutting, "cut", refused)
    monkeypatch.setattr(jobs, "PATIENCE_MS", -DAY)
    due_now = floor.run(store.due_accounts, now_ms, 10)
    assert {one.party_id for one in due_now} == {floor.seller, other}
    await sweep.act(sorted(due_now, key=lambda one: one.party_id != floor.seller))
    assert [one.next_at_ms for one in floor.run(store.accounts_of, floor.seller)] == [now_ms + HOUR_MS]
    assert [one.next_at_ms for one in floor.run(store.accounts_of, other)] == [0], "it was cut"


async def test_a_refused_payout_waits(floor: MoneyFloor, monkeypatch: pytest.MonkeyPatch) -> None:
    payout_id = with_payouts(floor)
    sweep = named(jobs.sweeps(storage(floor), floor.world, Bank()), "settlement.payouts")
    begin = paying.begin_call
    for code in ("storage.unavailable", "state.conflict"):
        monkeypatch.setattr(paying, "begin_call", refusing(code, begin, lambda *_: True))
        if code.startswith("storage."):
            with pytest.raises(Refusal):
                await sweep.act([payout_id])
        else:
            await sweep.act([payout_id])
    assert floor.run(settlement.find_payout, payout_id).next_at_ms == floor.world.now_ms() + HOUR_MS


async def test_what_was_sent_to_one_bank_is_not_sent_by_another(floor: MoneyFloor) -> None:
    payout_id = with_payouts(floor)
    first, second = Bank(), Bank("file")
    await paying.run_payout(storage(floor), floor.world, first, payout_id)
    sent = floor.run(settlement.find_payout, payout_id)
    floor.world.set_now(sent.next_at_ms)
    await paying.run_payout(storage(floor), floor.world, second, payout_id)
    assert (first.sent, second.sent) == ([payout_id], [])
    waiting = floor.run(settlement.find_payout, payout_id)
    assert (waiting.bank, waiting.state) == ("sandbox", "SENT")
    assert waiting.next_at_ms > floor.world.now_ms()
    back = floor.tell(payout_id, 1, BankStatus.RETURNED, "no such holder")
    assert back.state == "FAILED", "it came back before anybody heard that it was paid"
    floor.check()
