"""The port to a bank that pays parties. Adapters live in infra/payouts; one contract suite runs on each."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

import msgspec

from tradepost.trade.settlement.model import Destination


class BankStatus(StrEnum):
    """What a bank says about a payout."""

    PENDING = "pending"
    PAID = "paid"
    REFUSED = "refused"
    FAILED = "failed"
    RETURNED = "returned"


class PayoutCall(msgspec.Struct, frozen=True, kw_only=True):
    """Money to be sent. `key` is the same for every repetition of one attempt: the bank pays it once."""

    key: str
    payout_id: str
    attempt: int
    amount_minor: int
    currency: str
    destination: Destination


class BankFact(msgspec.Struct, frozen=True, kw_only=True):
    """A bank's word. REFUSED may be tried again, FAILED not; RETURNED came back after it was paid."""

    payout_id: str
    attempt: int
    status: BankStatus
    reason: str = ""


class PayoutBank(Protocol):
    """What settlement needs of a bank. Calls may be repeated; a repeated key pays nothing more."""

    @property
    def name(self) -> str:
        """Short and constant: it names the account `bank:<name>`."""
        ...

    async def send(self, call: PayoutCall) -> BankFact:
        """Ask for the money to be sent. Raises OSError or TimeoutError when nobody answers."""
        ...

    async def ask(self, call: PayoutCall) -> BankFact | None:
        """What became of an attempt; None when the bank never heard of it."""
        ...
