"""The sandbox provider's own memory: one account per payment, kept outside our database as an outsider would.

With a path each change is appended as one JSON line, so the memory survives a killed process; it is not synced,
because a provider's books are not ours to lose.
"""

from __future__ import annotations

import heapq
from pathlib import Path
from typing import IO

import msgspec

from tradepost.trade.payments import (
    DisputeFact,
    DisputeStatus,
    ProviderFact,
    RefundFact,
    RefundStatus,
    Status,
)


class Delivery(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Something the provider will do at a moment: change an account (`outcome`), then send a webhook."""

    event_id: str
    at_ms: int
    outcome: str = ""
    body: str = ""
    tries: int = 0


class Account(msgspec.Struct, kw_only=True, omit_defaults=True):
    """All the provider knows of one payment. Amounts in minor units."""

    payment_id: str
    method: str = ""
    currency: str = ""
    amount: int = 0
    capture: bool = False
    attempt: int = 1
    status: Status = Status.PROCESSING
    authorized: int = 0
    captured: int = 0
    voided: bool = False
    reason: str = ""
    keys: list[str] = msgspec.field(default_factory=list)
    refunds: dict[str, RefundFact] = msgspec.field(default_factory=dict)
    refunded: dict[str, int] = msgspec.field(default_factory=dict)
    disputes: dict[str, DisputeFact] = msgspec.field(default_factory=dict)
    due: list[Delivery] = msgspec.field(default_factory=list)
    events: int = 0

    @property
    def captures_once(self) -> bool:
        """Whether its first capture is its last."""
        return self.method == "sandbox_captures_once"

    def fact(self, name: str) -> ProviderFact:
        """What the provider says about it now."""
        return ProviderFact(
            payment_id=self.payment_id,
            status=Status.VOIDED if self.voided else self.status,
            attempt=self.attempt,
            authorized_minor=self.authorized,
            captured_minor=self.captured,
            currency=self.currency,
            redirect_url=f"/sandbox/redirect/{self.payment_id}"
            if self.status is Status.REQUIRES_ACTION
            else "",
            reference=f"{name}_{self.payment_id[-26:]}" if self.method else "",
            reason=self.reason,
            refunds=tuple(self.refunds.values()),
            disputes=tuple(self.disputes.values()),
            captures_once=self.captures_once and self.authorized > 0,
        )

    def returned(self) -> int:
        """Minor units given back so far."""
        done = (key for key, fact in self.refunds.items() if fact.status is RefundStatus.SUCCEEDED)
        return sum(self.refunded[key] for key in done)

    def withdrawn(self) -> int:
        """Minor units that disputes hold or took."""
        return sum(one.amount_minor for one in self.disputes.values() if one.status is not DisputeStatus.WON)


class Book:
    """Accounts by payment id, what falls due when, and the file that both are read back from."""

    def __init__(self, path: Path | None) -> None:
        self.accounts: dict[str, Account] = {}
        self._due: list[tuple[int, str]] = []
        self._encode = msgspec.json.Encoder().encode
        self._file: IO[bytes] | None = None
        if path is not None:
            self._load(path)
            self._file = path.open("ab", buffering=0)

    def _load(self, path: Path) -> None:
        decode = msgspec.json.Decoder(Account).decode
        whole = 0
        if path.exists():
            for line in path.read_bytes().splitlines(keepends=True):
                if not line.endswith(b"\n"):
                    break  # torn by a kill in the middle of a write
                whole += len(line)
                account = decode(line)
                self.accounts[account.payment_id] = account
            with path.open("r+b") as file:
                file.truncate(whole)
        for account in self.accounts.values():
            self._schedule(account)

    def _schedule(self, account: Account) -> None:
        for delivery in account.due:
            heapq.heappush(self._due, (delivery.at_ms, account.payment_id))

    def find(self, payment_id: str) -> Account | None:
        """An account as it is now."""
        return self.accounts.get(payment_id)

    def keep(self, account: Account) -> None:
        """Remember an account as it is now."""
        self.accounts[account.payment_id] = account
        self._schedule(account)
        if self._file is not None:
            self._file.write(self._encode(account) + b"\n")

    def next_due(self, until_ms: int | None) -> tuple[Account, Delivery] | None:
        """The earliest delivery not later than a moment (None: whenever it is), or None."""
        while self._due and (until_ms is None or self._due[0][0] <= until_ms):
            at_ms, payment_id = heapq.heappop(self._due)
            account = self.accounts[payment_id]
            for delivery in account.due:
                if delivery.at_ms == at_ms:
                    return account, delivery
        return None

    def next_moment(self) -> int | None:
        """When something falls due next."""
        return self._due[0][0] if self._due else None

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None
