"""Invoices and credit notes: amounts that sum, UBL whose arithmetic holds, parties, dates, pages and PDFs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradepost import markets
from tradepost.kernel.errors import Refusal
from tradepost.kernel.market import Market
from tradepost.kernel.money import divide
from tradepost.surfaces import paper
from tradepost.surfaces.paper.sheet import ROWS_MAX, Sheet, Table
from tradepost.trade.invoicing import Invoice, LegalParty, check_ubl, to_ubl
from tradepost.trade.invoicing.rules import (
    check_party,
    draft_credit,
    draft_invoice,
    local_date,
    numbered,
)
from tradepost.trade.invoicing.ubl import unit_price, write_ubl
from tradepost.trade.orders import Order, OrderBody, OrderLine, StockItem
from tradepost.trade.orders.model import LineProgress
from tradepost.trade.pricing import Adjustment, Funder

GB = markets.market("GB")
AT = int(datetime(2026, 11, 23, 23, 30, tzinfo=UTC).timestamp()) * 1_000
SELLER = LegalParty(
    name="Home & Hearth Ltd", line1="1 High St", city="Leeds", country="GB", tax_id="GB123456789"
)


def line(
    number: int, quantity: int, total: int, rate_bps: int, discount: int = 0, title: str = "Heart"
) -> OrderLine:
    """A line as agreed in a market whose prices include tax."""
    cut = (
        (Adjustment(code="sale", reason="sale", funder=Funder.SELLER, amount_minor=-discount),)
        if discount
        else ()
    )
    return OrderLine(
        line_no=number,
        offer_id=f"off_{number}",
        sku_id=f"sku_{number}",
        sku_code=f"A{number}",
        title=title,
        quantity=quantity,
        unit_price_e4=1,
        list_minor=total + discount,
        adjustments=cut,
        total_minor=total,
        tax_minor=divide(total * rate_bps, 10_000 + rate_bps),
        tax_rate_bps=rate_bps,
        components=(StockItem(f"sku_{number}", 1),),
    )


def order(
    lines: Sequence[OrderLine], shipping: int = 0, cancelled: Sequence[int] = (), state: str = "IN_TRANSIT"
) -> Order:
    shipping_tax = divide(shipping * 2_000, 12_000)
    total = sum(one.total_minor for one in lines) + shipping
    return Order(
        order_id="ord_1",
        checkout_id="chk_1",
        buyer_id="byr_1",
        seller_id="sel_1",
        market="GB",
        currency="GBP",
        scene="shop",
        state=state,
        version=3,
        total_minor=total,
        placed_at_ms=AT,
        deadline_at_ms=0,
        payment_id="pay_1",
        progress=tuple(LineProgress(cancelled=count) for count in cancelled),
        cancellation=None,
        body=OrderBody(
            order_number="7GX4-K9PQ-3",
            lines=tuple(lines),
            total_minor=total,
            shipping_minor=shipping,
            tax_minor=sum(one.tax_minor for one in lines) + shipping_tax,
            address={
                "name": "Ann <Lee>",
                "line1": "2 Low St",
                "city": "York",
                "postcode": "YO1",
                "country": "GB",
            },
        ),
    )


def issued(of: Order, market: Market = GB) -> Invoice:
    return numbered(draft_invoice(of, SELLER, market, "inv_1", AT), 12)


def credited(
    invoice: Invoice, earlier: Sequence[Invoice], amount: int, units: dict[int, int] | None = None
) -> Invoice | None:
    draft = draft_credit(
        invoice,
        earlier,
        amount,
        invoice_id=f"inv_{len(earlier) + 2}",
        source=f"ref_{len(earlier)}.credit",
        reason="damaged",
        market=GB,
        at_ms=AT,
        units=units,
    )
    return None if draft is None else numbered(draft, len(earlier) + 1)


def sums_hold(invoice: Invoice) -> None:
    for one in invoice.lines:
        assert one.list_minor - one.allowance_minor == one.net_minor
        assert one.net_minor + one.tax_minor == one.gross_minor
        assert min(one.net_minor, one.tax_minor, one.allowance_minor) >= 0
    assert invoice.net_minor == sum(one.net_minor for one in invoice.lines)
    assert invoice.tax_minor == sum(part.tax_minor for part in invoice.subtotals)
    assert invoice.net_minor + invoice.tax_minor == invoice.gross_minor
    assert check_ubl(write_ubl(invoice)) == []


def test_an_invoice_of_an_order() -> None:
    found = issued(order([line(1, 6, 1_530, 2_000, discount=300), line(2, 1, 500, 0)], shipping=299))
    assert (found.number, found.gross_minor, found.tax_minor) == ("GB-000012", 2_329, 255 + 50)
    assert [
        (one.title, one.quantity, one.list_minor, one.allowance_minor, one.net_minor) for one in found.lines
    ] == [
        ("Heart", 6, 1_525, 250, 1_275),
        ("Heart", 1, 500, 0, 500),
        ("Shipping", 1, 249, 0, 249),
    ]
    assert [(part.category, part.rate_bps, part.base_minor) for part in found.subtotals] == [
        ("S", 2_000, 1_524),
        ("Z", 0, 500),
    ]
    assert found.paid_minor == found.gross_minor
    sums_hold(found)


def test_cancelled_units_are_not_invoiced() -> None:
    found = issued(order([line(1, 6, 1_530, 2_000), line(2, 1, 500, 0)], cancelled=(2, 1)))
    assert [(one.line_no, one.quantity, one.gross_minor) for one in found.lines] == [(1, 4, 1_020)]
    sums_hold(found)


@pytest.mark.parametrize(
    "of",
    [
        order([line(1, 1, 100, 2_000)], state="UNPAID"),
        order([line(1, 1, 100, 2_000)], state="ON_HOLD"),
        order([line(1, 2, 100, 2_000)], cancelled=(2,)),
    ],
)
def test_what_is_not_due(of: Order) -> None:
    with pytest.raises(Refusal, match=r"invoicing\.not_due"):
        issued(of)


@pytest.mark.parametrize(("code", "date"), [("GB", "2026-11-23"), ("JP", "2026-11-24"), ("US", "2026-11-23")])
def test_the_date_is_the_markets(code: str, date: str) -> None:
    assert local_date(AT, markets.market(code)) == date


def test_a_refund_is_credited_by_the_lines_that_came_back() -> None:
    sale = issued(order([line(1, 6, 1_530, 2_000), line(2, 1, 500, 0)]))
    note = credited(sale, [], 510, {1: 2})
    assert note is not None
    assert (note.kind, note.credits, note.number, note.reason) == (
        "credit_note",
        "GB-000012",
        "GB-C-000001",
        "damaged",
    )
    assert [(one.line_no, one.quantity, one.gross_minor, one.tax_minor) for one in note.lines] == [
        (1, 2, 510, 85)
    ]
    sums_hold(note)


def test_all_is_credited_and_then_nothing() -> None:
    sale = issued(order([line(1, 6, 1_530, 2_000), line(2, 1, 500, 0)]))
    whole = credited(sale, [], 2_030)
    assert whole is not None
    assert (whole.gross_minor, whole.tax_minor) == (sale.gross_minor, sale.tax_minor)
    assert credited(sale, [whole], 1) is None
    assert credited(sale, [], 0) is None


rates = st.sampled_from((0, 500, 550, 2_000, 2_700))
drawn_lines = st.lists(
    st.tuples(st.integers(1, 50), st.integers(0, 200_000), rates, st.integers(0, 5_000)),
    min_size=1,
    max_size=6,
).map(lambda rows: [line(number, *row) for number, row in enumerate(rows, 1)])


@settings(deadline=None)
@given(drawn_lines, st.integers(0, 5_000), st.lists(st.integers(1, 60_000), max_size=8))
def test_credits_together_are_the_invoice(lines: list[OrderLine], shipping: int, refunds: list[int]) -> None:
    sale = issued(order(lines, shipping))
    sums_hold(sale)
    notes: list[Invoice] = []
    for amount in [*refunds, sale.gross_minor]:
        note = credited(sale, notes, amount)
        if note is not None:
            sums_hold(note)
            notes.append(note)
    for field in ("gross_minor", "net_minor", "tax_minor"):
        assert sum(getattr(note, field) for note in notes) == getattr(sale, field)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (b'<cbc:LineExtensionAmount currencyID="GBP">17.75</', "BR-CO-10"),
        (b'<cbc:TaxInclusiveAmount currencyID="GBP">20.30</', "BR-CO-15"),
        (b'<cbc:PayableAmount currencyID="GBP">0.00</', "BR-CO-16"),
        (b"<cbc:Percent>20.00</", "BR-CO-17"),
        (b'<cbc:PriceAmount currencyID="GBP">2.125</', "PEPPOL-EN16931-R120"),
        (b'<cbc:TaxAmount currencyID="GBP">2.55</', "BR-CO-14"),
        (b'<cbc:TaxableAmount currencyID="GBP">12.75</', "BR-S-08"),
    ],
)
def test_a_wrong_sum_is_found(change: bytes, rule: str) -> None:
    written = to_ubl(issued(order([line(1, 6, 1_530, 2_000), line(2, 1, 500, 0)])))
    assert change in written, written.decode()
    wrong = written.replace(change, change.partition(b">")[0] + b">9.001</", 1)
    assert rule in {finding.partition(":")[0] for finding in check_ubl(wrong)}


@pytest.mark.parametrize("document", [b"", b"<a>", b"<!DOCTYPE a><a/>", b" " * ((4 << 20) + 1)])
def test_what_is_no_ubl_is_told(document: bytes) -> None:
    with pytest.raises(ValueError, match=r"XML|UBL"):
        check_ubl(document)


def test_unit_prices_have_the_digits_they_need() -> None:
    third = issued(order([line(1, 3, 1_000, 0), line(2, 4, 1_000, 0)]))
    assert [unit_price(one, "GBP") for one in third.lines] == ["3.3333333333", "2.50"]
    assert unit_price(third.lines[1], "JPY") == "250"


@pytest.mark.parametrize(
    ("party", "field"),
    [
        (LegalParty(name="  "), "name"),
        (LegalParty(name="A", country="gb"), "country"),
        (LegalParty(name="A" * 201), "name"),
    ],
)
def test_parties_are_checked(party: LegalParty, field: str) -> None:
    with pytest.raises(Refusal, match=r"invoicing\.party_invalid") as refused:
        check_party(party)
    assert refused.value.field == field


def test_blanks_around_a_partys_words_go() -> None:
    assert check_party(LegalParty(name=" Ann ", city=" York ")) == LegalParty(name="Ann", city="York")


def test_the_page_says_it_all_and_escapes_it() -> None:
    sale = issued(order([line(1, 6, 1_530, 2_000, title="<b>Heart</b>")]))
    page = paper.to_html(paper.invoice_sheet(sale)).decode()
    assert "&lt;b&gt;Heart&lt;/b&gt;" in page
    assert "<b>" not in page
    assert "Ann &lt;Lee&gt;" in page
    for words in ("GB-000012", "GB123456789", "15.30 GBP", "2.55 (20 %)", "2026-11-23", "7GX4-K9PQ-3"):
        assert words in page, words


def test_the_page_shows_what_one_piece_costs_and_not_what_the_line_does() -> None:
    (lines, *_) = paper.invoice_sheet(issued(order([line(1, 6, 1_530, 2_000)]))).tables
    assert dict(zip(lines.columns, lines.rows[0], strict=True))["Unit price"] == "2.125"


def test_the_pdf_is_the_same_every_time() -> None:
    sale = issued(order([line(1, 6, 1_530, 2_000, title="白いハート")]))
    first, second = (paper.to_pdf(paper.invoice_sheet(sale)) for _ in range(2))
    assert first.startswith(b"%PDF-")
    assert first == second
    assert len(first) < 200_000


def test_a_sheet_without_end_is_refused() -> None:
    table = Table(title="t", columns=("a",), rows=(("x",),) * (ROWS_MAX + 1))
    with pytest.raises(Refusal, match=r"paper\.too_long"):
        paper.to_pdf(Sheet(title="t", subtitle="s", facts=(), tables=(table,)))


def test_control_letters_do_not_break_the_xml() -> None:
    sale = issued(order([line(1, 1, 100, 2_000, title="a\x00b\x1fc")]))
    assert check_ubl(to_ubl(sale)) == []
    assert msgspec.json.decode(msgspec.json.encode(sale), type=Invoice) == sale
