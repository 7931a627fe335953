"""Transaction functions and queries on the catalogue. Writes run on the shard of the seller's gene."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

import msgspec

from tradepost.kernel.errors import Refusal
from tradepost.kernel.events import record
from tradepost.kernel.ids import gene_of
from tradepost.kernel.tx import Storage, Taken, Tx
from tradepost.trade.catalog import rules, store
from tradepost.trade.catalog.model import (
    OFFER_STATES,
    Offer,
    OfferChanged,
    OfferTerms,
    OfferView,
    Product,
    SellerFacts,
    Sku,
    SkuHome,
)


class OfferPage(msgspec.Struct, frozen=True, kw_only=True):
    """Offers in order of id; `after` is the cursor of the next page, empty at the end."""

    offers: tuple[OfferView, ...]
    after: str = ""


def note_sellers(tx: Tx, sellers: Sequence[SellerFacts]) -> None:
    """Keep what offers must know of their sellers; facts older than those known change nothing."""
    newest = {facts.seller_id: facts for facts in sorted(sellers, key=lambda facts: facts.version)}
    known = {facts.seller_id for facts in store.select_sellers(tx, newest)}
    store.insert_sellers(tx, [facts for facts in newest.values() if facts.seller_id not in known])
    store.update_sellers(tx, [facts for facts in newest.values() if facts.seller_id in known])
    for seller_id in newest:
        tx.signal("seller", seller_id)


def note_shipping(tx: Tx, seller_id: str) -> int:
    """Let offers know that their seller's shipping terms are others now; how often they were written, this included.

    Raises Refusal `catalog.seller_unknown`.
    """
    version = store.count_shipping(tx, seller_id)
    if not version:
        raise Refusal("catalog.seller_unknown", f"No seller {seller_id[:60]} is known.", field="seller_id")
    tx.signal("seller", seller_id)
    return version


def shipping_version(tx: Tx, seller_id: str) -> int:
    """How often a seller's shipping terms were written; 0 for a seller who is not known."""
    return store.shipping_version(tx, seller_id)


def create_product(tx: Tx, product: Product, at_ms: int) -> Product:
    """Enter a product; its id lies on the seller's gene.

    Raises Refusal `catalog.code_taken` or one of `rules.accept_product`.
    """
    accepted = rules.accept_product(product)
    _check_gene(accepted.product_id, accepted.seller_id)
    try:
        store.insert_products(tx, [accepted], at_ms)
    except Taken:
        raise _taken(accepted.code) from None
    return accepted


def change_product(tx: Tx, product: Product, at_ms: int) -> Product:
    """Write a product's texts; `version` is the one that was read. Its offers follow in the same commit.

    Raises Refusal `catalog.product_unknown`, `version.conflict` or one of `rules.accept_product`.
    """
    now = find_product(tx, product.seller_id, product.product_id)
    accepted = rules.accept_product(msgspec.structs.replace(product, code=now.code, version=now.version + 1))
    if product.version != now.version or store.update_products(tx, [accepted], at_ms) != 1:
        raise _conflict(now.product_id, now.version)
    skus = store.select_skus_of_product(tx, accepted.seller_id, accepted.product_id)
    refresh_offers(tx, accepted.seller_id, {accepted.product_id: accepted}, skus, at_ms)
    return accepted


def find_product(tx: Tx, seller_id: str, product_id: str) -> Product:
    """A seller's product. Raises Refusal `catalog.product_unknown`."""
    found = store.select_products(tx, seller_id, ids=[product_id])
    if not found:
        raise Refusal("catalog.product_unknown", f"No product {product_id}.", field="product_id")
    return found[0]


async def add_sku(db: Storage, sku: Sku, at_ms: int, *, components: Sequence[tuple[str, int]] = ()) -> Sku:
    """Enter a SKU, plain or a kit of (SKU code, quantity): first its home on its own gene, then its code.

    A home whose code was taken meanwhile is an id nobody uses. Raises Refusal `catalog.code_taken`,
    `catalog.code_invalid`, `catalog.text_invalid`, `catalog.weight_invalid`, `catalog.product_unknown`,
    `catalog.component_unknown` or `catalog.components_invalid`.
    """
    rules.accept_code(sku.code)
    home = SkuHome(sku_id=sku.sku_id, seller_id=sku.seller_id, code=sku.code, created_at_ms=at_ms)
    await db.transact(db.shard_of(gene_of(sku.sku_id)), home_skus, [home])
    return await db.transact(
        db.shard_of(gene_of(sku.seller_id)), create_sku, sku, at_ms, components=tuple(components)
    )


def home_skus(tx: Tx, homes: Sequence[SkuHome]) -> None:
    """Give SKUs their rows on their own genes; those that have one keep it."""
    known = {home.sku_id for home in store.select_homes(tx, [home.sku_id for home in homes])}
    store.insert_homes(tx, [home for home in homes if home.sku_id not in known])


def create_sku(tx: Tx, sku: Sku, at_ms: int, *, components: Sequence[tuple[str, int]] = ()) -> Sku:
    """Claim a SKU's code on the seller's gene; `add_sku` does this and the SKU's home. Raises as it does."""
    find_product(tx, sku.seller_id, sku.product_id)
    codes = [code for code, _ in components]
    known = {found.code: found for found in store.select_skus(tx, sku.seller_id, codes=codes)}
    accepted = msgspec.structs.replace(
        sku,
        code=rules.accept_code(sku.code),
        title=rules.accept_text(sku.title, rules.TITLE_MAX, "title"),
        weight_g=rules.accept_weight(sku.weight_g),
        components=rules.flatten(sku.code, components, known),
    )
    try:
        store.insert_skus(tx, [accepted], at_ms)
    except Taken:
        raise _taken(sku.code) from None
    return accepted


def rename_sku(
    tx: Tx, seller_id: str, sku_id: str, title: str, version: int, at_ms: int, weight_g: int | None = None
) -> Sku:
    """Give a SKU another title, and another weight unless it is None; its offers follow in the same commit.

    Raises Refusal `catalog.sku_unknown`, `catalog.text_invalid`, `catalog.weight_invalid` or `version.conflict`.
    """
    now = find_sku(tx, seller_id, sku_id)
    title = rules.accept_text(title, rules.TITLE_MAX, "title")
    weight_g = now.weight_g if weight_g is None else rules.accept_weight(weight_g)
    changed = msgspec.structs.replace(now, title=title, weight_g=weight_g, version=now.version + 1)
    if now.version != version or store.update_skus(tx, [changed], at_ms) != 1:
        raise _conflict(sku_id, now.version)
    product = find_product(tx, seller_id, now.product_id)
    refresh_offers(tx, seller_id, {product.product_id: product}, [changed], at_ms)
    return changed


def find_sku(tx: Tx, seller_id: str, sku_id: str) -> Sku:
    """A seller's SKU by id, on the seller's shard. Raises Refusal `catalog.sku_unknown`."""
    found = store.select_skus(tx, seller_id, ids=[sku_id])
    if not found:
        raise Refusal("catalog.sku_unknown", f"No SKU {sku_id}.", field="sku_id")
    return found[0]


def skus_by_code(tx: Tx, seller_id: str, codes: Iterable[str]) -> dict[str, Sku]:
    """A seller's SKUs by code; capitals matter."""
    return {sku.code: sku for sku in store.select_skus(tx, seller_id, codes=codes)}


def sku_homes(tx: Tx, sku_ids: Iterable[str]) -> dict[str, SkuHome]:
    """Whose these SKUs are, on the SKUs' own shard: what a stock route asks before it lets a seller write."""
    return {home.sku_id: home for home in store.select_homes(tx, sku_ids)}


def create_offer(
    tx: Tx,
    seller_id: str,
    sku_id: str,
    offer_id: str,
    terms: OfferTerms,
    at_ms: int,
    *,
    code: str = "",
    state: str = "ACTIVE",
) -> Offer:
    """Offer a SKU under terms; the offer id lies on the seller's gene.

    Raises Refusal `catalog.sku_unknown`, `catalog.offer_exists` or one of `rules.accept_terms`.
    """
    _check_gene(offer_id, seller_id)
    sku = find_sku(tx, seller_id, sku_id)
    product = find_product(tx, seller_id, sku.product_id)
    offer = Offer(
        offer_id=offer_id,
        seller_id=seller_id,
        sku_id=sku_id,
        code=rules.accept_code(code, "offer_code") if code else "",
        state=accept_state(state),
        facts=rules.facts_of(product, sku, rules.accept_terms(terms)),
    )
    try:
        store.insert_offers(tx, [offer], at_ms)
    except Taken:
        raise Refusal(
            "catalog.offer_exists", f"SKU {sku.code} has an offer '{code}'.", field="offer_code"
        ) from None
    note_changed(tx, [offer], at_ms)
    return offer


def accept_state(state: str) -> str:
    """The offer state itself. Raises Refusal `catalog.state_invalid`."""
    if state not in OFFER_STATES.states:
        raise Refusal("catalog.state_invalid", f"{state[:20]!r} is no state.", field="state")
    return state


def change_offer(tx: Tx, seller_id: str, offer_id: str, terms: OfferTerms, version: int, at_ms: int) -> Offer:
    """Replace an offer's terms; `version` is the one that was read. Quotes given before keep their prices.

    Raises Refusal `catalog.offer_unknown`, `version.conflict`, `state.conflict` for an ended offer, or one of
    `rules.accept_terms`.
    """
    now = _offer_at(tx, seller_id, offer_id, version)
    if now.state in OFFER_STATES.final:
        OFFER_STATES.next(now.state, "change")
    facts = msgspec.structs.replace(now.facts, terms=rules.accept_terms(terms))
    return _write(tx, msgspec.structs.replace(now, facts=facts, version=now.version + 1), at_ms)


def move_offer(tx: Tx, seller_id: str, offer_id: str, given: str, version: int, at_ms: int) -> Offer:
    """Pause, resume or end an offer; `version` 0 takes the row as it is.

    Raises Refusal `catalog.offer_unknown`, `version.conflict` or `state.conflict`.
    """
    now = _offer_at(tx, seller_id, offer_id, version)
    state = OFFER_STATES.next(now.state, given)
    return _write(tx, msgspec.structs.replace(now, state=state, version=now.version + 1), at_ms)


def refresh_offers(
    tx: Tx, seller_id: str, products: dict[str, Product], skus: Sequence[Sku], at_ms: int
) -> None:
    """Bring the offers of changed SKUs and products up to their present texts."""
    by_id = {sku.sku_id: sku for sku in skus}
    changed = []
    for offer in store.select_offers(tx, seller_id, sku_ids=by_id):
        sku = by_id[offer.sku_id]
        facts = rules.facts_of(products[sku.product_id], sku, offer.facts.terms)
        if facts != offer.facts:
            changed.append(msgspec.structs.replace(offer, facts=facts, version=offer.version + 1))
    if store.update_offers(tx, changed, at_ms) != len(changed):
        raise _conflict(seller_id, 0)
    note_changed(tx, changed, at_ms)


def note_changed(tx: Tx, offers: Sequence[Offer], at_ms: int) -> None:
    """Tell caches of offers as written: this process by signals, the others by events as well."""
    for offer in offers:
        tx.signal("offer", offer.offer_id)
    tx.emit(
        record(
            OfferChanged(offer_id=offer.offer_id, seller_id=offer.seller_id, state=offer.state),
            offer.offer_id,
            offer.version,
            at_ms,
            seller_id=offer.seller_id,
        )
        for offer in offers
    )


def offer_views(tx: Tx, offer_ids: Iterable[str]) -> dict[str, OfferView]:
    """The views of the offers this shard knows, by id: one statement. Unknown ids are left out."""
    return {view.offer_id: view for view in store.select_views(tx, offer_ids)}


def offers_of_seller(tx: Tx, seller_id: str, after: str = "", limit: int = 100) -> OfferPage:
    """A page of a seller's offers in every state, in order of id."""
    found = store.select_views_of_seller(tx, seller_id, after, limit + 1)
    more = len(found) > limit
    return OfferPage(offers=tuple(found[:limit]), after=found[limit - 1].offer_id if more else "")


def offers_of_codes(tx: Tx, seller_id: str, codes: Iterable[str]) -> dict[str, tuple[Offer, ...]]:
    """A seller's offers by SKU code, in order of id."""
    skus = skus_by_code(tx, seller_id, codes)
    found: dict[str, tuple[Offer, ...]] = {}
    offers = store.select_offers(tx, seller_id, sku_ids=[sku.sku_id for sku in skus.values()])
    for offer in sorted(offers, key=lambda offer: offer.offer_id):
        code = offer.facts.sku_code
        found[code] = (*found.get(code, ()), offer)
    return found


async def offers_in_market(db: Storage, market: str, after: str = "", limit: int = 100) -> OfferPage:
    """A page of what buyers of a market are shown: active offers of active sellers, over all shards."""
    places: dict[str, int] = {}
    for shard in range(db.shards):
        for offer_id in await db.read(shard, store.select_ids_of_market, market, after, limit + 1):
            places[offer_id] = shard
    wanted = list(islice(sorted(places), limit))
    found: dict[str, OfferView] = {}
    for shard in sorted({places[offer_id] for offer_id in wanted}):
        ids = [offer_id for offer_id in wanted if places[offer_id] == shard]
        found |= await db.read(shard, offer_views, ids)
    return OfferPage(
        offers=tuple(found[offer_id] for offer_id in wanted if offer_id in found),
        after=wanted[-1] if len(places) > limit else "",
    )


def _offer_at(tx: Tx, seller_id: str, offer_id: str, version: int) -> Offer:
    found = store.select_offers(tx, seller_id, ids=[offer_id])
    if not found:
        raise Refusal("catalog.offer_unknown", f"No offer {offer_id}.", field="offer_id")
    if version and found[0].version != version:
        raise _conflict(offer_id, found[0].version)
    return found[0]


def _write(tx: Tx, offer: Offer, at_ms: int) -> Offer:
    if store.update_offers(tx, [offer], at_ms) != 1:
        raise _conflict(offer.offer_id, offer.version - 1)
    note_changed(tx, [offer], at_ms)
    return offer


def _check_gene(identifier: str, seller_id: str) -> None:
    if gene_of(identifier) != gene_of(seller_id):
        raise Refusal("id.invalid", f"{identifier} does not lie on the gene of {seller_id}.", field="id")


def _taken(code: str) -> Refusal:
    return Refusal("catalog.code_taken", f"The code {code} is in use.", field="code", extra={"taken": code})


def _conflict(identifier: str, version: int) -> Refusal:
    return Refusal(
        "version.conflict",
        f"{identifier} was changed meanwhile.",
        field="version",
        extra={"version": version},
    )
