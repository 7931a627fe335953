"""Bulk import: flat rows in bounded batches, each one transaction; done again, it changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence

import msgspec

from tradepost.kernel.errors import Refusal
from tradepost.kernel.ids import check_id, gene_of
from tradepost.kernel.tx import Storage
from tradepost.kernel.world import World
from tradepost.trade.catalog.api import home_skus, skus_by_code
from tradepost.trade.catalog.bulk_apply import BulkItem, Done, apply_items
from tradepost.trade.catalog.bulk_rows import BadRow, BulkRow, read_csv, read_json_lines
from tradepost.trade.catalog.model import SkuHome

BATCH_ROWS = 200
ITEM_ROWS_MAX = 64
REFUSED_NAMED_MAX = 10_000
READERS = {"csv": read_csv, "jsonl": read_json_lines}


class StockRow(msgspec.Struct, frozen=True, kw_only=True):
    """What a row says is on hand of a SKU, absolutely."""

    sku_id: str
    quantity: int
    line_no: int


class RefusedRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row that was not applied: where it stands, what is wrong with which column, and why."""

    line_no: int
    sku_code: str
    field: str
    code: str
    reason: str


class ImportReport(msgspec.Struct, kw_only=True):
    """What an import did. Rows applied and refused sum to the rows read; the first 10,000 refused are named."""

    rows_read: int = 0
    rows_applied: int = 0
    rows_refused: int = 0
    skus_created: int = 0
    offers_created: int = 0
    offers_changed: int = 0
    items_unchanged: int = 0
    refused: list[RefusedRow] = msgspec.field(default_factory=list)

    def refuse(self, line_no: int, sku_code: str, refusal: Refusal) -> None:
        """Note a refused row."""
        self.rows_refused += 1
        if len(self.refused) == REFUSED_NAMED_MAX:
            return
        row = RefusedRow(
            line_no=line_no,
            sku_code=sku_code[:64],
            field=refusal.field,
            code=refusal.code,
            reason=refusal.detail,
        )
        self.refused.append(row)

    def done(self, item: BulkItem, done: Done) -> None:
        """Count an applied item."""
        self.rows_applied += len(item.rows)
        self.skus_created += done.sku_created
        self.offers_created += done.offer_created
        self.offers_changed += done.offer_changed
        self.items_unchanged += not done.changed


SetStock = Callable[[Sequence[StockRow]], Awaitable[None]]
Progress = Callable[[ImportReport], None]


async def import_rows(
    db: Storage,
    world: World,
    lines: Iterable[str],
    *,
    form: str = "csv",
    seller_id: str = "",
    set_stock: SetStock | None = None,
    progress: Progress | None = None,
) -> ImportReport:
    """Enter products, SKUs, kits and offers from text lines (`form` csv or jsonl), 200 rows a transaction.

    SKUs and offers are found by code and brought to what the rows say. With `seller_id`, rows of other sellers
    are refused; without (operators), each row names its seller. Whatever is refused is in the report; the rows
    of one offer are applied together or not at all. `set_stock` gets the `stock` column after each batch.
    Raises Refusal `catalog.column_unknown`, `catalog.column_missing` or `catalog.row_malformed` for a header
    that cannot be used, before anything is written.
    """
    report = ImportReport()
    batch: list[BulkItem] = []
    for item in _items(READERS[form](lines, seller_id), report, world, stock_allowed=set_stock is not None):
        if item is None:
            await asyncio.sleep(0)  # a long run of bad rows lets others have their turn
            continue
        size = sum(len(waiting.rows) for waiting in batch)
        if batch and (size + len(item.rows) > BATCH_ROWS or batch[0].seller_id != item.seller_id):
            await _apply(db, world, batch, report, set_stock)
            batch = []
            if progress:
                progress(report)
        batch.append(item)
    if batch:
        await _apply(db, world, batch, report, set_stock)
    report.refused.sort(key=lambda row: row.line_no)
    if progress:
        progress(report)
    return report


class _Group(msgspec.Struct, kw_only=True):
    key: tuple[str, str, str]
    rows: list[BulkRow]
    poisoned: bool = False


def _items(
    rows: Iterator[BulkRow | BadRow], report: ImportReport, world: World, *, stock_allowed: bool
) -> Iterator[BulkItem | None]:
    seen: set[int] = set()
    group = _Group(key=("", "", ""), rows=[])
    for row in rows:
        report.rows_read += 1
        if report.rows_read % BATCH_ROWS == 0:
            yield None
        if isinstance(row, BadRow):
            report.refuse(row.line_no, row.key[1], row.refusal)
            if not row.key[1]:
                continue
        if row.key != group.key:
            yield from _close(group, report, world, seen, stock_allowed)
            group = _Group(key=row.key, rows=[])
        if isinstance(row, BadRow):
            group.poisoned = True
        elif len(group.rows) == ITEM_ROWS_MAX:
            group.poisoned = True
            too_many = Refusal("catalog.prices_too_many", "More than 64 rows of one offer.", field="price")
            report.refuse(row.line_no, row.sku_code, too_many)
        else:
            group.rows.append(row)
    yield from _close(group, report, world, seen, stock_allowed)


def _close(
    group: _Group, report: ImportReport, world: World, seen: set[int], stock_allowed: bool
) -> Iterator[BulkItem]:
    if not group.rows:
        return
    try:
        _accept(group, seen, stock_allowed)
        seller_id = check_id(group.key[0], "seller", "seller")
    except Refusal as refusal:
        for row in group.rows:
            report.refuse(row.line_no, row.sku_code, refusal)
        return
    gene = gene_of(seller_id)
    yield BulkItem(
        seller_id=seller_id,
        rows=tuple(group.rows),
        product_id=world.mint("product", gene),
        sku_id=world.mint("sku", world.gene()),
        offer_id=world.mint("offer", gene),
    )


def _accept(group: _Group, seen: set[int], stock_allowed: bool) -> None:
    if group.poisoned:
        raise Refusal("catalog.rows_withheld", "Another row of this offer was refused.")
    mark = hash(group.key)
    if mark in seen:
        raise Refusal("catalog.rows_scattered", "Rows of this offer stood further up.", field="sku_code")
    seen.add(mark)
    head = group.rows[0]
    for row in group.rows[1:]:
        if msgspec.structs.replace(row, line_no=head.line_no, window=head.window) != head:
            raise Refusal("catalog.rows_disagree", "The rows of this offer disagree.", field="sku_code")
        if row.window is None or head.window is None:
            raise Refusal("catalog.column_missing", "A row of this offer has no price.", field="price")
    if head.stock is not None and not stock_allowed:
        raise Refusal("catalog.stock_unsupported", "Stock is not set by this import.", field="stock")


async def _apply(
    db: Storage, world: World, batch: list[BulkItem], report: ImportReport, set_stock: SetStock | None
) -> None:
    seller_id, now_ms = batch[0].seller_id, world.now_ms()
    shard = db.shard_of(gene_of(seller_id))
    known = await db.read(shard, skus_by_code, seller_id, [item.sku_code for item in batch])
    # Homes first: an id whose code is refused below is an id nobody uses; a code without a home would be a hole.
    homes: dict[int, list[SkuHome]] = {}
    for item in batch:
        if item.sku_code not in known:
            home = SkuHome(sku_id=item.sku_id, seller_id=seller_id, code=item.sku_code, created_at_ms=now_ms)
            homes.setdefault(db.shard_of(gene_of(item.sku_id)), []).append(home)
    for home_shard, missing in homes.items():
        await db.transact(home_shard, home_skus, missing)
    results = await db.transact(shard, apply_items, seller_id, tuple(batch), now_ms)
    stock: list[StockRow] = []
    for item, result in zip(batch, results, strict=True):
        if isinstance(result, Refusal):
            for row in item.rows:
                report.refuse(row.line_no, row.sku_code, result)
            continue
        report.done(item, result)
        quantity, line_no = item.rows[0].stock, item.rows[0].line_no
        if quantity is not None:
            stock.append(StockRow(sku_id=result.sku_id, quantity=quantity, line_no=line_no))
    if stock and set_stock is not None:
        await set_stock(stock)
