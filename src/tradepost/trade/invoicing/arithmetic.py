"""The rules of EN 16931 held against a UBL file as written: what a receiver's validator would find.

Rules by their codes in the standard's schematron (CEN/TC 434): those that a document of ours could break. Sums:
BR-CO-10, -13 to -17, BR-S-08, BR-Z-08, BR-O-08, BR-DEC, and PEPPOL-EN16931-R120 for lines. Parties and codes:
BR-06, -07, -09, -11, -16, -25, -27, BR-CO-09, -25, -26, BR-CL-04, -14, BR-S-02, BR-Z-02, BR-O-02, -11. Tolerances are
the schematron's own.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from xml.etree import ElementTree

from tradepost.kernel.currency import EXPONENTS
from tradepost.trade.invoicing.countries import COUNTRIES, TAX_PREFIXES
from tradepost.trade.invoicing.model import Invoice
from tradepost.trade.invoicing.ubl import CAC, CBC, OUT_OF_SCOPE, TAX_SCHEME, write_ubl

_SPACES = {"cbc": CBC, "cac": CAC}
_ZERO = Decimal(0)
_HUNDREDTH = Decimal("0.01")
_SELLER, _BUYER = "cac:AccountingSupplierParty/cac:Party", "cac:AccountingCustomerParty/cac:Party"
_SELLER_IDS = ("cac:PartyIdentification/cbc:ID", "cac:PartyLegalEntity/cbc:CompanyID")
_CATEGORY_ID = "cac:TaxTotal/cac:TaxSubtotal/cac:TaxCategory/cbc:ID"
_LINE_TOLERANCE = Decimal("0.02")
BYTES_MAX = 4 << 20
DIGITS_MAX = 2
"""Digits of an amount in the standard, whatever the currency has."""


def to_ubl(invoice: Invoice) -> bytes:
    """The document as UTF-8 XML. It claims the profile of EN 16931 when its rules hold, else it is plain UBL 2.1.

    They cannot hold for a currency of three digits, nor for a seller that charges tax without a tax number.
    """
    written = write_ubl(invoice)
    is_checked = len(written) <= BYTES_MAX and not check_ubl(written)
    return written if is_checked else write_ubl(invoice, profile="")


def check_ubl(document: bytes) -> list[str]:
    """What is wrong with a UBL invoice or credit note by EN 16931, as `<rule>: <what>`; empty when its rules hold.

    Raises ValueError for bytes that are no XML, more than 4 MiB of them, or a document type declaration.
    """
    if len(document) > BYTES_MAX or b"<!DOCTYPE" in document:
        raise ValueError("not a UBL document that is looked at")
    try:
        root = ElementTree.fromstring(document)  # noqa: S314 - no entities without a document type, refused above
    except ElementTree.ParseError as error:
        raise ValueError(f"not XML: {error}") from error
    sums = _Sums(root)
    return [*sums.totals(), *sums.subtotals(), *sums.lines(), *sums.digits(), *_words(root)]


class _Sums:
    """The amounts of one document by their names in the standard."""

    def __init__(self, root: ElementTree.Element) -> None:
        self._root = root
        kind = "CreditNoteLine" if root.tag.endswith("}CreditNote") else "InvoiceLine"
        self._lines = root.findall(f"cac:{kind}", _SPACES)
        self._subtotals = root.findall("cac:TaxTotal/cac:TaxSubtotal", _SPACES)
        exponent = EXPONENTS.get(root.findtext("cbc:DocumentCurrencyCode", "", _SPACES), DIGITS_MAX)
        self._exponent = min(exponent, DIGITS_MAX)

    def _of(self, element: ElementTree.Element, path: str) -> Decimal:
        return Decimal(element.findtext(path, "0", _SPACES))

    def _total(self, name: str) -> Decimal:
        return self._of(self._root, f"cac:LegalMonetaryTotal/cbc:{name}")

    def totals(self) -> list[str]:
        net = sum((self._of(line, "cbc:LineExtensionAmount") for line in self._lines), _ZERO)
        tax = self._of(self._root, "cac:TaxTotal/cbc:TaxAmount")
        found = []
        for rule, said, right in (
            ("BR-CO-10", self._total("LineExtensionAmount"), net),
            (
                "BR-CO-13",
                self._total("TaxExclusiveAmount"),
                net - self._total("AllowanceTotalAmount") + self._total("ChargeTotalAmount"),
            ),
            ("BR-CO-14", tax, sum((self._of(part, "cbc:TaxAmount") for part in self._subtotals), _ZERO)),
            ("BR-CO-15", self._total("TaxInclusiveAmount"), self._total("TaxExclusiveAmount") + tax),
            (
                "BR-CO-16",
                self._total("PayableAmount"),
                self._total("TaxInclusiveAmount") - self._total("PrepaidAmount"),
            ),
        ):
            if said != right:
                found.append(f"{rule}: {said} is not {right}")
        return found

    def subtotals(self) -> list[str]:
        found, seen = [], set()
        for part in self._subtotals:
            category = part.findtext("cac:TaxCategory/cbc:ID", "", _SPACES)
            percent = self._of(part, "cac:TaxCategory/cbc:Percent")
            base, tax = self._of(part, "cbc:TaxableAmount"), self._of(part, "cbc:TaxAmount")
            seen.add((category, percent))
            right = (base * percent * _HUNDREDTH).quantize(_HUNDREDTH, ROUND_HALF_UP)
            if (
                abs(right - tax) >= 1
            ):  # the schematron lets less than one unit pass: tax may be rounded by line
                found.append(f"BR-CO-17: {tax} is not {percent} % of {base}")
            own = sum(
                (
                    self._of(line, "cbc:LineExtensionAmount")
                    for line in self._lines
                    if self._rate_of(line) == (category, percent)
                ),
                _ZERO,
            )
            if abs(own - base) >= 1:
                found.append(f"BR-{category}-08: {base} is not the lines' {own}")
        missing = {self._rate_of(line) for line in self._lines} - seen
        return found + [
            f"BR-CO-18: no subtotal of {category} {percent}" for category, percent in sorted(missing)
        ]

    def _rate_of(self, line: ElementTree.Element) -> tuple[str, Decimal]:
        category = line.find("cac:Item/cac:ClassifiedTaxCategory", _SPACES)
        if category is None:
            return "", _ZERO
        return category.findtext("cbc:ID", "", _SPACES), self._of(category, "cbc:Percent")

    def lines(self) -> list[str]:
        found = []
        for line in self._lines:
            quantity = self._of(line, "cbc:InvoicedQuantity") or self._of(line, "cbc:CreditedQuantity")
            allowances = sum(
                (
                    self._of(change, "cbc:Amount")
                    * (1 if change.findtext("cbc:ChargeIndicator", "", _SPACES) == "true" else -1)
                    for change in line.findall("cac:AllowanceCharge", _SPACES)
                ),
                _ZERO,
            )
            right = quantity * self._of(line, "cac:Price/cbc:PriceAmount") + allowances
            if abs(right - self._of(line, "cbc:LineExtensionAmount")) > _LINE_TOLERANCE:
                number = line.findtext("cbc:ID", "", _SPACES)
                found.append(f"PEPPOL-EN16931-R120: line {number} is not {right}")
        return found

    def digits(self) -> list[str]:
        """Amounts have at most the currency's digits and two; prices may have more."""
        found = []
        for element in self._root.iter():
            name = element.tag.rpartition("}")[2]
            if name.endswith("Amount") and name != "PriceAmount":
                fraction = (element.text or "").partition(".")[2]
                if len(fraction) > self._exponent:
                    found.append(f"BR-DEC: {name} {element.text}")
        return found


def _words(root: ElementTree.Element) -> list[str]:
    """What is missing of names, places, numbers and codes."""

    def text(path: str) -> str:
        return " ".join(root.findtext(path, "", _SPACES).split())

    lines = [*root.findall("cac:InvoiceLine", _SPACES), *root.findall("cac:CreditNoteLine", _SPACES)]
    found = [
        f"{rule}: no {what}"
        for rule, what, there in (
            ("BR-16", "line", lines),
            ("BR-06", "seller's name", text(f"{_SELLER}/cac:PartyLegalEntity/cbc:RegistrationName")),
            ("BR-07", "buyer's name", text(f"{_BUYER}/cac:PartyLegalEntity/cbc:RegistrationName")),
            ("BR-CL-04", "known currency", text("cbc:DocumentCurrencyCode") in EXPONENTS),
        )
        if not there
    ]
    for rule, party in (("BR-09", _SELLER), ("BR-11", _BUYER)):
        country = text(f"{party}/cac:PostalAddress/cac:Country/cbc:IdentificationCode")
        if country not in COUNTRIES:
            found.append(f"BR-CL-14: {country} is no country" if country else f"{rule}: no country")
    for line in lines:
        number = line.findtext("cbc:ID", "", _SPACES)
        if not line.findtext("cac:Item/cbc:Name", "", _SPACES).split():
            found.append(f"BR-25: line {number} has no name")
        if Decimal(line.findtext("cac:Price/cbc:PriceAmount", "0", _SPACES)) < 0:
            found.append(f"BR-27: line {number} has a price below zero")
    due = Decimal(root.findtext("cac:LegalMonetaryTotal/cbc:PayableAmount", "0", _SPACES))
    if due > 0 and not (text("cbc:DueDate") or text("cac:PaymentTerms/cbc:Note")):
        found.append(f"BR-CO-25: {due} is due and not said when")
    return found + _tax_numbers(root)


def _tax_numbers(root: ElementTree.Element) -> list[str]:
    """Who needs a tax number and has none, or has one where there may be none."""

    def numbers(party: str, scheme: str = "") -> list[str]:
        return [
            each.findtext("cbc:CompanyID", "", _SPACES)
            for each in root.findall(f"{party}/cac:PartyTaxScheme", _SPACES)
            if scheme in ("", each.findtext("cac:TaxScheme/cbc:ID", "", _SPACES))
        ]

    found = [
        f"BR-CO-09: {number} begins with no country"
        for party in (_SELLER, _BUYER)
        for number in numbers(party, TAX_SCHEME)
        if number[:2] not in TAX_PREFIXES
    ]
    known = [root.findtext(f"{_SELLER}/{path}", "", _SPACES) for path in _SELLER_IDS]
    if not any(known) and not numbers(_SELLER, TAX_SCHEME):
        found.append("BR-CO-26: nothing tells which seller")
    categories = {each.text or "" for each in root.findall(_CATEGORY_ID, _SPACES)}
    found += [
        f"BR-{category}-02: the seller has no tax number"
        for category in sorted(categories & {"S", "Z"})
        if not numbers(_SELLER)
    ]
    if OUT_OF_SCOPE in categories:
        if numbers(_SELLER, TAX_SCHEME) or numbers(_BUYER, TAX_SCHEME):
            found.append("BR-O-02: a VAT number where nothing is subject to VAT")
        if len(categories) > 1:
            found.append(f"BR-O-11: also {', '.join(sorted(categories - {OUT_OF_SCOPE}))}")
    return found
