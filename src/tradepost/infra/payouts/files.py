"""A bank that takes files: every payout is a line of the day's order file, and what came of it is a line of an answer.

`orders-<day>.jsonl` is appended and synced before a payout counts as sent; an operator takes it to the bank. Lines of
`answers.jsonl`, `{"payout_id": ..., "attempt": 1, "status": "paid"}`, are read when the bank is asked. Both files grow
with the payouts; a line that is no answer is passed over.
"""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from tradepost.kernel.world import World
from tradepost.trade.settlement import BankFact, BankStatus, PayoutCall

ANSWERS = "answers.jsonl"


class OrderLine(msgspec.Struct, frozen=True, kw_only=True):
    """One payout as the bank is told of it; `key` lets it pay once."""

    key: str
    payout_id: str
    attempt: int
    holder: str
    account: str
    bank_code: str
    amount_minor: int
    currency: str


_order = msgspec.json.Decoder(OrderLine).decode
_answer = msgspec.json.Decoder(BankFact).decode
_encode = msgspec.json.Encoder().encode


class FileBank:
    """Writes orders into a folder and reads the bank's answers from it."""

    name = "file"

    def __init__(self, folder: Path, world: World) -> None:
        self._folder = folder
        self._world = world

    async def send(self, call: PayoutCall) -> BankFact:
        """Append the payout to the day's file unless it stands in one, synced to the disk. Raises OSError."""
        return await asyncio.to_thread(self._send, call)

    async def ask(self, call: PayoutCall) -> BankFact | None:
        """The bank's answer; PENDING while there is none, None when no file names this attempt."""
        return await asyncio.to_thread(self._ask, call)

    def _send(self, call: PayoutCall) -> BankFact:
        known = self._ask(call)
        if known is not None:
            return known
        self._folder.mkdir(parents=True, exist_ok=True)
        day = datetime.fromtimestamp(self._world.now_ms() // 1000, UTC).strftime("%Y-%m-%d")
        line = OrderLine(
            key=call.key,
            payout_id=call.payout_id,
            attempt=call.attempt,
            holder=call.destination.holder,
            account=call.destination.account,
            bank_code=call.destination.bank_code,
            amount_minor=call.amount_minor,
            currency=call.currency,
        )
        with (self._folder / f"orders-{day}.jsonl").open("ab") as file:
            file.write(_encode(line) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        return BankFact(payout_id=call.payout_id, attempt=call.attempt, status=BankStatus.PENDING)

    def _ask(self, call: PayoutCall) -> BankFact | None:
        for fact in reversed(self._answers()):  # the last word counts
            if (fact.payout_id, fact.attempt) == (call.payout_id, call.attempt):
                return fact
        for path in sorted(self._folder.glob("orders-*.jsonl")):
            for line in path.read_bytes().splitlines():
                if _is_order(line, call.key):
                    return BankFact(payout_id=call.payout_id, attempt=call.attempt, status=BankStatus.PENDING)
        return None

    def _answers(self) -> list[BankFact]:
        path = self._folder / ANSWERS
        found = []
        for line in path.read_bytes().splitlines() if path.exists() else ():
            try:
                found.append(_answer(line))
            except msgspec.MsgspecError:
                continue
        return found


def _is_order(line: bytes, key: str) -> bool:
    try:
        return _order(line).key == key
    except msgspec.MsgspecError:
        return False  # the last line of a file that was cut off while it was written
