"""One suite for every bank that pays parties: repeated calls pay once, and what became of them can be asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from tradepost.infra.payouts.files import ANSWERS, FileBank
from tradepost.infra.payouts.sandbox import SandboxBank
from tradepost.testing.world import TestWorld
from tradepost.trade.settlement import BankFact, BankStatus, Destination, PayoutBank, PayoutCall

Make = Callable[[], PayoutBank]


@pytest.fixture(params=["sandbox", "file"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """A bank; a second one is the same bank after a restart."""
    return SandboxBank if request.param == "sandbox" else lambda: FileBank(tmp_path / "payouts", TestWorld())


def call(attempt: int = 1, account: str = "12345678") -> PayoutCall:
    payout_id = "pyo_01m4xk9v0c7s8p2q3r4t5v6w7x"
    return PayoutCall(
        key=f"{payout_id}.{attempt}",
        payout_id=payout_id,
        attempt=attempt,
        amount_minor=4_028,
        currency="GBP",
        destination=Destination(holder="Ann, Lee", account=account),
    )


async def test_a_repeated_call_says_the_same(make: Make) -> None:
    bank = make()
    first = await bank.send(call())
    assert first.status in (BankStatus.PAID, BankStatus.PENDING)
    assert (first.payout_id, first.attempt) == (call().payout_id, 1)
    assert await make().send(call()) == first
    asked = await make().ask(call())
    assert asked is not None
    assert asked.status == first.status
    assert 1 <= len(bank.name) <= 20


async def test_the_name_is_constant(make: Make) -> None:
    assert make().name == make().name


def only_file(folder: Path) -> Path:
    [found] = folder.glob("orders-*.jsonl")
    return found


async def test_the_file_has_each_payout_once_and_answers_are_read(tmp_path: Path) -> None:
    bank = FileBank(tmp_path, TestWorld())
    assert await bank.ask(call()) is None
    for _ in range(3):
        await bank.send(call())
    await bank.send(call(2))
    orders = only_file(tmp_path)
    assert [msgspec.json.decode(line)["key"][-2:] for line in orders.read_bytes().splitlines()] == [
        ".1",
        ".2",
    ]
    answer = BankFact(payout_id=call().payout_id, attempt=2, status=BankStatus.FAILED, reason="closed")
    (tmp_path / ANSWERS).write_bytes(b"not a line\n" + msgspec.json.encode(answer) + b"\n")
    assert await bank.ask(call(2)) == answer
    assert (await bank.ask(call())) is not None
    assert (await bank.send(call(2))).status is BankStatus.FAILED
    later = BankFact(payout_id=call().payout_id, attempt=2, status=BankStatus.PAID)
    (tmp_path / ANSWERS).write_bytes(msgspec.json.encode(answer) + b"\n" + msgspec.json.encode(later) + b"\n")
    assert await bank.ask(call(2)) == later, "the last word counts"


async def test_the_sandbox_does_as_the_account_says() -> None:
    bank = SandboxBank()
    said = {end: (await bank.send(call(1, f"1234{end}"))).status for end in ("0001", "0002", "0003", "0004")}
    assert list(said.values()) == ["refused", "refused", "failed", "pending"]
    assert (await bank.send(call(2, "12340001"))).status is BankStatus.PAID
    asked = await bank.ask(call(1, "12340004"))
    assert asked is not None
    assert asked.status is BankStatus.PAID
