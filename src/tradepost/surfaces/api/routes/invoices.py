"""Invoices and credit notes: those of an order, a seller's series, and each as JSON, page, PDF and UBL."""

from __future__ import annotations

import asyncio

import msgspec

from tradepost import markets
from tradepost.kernel.errors import Refusal
from tradepost.kernel.ids import check_id, gene_of
from tradepost.kernel.tx import Tx
from tradepost.surfaces import paper
from tradepost.surfaces.api.operation import Answer, Call, Routes
from tradepost.surfaces.api.routes.orders import sighted
from tradepost.surfaces.api.words import Cursor, Limit, Name, Page, home
from tradepost.surfaces.paper.page import CSP
from tradepost.trade import invoicing, parties
from tradepost.trade.invoicing import Invoice, LegalParty
from tradepost.trade.parties import Principal, Role

ROUTES = Routes("invoices")
PARTY = {"name": "Home and Hearth Ltd", "line1": "1 High Street", "city": "Leeds", "country": "GB"}
LINE = {
    "line_no": 1,
    "title": "White hanging heart T-light holder",
    "sku_code": "85123A",
    "quantity": 6,
    "list_minor": 1275,
    "allowance_minor": 0,
    "net_minor": 1275,
    "tax_minor": 255,
    "gross_minor": 1530,
    "rate_bps": 2000,
    "category": "S",
    "is_shipping": False,
}
INVOICE = {
    "invoice_id": "inv_01m4xk9v0c7s8p2q3r4t5v6w7x",
    "kind": "invoice",
    "number": "GB-000012",
    "seller_id": "sel_01m4xk9v0c7s8p2q3r4t5v6w7x",
    "buyer_id": "byr_01m4xk9v0c7s8p2q3r4t5v6w7x",
    "order_id": "ord_01m4xk9v0c7s8p2q3r4t5v6w7x",
    "order_number": "7GX4-K9PQ-3",
    "source": "ord_01m4xk9v0c7s8p2q3r4t5v6w7x.sale",
    "market": "GB",
    "currency": "GBP",
    "tax_name": "VAT",
    "issued_at_ms": 1790000000000,
    "issued_on": "2026-09-21",
    "supplied_on": "2026-09-21",
    "seller": PARTY,
    "buyer": {"name": "Ann Lee", "country": "GB"},
    "lines": [LINE],
    "subtotals": [{"category": "S", "rate_bps": 2000, "base_minor": 1275, "tax_minor": 255}],
    "net_minor": 1275,
    "tax_minor": 255,
    "gross_minor": 1530,
    "paid_minor": 1530,
    "prices_include_tax": True,
}
FORMATS = {
    "html": "text/html; charset=utf-8",
    "pdf": "application/pdf",
    "xml": "application/xml",
}


class SeriesQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which of a seller's documents: a market's invoices (`GB`) or its credit notes (`GB-C`), behind a number."""

    series: Name
    seller_id: Name = ""
    cursor: Cursor = ""
    limit: Limit = 50


class LegalPartyQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Whose; an operator names the seller."""

    seller_id: Name = ""


class Invoices(msgspec.Struct, frozen=True, kw_only=True):
    """The documents of one order in the order they were issued."""

    items: tuple[Invoice, ...]


def _seller_of(tx: Tx, principal: Principal, order_id: str) -> str:
    return sighted(tx, principal, order_id).seller_id


@ROUTES.add(
    "GET",
    "/v1/orders/{order_id}/invoices",
    returns=Invoices,
    scope="orders:read",
    answer={"items": [INVOICE]},
    codes=("orders.not_found", "id.invalid"),
)
async def list_order_invoices(call: Call) -> Invoices:
    """List the invoice and credit notes of an order

    An invoice is issued when goods leave; a credit note when money goes back after that.
    """
    order_id, db = call.path["order_id"], call.platform.db
    seller_id = await db.read(home(db, order_id, "order"), _seller_of, call.principal, order_id)
    found = await db.read(call.shard(gene_of(seller_id)), invoicing.invoices_of_order, seller_id, order_id)
    return Invoices(items=tuple(found))


@ROUTES.add(
    "POST",
    "/v1/orders/{order_id}/invoices",
    returns=Invoice,
    scope="orders:write",
    roles=(Role.SELLER, Role.OPERATOR),
    answer=INVOICE,
    codes=("orders.not_found", "invoicing.not_due", "id.invalid"),
)
async def issue_invoice(call: Call) -> Invoice:
    """Issue the invoice of a paid order now

    Asked again it answers the one that was issued: an order has one invoice.
    """
    order_id, platform = call.path["order_id"], call.platform
    await platform.db.read(home(platform.db, order_id, "order"), _seller_of, call.principal, order_id)
    return await invoicing.issue(platform.db, platform.world, markets.market, order_id)


@ROUTES.add(
    "GET",
    "/v1/invoices",
    query=SeriesQuery,
    returns=Page[Invoice],
    scope="orders:read",
    roles=(Role.SELLER, Role.OPERATOR),
    answer={"items": [INVOICE], "next_cursor": ""},
    codes=("input.cursor_invalid", "id.invalid"),
)
async def list_invoices(call: Call) -> Page[Invoice]:
    """List a seller's documents of one series by number, without gaps"""
    query: SeriesQuery = call.query
    seller_id = check_id(parties.acting_seller(call.principal, query.seller_id), "seller")
    if query.cursor and not (query.cursor.isdecimal() and len(query.cursor) < 16):
        raise Refusal("input.cursor_invalid", "The cursor is not one of this list.", field="cursor")
    found = await call.platform.db.read(
        call.shard(gene_of(seller_id)),
        invoicing.invoices_of_seller,
        seller_id,
        query.series,
        int(query.cursor or 0),
        query.limit + 1,
    )
    page = found[: query.limit]
    return Page(
        items=tuple(invoice for _, invoice in page),
        next_cursor=str(page[-1][0]) if len(found) > query.limit else "",
    )


async def _sighted_invoice(call: Call) -> Invoice:
    invoice_id, db = call.path["invoice_id"], call.platform.db
    invoice = await db.read(home(db, invoice_id, "invoice"), invoicing.find_invoice, invoice_id)
    if not parties.may_see(call.principal, buyer_id=invoice.buyer_id, seller_id=invoice.seller_id):
        raise invoicing.not_found(invoice_id)
    return invoice


@ROUTES.add(
    "GET",
    "/v1/invoices/{invoice_id}",
    returns=Invoice,
    scope="orders:read",
    answer=INVOICE,
    codes=("invoicing.not_found", "id.invalid"),
)
async def get_invoice(call: Call) -> Invoice:
    """Read an invoice or credit note"""
    return await _sighted_invoice(call)


@ROUTES.add(
    "GET",
    "/v1/invoices/{invoice_id}/{format}",
    media_type="application/pdf",
    also=("text/html", "application/xml"),
    scope="orders:read",
    codes=("invoicing.not_found", "invoicing.format_unknown", "paper.too_long", "id.invalid"),
)
async def get_invoice_document(call: Call) -> Answer:
    """Download an invoice or credit note

    `format` is `html` (a page to print), `pdf`, or `xml` (UBL 2.1, EN 16931).
    """
    wanted = call.path["format"]
    if wanted not in FORMATS:
        raise Refusal(
            "invoicing.format_unknown",
            f"There is no format {wanted[:20]!r}.",
            field="format",
            expected=" or ".join(FORMATS),
        )
    invoice = await _sighted_invoice(call)
    if wanted == "xml":
        body = invoicing.to_ubl(invoice)
    else:
        sheet = paper.invoice_sheet(invoice)
        body = paper.to_html(sheet) if wanted == "html" else await asyncio.to_thread(paper.to_pdf, sheet)
    name = (b"content-disposition", f'inline; filename="{invoice.number}.{wanted}"'.encode())
    guard = ((b"content-security-policy", CSP.encode()),) if wanted == "html" else ()
    return Answer(body, media_type=FORMATS[wanted], headers=(name, *guard))


@ROUTES.add(
    "GET",
    "/v1/legal-party",
    query=LegalPartyQuery,
    returns=LegalParty,
    scope="orders:read",
    roles=(Role.SELLER, Role.OPERATOR),
    answer=PARTY,
    codes=("invoicing.not_found", "id.invalid"),
)
async def get_legal_party(call: Call) -> LegalParty:
    """Read who a seller is on invoices"""
    query: LegalPartyQuery = call.query
    seller_id = check_id(parties.acting_seller(call.principal, query.seller_id), "seller")
    party = await call.platform.db.read(call.shard(gene_of(seller_id)), invoicing.find_legal_party, seller_id)
    if party is None:
        raise Refusal("invoicing.not_found", "No legal party was entered yet.", field="seller_id")
    return party


@ROUTES.add(
    "PUT",
    "/v1/legal-party",
    query=LegalPartyQuery,
    body=LegalParty,
    returns=LegalParty,
    scope="catalog:write",
    roles=(Role.SELLER, Role.OPERATOR),
    example=PARTY,
    answer=PARTY,
    codes=("invoicing.party_invalid", "version.conflict", "id.invalid"),
)
async def put_legal_party(call: Call) -> LegalParty:
    """Enter who a seller is on invoices

    Documents issued before keep what they said.
    """
    query: LegalPartyQuery = call.query
    seller_id = check_id(parties.acting_seller(call.principal, query.seller_id), "seller")
    return await call.platform.db.transact(
        call.shard(gene_of(seller_id)), invoicing.enter_legal_party, seller_id, call.body
    )
