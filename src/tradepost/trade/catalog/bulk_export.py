"""Bulk export: a seller's whole catalogue as the flat rows that import brings back, page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

from tradepost.kernel.ids import gene_of
from tradepost.kernel.tx import Storage, Tx
from tradepost.trade.catalog import store
from tradepost.trade.catalog.bulk_rows import Cells, format_rows, write_csv, write_json_lines
from tradepost.trade.catalog.model import Offer, Sku

PAGE_SKUS = 200

Levels = Callable[[Iterable[str]], Awaitable[dict[str, int]]]
"""SKU ids to what is on hand of each."""


def read_page(tx: Tx, seller_id: str, kits: bool, after: str, limit: int) -> tuple[list[Cells], list[Sku]]:
    """The rows of a page of SKUs in order of code, and the SKUs themselves."""
    skus = store.select_skus_after(tx, seller_id, kits, after, limit)
    products = store.select_products(tx, seller_id, ids=sorted({sku.product_id for sku in skus}))
    by_id = {product.product_id: product for product in products}
    parts = sorted({part.sku_id for sku in skus for part in sku.components})
    code_of = {sku.sku_id: sku.code for sku in store.select_skus(tx, seller_id, ids=parts)}
    offers: dict[str, list[Offer]] = {}
    for offer in store.select_offers(tx, seller_id, sku_ids=[sku.sku_id for sku in skus]):
        offers.setdefault(offer.sku_id, []).append(offer)
    rows: list[Cells] = []
    for sku in skus:
        rows += format_rows(by_id[sku.product_id], sku, offers.get(sku.sku_id, []), code_of)
    return rows, skus


async def export_rows(
    db: Storage, seller_id: str, *, form: str = "csv", levels: Levels | None = None
) -> AsyncIterator[str]:
    """A seller's products, SKUs and offers as text, 200 SKUs a piece; kits come after what they consist of.

    `levels` fills the `stock` column of plain SKUs; without it the column stays empty. Importing the text brings
    the same catalogue back.
    """
    shard = db.shard_of(gene_of(seller_id))
    if form == "csv":
        yield write_csv([], header=True)
    for kits in (False, True):
        after = ""
        while True:
            rows, skus = await db.read(shard, read_page, seller_id, kits, after, PAGE_SKUS)
            if levels is not None and not kits:
                stock = await levels([sku.sku_id for sku in skus])
                by_code = {sku.code: str(stock[sku.sku_id]) for sku in skus if sku.sku_id in stock}
                rows = [row | {"stock": by_code.get(row["sku_code"], "")} for row in rows]
            if rows:
                yield write_csv(rows) if form == "csv" else write_json_lines(rows)
            if len(skus) < PAGE_SKUS:
                break
            after = skus[-1].code
