"""An invoice or credit note as UBL 2.1 in the EN 16931 profile. Amounts are decimal strings of the currency's digits.

The profile is claimed only where its rules hold (`arithmetic.to_ubl`): a currency of three digits has none in it.

Element order follows the UBL 2.1 schemas (OASIS UBL-Invoice-2.1, UBL-CreditNote-2.1); business terms (BT) are those
of EN 16931-1.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree

from tradepost.kernel.money import to_major
from tradepost.trade.invoicing.countries import TAX_PREFIXES
from tradepost.trade.invoicing.model import CREDIT_NOTE, Invoice, InvoiceLine, LegalParty, TaxSubtotal

PROFILE = "urn:cen.eu:en16931:2017"
CBC = "urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2"
CAC = "urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2"
ROOT = "urn:oasis:names:specification:ubl:schema:xsd:{0}-2"
TAX_SCHEME = "VAT"
"""EN 16931 knows one tax; other markets' taxes are carried under the same word."""
LOCAL_SCHEME = "TAX"
"""What a tax number without a country's prefix is entered under (BT-32); with one it is a VAT identifier (BT-31)."""
PAID_BACK = "Paid back when this note was issued."
OUT_OF_SCOPE = "O"
_NO_TAX = "Not subject to VAT"
PRICE_DIGITS = 8
_NOT_IN_XML = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_TYPE_CODE = {"invoice": "380", "credit_note": "381"}


def write_ubl(invoice: Invoice, profile: str = PROFILE) -> bytes:
    """The document as UTF-8 XML with a declaration, whose `profile` is claimed; with none it is UBL 2.1 and no more."""
    for prefix, address in (("cbc", CBC), ("cac", CAC)):
        ElementTree.register_namespace(prefix, address)
    is_credit = invoice.kind == CREDIT_NOTE
    name = "CreditNote" if is_credit else "Invoice"
    root = ElementTree.Element(f"{{{ROOT.format(name)}}}{name}")
    _head(root, invoice, name, profile)
    home = invoice.market[:2]
    _party(root, "AccountingSupplierParty", invoice.seller, home, invoice.seller_id)
    _party(root, "AccountingCustomerParty", invoice.buyer, home)
    if is_credit:
        _text(_group(root, "PaymentTerms"), "Note", PAID_BACK)
    else:
        _text(_group(root, "Delivery"), "ActualDeliveryDate", invoice.supplied_on)
    _taxes(root, invoice)
    _totals(root, invoice)
    for line in invoice.lines:
        _line(root, invoice.currency, line, is_credit)
    ElementTree.indent(root)
    written: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return written


def _head(root: ElementTree.Element, invoice: Invoice, name: str, profile: str) -> None:
    if profile:
        _text(root, "CustomizationID", profile)
    _text(root, "ID", invoice.number)
    _text(root, "IssueDate", invoice.issued_on)
    _text(root, f"{name}TypeCode", _TYPE_CODE[invoice.kind])
    if invoice.reason:
        _text(root, "Note", invoice.reason)
    _text(root, "DocumentCurrencyCode", invoice.currency)
    if invoice.order_number:
        _text(root, "BuyerReference", invoice.order_number)
    _text(_group(root, "OrderReference"), "ID", invoice.order_id)
    if invoice.credits:
        reference = _group(_group(root, "BillingReference"), "InvoiceDocumentReference")
        _text(reference, "ID", invoice.credits)


def _party(root: ElementTree.Element, role: str, party: LegalParty, home: str, party_id: str = "") -> None:
    """A party; `home` is its country where it names none, `party_id` ours for it (BT-29)."""
    found = _group(_group(root, role), "Party")
    if party_id:
        _text(_group(found, "PartyIdentification"), "ID", party_id)
    _text(_group(found, "PartyName"), "Name", party.name)
    address = _group(found, "PostalAddress")
    for element, text in (
        ("StreetName", party.line1),
        ("AdditionalStreetName", party.line2),
        ("CityName", party.city),
        ("PostalZone", party.postcode),
        ("CountrySubentity", party.region),
    ):
        if text:
            _text(address, element, text)
    _text(_group(address, "Country"), "IdentificationCode", (party.country or home).upper())
    if party.tax_id:
        scheme = _group(found, "PartyTaxScheme")
        _text(scheme, "CompanyID", party.tax_id)
        _text(_group(scheme, "TaxScheme"), "ID", _scheme_of(party.tax_id))
    entity = _group(found, "PartyLegalEntity")
    _text(entity, "RegistrationName", party.name)
    if party.registration:
        _text(entity, "CompanyID", party.registration)
    if party.email:
        _text(_group(found, "Contact"), "ElectronicMail", party.email)


def _scheme_of(tax_id: str) -> str:
    return TAX_SCHEME if tax_id[:2] in TAX_PREFIXES else LOCAL_SCHEME


def _taxes(root: ElementTree.Element, invoice: Invoice) -> None:
    total = _group(root, "TaxTotal")
    _amount(total, "TaxAmount", invoice.tax_minor, invoice.currency)
    for subtotal in invoice.subtotals:
        group = _group(total, "TaxSubtotal")
        _amount(group, "TaxableAmount", subtotal.base_minor, invoice.currency)
        _amount(group, "TaxAmount", subtotal.tax_minor, invoice.currency)
        _category(group, "TaxCategory", subtotal)


def _category(parent: ElementTree.Element, name: str, rated: TaxSubtotal | InvoiceLine) -> None:
    category = _group(parent, name)
    _text(category, "ID", rated.category)
    if rated.category != OUT_OF_SCOPE:
        _text(category, "Percent", _percent(rated.rate_bps))
    elif isinstance(rated, TaxSubtotal):
        _text(category, "TaxExemptionReason", _NO_TAX)
    _text(_group(category, "TaxScheme"), "ID", TAX_SCHEME)


def _totals(root: ElementTree.Element, invoice: Invoice) -> None:
    total = _group(root, "LegalMonetaryTotal")
    currency = invoice.currency
    _amount(total, "LineExtensionAmount", invoice.net_minor, currency)
    _amount(total, "TaxExclusiveAmount", invoice.net_minor, currency)
    _amount(total, "TaxInclusiveAmount", invoice.gross_minor, currency)
    if invoice.paid_minor:
        _amount(total, "PrepaidAmount", invoice.paid_minor, currency)
    _amount(total, "PayableAmount", invoice.gross_minor - invoice.paid_minor, currency)


def _line(root: ElementTree.Element, currency: str, line: InvoiceLine, is_credit: bool) -> None:
    group = _group(root, "CreditNoteLine" if is_credit else "InvoiceLine")
    _text(group, "ID", str(line.line_no))
    quantity = _text(group, "CreditedQuantity" if is_credit else "InvoicedQuantity", str(line.quantity))
    quantity.set("unitCode", "C62")
    _amount(group, "LineExtensionAmount", line.net_minor, currency)
    if line.allowance_minor:
        allowance = _group(group, "AllowanceCharge")
        _text(allowance, "ChargeIndicator", "false")
        _text(allowance, "AllowanceChargeReason", "Discount")
        _amount(allowance, "Amount", line.allowance_minor, currency)
    item = _group(group, "Item")
    _text(item, "Name", line.title)
    if line.sku_code:
        _text(_group(item, "SellersItemIdentification"), "ID", line.sku_code)
    _category(item, "ClassifiedTaxCategory", line)
    price = _text(_group(group, "Price"), "PriceAmount", unit_price(line, currency))
    price.set("currencyID", currency)


def unit_price(line: InvoiceLine, currency: str) -> str:
    """The price of one unit without tax (BT-146), with more digits than the currency has where it needs them."""
    scaled = (2 * line.list_minor * 10**PRICE_DIGITS + line.quantity) // (2 * line.quantity)
    digits = to_major(0, currency)
    places = len(digits.partition(".")[2]) + PRICE_DIGITS
    text = str(scaled).rjust(places + 1, "0")
    fraction = text[-places:].rstrip("0").ljust(places - PRICE_DIGITS, "0")
    return f"{text[:-places]}.{fraction}" if fraction else text[:-places]


def _percent(rate_bps: int) -> str:
    whole, part = divmod(rate_bps, 100)
    return f"{whole}.{part:02d}"


def _group(parent: ElementTree.Element, name: str) -> ElementTree.Element:
    return ElementTree.SubElement(parent, f"{{{CAC}}}{name}")


def _text(parent: ElementTree.Element, name: str, text: str) -> ElementTree.Element:
    element = ElementTree.SubElement(parent, f"{{{CBC}}}{name}")
    element.text = _NOT_IN_XML.sub("", text)
    return element


def _amount(parent: ElementTree.Element, name: str, amount_minor: int, currency: str) -> None:
    _text(parent, name, to_major(amount_minor, currency)).set("currencyID", currency)
