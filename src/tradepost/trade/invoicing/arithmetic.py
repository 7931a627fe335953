"""The arithmetic rules of EN 16931 held against a UBL file as written: what a receiver's validator would find.

Rules by their codes in the standard's schematron (CEN/TC 434): BR-CO-10, -13, -15, -16, -17, BR-S-08, BR-Z-08,
BR-DEC for amounts, and PEPPOL-EN16931-R120 for lines. Tolerances are the schematron's own.
"""

from __future__ import annotations

from decimal import Decimal
from xml.etree import ElementTree

from tradepost.kernel.currency import EXPONENTS
from tradepost.trade.invoicing.ubl import CAC, CBC

_SPACES = {"cbc": CBC, "cac": CAC}
_ZERO = Decimal(0)
_HUNDREDTH = Decimal("0.01")
_LINE_TOLERANCE = Decimal("0.02")
BYTES_MAX = 4 << 20


def check_ubl(document: bytes) -> list[str]:
    """What is wrong with the sums of a UBL invoice or credit note, as `<rule>: <what>`; empty when they hold.

    Raises ValueError for bytes that are no XML, more than 4 MiB of them, or a document type declaration.
    """
    if len(document) > BYTES_MAX or b"<!DOCTYPE" in document:
        raise ValueError("not a UBL document that is looked at")
    try:
        root = ElementTree.fromstring(document)  # noqa: S314 - no entities without a document type, refused above
    except ElementTree.ParseError as error:
        raise ValueError(f"not XML: {error}") from error
    sums = _Sums(root)
    return [*sums.totals(), *sums.subtotals(), *sums.lines(), *sums.digits()]


class _Sums:
    """The amounts of one document by their names in the standard."""

    def __init__(self, root: ElementTree.Element) -> None:
        self._root = root
        kind = "CreditNoteLine" if root.tag.endswith("}CreditNote") else "InvoiceLine"
        self._lines = root.findall(f"cac:{kind}", _SPACES)
        self._subtotals = root.findall("cac:TaxTotal/cac:TaxSubtotal", _SPACES)
        self._exponent = EXPONENTS.get(root.findtext("cbc:DocumentCurrencyCode", "", _SPACES), 2)

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
            if (
                abs(base * percent * _HUNDREDTH - tax) >= 1
            ):  # the schematron lets one unit pass: tax may be rounded by line
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
        """Amounts have at most the currency's digits (two in the standard); prices may have more."""
        found = []
        for element in self._root.iter():
            name = element.tag.rpartition("}")[2]
            if name.endswith("Amount") and name != "PriceAmount":
                fraction = (element.text or "").partition(".")[2]
                if len(fraction) > self._exponent:
                    found.append(f"BR-DEC: {name} {element.text}")
        return found
