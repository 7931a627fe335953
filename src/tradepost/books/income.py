"""What parties earned in a year, by market and quarter: the figures that income reports of platforms ask for.

The quarter is that of DAC7 (Council Directive (EU) 2021/514, Annex V, section III B): consideration and the number of
activities by quarter, and fees, commissions and taxes withheld by the platform.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from datetime import date

import msgspec

from tradepost.kernel.tx import Tx
from tradepost.trade import settlement
from tradepost.trade.settlement import Component, LineKind

_GROSS = (
    *(Component.GOODS, Component.SELLER_DISCOUNT, Component.PLATFORM_DISCOUNT, Component.CREATOR_DISCOUNT),
    *(Component.PLATFORM_FUNDING, Component.CREATOR_FUNDING, Component.SHIPPING, Component.TAX_ADDED),
    Component.REFUND_CORRECTION,
)
_EPOCH = date(1970, 1, 1).toordinal()


class IncomeRow(msgspec.Struct, kw_only=True):
    """A party's quarter in one market, minor units.

    `consideration_minor` is what its sales came to with tax, refunds taken off; `fees_minor` and the rest are what
    the platform kept of it. `tax_minor` is handed on to the state, `withheld_minor` kept back of the party's income.
    """

    party_id: str
    market: str
    currency: str
    year: int
    quarter: int
    orders: int = 0
    consideration_minor: int = 0
    earned_commission_minor: int = 0
    fees_minor: int = 0
    commission_minor: int = 0
    tax_minor: int = 0
    withheld_minor: int = 0
    adjustments_minor: int = 0
    paid_out_minor: int = 0


def collect_income(tx: Tx, year: int, first: int, last: int, market: str = "") -> list[IncomeRow]:
    """The rows of this shard's parties from one day to another; quarters without movements are left out."""
    found: list[IncomeRow] = []
    for account in settlement.all_accounts(tx):
        if market in ("", account.market):
            rows: dict[int, IncomeRow] = {}
            key = (account.party_id, account.market, account.currency)
            for line in settlement.lines_between(tx, key, first, last):
                quarter = (date.fromordinal(line.day + _EPOCH).month + 2) // 3
                row = rows.setdefault(quarter, _empty(account, year, quarter))
                _add(row, line)
            found += [rows[quarter] for quarter in sorted(rows)]
    return found


def _empty(account: settlement.Account, year: int, quarter: int) -> IncomeRow:
    return IncomeRow(
        party_id=account.party_id,
        market=account.market,
        currency=account.currency,
        year=year,
        quarter=quarter,
    )


def _add(row: IncomeRow, line: settlement.Line) -> None:
    parts = line.components
    row.orders += line.kind == LineKind.SALE
    row.consideration_minor += sum(parts.get(name, 0) for name in _GROSS)
    row.fees_minor -= parts.get(Component.PLATFORM_FEE, 0)
    if line.kind == LineKind.COMMISSION:
        row.earned_commission_minor += parts.get(Component.COMMISSION, 0)
    else:
        row.commission_minor -= parts.get(Component.COMMISSION, 0)
    row.tax_minor -= parts.get(Component.TAX, 0)
    row.withheld_minor -= parts.get(Component.WITHHOLDING, 0)
    row.adjustments_minor += parts.get(Component.ADJUSTMENT, 0)
    row.paid_out_minor -= parts.get(Component.PAYOUT, 0)


def render_csv(rows: Iterable[IncomeRow]) -> str:
    """The rows as CSV with a header; amounts in minor units."""
    text = io.StringIO()
    names = IncomeRow.__struct_fields__
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        writer.writerow([getattr(row, name) for name in names])
    return text.getvalue()
