"""What placing a quote writes: orders, intent, hold and answer, all decided and encoded before any commit. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tradepost.kernel.errors import Refusal
from tradepost.kernel.ids import gene_of, order_number
from tradepost.kernel.market import Market
from tradepost.trade import orders, payments, risk
from tradepost.trade.checkout.model import (
    CheckoutView,
    OrderSummary,
    Particulars,
    Placement,
    PromisedGift,
    Quote,
    QuotedOrder,
    Terms,
)
from tradepost.trade.inventory import Demand, HoldRequest
from tradepost.trade.pricing import Adjustment

_encode = msgspec.json.Encoder().encode
PROMOTIONS = "platform:promotions"
"""The account of what the platform pays of prices."""


def refuse_expired(placement: Placement) -> Refusal | None:
    """The refusal of a quote placed after its deadline; judged only when it was not placed before."""
    if not placement.expires_at_ms or placement.at_ms <= placement.expires_at_ms:
        return None
    return Refusal(
        "checkout.quote_expired",
        "The quote may no longer be placed.",
        field="quote",
        expected="a quote younger than its deadline",
        extra={"expired_at_ms": placement.expires_at_ms},
    )


def make_placement(quote: Quote, market: Market, terms: Terms, given: Particulars) -> Placement:
    """Everything that placing this quote writes, encoded; only stock, limits and velocity are still open.

    Raises the refusal of the scene's risk check.
    """
    facts = _risk_facts(quote, terms, given.at_ms)
    verdict = risk.CHECK.choose(quote.scene)(facts)
    refusal = risk.refusal_of(verdict)
    if refusal is not None:
        raise refusal
    capture = orders.ON_SHIPMENT if quote.scene in terms.capture_on_shipment_scenes else orders.IMMEDIATE
    numbers = [order_number(ordered.order_id) for ordered in quote.orders]
    return Placement(
        quote.checkout_id,
        quote.buyer_id,
        gene_of(quote.buyer_id),
        given.scope,
        given.key,
        given.request_hash,
        quote_hash=given.quote_hash,
        at_ms=given.at_ms,
        quoted=given.quoted,
        expires_at_ms=quote.expires_at_ms if given.quoted else 0,
        new_buyer=given.new_buyer,
        risk=facts,
        hold=_hold(quote, given.at_ms),
        orders=tuple(
            [
                _new_order(ordered, number, quote, market, terms, given, capture, verdict.code)
                for ordered, number in zip(quote.orders, numbers, strict=True)
            ]
        ),
        intent=_funded_intent(quote, terms, capture, given) if quote.total_minor else None,
        body=_encode(_view(quote, numbers, given.at_ms)),
        limits=quote.limits,
        gifts=tuple(
            [
                PromisedGift(
                    ordered.order_id,
                    line.line_no,
                    line.components[0].sku_id,
                    line.pool,
                    sum([part.quantity for part in line.components]) * line.quantity,
                    line.gift.campaign_id,
                    line.list_minor,
                )
                for ordered in quote.orders
                for line in ordered.lines
                if line.gift is not None
            ]
        )
        if quote.priced.edition
        else (),
    )


def _hold(quote: Quote, at_ms: int) -> HoldRequest:
    demands = [
        Demand(
            owner_id=ordered.order_id,
            sku_id=component.sku_id,
            pool=line.pool,
            quantity=component.quantity * line.quantity,
            limit_per_buyer=line.limit_per_buyer * component.quantity,
        )
        for ordered in quote.orders
        for line in ordered.lines
        for component in line.components
    ]
    return HoldRequest(
        checkout_id=quote.checkout_id, buyer_id=quote.buyer_id, at_ms=at_ms, demands=tuple(demands)
    )


def _risk_facts(quote: Quote, terms: Terms, at_ms: int) -> risk.RiskFacts:
    return risk.RiskFacts(
        buyer_id=quote.buyer_id,
        market=quote.market,
        currency=quote.currency,
        total_minor=quote.total_minor,
        at_ms=at_ms,
        placed_in_window=0,
        scene=quote.scene,
        orders_max=terms.velocity_orders_max,
        window_ms=terms.velocity_window_ms,
        amount_review_minor=terms.amount_review_minor,
        amount_max_minor=terms.amount_max_minor,
    )


def refuse_risk(facts: risk.RiskFacts, placed_in_window: int) -> Refusal | None:
    """The verdict once it is known how much the buyer placed lately; None when one more checkout is allowed."""
    strategy = risk.CHECK.choose(facts.scene)
    if strategy is risk.judge:
        return risk.refuse_velocity(placed_in_window, facts.orders_max, facts.window_ms)
    return risk.refusal_of(strategy(msgspec.structs.replace(facts, placed_in_window=placed_in_window)))


def _span(override_ms: int, market_ms: int) -> int:
    return market_ms if override_ms < 0 else override_ms


def _new_order(
    ordered: QuotedOrder,
    number: str,
    quote: Quote,
    market: Market,
    terms: Terms,
    given: Particulars,
    capture: str,
    risk_code: str,
) -> orders.NewOrder:
    body = orders.OrderBody(
        order_number=number,
        lines=ordered.lines,
        total_minor=ordered.total_minor,
        shipping_minor=ordered.shipping_minor,
        tax_minor=ordered.tax_minor,
        fee_minor=ordered.fee_minor,
        capture=capture,
        remorse_ms=_span(terms.remorse_ms, market.remorse_ms),
        ship_by_ms=market.ship_by_ms,
        complete_after_ms=_span(terms.complete_after_ms, market.complete_after_ms),
        return_window_ms=_span(terms.return_window_ms, market.return_window_ms),
        address=given.address,
        email=given.email,
        quote_hash=given.quote_hash,
        risk=risk_code,
    )
    if (
        quote.priced.edition
        or ordered.places
        or ordered.shipping_adjustments
        or ordered.sending.method
        or ordered.conversions
    ):
        body = _with_basis(body, quote, ordered)
    return orders.new_order(
        body,
        order_id=ordered.order_id,
        checkout_id=quote.checkout_id,
        buyer_id=quote.buyer_id,
        seller_id=ordered.seller_id,
        market=quote.market,
        currency=quote.currency,
        scene=quote.scene,
        payment_id=quote.payment_id,
        at_ms=given.at_ms,
        payment_deadline_ms=market.payment_deadline_ms,
    )


def _with_basis(body: orders.OrderBody, quote: Quote, ordered: QuotedOrder) -> orders.OrderBody:
    """The body with what campaigns, shipping terms and exchange rates had to do with it."""
    return msgspec.structs.replace(
        body,
        priced=quote.priced if quote.priced.edition else orders.NO_CAMPAIGNS,
        places=ordered.places,
        shipping_adjustments=ordered.shipping_adjustments,
        sending=ordered.sending if ordered.sending.method else orders.NO_SENDING,
        conversions=ordered.conversions,
    )


def _provider(terms: Terms, given: Particulars) -> str:
    """Who is asked for the money: ourselves for a buyer's store credit, else the provider of new payments."""
    return payments.STORED_VALUE if given.method == payments.STORE_CREDIT else terms.provider


def _funded_intent(quote: Quote, terms: Terms, capture: str, given: Particulars) -> payments.NewIntent:
    """The intent, and which part of it the buyer's stored value pays. Where that is all, nobody else is asked."""
    intent = _intent(quote, _provider(terms, given), capture, given)
    if not given.stored_minor:
        return intent
    if given.stored_minor == intent.amount_minor:
        intent = msgspec.structs.replace(
            intent, provider=payments.STORED_VALUE, method=payments.STORE_CREDIT, confirm=True
        )
    return payments.share_stored(intent, given.stored_minor)


def _intent(quote: Quote, provider: str, capture: str, given: Particulars) -> payments.NewIntent:
    return payments.NewIntent(
        payment_id=quote.payment_id,
        checkout_id=quote.checkout_id,
        buyer_id=quote.buyer_id,
        provider=provider,
        method=given.method,
        currency=quote.currency,
        amount_minor=quote.total_minor,
        capture=capture,
        portions=tuple(
            [_portion(ordered, quote.market, capture) for ordered in quote.orders if ordered.total_minor]
        ),
        at_ms=given.at_ms,
        confirm=given.confirm,
    )


def _portion(ordered: QuotedOrder, market: str, capture: str) -> payments.Portion:
    by_line = capture == orders.ON_SHIPMENT
    return payments.Portion(
        order_id=ordered.order_id,
        seller_id=ordered.seller_id,
        amount_minor=ordered.total_minor,
        fee_minor=ordered.fee_minor,
        tax_minor=ordered.tax_minor,
        market=market,
        lines=portion_lines(ordered.lines) if by_line else (),
        funded=funded_of(ordered.lines, ordered.shipping_adjustments),
    )


def portion_lines(lines: Sequence[orders.OrderLine]) -> tuple[payments.PortionLine, ...]:
    """Lines as a payment taken at shipment knows them."""
    return tuple([payments.PortionLine(line.line_no, line.quantity, line.total_minor) for line in lines])


def funded_of(
    lines: Sequence[orders.OrderLine], shipping_adjustments: Sequence[Adjustment]
) -> tuple[payments.Funding, ...]:
    """What others than the seller pay of an order's price. What no creator is named for is the platform's."""
    sums: dict[str, int] = {}
    for line in lines:
        for adjustment in line.adjustments:
            if adjustment.funder != "seller":
                account = _account_of(adjustment.funder, line.creator_id)
                sums[account] = sums.get(account, 0) - adjustment.amount_minor
    for adjustment in shipping_adjustments:
        if adjustment.funder != "seller":
            sums[PROMOTIONS] = sums.get(PROMOTIONS, 0) - adjustment.amount_minor
    return tuple([payments.Funding(account, amount) for account, amount in sums.items() if amount])


def _account_of(funder: str, creator_id: str) -> str:
    return f"creator:{creator_id}" if funder == "creator" and creator_id else PROMOTIONS


def _view(quote: Quote, numbers: list[str], at_ms: int) -> CheckoutView:
    return CheckoutView(
        checkout_id=quote.checkout_id,
        buyer_id=quote.buyer_id,
        market=quote.market,
        currency=quote.currency,
        total_minor=quote.total_minor,
        tax_minor=quote.tax_minor,
        shipping_minor=quote.shipping_minor,
        orders=tuple(
            [
                OrderSummary(
                    order_id=ordered.order_id,
                    order_number=number,
                    seller_id=ordered.seller_id,
                    total_minor=ordered.total_minor,
                )
                for ordered, number in zip(quote.orders, numbers, strict=True)
            ]
        ),
        payment_id=quote.payment_id,
        placed_at_ms=at_ms,
    )
