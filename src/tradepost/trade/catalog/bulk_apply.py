"""One batch of an import as one transaction: a few statements, however many rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import msgspec

from tradepost.kernel.errors import Refusal
from tradepost.kernel.tx import Tx
from tradepost.markets import all_markets
from tradepost.trade.catalog import rules, store
from tradepost.trade.catalog.api import accept_state, note_changed, refresh_offers
from tradepost.trade.catalog.bulk_rows import BulkRow
from tradepost.trade.catalog.model import OFFER_STATES, Layer, Offer, OfferTerms, PriceWindow, Product, Sku

R = TypeVar("R", Product, Sku, Offer)


class BulkItem(msgspec.Struct, frozen=True, kw_only=True):
    """The rows of one offer, with ids minted for whatever of it is new."""

    seller_id: str
    rows: tuple[BulkRow, ...]
    product_id: str
    sku_id: str
    offer_id: str

    @property
    def sku_code(self) -> str:
        """The SKU's code."""
        return self.rows[0].sku_code


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """What applying an item did."""

    sku_id: str
    changed: bool
    sku_created: bool
    offer_created: bool
    offer_changed: bool


class _Known:
    """The rows a batch may touch, read at once, and what it makes of them."""

    def __init__(self, tx: Tx, seller_id: str, items: Sequence[BulkItem]) -> None:
        heads = [item.rows[0] for item in items]
        codes = {head.sku_code for head in heads}
        codes |= {code for head in heads for code, _ in head.components or ()}
        skus = store.select_skus(tx, seller_id, codes=sorted(codes))
        products = store.select_products(
            tx,
            seller_id,
            ids=sorted({sku.product_id for sku in skus}),
            codes=sorted({head.product_code or head.sku_code for head in heads}),
        )
        offers = store.select_offers(tx, seller_id, sku_ids=sorted(sku.sku_id for sku in skus))
        self.skus = {sku.code: sku for sku in skus}
        self.products = {product.product_id: product for product in products}
        self.products_by_code = {product.code: product for product in products}
        self.offers = {(offer.sku_id, offer.code): offer for offer in offers}
        self.stored_skus, self.stored_products = dict(self.skus), dict(self.products)
        self.stored_offers = dict(self.offers)

    def keep(self, product: Product, sku: Sku, offer: Offer | None) -> None:
        """Take over what an accepted item leads to."""
        self.products[product.product_id] = self.products_by_code[product.code] = product
        self.skus[sku.code] = sku
        if offer is not None:
            self.offers[offer.sku_id, offer.code] = offer


def apply_items(tx: Tx, seller_id: str, items: Sequence[BulkItem], at_ms: int) -> list[Done | Refusal]:
    """Bring products, SKUs and offers of one seller to what the items say; one answer an item.

    An item is applied whole or refused; a refused one leaves the others standing.
    """
    if not store.select_sellers(tx, [seller_id]):
        unknown = Refusal("catalog.seller_unknown", f"No seller {seller_id} is known.", field="seller")
        return [unknown for _ in items]
    known = _Known(tx, seller_id, items)
    answers: list[Done | Refusal] = []
    for item in items:
        try:
            answers.append(_judge(known, item))
        except Refusal as refusal:
            answers.append(refusal)
    _write(tx, seller_id, known, at_ms)
    return answers


def _judge(known: _Known, item: BulkItem) -> Done:
    head = item.rows[0]
    sku_before = known.skus.get(head.sku_code)
    product = _product(known, item, sku_before)
    sku = _sku(known, item, product, sku_before)
    before = known.offers.get((sku.sku_id, head.offer_code))
    offer = _offer(item, product, sku, before) if head.window is not None else None
    changed = sku != sku_before or known.products.get(product.product_id) != product
    known.keep(product, sku, offer)
    offer_changed = offer is not None and before is not None and offer != before
    return Done(
        sku_id=sku.sku_id,
        changed=changed or (offer is not None and offer != before),
        sku_created=sku_before is None,
        offer_created=offer is not None and before is None,
        offer_changed=offer_changed,
    )


def _or(given: str | None, kept: str) -> str:
    return kept if given is None else given


def _product(known: _Known, item: BulkItem, sku: Sku | None) -> Product:
    head = item.rows[0]
    if head.product_code is None and sku is not None:
        before = known.products.get(sku.product_id)
    else:
        before = known.products_by_code.get(head.product_code or head.sku_code)
    if before is None:
        before = Product(
            product_id=item.product_id,
            seller_id=item.seller_id,
            code=head.product_code or head.sku_code,
            title=head.title or "",
        )
    return rules.accept_product(
        msgspec.structs.replace(
            before,
            title=_or(head.product_title, before.title),
            description=_or(head.description, before.description),
            image=_or(head.image, before.image),
            tax_category=_or(head.tax_category, before.tax_category),
            groups=before.groups if head.groups is None else head.groups,
        )
    )


def _sku(known: _Known, item: BulkItem, product: Product, before: Sku | None) -> Sku:
    head = item.rows[0]
    title = rules.accept_text(_or(head.title, before.title if before else ""), rules.TITLE_MAX, "title")
    weight_g = before.weight_g if before else 0
    if head.weight_g is not None:
        weight_g = rules.accept_weight(head.weight_g)
    components = before.components if before else ()
    if head.components is not None or before is None:
        components = rules.flatten(head.sku_code, head.components or (), known.skus)
    if before is not None:
        if components != before.components:
            raise Refusal(
                "catalog.components_fixed", f"{before.code} consists of something else.", field="components"
            )
        return msgspec.structs.replace(before, title=title, product_id=product.product_id, weight_g=weight_g)
    return Sku(
        sku_id=item.sku_id,
        seller_id=item.seller_id,
        product_id=product.product_id,
        code=head.sku_code,
        title=title,
        components=components,
        weight_g=weight_g,
    )


def _offer(item: BulkItem, product: Product, sku: Sku, before: Offer | None) -> Offer:
    head = item.rows[0]
    kept = before.facts.terms if before else OfferTerms(markets=(), prices=())
    prices = tuple(row.window for row in item.rows if row.window is not None)
    terms = rules.accept_terms(
        OfferTerms(
            markets=head.markets or kept.markets or _markets_of(prices),
            prices=(*prices, *[window for window in kept.prices if window.layer is not Layer.LIST]),
            pool=_or(head.pool, kept.pool),
            limit_per_buyer=kept.limit_per_buyer if head.limit_per_buyer is None else head.limit_per_buyer,
            quantity_max=kept.quantity_max if head.quantity_max is None else head.quantity_max,
            floors=kept.floors,
            convert_from=kept.convert_from,
        )
    )
    state = accept_state(_or(head.state, before.state if before else OFFER_STATES.initial))
    offer = Offer(
        offer_id=before.offer_id if before else item.offer_id,
        seller_id=item.seller_id,
        sku_id=sku.sku_id,
        code=head.offer_code,
        state=state,
        facts=rules.facts_of(product, sku, terms),
        version=before.version if before else 1,
    )
    if before is not None and offer != before:
        if before.state in OFFER_STATES.final and terms != before.facts.terms:
            OFFER_STATES.next(before.state, "change")
        if state != before.state:
            given = rules.input_towards(before.state, state, OFFER_STATES.rows)
            OFFER_STATES.next(before.state, given or state.lower())
    return offer


def _markets_of(prices: Sequence[PriceWindow]) -> tuple[str, ...]:
    currencies = {window.currency for window in prices}
    return tuple(code for code, found in all_markets().items() if found.currency in currencies)


def _write(tx: Tx, seller_id: str, known: _Known, at_ms: int) -> None:
    products = [p for key, p in known.products.items() if known.stored_products.get(key) != p]
    skus = [s for key, s in known.skus.items() if known.stored_skus.get(key) != s]
    offers = [o for key, o in known.offers.items() if known.stored_offers.get(key) != o]
    new_products = [p for p in products if p.product_id not in known.stored_products]
    old_products = [_next(p) for p in products if p.product_id in known.stored_products]
    store.insert_products(tx, new_products, at_ms)
    store.insert_skus(tx, [s for s in skus if s.code not in known.stored_skus], at_ms)
    new_offers = [o for o in offers if (o.sku_id, o.code) not in known.stored_offers]
    store.insert_offers(tx, new_offers, at_ms)
    old_skus = [_next(s) for s in skus if s.code in known.stored_skus]
    old_offers = [_next(o) for o in offers if (o.sku_id, o.code) in known.stored_offers]
    matched = store.update_products(tx, old_products, at_ms)
    matched += store.update_skus(tx, old_skus, at_ms)
    matched += store.update_offers(tx, old_offers, at_ms)
    if matched != len(old_products) + len(old_skus) + len(old_offers):
        raise Refusal("version.conflict", "The catalogue was changed meanwhile.")
    note_changed(tx, [*new_offers, *old_offers], at_ms)
    touched = {sku.sku_id: sku for sku in old_skus}
    for product in old_products:
        found = store.select_skus_of_product(tx, seller_id, product.product_id)
        touched |= {sku.sku_id: sku for sku in found}
    refresh_offers(tx, seller_id, known.products, list(touched.values()), at_ms)


def _next(row: R) -> R:
    return msgspec.structs.replace(row, version=row.version + 1)
