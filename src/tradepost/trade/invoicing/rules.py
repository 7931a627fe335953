"""From an order to an invoice, from a refund to a credit note. Pure; every sum is exact.

Terms and arithmetic follow EN 16931-1 (rules BR-CO-10, BR-CO-13 to BR-CO-17): lines sum to the total without tax,
each category and rate has one subtotal, total with tax is their sum.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from msgspec.structs import asdict, replace

from tradepost.kernel.errors import Refusal
from tradepost.kernel.market import Market
from tradepost.kernel.money import divide, split
from tradepost.trade.invoicing.model import (
    CREDIT_NOTE,
    INVOICE,
    TEXT_MAX,
    Draft,
    Invoice,
    InvoiceLine,
    LegalParty,
    TaxSubtotal,
)
from tradepost.trade.orders import Order, OrderLine, full_progress, share

_WHOLE_BPS = 10_000
_COUNTRY = re.compile(r"[A-Z]{2}\Z")
_UNPAID = ("UNPAID", "ON_HOLD")
SHIPPING_TITLE = "Shipping"


def local_date(at_ms: int, market: Market) -> str:
    """The market's date at a moment, as YYYY-MM-DD."""
    return (
        datetime.fromtimestamp(at_ms // 1_000, UTC).astimezone(ZoneInfo(market.time_zone)).date().isoformat()
    )


def draft_invoice(order: Order, seller: LegalParty, market: Market, invoice_id: str, at_ms: int) -> Draft:
    """The invoice of what an order's buyer has bought: cancelled units are not supplied and not invoiced.

    Raises Refusal `invoicing.not_due` for an order that is not paid, or of which nothing is left.
    """
    lines = [
        _line(line, done.cancelled, market)
        for line, done in zip(order.body.lines, full_progress(order), strict=True)
        if line.quantity > done.cancelled
    ]
    if order.state in _UNPAID or not lines:
        raise Refusal("invoicing.not_due", f"Order {order.order_id} is {order.state}.")
    if order.body.shipping_minor:
        lines.append(_shipping_line(order, len(order.body.lines) + 1))
    document = Invoice(
        invoice_id=invoice_id,
        kind=INVOICE,
        number="",
        seller_id=order.seller_id,
        buyer_id=order.buyer_id,
        order_id=order.order_id,
        order_number=order.body.order_number,
        source=f"{order.order_id}.sale",
        market=order.market,
        currency=order.currency,
        tax_name=tax_name(market),
        issued_at_ms=at_ms,
        issued_on=local_date(at_ms, market),
        supplied_on=local_date(at_ms, market),
        seller=replace(seller, country=seller.country or market.code[:2]),
        buyer=_buyer(order, market),
        lines=tuple(_untaxed(lines, seller)),
        subtotals=(),
        net_minor=0,
        tax_minor=0,
        gross_minor=0,
        prices_include_tax=market.prices_include_tax,
    )
    summed = _sum_up(document)
    return Draft(series=order.market, document=replace(summed, paid_minor=summed.gross_minor))


def tax_name(market: Market) -> str:
    """The word people know the tax by, for the head of a document."""
    return {"US": "Sales tax", "JP": "JCT", "SG": "GST", "MY": "SST", "BR": "ICMS"}.get(
        market.code[:2], "VAT"
    )


def _buyer(order: Order, market: Market) -> LegalParty:
    address = order.body.address
    known = {name: address[name] for name in ("line1", "line2", "city", "postcode") if name in address}
    country = address.get("country") or market.code[:2]
    region = address.get("region") or address.get("state") or ""
    return LegalParty(
        name=address.get("name") or order.buyer_id,
        email=order.body.email,
        region=region,
        country=country,
        **known,
    )


def _line(line: OrderLine, cancelled: int, market: Market) -> InvoiceLine:
    def kept(
        amount: int,
    ) -> int:  # by the scale of the cancellation's refund, so the two are the whole to the cent
        return amount - share(amount, line.quantity, cancelled)

    units = line.quantity - cancelled
    gross, tax, listed = kept(line.total_minor), kept(line.tax_minor), kept(line.list_minor)
    if market.prices_include_tax:
        listed = divide(listed * _WHOLE_BPS, _WHOLE_BPS + line.tax_rate_bps)
    net = gross - tax
    # without a discount the odd cent of taking the tax out of a list price is no allowance
    listed = max(listed, net) if line.adjustments else net
    return InvoiceLine(
        line_no=line.line_no,
        title=line.title or line.sku_code,
        sku_code=line.sku_code,
        quantity=units,
        list_minor=listed,
        allowance_minor=listed - net,
        net_minor=net,
        tax_minor=tax,
        gross_minor=gross,
        rate_bps=line.tax_rate_bps,
        category=_category(line.tax_rate_bps),
    )


def _shipping_line(order: Order, line_no: int) -> InvoiceLine:
    gross = order.body.shipping_minor
    tax = order.body.tax_minor - sum(line.tax_minor for line in order.body.lines)
    net = gross - tax
    rate = _nearest_rate(net, tax, [line.tax_rate_bps for line in order.body.lines])
    return InvoiceLine(
        line_no=line_no,
        title=SHIPPING_TITLE,
        sku_code="",
        quantity=1,
        list_minor=net,
        allowance_minor=0,
        net_minor=net,
        tax_minor=tax,
        gross_minor=gross,
        rate_bps=rate,
        category=_category(rate),
        is_shipping=True,
    )


def _nearest_rate(net: int, tax: int, rates: Sequence[int]) -> int:
    """The order keeps the shipping's tax, not its rate: the goods' rate that gives it, else the exact quotient."""
    if not tax or not net:
        return 0
    fitting = [rate for rate in rates if abs(divide(net * rate, _WHOLE_BPS) - tax) <= 1]
    return fitting[0] if fitting else divide(tax * _WHOLE_BPS, net)


def _category(rate_bps: int) -> str:
    """UNCL5305: S standard rated (any rate above zero), Z zero rated."""
    return "S" if rate_bps else "Z"


def _untaxed(lines: list[InvoiceLine], seller: LegalParty) -> list[InvoiceLine]:
    """Lines without any tax by a seller without a tax number are outside the tax's scope (O), not zero rated."""
    if seller.tax_id or any(line.rate_bps or line.tax_minor for line in lines):
        return lines
    return [replace(line, category="O") for line in lines]


def _sum_up(document: Invoice) -> Invoice:
    sums: dict[tuple[str, int], list[int]] = {}
    for line in document.lines:
        pair = sums.setdefault((line.category, line.rate_bps), [0, 0])
        pair[0] += line.net_minor
        pair[1] += line.tax_minor
    subtotals = tuple(
        TaxSubtotal(category=category, rate_bps=rate, base_minor=base, tax_minor=tax)
        for (category, rate), (base, tax) in sorted(sums.items(), key=lambda item: (-item[0][1], item[0][0]))
    )
    net = sum(line.net_minor for line in document.lines)
    tax = sum(line.tax_minor for line in document.lines)
    return replace(document, subtotals=subtotals, net_minor=net, tax_minor=tax, gross_minor=net + tax)


def draft_credit(
    invoice: Invoice,
    earlier: Iterable[Invoice],
    amount_minor: int,
    *,
    invoice_id: str,
    source: str,
    reason: str,
    market: Market,
    at_ms: int,
    units: Mapping[int, int] | None = None,
) -> Draft | None:
    """The credit note of money given back; None when everything is credited already.

    `units` are the units by line that came back, where they are known: their lines are credited first. The rest is
    spread over what is left of each line. Tax and net follow the gross so that all credits together are the invoice.
    """
    given = _credited(earlier)
    left = {line.line_no: line.gross_minor - given.get(line.line_no, (0, 0))[0] for line in invoice.lines}
    amount = min(amount_minor, sum(left.values()))
    if amount <= 0:
        return None
    parts = _parts(invoice, left, amount, units or {})
    taxes = _credit_taxes(invoice, given, parts)
    lines = tuple(
        _credit_line(line, parts[line.line_no], taxes[line.line_no], (units or {}).get(line.line_no, 0))
        for line in invoice.lines
        if parts.get(line.line_no)
    )
    document = replace(
        invoice,
        invoice_id=invoice_id,
        kind=CREDIT_NOTE,
        number="",
        source=source,
        issued_at_ms=at_ms,
        issued_on=local_date(at_ms, market),
        lines=lines,
        credits=invoice.number,
        reason=reason,
        paid_minor=0,
    )
    return Draft(series=f"{invoice.market}-C", document=_sum_up(document))


def _credited(earlier: Iterable[Invoice]) -> dict[int, tuple[int, int]]:
    """(gross, tax) credited so far, by line."""
    sums: dict[int, tuple[int, int]] = {}
    for note in earlier:
        for line in note.lines:
            gross, tax = sums.get(line.line_no, (0, 0))
            sums[line.line_no] = (gross + line.gross_minor, tax + line.tax_minor)
    return sums


def _parts(invoice: Invoice, left: dict[int, int], amount: int, units: Mapping[int, int]) -> dict[int, int]:
    """Gross by line."""
    parts = dict.fromkeys(left, 0)
    wanted = {
        line.line_no: min(left[line.line_no], divide(line.gross_minor * units[line.line_no], line.quantity))
        for line in invoice.lines
        if line.line_no in units
    }
    if wanted and sum(wanted.values()):
        first = min(amount, sum(wanted.values()))
        for number, part in zip(wanted, split(first, list(wanted.values())), strict=True):
            parts[number] = part
        amount -= first
    rest = {number: left[number] - parts[number] for number in left}
    for number, part in zip(rest, split(amount, list(rest.values())), strict=True):
        parts[number] += part
    return parts


def _credit_taxes(
    invoice: Invoice, given: Mapping[int, tuple[int, int]], parts: Mapping[int, int]
) -> dict[int, int]:
    """The tax of each line's part.

    All lines of a rate are rounded together, over all credits so far: no note's tax is a unit or more away from its
    rate for the credits' own sake, however many lines it has (EN 16931, BR-CO-17). No line ever gets back more tax
    or more net than it had.
    """
    groups: dict[tuple[str, int], list[InvoiceLine]] = {}
    for line in invoice.lines:
        groups.setdefault((line.category, line.rate_bps), []).append(line)
    taxes: dict[int, int] = {}
    for lines in groups.values():
        bounds, wanted = {}, {}
        for line in lines:
            before, tax_before = given.get(line.line_no, (0, 0))
            part, net_left = parts[line.line_no], line.net_minor - (before - tax_before)
            bounds[line.line_no] = (max(0, part - net_left), min(part, line.tax_minor - tax_before))
            wanted[line.line_no] = _share_of_tax(line.tax_minor, line.gross_minor, before + part) - tax_before
        before = sum(given.get(line.line_no, (0, 0))[0] + parts[line.line_no] for line in lines)
        whole = _share_of_tax(
            sum(line.tax_minor for line in lines), sum(line.gross_minor for line in lines), before
        )
        whole -= sum(given.get(line.line_no, (0, 0))[1] for line in lines)
        taxes |= _fitted(wanted, bounds, whole)
    return taxes


def _share_of_tax(tax: int, gross: int, part: int) -> int:
    return divide(tax * part, gross) if gross else 0


def _fitted(wanted: Mapping[int, int], bounds: Mapping[int, tuple[int, int]], whole: int) -> dict[int, int]:
    """The numbers nearest to what is wanted that keep their bounds and sum to the whole, as far as bounds let them."""
    fitted = {key: min(max(number, bounds[key][0]), bounds[key][1]) for key, number in wanted.items()}
    rest = whole - sum(fitted.values())
    for key, number in fitted.items():
        least, most = bounds[key]
        fitted[key] = min(max(number + rest, least), most)
        rest -= fitted[key] - number
    return fitted


def _credit_line(line: InvoiceLine, gross: int, tax: int, units: int) -> InvoiceLine:
    return replace(
        line,
        quantity=units or 1,
        list_minor=gross - tax,
        allowance_minor=0,
        net_minor=gross - tax,
        tax_minor=tax,
        gross_minor=gross,
    )


def numbered(draft: Draft, count: int) -> Invoice:
    """The document with the next number of its series: `GB-000012`."""
    return replace(draft.document, number=f"{draft.series}-{count:06d}")


def check_party(party: LegalParty) -> LegalParty:
    """The party without outer blanks. Raises Refusal `invoicing.party_invalid`."""
    cleaned = LegalParty(**{name: text.strip() for name, text in asdict(party).items()})
    for name, text in asdict(cleaned).items():
        if len(text) > TEXT_MAX:
            raise _invalid(name, f"{len(text)} letters", f"at most {TEXT_MAX} letters")
    if not cleaned.name:
        raise _invalid("name", "There is no name.", "the name in the register")
    if cleaned.country and not _COUNTRY.match(cleaned.country):
        raise _invalid(
            "country", f"{cleaned.country!r} is no country code.", "two capital letters (ISO 3166-1)"
        )
    return cleaned


def _invalid(field: str, detail: str, expected: str) -> Refusal:
    return Refusal("invoicing.party_invalid", detail, field=field, expected=expected)
