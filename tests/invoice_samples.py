"""Invoices and credit notes of every market, made by the production calculators: for judging what they are written as.

Each sample goes the whole way: offers are priced into a quote, the quote becomes an order, the order an invoice, and
refunds of it credit notes until all of it is back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from tradepost.kernel.currency import EXPONENTS
from tradepost.kernel.market import Market
from tradepost.testing.world import TestWorld
from tradepost.trade import checkout, orders, pricing
from tradepost.trade.catalog import Component, OfferView, PriceWindow
from tradepost.trade.checkout.rules import make_quote
from tradepost.trade.invoicing.model import Invoice, LegalParty
from tradepost.trade.invoicing.rules import draft_credit, draft_invoice, numbered
from tradepost.trade.pricing import Funder, Proposal

BUYER_GENE, SELLER_GENE = 6, 8
QUOTE_MS = 600_000
Basket = Sequence[tuple[int, int, str]]
"""(price of one in hundredths of the currency, quantity, tax category or "" for the next of the market's)."""

BASKETS: Mapping[str, Basket] = {
    "one": ((1999, 1, "standard"),),
    "zero": ((1999, 2, "zero"), (500, 1, "zero")),
    "each rate": ((1999, 3, ""), (333, 7, ""), (10_050, 1, ""), (895, 2, ""), (1, 1, "")),
    "many": tuple((1_003 + 37 * index, 1 + index % 4, "") for index in range(40)),
    "dear": ((9_999_999, 9, "standard"), (1, 3, "")),
}
_SALE = (Proposal(code="sale", reason="sale", funder=Funder.SELLER, amount_minor=-137, line_nos=(1,)),)
_ORDER = (Proposal(code="ten", reason="coupon", funder=Funder.PLATFORM, amount_minor=-1_001),)
_FREE = (Proposal(code="all", reason="gift", funder=Funder.SELLER, amount_minor=-(10**12), line_nos=(1,)),)
DISCOUNTS: Mapping[str, Sequence[Proposal]] = {
    "full price": (),
    "line discount": _SALE,
    "order discount": _ORDER,
    "both, one line free": (*_SALE, *_ORDER, *_FREE),
}


def samples(market: Market, seller: LegalParty, region: str = "") -> Iterator[tuple[str, Invoice]]:
    """(what it is, document) of one market; a credit note follows what it credits."""
    world = TestWorld(seed=1)
    where = market.at(world.now_ms(), region) if region else market.at(world.now_ms())
    for name, basket in BASKETS.items():
        for cut, proposals in DISCOUNTS.items():
            order = _order(where, basket, proposals, world)
            if order is None:
                continue
            label = f"{market.code}{region} {name}, {cut}"
            sale = numbered(
                draft_invoice(order, seller, where, world.mint("invoice", SELLER_GENE), world.now_ms()), 1
            )
            yield label, sale
            yield from _credits(label, sale, where, world)


def _offers(market: Market, basket: Basket, world: TestWorld) -> dict[str, OfferView]:
    categories = sorted(market.tax_rates_bps)
    scale, seller_id = 10 ** EXPONENTS[market.currency], world.mint("seller", SELLER_GENE)
    found: dict[str, OfferView] = {}
    for number, (cents, _, category) in enumerate(basket):
        offer_id, sku_id = world.mint("offer", SELLER_GENE), world.mint("sku", BUYER_GENE)
        price = PriceWindow(currency=market.currency, price_e4=max(1, cents * scale // 100) * 10_000)
        found[offer_id] = OfferView(
            offer_id=offer_id,
            seller_id=seller_id,
            sku_id=sku_id,
            sku_code=f"A{number}",
            product_id="prd_1",
            title=f"Thing {number}",
            description="",
            image="",
            components=(Component(sku_id=sku_id, quantity=1),),
            markets=(market.code,),
            prices=(price,),
            state="ACTIVE",
            seller_state="ACTIVE",
            fee_bps=500,
            version=1,
            tax_category=category or categories[number % len(categories)],
        )
    return found


def _order(
    market: Market, basket: Basket, proposals: Sequence[Proposal], world: TestWorld
) -> orders.Order | None:
    """The order as placed and paid; None for one that costs nothing."""
    offers = _offers(market, basket, world)
    mint: Callable[[str], str] = lambda kind: world.mint(kind, BUYER_GENE)  # noqa: E731
    quote = make_quote(
        [
            checkout.Want(offer_id=offer_id, quantity=quantity)
            for offer_id, (_, quantity, _) in zip(offers, basket, strict=True)
        ],
        offers,
        market,
        buyer_id=mint("buyer"),
        scene="shop",
        at_ms=world.now_ms(),
        ttl_ms=QUOTE_MS,
        mint=mint,
        adjust=(lambda _: proposals) if proposals else pricing.no_adjustments,
    )
    (quoted,) = quote.orders
    if not quoted.total_minor:
        return None
    return orders.Order(
        order_id=quoted.order_id,
        checkout_id=quote.checkout_id,
        buyer_id=quote.buyer_id,
        seller_id=quoted.seller_id,
        market=market.code,
        currency=quote.currency,
        scene=quote.scene,
        state="IN_TRANSIT",
        version=1,
        total_minor=quoted.total_minor,
        placed_at_ms=world.now_ms(),
        deadline_at_ms=0,
        payment_id=quote.payment_id,
        progress=(),
        cancellation=None,
        body=orders.OrderBody(
            order_number="7GX4-K9PQ-3",
            lines=quoted.lines,
            total_minor=quoted.total_minor,
            shipping_minor=quoted.shipping_minor,
            tax_minor=quoted.tax_minor,
            address={"name": "Ada Buyer", "line1": "1 Low Street", "city": "Town", "country": market.code},
        ),
    )


def _credits(label: str, sale: Invoice, market: Market, world: TestWorld) -> Iterator[tuple[str, Invoice]]:
    """A unit that comes back, then a third of what is left in money, then all the rest."""
    first = sale.lines[0]
    steps: tuple[tuple[int, dict[int, int]], ...] = (
        (first.gross_minor // first.quantity, {first.line_no: 1}),
        ((sale.gross_minor - first.gross_minor // first.quantity) // 3, {}),
        (sale.gross_minor, {}),
    )
    notes: list[Invoice] = []
    for amount, units in steps:
        draft = draft_credit(
            sale,
            notes,
            amount,
            invoice_id=world.mint("invoice", SELLER_GENE),
            source=f"{len(notes)}.credit",
            reason="changed_mind",
            market=market,
            at_ms=world.now_ms(),
            units=units,
        )
        if draft is not None:
            notes.append(numbered(draft, len(notes) + 1))
            yield f"{label}, credit {len(notes)}", notes[-1]
