"""Tax: pure calculators from an amount, a category and a market to a rate and a tax; invoice sums; who remits."""

from tradepost.trade.tax.engine import Rate, Taxable, Taxed, TaxPolicy, restate, tax_line, tax_order
from tradepost.trade.tax.invoice_model import (
    Change,
    Invoice,
    InvoiceLine,
    InvoiceTax,
    InvoiceTotals,
    RoundingModel,
)
from tradepost.trade.tax.invoice_totals import total_invoice
from tradepost.trade.tax.remittance import Sale, Withheld, scheme_of, withheld
from tradepost.trade.tax.rules import (
    TAXES,
    added_tax,
    by_category,
    by_level,
    included_tax,
    policy_of,
    rate_of,
    rates_in,
    share_of_rates,
    taxed,
)

__all__ = [
    "TAXES",
    "Change",
    "Invoice",
    "InvoiceLine",
    "InvoiceTax",
    "InvoiceTotals",
    "Rate",
    "RoundingModel",
    "Sale",
    "TaxPolicy",
    "Taxable",
    "Taxed",
    "Withheld",
    "added_tax",
    "by_category",
    "by_level",
    "included_tax",
    "policy_of",
    "rate_of",
    "rates_in",
    "restate",
    "scheme_of",
    "share_of_rates",
    "tax_line",
    "tax_order",
    "taxed",
    "total_invoice",
    "withheld",
]
