"""UBL files against the rules of EN 16931 that the official schematron found broken, on every market's documents."""

from __future__ import annotations

import re

import pytest
from msgspec.structs import replace
from tests.invoice_samples import samples
from tests.unit.test_invoices import AT, GB, SELLER, credited, issued, line, order

from tradepost import markets
from tradepost.kernel.currency import EXPONENTS
from tradepost.trade.invoicing import LegalParty, check_ubl, to_ubl
from tradepost.trade.invoicing.countries import COUNTRIES
from tradepost.trade.invoicing.rules import draft_invoice, numbered
from tradepost.trade.invoicing.ubl import PROFILE, write_ubl


def seller_in(code: str, tax_id: str = "") -> LegalParty:
    return LegalParty(name="Seller Ltd", line1="1 High Street", city="Town", country=code, tax_id=tax_id)


def rules(document: bytes) -> set[str]:
    return {finding.partition(":")[0] for finding in check_ubl(document)}


def claims(document: bytes) -> bool:
    return PROFILE.encode() in document


@pytest.mark.parametrize("code", markets.codes())
def test_every_markets_documents_keep_the_rules_they_claim(code: str) -> None:
    market = markets.market(code)
    seen = set()
    shares_of_price = any(
        row.of_price for row in market.taxes
    )  # Brazil: 18 % of the price is no 18 % of the net
    for label, invoice in samples(market, seller_in(code, f"{code}123456789")):
        written = to_ubl(invoice)
        seen.add((invoice.kind, claims(written)))
        if claims(written):
            assert check_ubl(written) == [], label
        elif EXPONENTS[market.currency] == 2 and not shares_of_price:
            raise AssertionError(f"{label}: {check_ubl(write_ubl(invoice))}")
    kinds = {("invoice", True), ("credit_note", True)}
    assert seen >= kinds if EXPONENTS[market.currency] <= 2 else not seen & kinds


def test_a_seller_without_a_tax_number_taxes_nothing_and_is_out_of_scope() -> None:
    plain = replace(SELLER, tax_id="")
    free = numbered(draft_invoice(order([line(1, 2, 500, 0)]), plain, GB, "inv_1", AT), 1)
    assert {one.category for one in (*free.lines, *free.subtotals)} == {"O"}
    written = to_ubl(free)
    assert claims(written)
    assert b"<cbc:Percent>" not in written
    assert b"<cbc:TaxExemptionReason>Not subject to VAT<" in written
    taxed = numbered(draft_invoice(order([line(1, 2, 500, 2_000)]), plain, GB, "inv_2", AT), 2)
    assert not claims(to_ubl(taxed)), "it charges tax and names no number: EN 16931 has no such invoice"
    assert rules(write_ubl(taxed)) == {"BR-S-02"}
    mixed = numbered(
        draft_invoice(order([line(1, 2, 500, 2_000), line(2, 1, 100, 0)]), plain, GB, "inv_3", AT), 3
    )
    assert {one.category for one in mixed.lines} == {"S", "Z"}


@pytest.mark.parametrize(
    ("tax_id", "scheme"),
    [("GB123456789", "VAT"), ("EL123456789", "VAT"), ("12/345/67890", "TAX"), ("T1234567890123", "TAX")],
)
def test_a_number_without_a_countrys_prefix_is_no_vat_identifier(tax_id: str, scheme: str) -> None:
    sale = issued(order([line(1, 1, 120, 2_000)]))
    written = to_ubl(replace(sale, seller=replace(SELLER, tax_id=tax_id)))
    assert re.search(rf"<cbc:CompanyID>{tax_id}<.*?<cbc:ID>{scheme}<", written.decode(), re.DOTALL)
    assert claims(written)


def test_a_credit_note_says_that_it_is_paid_back() -> None:
    sale = issued(order([line(1, 6, 1_530, 2_000)]))
    note = credited(sale, [], 510)
    assert note is not None
    written = write_ubl(note)
    assert check_ubl(written) == []
    silent = re.sub(rb"<cac:PaymentTerms>.*?</cac:PaymentTerms>", b"", written, flags=re.DOTALL)
    assert rules(silent) == {"BR-CO-25"}


def test_documents_issued_before_are_written_whole_too() -> None:
    """Without a buyer's country, as old documents have it."""
    sale = issued(order([line(1, 6, 1_530, 2_000)]))
    old = replace(sale, buyer=LegalParty(name="Ann"), seller=replace(SELLER, country=""), order_number="")
    written = to_ubl(old)
    assert claims(written)
    assert written.count(b"<cbc:IdentificationCode>GB<") == 2
    assert b"BuyerReference" not in written


@pytest.mark.parametrize(
    ("found", "put", "rule"),
    [
        (b"<cbc:IdentificationCode>GB<", b"<cbc:IdentificationCode>UK<", "BR-CL-14"),
        (b"<cbc:IdentificationCode>GB</cbc:IdentificationCode>", b"", "BR-09"),
        (b"<cbc:CompanyID>GB1", b"<cbc:CompanyID>QQ1", "BR-CO-09"),
        (b"<cbc:Name>Heart<", b"<cbc:Name> <", "BR-25"),
        (b"<cbc:RegistrationName>Home &amp; Hearth Ltd<", b"<cbc:RegistrationName><", "BR-06"),
        (b"<cbc:RegistrationName>Ann &lt;Lee&gt;<", b"<cbc:RegistrationName><", "BR-07"),
        (b">GBP</cbc:DocumentCurrencyCode>", b">QQQ</cbc:DocumentCurrencyCode>", "BR-CL-04"),
        (b'<cbc:PriceAmount currencyID="GBP">', b'<cbc:PriceAmount currencyID="GBP">-', "BR-27"),
        (b'GBP">15.30</cbc:TaxInclusiveAmount>', b'GBP">15.300</cbc:TaxInclusiveAmount>', "BR-DEC"),
        (b"<cbc:ID>S</cbc:ID>", b"<cbc:ID>O</cbc:ID>", "BR-O-02"),
    ],
)
def test_what_a_receivers_validator_would_find_is_found(found: bytes, put: bytes, rule: str) -> None:
    written = write_ubl(issued(order([line(1, 6, 1_530, 2_000)])))
    assert found in written, written.decode()
    assert rule in rules(written.replace(found, put))


def test_a_seller_nobody_can_tell_is_found() -> None:
    written = write_ubl(issued(order([line(1, 6, 1_530, 2_000)])))
    for group in (b"PartyIdentification", b"PartyTaxScheme"):
        written = re.sub(rb"<cac:%s>.*?</cac:%s>" % (group, group), b"", written, flags=re.DOTALL)
    assert {"BR-CO-26", "BR-S-02"} <= rules(written)


@pytest.mark.parametrize("letter", ["\ufffe", "\uffff", "\x0b"])
def test_letters_that_xml_has_not_are_left_out(letter: str) -> None:
    written = to_ubl(issued(order([line(1, 1, 120, 2_000, title=f"a{letter}b")])))
    assert claims(written)
    assert b"<cbc:Name>ab<" in written


def test_the_list_of_countries_is_the_standards() -> None:
    assert len(COUNTRIES) == 251
    assert {code for code in markets.codes()} <= COUNTRIES
