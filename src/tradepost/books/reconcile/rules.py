"""Three-way matching, pure: every side's rows in, the sums and the breaks out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from tradepost.books import BooksReport, merge_books
from tradepost.books.reconcile.model import (
    AGES,
    BREAKS,
    DAY_MS,
    OLDER,
    Break,
    BreakKind,
    Gathered,
    Moved,
    Reconciliation,
    ReportRow,
    Window,
)
from tradepost.trade.settlement import Payout, SettlementReport, merge_settlement

STUCK_MS = 3 * DAY_MS
_BOOKS = {"order": BreakKind.ORDER, "payment": BreakKind.PAYMENT_LEDGER}
_REPORTED = frozenset({"capture", "refund", "chargeback"})
"""What a provider's report tells of payments."""
_Sums = dict[tuple[str, str, str], int]
"""(id, kind, currency) to minor units."""


def reconcile(
    shards: Sequence[Gathered],
    *,
    provider: Iterable[ReportRow] | None,
    bank: Iterable[ReportRow] | None,
    window: Window,
    day: str,
    now_ms: int,
) -> Reconciliation:
    """Compare all sides. `provider` and `bank` are None where no file was given: that side is then not compared."""
    books = merge_books(each.books for each in shards)
    settled = merge_settlement(each.settlement for each in shards)
    moved = [row for each in shards for row in each.moved]
    payouts = [row for each in shards for row in each.payouts]
    breaks = _own(books, settled)
    breaks += _overdue(shards) + _payouts(payouts, now_ms)
    rows = list(provider) if provider is not None else []
    if provider is not None:
        breaks += match_provider(moved, rows, window)
    if bank is not None:
        breaks += match_bank(payouts, list(bank), window)
    dated = tuple(_dated(each, now_ms) for each in breaks)
    return Reconciliation(
        day=day,
        made_at_ms=now_ms,
        counts={
            "orders": books.orders,
            "payments": books.payments,
            "transactions": books.transactions,
            "statement_lines": settled.lines,
            "statements": settled.statements,
            "payouts": settled.payouts,
            "provider_rows": len(rows),
        },
        sides=_sides(moved, rows, payouts, window, books.captured),
        provider_fees=_by_currency((row.currency, row.fee_minor) for row in rows if window.holds(row.at_ms)),
        ages={name: sum(1 for each in dated if each.age == name) for name in [*[n for _, n in AGES], OLDER]},
        breaks=dated,
    )


def _own(books: BooksReport, settled: SettlementReport) -> list[Break]:
    """Where our own rows disagree with each other."""
    found = [
        Break(kind=_BOOKS.get(one.kind, BreakKind.LEDGER), subject=one.subject, detail=one.detail)
        for one in books.findings
    ]
    found += [
        Break(kind=BreakKind.SETTLEMENT, subject=one.subject, detail=f"{one.kind}: {one.detail}")
        for one in settled.findings
    ]
    found += [
        Break(
            kind=BreakKind.IN_TRANSIT,
            subject=currency,
            detail="left the orders and has not reached the parties",
            amount_minor=amount,
            currency=currency,
        )
        for currency, amount in settled.in_transit.items()
    ]
    return found


def _dated(found: Break, now_ms: int) -> Break:
    days = (now_ms - found.at_ms) // DAY_MS if found.at_ms else 0
    age = next((name for bound, name in AGES if days < bound), OLDER)
    return replace(found, age=age, proposal=BREAKS[found.kind].proposal.format(subject=found.subject))


def _overdue(shards: Sequence[Gathered]) -> list[Break]:
    return [
        Break(
            kind=BreakKind.SETTLEMENT_OVERDUE,
            subject=order_id,
            detail="due for more than a day and not settled",
            at_ms=due_at_ms,
        )
        for each in shards
        for order_id, due_at_ms in each.overdue
    ]


def _payouts(payouts: Iterable[Payout], now_ms: int) -> list[Break]:
    found = []
    for one in payouts:
        waits = one.state in ("REQUESTED", "SENT", "REFUSED") and now_ms - one.requested_at_ms > STUCK_MS
        if waits or one.state in ("FAILED", "RETURNED"):
            found.append(
                Break(
                    kind=BreakKind.PAYOUT_STUCK if waits else BreakKind.PAYOUT_FAILED,
                    subject=one.payout_id,
                    detail=f"{one.state} after {one.attempts} attempts: {one.error or 'no answer'}",
                    amount_minor=one.amount_minor,
                    currency=one.currency,
                    at_ms=one.requested_at_ms,
                )
            )
    return found


def match_provider(moved: Sequence[Moved], rows: Sequence[ReportRow], window: Window) -> list[Break]:
    """Compare by payment and kind: first the window, then what differs there over all days there are."""
    ours, theirs = _sums_of_moved(moved, window), _sums_of_rows(rows, window)
    ever_ours, ever_theirs = _sums_of_moved(moved, Window()), _sums_of_rows(rows, Window())
    moments = {(row.payment_id, row.kind): row.at_ms for row in moved}
    moments |= {(row.id, row.kind): row.at_ms for row in rows if row.at_ms}
    found = []
    for key in sorted(ours.keys() | theirs.keys()):
        mine, its = ours.get(key, 0), theirs.get(key, 0)
        if mine == its:
            continue
        kind = _provider_break(key, mine, its, ever_ours, ever_theirs)
        found.append(
            Break(
                kind=kind,
                subject=key[0],
                detail=f"{key[1]}: we say {mine}, the provider {its}",
                amount_minor=mine - its,
                currency=key[2],
                at_ms=moments.get(key[:2], 0),
            )
        )
    return found


def _provider_break(
    key: tuple[str, str, str], mine: int, its: int, ever_ours: _Sums, ever_theirs: _Sums
) -> BreakKind:
    if ever_ours.get(key, 0) == ever_theirs.get(key, 0):
        return BreakKind.PROVIDER_TIMING
    if not its:
        return BreakKind.PROVIDER_MISSING
    return BreakKind.PROVIDER_AMOUNT if mine else BreakKind.PROVIDER_UNKNOWN


def _sums_of_moved(moved: Iterable[Moved], window: Window) -> _Sums:
    sums: _Sums = {}
    for row in moved:
        if row.kind in _REPORTED and window.holds(row.at_ms):
            key = (row.payment_id, row.kind, row.currency)
            sums[key] = sums.get(key, 0) + row.amount_minor
    return sums


def _sums_of_rows(rows: Iterable[ReportRow], window: Window) -> _Sums:
    sums: _Sums = {}
    for row in rows:
        if row.kind in _REPORTED and window.holds(row.at_ms):
            key = (row.id, row.kind, row.currency)
            sums[key] = sums.get(key, 0) + row.amount_minor
    return sums


def match_bank(payouts: Sequence[Payout], rows: Sequence[ReportRow], window: Window) -> list[Break]:
    """Compare payouts that are paid with the bank's own rows."""
    paid = {one.payout_id: one for one in payouts}
    told: dict[str, int] = {}
    found = []
    for row in rows:
        if row.kind == "payout":
            told[row.id] = told.get(row.id, 0) + row.amount_minor
            if row.id not in paid and window.holds(row.at_ms):
                found.append(
                    _bank_break(BreakKind.BANK_UNKNOWN, row.id, 0, row.amount_minor, row.currency, row.at_ms)
                )
    for one in payouts:
        if not window.holds(one.requested_at_ms):
            continue
        mine = one.amount_minor if one.state == "PAID" else 0
        its = told.get(one.payout_id, 0)
        if mine != its and (mine or one.state != "SENT"):
            kind = BreakKind.BANK_AMOUNT if its else BreakKind.BANK_MISSING
            found.append(_bank_break(kind, one.payout_id, mine, its, one.currency, one.requested_at_ms))
    return found


def _bank_break(kind: BreakKind, subject: str, mine: int, its: int, currency: str, at_ms: int) -> Break:
    return Break(
        kind=kind,
        subject=subject,
        detail=f"we say {mine}, the bank {its}",
        amount_minor=mine - its,
        currency=currency,
        at_ms=at_ms,
    )


def _sides(
    moved: Iterable[Moved],
    rows: Iterable[ReportRow],
    payouts: Iterable[Payout],
    window: Window,
    payments: dict[str, int],
) -> dict[str, dict[str, int]]:
    """By currency: what was captured, given back and paid out according to each side."""
    table: dict[str, dict[str, int]] = {}

    def add(currency: str, name: str, amount: int) -> None:
        row = table.setdefault(currency, {})
        row[name] = row.get(name, 0) + amount

    for one in moved:
        if window.holds(one.at_ms):
            add(one.currency, f"ledger_{one.kind}", one.amount_minor)
    for row in rows:
        if window.holds(row.at_ms):
            add(row.currency, f"provider_{row.kind}", row.amount_minor)
    for payout in payouts:
        if window.holds(payout.requested_at_ms):
            add(payout.currency, f"payouts_{payout.state.lower()}", payout.amount_minor)
    if not window.until_ms:
        for currency, amount in payments.items():
            add(currency, "payments_captured", amount)
    return dict(sorted(table.items()))


def _by_currency(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for currency, amount in pairs:
        if amount:
            sums[currency] = sums.get(currency, 0) + amount
    return sums
