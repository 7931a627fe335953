"""The only SQL of the catalogue. Everything but SKU homes lies on the seller's gene."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from tradepost.kernel.ids import gene_of
from tradepost.kernel.tx import Row, Tx
from tradepost.trade.catalog.model import (
    UNKNOWN_SELLER_STATE,
    Component,
    Offer,
    OfferFacts,
    OfferView,
    Product,
    SellerFacts,
    Sku,
    SkuHome,
)
from tradepost.trade.catalog.rules import is_listed, view_of


class _ProductBody(msgspec.Struct, frozen=True, kw_only=True):
    title: str
    description: str
    image: str
    tax_category: str
    groups: tuple[str, ...] = ()


_encode = msgspec.json.Encoder().encode
_product_body = msgspec.json.Decoder(_ProductBody)
_components = msgspec.json.Decoder(tuple[Component, ...])
_facts = msgspec.json.Decoder(OfferFacts)

_PRODUCT = "SELECT product_id, seller_id, code, body, version FROM products WHERE gene = ?"
_SKU = (
    "SELECT sku_id, seller_id, product_id, code, title, components, version, weight_g FROM sku_codes"
    " WHERE gene = ?"
)
_OFFER = (
    "SELECT o.offer_id, o.seller_id, o.sku_id, o.code, o.state, o.body, o.version, s.state, s.fee_bps,"
    " s.shipping_version"
    " FROM offers o LEFT JOIN offer_sellers s ON s.gene = o.gene AND s.seller_id = o.seller_id"
)


def _product(row: Row) -> Product:
    body = _product_body.decode(row[3])
    return Product(
        product_id=row[0],
        seller_id=row[1],
        code=row[2],
        title=body.title,
        description=body.description,
        image=body.image,
        tax_category=body.tax_category,
        version=row[4],
        groups=body.groups,
    )


def _body_of(product: Product) -> bytes:
    return _encode(
        _ProductBody(
            title=product.title,
            description=product.description,
            image=product.image,
            tax_category=product.tax_category,
            groups=product.groups,
        )
    )


def select_products(
    tx: Tx, seller_id: str, *, ids: Iterable[str] = (), codes: Iterable[str] = ()
) -> list[Product]:
    """A seller's products with these ids, and those with these codes."""
    gene = gene_of(seller_id)
    rows = tx.query_in(_PRODUCT + " AND seller_id = ? AND product_id IN ({in})", ids, (gene, seller_id))
    rows += tx.query_in(_PRODUCT + " AND seller_id = ? AND code IN ({in})", codes, (gene, seller_id))
    return [_product(row) for row in rows]


def insert_products(tx: Tx, products: Sequence[Product], at_ms: int) -> None:
    """Add products. Raises Taken when a code or id is there."""
    tx.execute_many(
        "INSERT INTO products (gene, product_id, seller_id, code, body, updated_at_ms, version)"
        " VALUES (?,?,?,?,?,?,?)",
        [
            (gene_of(p.seller_id), p.product_id, p.seller_id, p.code, _body_of(p), at_ms, p.version)
            for p in products
        ],
    )


def update_products(tx: Tx, products: Sequence[Product], at_ms: int) -> int:
    """Write products whose version counts one more than their row's; how many rows still were there."""
    return tx.execute_many(
        "UPDATE products SET body = ?, updated_at_ms = ?, version = ?"
        " WHERE gene = ? AND product_id = ? AND version = ?",
        [
            (_body_of(p), at_ms, p.version, gene_of(p.seller_id), p.product_id, p.version - 1)
            for p in products
        ],
    )


def _sku(row: Row) -> Sku:
    return Sku(
        sku_id=row[0],
        seller_id=row[1],
        product_id=row[2],
        code=row[3],
        title=row[4],
        components=_components.decode(row[5]),
        version=row[6],
        weight_g=row[7],
    )


def select_skus(tx: Tx, seller_id: str, *, ids: Iterable[str] = (), codes: Iterable[str] = ()) -> list[Sku]:
    """A seller's SKUs with these ids, and those with these codes."""
    gene = gene_of(seller_id)
    rows = tx.query_in(_SKU + " AND seller_id = ? AND sku_id IN ({in})", ids, (gene, seller_id))
    rows += tx.query_in(_SKU + " AND seller_id = ? AND code IN ({in})", codes, (gene, seller_id))
    return [_sku(row) for row in rows]


def select_skus_of_product(tx: Tx, seller_id: str, product_id: str) -> list[Sku]:
    """The SKUs of one product."""
    return [_sku(row) for row in tx.query(_SKU + " AND product_id = ?", (gene_of(seller_id), product_id))]


def select_skus_after(tx: Tx, seller_id: str, kits: bool, after: str, limit: int) -> list[Sku]:
    """A page of a seller's kits, or of its plain SKUs, in order of code."""
    return [
        _sku(row)
        for row in tx.query(
            _SKU + " AND seller_id = ? AND is_kit = ? AND code > ? ORDER BY code LIMIT ?",
            (gene_of(seller_id), seller_id, int(kits), after, limit),
        )
    ]


def insert_skus(tx: Tx, skus: Sequence[Sku], at_ms: int) -> None:
    """Claim SKU codes. Raises Taken when one is there."""
    tx.execute_many(
        "INSERT INTO sku_codes (gene, seller_id, code, sku_id, product_id, title, is_kit, components,"
        " updated_at_ms, version, weight_g) VALUES (?,?,?,?,?,?,?,?,?,?,?)",
        [
            (
                gene_of(s.seller_id),
                s.seller_id,
                s.code,
                s.sku_id,
                s.product_id,
                s.title,
                int(bool(s.components)),
                _encode(s.components),
                at_ms,
                s.version,
                s.weight_g,
            )
            for s in skus
        ],
    )


def update_skus(tx: Tx, skus: Sequence[Sku], at_ms: int) -> int:
    """Write title, product and weight of SKUs whose version counts one more than their row's; rows matched."""
    return tx.execute_many(
        "UPDATE sku_codes SET title = ?, product_id = ?, weight_g = ?, updated_at_ms = ?, version = ?"
        " WHERE gene = ? AND seller_id = ? AND code = ? AND version = ?",
        [
            (
                s.title,
                s.product_id,
                s.weight_g,
                at_ms,
                s.version,
                gene_of(s.seller_id),
                s.seller_id,
                s.code,
                s.version - 1,
            )
            for s in skus
        ],
    )


def insert_homes(tx: Tx, homes: Sequence[SkuHome]) -> None:
    """Add SKUs on their own genes. Raises Taken when one is there."""
    tx.execute_many(
        "INSERT INTO skus (gene, sku_id, seller_id, code, created_at_ms) VALUES (?,?,?,?,?)",
        [(gene_of(h.sku_id), h.sku_id, h.seller_id, h.code, h.created_at_ms) for h in homes],
    )


def select_homes(tx: Tx, sku_ids: Iterable[str]) -> list[SkuHome]:
    """The homes of the SKUs this shard keeps."""
    keys = [(gene_of(sku_id), sku_id) for sku_id in dict.fromkeys(sku_ids)]
    rows = tx.query_keys(
        "SELECT sku_id, seller_id, code, created_at_ms FROM skus WHERE {keys}", ("gene", "sku_id"), keys
    )
    found = {row[0]: row for row in rows}
    return [
        SkuHome(sku_id=row[0], seller_id=row[1], code=row[2], created_at_ms=row[3]) for row in found.values()
    ]


def _offer(row: Row) -> Offer:
    return Offer(
        offer_id=row[0],
        seller_id=row[1],
        sku_id=row[2],
        code=row[3],
        state=row[4],
        facts=_facts.decode(row[5]),
        version=row[6],
    )


def _view(row: Row) -> OfferView:
    return view_of(_offer(row), row[7] or UNKNOWN_SELLER_STATE, row[8] or 0, row[9] or 0)


def select_views(tx: Tx, offer_ids: Iterable[str]) -> list[OfferView]:
    """The views of offers, with what is known of their sellers: one statement."""
    keys = [(gene_of(offer_id), offer_id) for offer_id in dict.fromkeys(offer_ids)]
    if not keys:
        return []
    rows = tx.query_keys(_OFFER + " WHERE {keys}", ("o.gene", "o.offer_id"), keys)
    return [_view(row) for row in rows]


def select_views_of_seller(tx: Tx, seller_id: str, after: str, limit: int) -> list[OfferView]:
    """A page of a seller's offers in order of id."""
    rows = tx.query(
        _OFFER + " WHERE o.gene = ? AND o.seller_id = ? AND o.offer_id > ? ORDER BY o.offer_id LIMIT ?",
        (gene_of(seller_id), seller_id, after, limit),
    )
    return [_view(row) for row in rows]


def select_ids_of_market(tx: Tx, market: str, after: str, limit: int) -> list[str]:
    """A page of the offers this shard lists in a market, of active sellers, in order of id: a read model."""
    rows = tx.query(
        "SELECT m.offer_id FROM offer_markets m"
        " JOIN offer_sellers s ON s.gene = m.gene AND s.seller_id = m.seller_id AND s.state = 'ACTIVE'"
        " WHERE m.market = ? AND m.listed = 1 AND m.offer_id > ? ORDER BY m.offer_id LIMIT ?",
        (market, after, limit),
    )
    return [row[0] for row in rows]


def select_offers(
    tx: Tx, seller_id: str, *, ids: Iterable[str] = (), sku_ids: Iterable[str] = ()
) -> list[Offer]:
    """A seller's offers with these ids, and those of these SKUs."""
    known = (gene_of(seller_id), seller_id)
    rows = tx.query_in(_OFFER + " WHERE o.gene = ? AND o.seller_id = ? AND o.offer_id IN ({in})", ids, known)
    rows += tx.query_in(
        _OFFER + " WHERE o.gene = ? AND o.seller_id = ? AND o.sku_id IN ({in})", sku_ids, known
    )
    return [_offer(row) for row in rows]


def insert_offers(tx: Tx, offers: Sequence[Offer], at_ms: int) -> None:
    """Add offers and their markets. Raises Taken when the SKU has an offer of that code."""
    tx.execute_many(
        "INSERT INTO offers (gene, offer_id, seller_id, sku_id, code, state, body, updated_at_ms, version)"
        " VALUES (?,?,?,?,?,?,?,?,?)",
        [
            (
                gene_of(o.offer_id),
                o.offer_id,
                o.seller_id,
                o.sku_id,
                o.code,
                o.state,
                _encode(o.facts),
                at_ms,
                o.version,
            )
            for o in offers
        ],
    )
    _insert_markets(tx, offers)


def update_offers(tx: Tx, offers: Sequence[Offer], at_ms: int) -> int:
    """Write offers whose version counts one more than their row's, and their markets; rows matched."""
    matched = tx.execute_many(
        "UPDATE offers SET state = ?, body = ?, updated_at_ms = ?, version = ?"
        " WHERE gene = ? AND offer_id = ? AND version = ?",
        [
            (o.state, _encode(o.facts), at_ms, o.version, gene_of(o.offer_id), o.offer_id, o.version - 1)
            for o in offers
        ],
    )
    tx.execute_many(
        "DELETE FROM offer_markets WHERE gene = ? AND offer_id = ?",
        [(gene_of(o.offer_id), o.offer_id) for o in offers],
    )
    _insert_markets(tx, offers)
    return matched


def _insert_markets(tx: Tx, offers: Sequence[Offer]) -> None:
    tx.execute_many(
        "INSERT INTO offer_markets (gene, offer_id, market, seller_id, listed) VALUES (?,?,?,?,?)",
        [
            (gene_of(o.offer_id), o.offer_id, market, o.seller_id, int(is_listed(o.state)))
            for o in offers
            for market in o.facts.terms.markets
        ],
    )


def select_sellers(tx: Tx, seller_ids: Iterable[str]) -> list[SellerFacts]:
    """What the catalogue knows of these sellers."""
    keys = [(gene_of(seller_id), seller_id) for seller_id in dict.fromkeys(seller_ids)]
    rows = tx.query_keys(
        "SELECT seller_id, state, fee_bps, version FROM offer_sellers WHERE {keys}",
        ("gene", "seller_id"),
        keys,
    )
    return [SellerFacts(seller_id=row[0], state=row[1], fee_bps=row[2], version=row[3]) for row in rows]


def insert_sellers(tx: Tx, sellers: Sequence[SellerFacts]) -> None:
    """Add what is known of sellers the catalogue meets for the first time."""
    tx.execute_many(
        "INSERT INTO offer_sellers (gene, seller_id, state, fee_bps, version) VALUES (?,?,?,?,?)",
        [(gene_of(s.seller_id), s.seller_id, s.state, s.fee_bps, s.version) for s in sellers],
    )


def update_sellers(tx: Tx, sellers: Sequence[SellerFacts]) -> None:
    """Write newer facts of known sellers; older ones are passed over."""
    tx.execute_many(
        "UPDATE offer_sellers SET state = ?, fee_bps = ?, version = ?"
        " WHERE gene = ? AND seller_id = ? AND version < ?",
        [(s.state, s.fee_bps, s.version, gene_of(s.seller_id), s.seller_id, s.version) for s in sellers],
    )


def count_shipping(tx: Tx, seller_id: str) -> int:
    """Count one more writing of a seller's shipping terms; the new number, 0 for a seller who is not known."""
    known = (gene_of(seller_id), seller_id)
    tx.execute(
        "UPDATE offer_sellers SET shipping_version = shipping_version + 1 WHERE gene = ? AND seller_id = ?",
        known,
    )
    return shipping_version(tx, seller_id)


def shipping_version(tx: Tx, seller_id: str) -> int:
    """How often a seller's shipping terms were written."""
    rows = tx.query(
        "SELECT shipping_version FROM offer_sellers WHERE gene = ? AND seller_id = ?",
        (gene_of(seller_id), seller_id),
    )
    return int(rows[0][0]) if rows else 0
