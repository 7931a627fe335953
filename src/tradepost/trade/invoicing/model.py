"""Invoices and credit notes: immutable, numbered without gaps per seller and market."""

from __future__ import annotations

import msgspec

from tradepost.kernel.errors import Kind, declare_problems

INVOICE = "invoice"
CREDIT_NOTE = "credit_note"
TEXT_MAX = 200


class LegalParty(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who an invoice names: the words of its own register and address. `tax_id` is the VAT or similar number."""

    name: str
    line1: str = ""
    line2: str = ""
    city: str = ""
    postcode: str = ""
    region: str = ""
    country: str = ""
    tax_id: str = ""
    registration: str = ""
    email: str = ""


class InvoiceLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line in minor units, without tax unless said. `allowance_minor` is what discounts took off `list_minor`.

    `list_minor - allowance_minor = net_minor` and `net_minor + tax_minor = gross_minor`, always.
    """

    line_no: int
    title: str
    sku_code: str
    quantity: int
    list_minor: int
    allowance_minor: int
    net_minor: int
    tax_minor: int
    gross_minor: int
    rate_bps: int
    category: str
    is_shipping: bool = False


class TaxSubtotal(msgspec.Struct, frozen=True, kw_only=True):
    """All lines of one category and rate (EN 16931 BG-23)."""

    category: str
    rate_bps: int
    base_minor: int
    tax_minor: int


class Invoice(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A document as issued; nothing of it ever changes. A credit note names what it `credits`, amounts above zero.

    `issued_on` and `supplied_on` are local dates of the market (YYYY-MM-DD).
    """

    invoice_id: str
    kind: str
    number: str
    seller_id: str
    buyer_id: str
    order_id: str
    order_number: str
    source: str
    market: str
    currency: str
    tax_name: str
    issued_at_ms: int
    issued_on: str
    supplied_on: str
    seller: LegalParty
    buyer: LegalParty
    lines: tuple[InvoiceLine, ...]
    subtotals: tuple[TaxSubtotal, ...]
    net_minor: int
    tax_minor: int
    gross_minor: int
    paid_minor: int = 0
    credits: str = ""
    reason: str = ""
    prices_include_tax: bool = False


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """An invoice without its number, which is drawn in the commit that writes it. `series` is what it counts in."""

    series: str
    document: Invoice


declare_problems(
    {
        "invoicing.not_found": (
            Kind.NOT_FOUND,
            "No such invoice",
            "An invoice is issued when goods leave; list those of the order.",
        ),
        "invoicing.not_due": (
            Kind.CONFLICT,
            "Nothing to invoice yet",
            "Wait until the order is paid: there is no supply without it.",
        ),
        "invoicing.party_invalid": (
            Kind.INVALID,
            "Not a legal party",
            "Send a name, and a two-letter country where an address is given.",
        ),
        "invoicing.format_unknown": (
            Kind.NOT_FOUND,
            "No such format",
            "Ask for html, pdf or xml.",
        ),
    }
)
