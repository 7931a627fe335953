"""Pure decisions of settlement: components of an order, days, reserves, withholding, payouts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from tradepost.kernel.errors import Refusal
from tradepost.kernel.market import Market
from tradepost.trade.ledger import POSTED, Transaction, TransactionKind
from tradepost.trade.orders import Order, full_progress, share
from tradepost.trade.payments import PortionBooks
from tradepost.trade.settlement.model import (
    ADJUSTMENTS,
    Component,
    Components,
    Destination,
)
from tradepost.trade.tax import withheld

DAY_MS = 86_400_000
CUT_GRACE_MS = 5 * 60_000
"""How long after a day's end its statement is looked at: for commits that began before midnight."""
ATTEMPTS_MAX = 5
RETRY_FIRST_MS = 3_600_000
ASK_AFTER_MS = 60_000
ASK_LAST_MS = 6 * 3_600_000
_EPOCH = date(1970, 1, 1).toordinal()
_SALES = (Component.GOODS, Component.SELLER_DISCOUNT, Component.PLATFORM_DISCOUNT, Component.CREATOR_DISCOUNT)
_PROCEEDS = (*_SALES, Component.PLATFORM_FUNDING, Component.CREATOR_FUNDING, Component.SHIPPING)
_BY_FUNDER = {
    "seller": Component.SELLER_DISCOUNT,
    "platform": Component.PLATFORM_DISCOUNT,
    "creator": Component.CREATOR_DISCOUNT,
}


def day_of(market: Market, at_ms: int) -> int:
    """The day of a moment in the market's time zone, as days since 1970."""
    local = datetime.fromtimestamp(at_ms // 1000, UTC).astimezone(ZoneInfo(market.time_zone))
    return local.toordinal() - _EPOCH


def date_of(day: int) -> str:
    """A day as people write it: 2026-01-31."""
    return date.fromordinal(day + _EPOCH).isoformat()


def day_from(text: str) -> int:
    """A written day as days since 1970. Raises Refusal `settlement.day_invalid`."""
    try:
        return date.fromisoformat(text).toordinal() - _EPOCH
    except ValueError:
        raise Refusal(
            "settlement.day_invalid", f"{text[:40]!r} is no day.", field="day", expected="2026-01-31"
        ) from None


def end_of(market: Market, day: int) -> int:
    """The first moment after a day in the market's time zone, whatever its clocks do that day."""
    return market.at_midnight(date.fromordinal(day + _EPOCH) + timedelta(days=1))


def owed_to(transactions: Iterable[Transaction], party_id: str) -> tuple[int, Components]:
    """What the ledger owes a seller of one payment now, and what of it came by other ways than sales and funding."""
    account = f"seller:{party_id}"
    owed, others = 0, dict[str, int]()
    for t in transactions:
        if t.state != POSTED:
            continue
        amount = -sum(entry.amount_minor for entry in t.entries if entry.account == account)
        owed += amount
        if t.kind == TransactionKind.COMMISSION:
            _add(others, Component.COMMISSION, amount)
        elif t.kind in _BESIDE:
            _add(others, Component.ADJUSTMENT, amount)
    return owed, others


_BESIDE = frozenset({TransactionKind.ADJUSTMENT, TransactionKind.FEE, TransactionKind.WRITE_OFF})


def components_of(order: Order, books: PortionBooks, others: Mapping[str, int]) -> Components:
    """Everything a seller's money of one order is made of, as it stands now.

    Goods and discounts are those of the units the buyer kept, shipping what else was paid and not given back; what
    was captured or given back beside them is `refund_correction`. The sum is what the ledger owes before anything
    went to the party.
    """
    found: Components = dict(others)
    for line, done in zip(order.body.lines, full_progress(order), strict=True):
        gone = done.cancelled + done.returned

        def kept(amount: int, gone: int = gone, quantity: int = line.quantity) -> int:
            return amount - share(amount, quantity, gone)

        _add(found, Component.GOODS, kept(line.list_minor))
        discounts = 0
        for adjustment in line.adjustments:
            discounts += adjustment.amount_minor
            _add(found, _BY_FUNDER[adjustment.funder], kept(adjustment.amount_minor))
        _add(found, Component.TAX_ADDED, kept(line.total_minor - line.list_minor - discounts))
    net = books.captured_minor - books.refunded_minor
    stands = sum(found.get(key, 0) for key in (*_SALES, Component.TAX_ADDED))
    shipping = min(order.body.shipping_minor, max(0, net - stands))
    _add(found, Component.SHIPPING, shipping)
    _add(found, Component.REFUND_CORRECTION, net - stands - shipping)
    _add(found, Component.TAX, -books.tax_minor)
    _add(found, Component.PLATFORM_FEE, -books.fee_minor)
    for one in books.funded:
        by_creator = one.account.startswith("creator:")
        _add(found, Component.CREATOR_FUNDING if by_creator else Component.PLATFORM_FUNDING, one.amount_minor)
    return {name: amount for name, amount in found.items() if amount}


def _add(sums: Components, name: str, amount: int) -> None:
    sums[str(name)] = sums.get(str(name), 0) + amount


def difference(now: Mapping[str, int], before: Mapping[str, int]) -> Components:
    """What changed from one to the other, component by component."""
    changed = {name: now.get(name, 0) - before.get(name, 0) for name in {**now, **before}}
    return {name: amount for name, amount in changed.items() if amount}


def added(parts: Iterable[Mapping[str, int]]) -> Components:
    """The sums of several, component by component."""
    sums: Components = {}
    for part in parts:
        for name, amount in part.items():
            sums[name] = sums.get(name, 0) + amount
    return {name: amount for name, amount in sums.items() if amount}


def withheld_of(market: Market, components: Mapping[str, int], day: int) -> dict[str, int]:
    """What the market's law keeps back of a day's proceeds, by kind; below zero where refunds exceed sales."""
    on = date.fromordinal(day + _EPOCH)
    proceeds = sum(components.get(name, 0) for name in _PROCEEDS)
    tax = -components.get(Component.TAX, 0)
    net = proceeds + components.get(Component.TAX_ADDED, 0) - tax
    found: dict[str, int] = {}
    for one in withheld(market, on, net_minor=net, tax_minor=tax):
        _add(found, one.kind, one.amount_minor)
    return {kind: amount for kind, amount in found.items() if amount}


def reserve_of(market: Market, components: Mapping[str, int]) -> int:
    """What is held back of a day's movements: a share of its sum where that is above zero, rounded down."""
    amount = sum(components.get(name, 0) for name in components if name not in _NOT_HELD_BACK)
    return max(0, amount) * market.settlement.reserve_bps // 10_000


_NOT_HELD_BACK = frozenset({Component.PAYOUT, Component.RESERVE, Component.ADJUSTMENT})


def payable_now(market: Market, balance_minor: int) -> int:
    """What is to be paid of a balance: all of it when it reaches the market's least payout, else nothing."""
    return balance_minor if balance_minor >= max(1, market.settlement.payout_min_minor) else 0


def retry_at(attempts: int, at_ms: int) -> int:
    """When a refused payout is tried again: an hour later, then twice as long each time."""
    return at_ms + (RETRY_FIRST_MS << min(attempts - 1, 6))


def ask_at(attempts: int, at_ms: int) -> int:
    """When a bank that has not decided is asked again."""
    return at_ms + min(ASK_LAST_MS, ASK_AFTER_MS << min(attempts, 10))


def check_adjustment(kind: str, amount_minor: int) -> str:
    """The account on the other side. Raises Refusal `settlement.adjustment_invalid`."""
    rule = ADJUSTMENTS.get(kind)
    if rule is None or not amount_minor or not (rule.may_give if amount_minor > 0 else rule.may_take):
        raise Refusal(
            "settlement.adjustment_invalid",
            f"A {kind[:40]} of {amount_minor} cannot be entered.",
            field="amount_minor",
            expected="a kind of the reference and an amount with a sign it may have",
        )
    return rule.account


def check_destination(wanted: Destination) -> Destination:
    """The destination without blanks. Raises Refusal `settlement.destination_invalid`.

    An account that begins with two letters and two digits is an IBAN and has to fit ISO 13616's check digits.
    """
    account = wanted.account.replace(" ", "").upper()
    holder = wanted.holder.strip()
    looks_right = holder and 4 <= len(account) <= 34 and account.isascii() and account.isalnum()
    if not looks_right or (_is_iban(account) and not _iban_holds(account)):
        raise Refusal(
            "settlement.destination_invalid",
            "The holder is empty or the account number cannot be one.",
            field="account",
            expected="4 to 34 letters and digits",
        )
    return Destination(holder=holder[:140], account=account, bank_code=wanted.bank_code.strip()[:20])


def _is_iban(account: str) -> bool:
    return len(account) > 14 and account[:2].isalpha() and account[2:4].isdigit()


def _iban_holds(account: str) -> bool:
    digits = "".join(str(int(letter, 36)) for letter in account[4:] + account[:4])
    return int(digits) % 97 == 1
