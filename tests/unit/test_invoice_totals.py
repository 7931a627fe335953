"""Invoices added up by hand, by the public rules of EN 16931 and of Spanish, Mexican and German invoices."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradepost.kernel.errors import Refusal
from tradepost.trade.tax import Change, Invoice, InvoiceLine, InvoiceTax, RoundingModel, total_invoice

VAT = InvoiceTax(kind="VAT", percent="21.0%", key="standard")
LOW = InvoiceTax(kind="VAT", percent="10%", key="reduced")
EXEMPT = InvoiceTax(kind="VAT", percent=None, key="exempt")
IRPF = InvoiceTax(kind="IRPF", percent="15%", retained=True)


def line(quantity: str, price: str, *taxes: InvoiceTax, **more: Any) -> InvoiceLine:
    return InvoiceLine(quantity=quantity, unit_price=price, taxes=taxes, **more)


def foot(invoice: Invoice) -> dict[str, str]:
    """What the foot prints, without what does not occur."""
    return {
        key: text
        for key, text in msgspec.to_builtins(total_invoice(invoice).totals).items()
        if text is not None
    }


def test_a_freelancers_invoice() -> None:
    """20 hours at 90.00 less 10 %, VAT 21 %, income tax of 15 % kept back by the customer."""
    work = line("20", "90.00", VAT, IRPF, discounts=(Change(percent="10%"),))
    found = total_invoice(Invoice(currency="EUR", lines=(work,), advances=(Change(amount="717.20"),)))
    assert (found.lines[0].sum, found.lines[0].total) == ("1800.00", "1620.00")
    assert (found.totals.tax, found.totals.retained_tax, found.totals.payable) == (
        "340.20",
        "243.00",
        "1717.20",
    )
    assert (found.totals.advance, found.totals.due) == ("717.20", "1000.00")
    assert [(tax.kind, tax.retained, tax.amount) for tax in found.taxes] == [
        ("VAT", False, "340.20"),
        ("IRPF", True, "243.00"),
    ]


def test_discounts_and_charges_carry_their_taxes() -> None:
    found = foot(
        Invoice(
            currency="EUR",
            lines=(line("10", "100.00", VAT), line("1", "50.00", LOW)),
            discounts=(Change(percent="10%", taxes=(VAT,)),),
            charges=(Change(amount="20.00", taxes=(LOW,)),),
        )
    )
    # base at 21 %: 1000 - 105 = 895 -> 187.95; base at 10 %: 50 + 20 = 70 -> 7.00
    assert found == {
        "sum": "1050.00",
        "discount": "105.00",
        "charge": "20.00",
        "total": "965.00",
        "tax": "194.95",
        "total_with_tax": "1159.95",
        "payable": "1159.95",
    }


def test_a_surcharge_stands_beside_its_rate() -> None:
    """Spain's recargo de equivalencia: 5.2 % beside 21 %."""
    rate = InvoiceTax(kind="VAT", percent="21.0%", key="standard", surcharge_percent="5.2%")
    found = total_invoice(Invoice(currency="EUR", lines=(line("10", "100.00", rate), line("1", "8.00", VAT))))
    assert found.totals.tax == "263.68"  # 210.00 + 52.00 + 1.68
    assert found.taxes[0].amount == "211.68"
    assert [row.surcharge.amount if row.surcharge else None for row in found.taxes[0].rates] == [
        "52.00",
        None,
    ]


def test_exempt_goods_have_a_row_without_a_tax() -> None:
    found = total_invoice(Invoice(currency="EUR", lines=(line("1", "10.00", EXEMPT), line("1", "5.00", VAT))))
    assert [(row.key, row.base, row.percent, row.amount) for row in found.taxes[0].rates] == [
        ("exempt", "10.00", None, "0.00"),
        ("standard", "5.00", "21.0%", "1.05"),
    ]


@pytest.mark.parametrize(
    ("model", "sums", "tax"),
    [(RoundingModel.PRECISE, ("3.45", "0.72"), "0.72"), (RoundingModel.CURRENCY, ("3.45", "0.72"), "0.72")],
)
def test_both_models_agree_on_whole_prices(model: RoundingModel, sums: tuple[str, str], tax: str) -> None:
    found = foot(Invoice(currency="EUR", lines=(line("3", "1.15", VAT),), model=model))
    assert (found["sum"], found["tax"], tax) == (*sums, tax)


def test_the_models_differ_where_prices_are_fine() -> None:
    """Ten lines of 0.333: exactly 3.33, printed ten times 0.33."""
    lines = (line("1", "0.333", VAT),) * 10
    precise = total_invoice(Invoice(currency="EUR", lines=lines))
    printed = total_invoice(Invoice(currency="EUR", lines=lines, model=RoundingModel.CURRENCY))
    assert (precise.totals.sum, precise.lines[0].sum) == ("3.33", "0.333")
    assert (printed.totals.sum, printed.lines[0].sum) == ("3.30", "0.33")


def test_a_tax_inside_prices_is_taken_out() -> None:
    found = foot(Invoice(currency="EUR", lines=(line("1", "10.00", VAT),) * 3, prices_include="VAT"))
    assert found == {
        "sum": "30.00",
        "tax_included": "5.21",
        "total": "24.79",
        "tax": "5.21",
        "total_with_tax": "30.00",
        "payable": "30.00",
    }


def test_a_retained_tax_beside_an_included_one() -> None:
    """Mexico: IVA of 16 % in the price; half of it and 1.25 % income tax kept back, all on the base."""
    iva = InvoiceTax(kind="VAT", percent="16%")
    kept = (
        InvoiceTax(kind="RVAT", percent="8%", retained=True),
        InvoiceTax(kind="ISR", percent="1.25%", retained=True),
    )
    found = foot(Invoice(currency="MXN", lines=(line("1", "1160.00", iva, *kept),), prices_include="VAT"))
    assert (found["total"], found["tax"], found["retained_tax"], found["payable"]) == (
        "1000.00",
        "160.00",
        "92.50",
        "1067.50",
    )


@pytest.mark.parametrize(
    ("currency", "price", "payable"),
    [("JPY", "333", "366"), ("KWD", "0.333", "0.366"), ("EUR", "3.33", "3.66")],
)
def test_a_currency_has_its_own_digits(currency: str, price: str, payable: str) -> None:
    assert foot(Invoice(currency=currency, lines=(line("1", price, LOW),)))["payable"] == payable


def test_an_agreed_rounding_changes_what_is_payable() -> None:
    found = foot(Invoice(currency="CHF", lines=(line("1", "10.02"),), rounding="-0.02"))
    assert (found["total_with_tax"], found["rounding"], found["payable"]) == ("10.02", "-0.02", "10.00")


def test_line_charges_are_added() -> None:
    found = total_invoice(
        Invoice(
            currency="EUR", lines=(line("2", "10.00", charges=(Change(percent="5%"), Change(amount="1"))),)
        )
    )
    assert (found.lines[0].total, found.totals.payable, found.taxes) == ("22.00", "22.00", ())


@pytest.mark.parametrize(
    "invoice",
    [
        Invoice(currency="EUR", lines=(line("x", "1"),)),
        Invoice(currency="EUR", lines=(line("NaN", "1"),)),
        Invoice(currency="EUR", lines=(line("1", "1e99"),)),
        Invoice(currency="EUR", lines=(), discounts=(Change(),)),
        Invoice(currency="EUR", lines=(line("1", "1", IRPF),), prices_include="IRPF"),
        Invoice(
            currency="EUR",
            lines=(line("1", "1", IRPF), line("1", "1", InvoiceTax(kind="IRPF", percent="15%"))),
        ),
    ],
)
def test_no_invoice(invoice: Invoice) -> None:
    with pytest.raises(Refusal) as refused:
        total_invoice(invoice)
    assert refused.value.code == "tax.invoice_invalid"


TEXT = st.integers(-(10**7), 10**7).map(lambda cents: str(Decimal(cents).scaleb(-2)))
LINES = st.lists(
    st.builds(
        lambda quantity, price, taxes, cut: line(
            str(quantity), price, *taxes, discounts=(Change(percent=str(cut)),) if cut else ()
        ),
        st.integers(1, 50),
        TEXT,
        st.sampled_from([(VAT,), (LOW,), (VAT, IRPF), (EXEMPT,), ()]),
        st.integers(0, 100),
    ),
    min_size=1,
    max_size=8,
)
CHANGES = st.lists(
    st.builds(lambda amount, tax: Change(amount=amount, taxes=(tax,)), TEXT, st.sampled_from([VAT, LOW]))
)


@given(LINES, CHANGES, st.sampled_from(["", "VAT"]))
def test_printed_amounts_add_up(lines: list[InvoiceLine], changes: list[Change], inside: str) -> None:
    """The rules of EN 16931 hold to the cent when every line is rounded: BR-CO-10, 11, 13, 14, 15 and 17."""
    found = total_invoice(
        Invoice(
            currency="EUR",
            lines=tuple(lines),
            discounts=tuple(changes),
            prices_include=inside,
            model=RoundingModel.CURRENCY,
        )
    )
    foot = {key: Decimal(text or 0) for key, text in msgspec.to_builtins(found.totals).items()}
    assert foot["sum"] == sum(Decimal(row.total) for row in found.lines)
    assert foot["total"] == foot["sum"] - foot["discount"] + foot["charge"] - foot["tax_included"]
    assert foot["total_with_tax"] == foot["total"] + foot["tax"]
    assert foot["payable"] == foot["total_with_tax"] - foot["retained_tax"]
    levied = [tax for tax in found.taxes if not tax.retained]
    assert foot["tax"] == sum(Decimal(tax.amount) for tax in levied)
    for tax in found.taxes:
        assert Decimal(tax.amount) == sum(Decimal(row.amount) for row in tax.rates)
    if inside:
        # what was listed with tax is exactly base and tax
        listed = foot["sum"] - foot["discount"]
        taxed = sum(Decimal(row.base) + Decimal(row.amount) for tax in levied for row in tax.rates)
        untaxed = sum(
            Decimal(row.total) for row, one in zip(found.lines, lines, strict=True) if not one.taxes
        )
        assert taxed + untaxed == listed


@given(LINES, st.permutations(range(8)), st.sampled_from(list(RoundingModel)))
def test_the_order_of_lines_changes_no_sum(
    lines: list[InvoiceLine], order: list[int], model: RoundingModel
) -> None:
    turned = [lines[index] for index in order if index < len(lines)]
    one, other = (Invoice(currency="EUR", lines=tuple(found), model=model) for found in (lines, turned))
    assert total_invoice(one).totals == total_invoice(other).totals


def test_nothing_is_never_below_zero() -> None:
    """Exempt goods taken back, as in an example of EN 16931: the tax on them is printed 0.00."""
    found = total_invoice(
        Invoice(
            currency="NOK",
            lines=(
                line("-1", "25.00", InvoiceTax(kind="VAT", percent="0%")),
                line("1", "25.00", InvoiceTax(kind="VAT", percent="0%")),
            ),
        )
    )
    assert (found.totals.total, found.totals.tax) == ("0.00", "0.00")
    assert [(tax.amount, [rate.amount for rate in tax.rates]) for tax in found.taxes] == [("0.00", ["0.00"])]
