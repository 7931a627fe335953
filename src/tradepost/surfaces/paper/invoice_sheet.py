"""An invoice or credit note as a sheet."""

from __future__ import annotations

from tradepost.kernel.money import to_major
from tradepost.surfaces.paper.sheet import Block, Sheet, Table
from tradepost.trade.invoicing import Invoice, InvoiceLine, LegalParty, unit_price

_TITLES = {"invoice": "Invoice", "credit_note": "Credit note"}


def invoice_sheet(invoice: Invoice) -> Sheet:
    """What the document says, in the words and order that tax offices ask for."""
    currency = invoice.currency
    facts = [
        ("Number", invoice.number),
        ("Issued", invoice.issued_on),
        ("Supplied", invoice.supplied_on),
        ("Order", invoice.order_number or invoice.order_id),
    ]
    if invoice.credits:
        facts.append(("Credits invoice", invoice.credits))
    if invoice.reason:
        facts.append(("Reason", invoice.reason.replace("_", " ")))
    totals = [
        ("Total without tax", _amount(invoice.net_minor, currency)),
        (invoice.tax_name, _amount(invoice.tax_minor, currency)),
        ("Total", f"{_amount(invoice.gross_minor, currency)} {currency}"),
    ]
    if invoice.paid_minor:
        totals.append(("Paid", _amount(invoice.paid_minor, currency)))
        totals.append(("To pay", f"{_amount(invoice.gross_minor - invoice.paid_minor, currency)} {currency}"))
    return Sheet(
        title=_TITLES[invoice.kind],
        subtitle=invoice.seller.name,
        facts=tuple(facts),
        blocks=(_party("Seller", invoice.seller), _party("Buyer", invoice.buyer)),
        tables=(_lines(invoice), _taxes(invoice)),
        totals=tuple(totals),
    )


def _amount(amount_minor: int, currency: str) -> str:
    return to_major(amount_minor, currency)


def _party(title: str, party: LegalParty) -> Block:
    town = " ".join(part for part in (party.postcode, party.city, party.region) if part)
    lines = (party.name, party.line1, party.line2, town, party.country)
    numbers = (
        f"Tax number {party.tax_id}" if party.tax_id else "",
        f"Register {party.registration}" if party.registration else "",
        party.email,
    )
    return Block(title=title, lines=tuple(line for line in (*lines, *numbers) if line))


def _lines(invoice: Invoice) -> Table:
    return Table(
        title="Lines",
        columns=("#", "What", "Code", "Quantity", "Unit price", "Discount", "Net", invoice.tax_name, "Gross"),
        rows=tuple(_row(line, invoice.currency) for line in invoice.lines),
        right=frozenset({0, 3, 4, 5, 6, 7, 8}),
    )


def _row(line: InvoiceLine, currency: str) -> tuple[str, ...]:
    return (
        str(line.line_no),
        line.title,
        line.sku_code,
        str(line.quantity),
        unit_price(line, currency),
        _amount(-line.allowance_minor, currency) if line.allowance_minor else "",
        _amount(line.net_minor, currency),
        f"{_amount(line.tax_minor, currency)} ({_percent(line.rate_bps)})",
        _amount(line.gross_minor, currency),
    )


def _taxes(invoice: Invoice) -> Table:
    return Table(
        title=f"{invoice.tax_name} by rate",
        columns=("Rate", "Net", invoice.tax_name),
        rows=tuple(
            (
                _percent(part.rate_bps),
                _amount(part.base_minor, invoice.currency),
                _amount(part.tax_minor, invoice.currency),
            )
            for part in invoice.subtotals
        ),
        right=frozenset({0, 1, 2}),
    )


def _percent(rate_bps: int) -> str:
    whole, part = divmod(rate_bps, 100)
    return f"{whole}.{part:02d}".rstrip("0").rstrip(".") + " %"
