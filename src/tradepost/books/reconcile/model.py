"""The words of reconciliation: rows that are compared, and breaks with their repair."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from tradepost.books import BooksReport
from tradepost.kernel.errors import Kind, declare_problems
from tradepost.trade.settlement import Payout, SettlementReport

DAY_MS = 86_400_000
AGES = ((1, "today"), (7, "this week"), (30, "this month"))
OLDER = "older"

declare_problems(
    {
        "reconcile.report_invalid": (
            Kind.INVALID,
            "A row of the report cannot be read",
            "Give CSV with a header or JSON lines: id, kind, amount_minor or amount, currency, at.",
        )
    }
)


class BreakKind(StrEnum):
    """What two sides disagree about."""

    ORDER = "order"
    PAYMENT_LEDGER = "payment_ledger"
    LEDGER = "ledger"
    PROVIDER_MISSING = "provider_missing"
    PROVIDER_UNKNOWN = "provider_unknown"
    PROVIDER_AMOUNT = "provider_amount"
    PROVIDER_TIMING = "provider_timing"
    SETTLEMENT = "settlement"
    SETTLEMENT_OVERDUE = "settlement_overdue"
    IN_TRANSIT = "in_transit"
    PAYOUT_STUCK = "payout_stuck"
    PAYOUT_FAILED = "payout_failed"
    BANK_MISSING = "bank_missing"
    BANK_UNKNOWN = "bank_unknown"
    BANK_AMOUNT = "bank_amount"


class Repair(msgspec.Struct, frozen=True):
    """What to do about a kind of break; `serious` ones make the command end with 1."""

    proposal: str
    serious: bool = True


BREAKS: dict[BreakKind, Repair] = {
    BreakKind.ORDER: Repair("Look at the order's log: tradepost order show {subject}"),
    BreakKind.PAYMENT_LEDGER: Repair(
        "Payment and journal are written in one commit: stop writing, keep a copy, look at both rows."
    ),
    BreakKind.LEDGER: Repair("Stop writing, keep a copy, and compare with the last good backup."),
    BreakKind.PROVIDER_MISSING: Repair(
        "Ask the provider about {subject}; if it never took the money, refund by hand and write it off."
    ),
    BreakKind.PROVIDER_UNKNOWN: Repair(
        "Replay the provider's webhook for {subject}; if it belongs to no order, refund it at the provider."
    ),
    BreakKind.PROVIDER_AMOUNT: Repair(
        "Replay the provider's webhook for {subject}; what stays is an adjustment of the difference."
    ),
    BreakKind.PROVIDER_TIMING: Repair("Nothing: the other side has it on a neighbouring day.", serious=False),
    BreakKind.SETTLEMENT: Repair("Stop payouts for {subject} and compare its lines with the journal."),
    BreakKind.SETTLEMENT_OVERDUE: Repair(
        "See whether a refund or dispute of {subject} is open; else let the timers run: tradepost settle run"
    ),
    BreakKind.IN_TRANSIT: Repair(
        "Deliver what waits: tradepost letters list, then tradepost letters replay.", serious=False
    ),
    BreakKind.PAYOUT_STUCK: Repair(
        "Ask the bank about {subject}, then: tradepost payouts tell {subject} paid (or failed)"
    ),
    BreakKind.PAYOUT_FAILED: Repair(
        "The balance has it back. Ask the party for another account; the next statement pays it.",
        serious=False,
    ),
    BreakKind.BANK_MISSING: Repair("We say paid, the bank's file does not: ask the bank about {subject}."),
    BreakKind.BANK_UNKNOWN: Repair("The bank moved money that is no payout of ours: {subject}."),
    BreakKind.BANK_AMOUNT: Repair("The bank moved another amount for {subject}: ask it for the difference."),
}


class Break(msgspec.Struct, frozen=True, kw_only=True):
    """One difference: what about, by how much (ours less theirs, minor units), since when, and what to do."""

    kind: BreakKind
    subject: str
    detail: str
    amount_minor: int = 0
    currency: str = ""
    at_ms: int = 0
    age: str = ""
    proposal: str = ""


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """The stretch that is looked at, UTC; both 0 is everything."""

    from_ms: int = 0
    until_ms: int = 0

    def holds(self, at_ms: int) -> bool:
        """Whether a moment lies within."""
        return not self.until_ms or self.from_ms <= at_ms < self.until_ms


class ReportRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row of a provider's or bank's report. `kind` is capture, refund, chargeback, fee or payout."""

    id: str
    kind: str
    amount_minor: int
    currency: str
    at_ms: int
    fee_minor: int = 0


class Moved(msgspec.Struct, frozen=True, array_like=True):
    """What the journal says went through a provider for a payment, or (`stored_`) came of the buyer's stored value."""

    payment_id: str
    kind: str
    amount_minor: int
    currency: str
    at_ms: int


class Gathered(msgspec.Struct, frozen=True, kw_only=True):
    """What one shard says."""

    books: BooksReport
    settlement: SettlementReport
    moved: tuple[Moved, ...]
    payouts: tuple[Payout, ...]
    overdue: tuple[tuple[str, int], ...]


class Reconciliation(msgspec.Struct, frozen=True, kw_only=True):
    """The report. `sides` has a row a currency: what each side says in minor units; `ages` counts breaks."""

    day: str
    made_at_ms: int
    counts: dict[str, int]
    sides: dict[str, dict[str, int]]
    provider_fees: dict[str, int]
    ages: dict[str, int]
    breaks: tuple[Break, ...]

    @property
    def agrees(self) -> bool:
        """Whether nothing serious was found."""
        return not any(BREAKS[each.kind].serious for each in self.breaks)
