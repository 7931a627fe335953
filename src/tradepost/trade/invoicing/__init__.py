"""Invoicing: documents numbered without gaps, an invoice when goods leave and a credit note when money goes back."""

from tradepost.trade.invoicing.api import (
    enter_legal_party,
    find_invoice,
    find_legal_party,
    invoices_of_order,
    invoices_of_seller,
    issue_credits,
    issue_invoice,
    legal_party,
    not_found,
)
from tradepost.trade.invoicing.arithmetic import check_ubl, to_ubl
from tradepost.trade.invoicing.model import Invoice, InvoiceLine, LegalParty, TaxSubtotal
from tradepost.trade.invoicing.react import issue, tasks
from tradepost.trade.invoicing.ubl import unit_price

__all__ = [
    "Invoice",
    "InvoiceLine",
    "LegalParty",
    "TaxSubtotal",
    "check_ubl",
    "enter_legal_party",
    "find_invoice",
    "find_legal_party",
    "invoices_of_order",
    "invoices_of_seller",
    "issue",
    "issue_credits",
    "issue_invoice",
    "legal_party",
    "not_found",
    "tasks",
    "to_ubl",
    "unit_price",
]
