"""Bulk import and export of a seller's catalogue, as CSV or JSON lines."""

from __future__ import annotations

import codecs
import io
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from tradepost.kernel.errors import Refusal
from tradepost.kernel.ids import gene_of
from tradepost.kernel.tx import Storage, Tx
from tradepost.surfaces.api.operation import Answer, Call, Routes
from tradepost.surfaces.api.routes.catalog import SELLING, acting
from tradepost.trade import catalog, inventory
from tradepost.trade.catalog import ImportReport, StockRow
from tradepost.trade.parties import Role

ROUTES = Routes("bulk")
FORMS = {"text/csv": "csv", "application/x-ndjson": "jsonl", "application/jsonl": "jsonl"}
MEDIA_TYPES = {"csv": "text/csv; charset=utf-8", "jsonl": "application/x-ndjson"}
LOCATION = "main"
SLICE_BYTES = 1 << 16
ROW = {
    "sku_code": "MUG-01-BLUE",
    "title": "Stoneware mug, blue",
    "price": "8.95",
    "currency": "GBP",
    "stock": "120",
}
CSV = 'sku_code,title,price,currency,stock\r\nMUG-01-BLUE,"Stoneware mug, blue",8.95,GBP,120\r\n'


class ExportQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Whose catalogue (operators must name a seller) and in which form."""

    seller_id: Annotated[str, Meta(max_length=64)] = ""
    form: Literal["csv", "jsonl"] = "csv"


class ImportQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Whose catalogue; operators may leave it out and name sellers row by row."""

    seller_id: Annotated[str, Meta(max_length=64)] = ""


def count_rows(tx: Tx, rows: Sequence[StockRow], reference: str, at_ms: int) -> None:
    """Set what the rows say lies at the main location in the shop pool; the levels of now are taken as read."""
    levels = {
        level.sku_id: level
        for level in inventory.levels(tx, [row.sku_id for row in rows])
        if (level.location_id, level.pool) == (LOCATION, inventory.SHOP)
    }
    latest = {row.sku_id: row for row in rows if tx.keeps(gene_of(row.sku_id))}
    inventory.count(
        tx,
        [
            inventory.StockCount(
                sku_id=row.sku_id,
                location_id=LOCATION,
                on_hand=row.quantity,
                expected_version=levels[row.sku_id].version if row.sku_id in levels else 0,
                reference=reference,
                at_ms=at_ms,
            )
            for row in latest.values()
            if row.sku_id not in levels or levels[row.sku_id].on_hand != row.quantity
        ],
    )


@ROUTES.add(
    "POST",
    "/v1/catalog/import",
    accepts=tuple(FORMS),
    query=ImportQuery,
    returns=ImportReport,
    bulk=True,
    scope="catalog:write",
    roles=SELLING,
    example={"text/csv": CSV, "application/x-ndjson": msgspec.json.encode(ROW).decode() + "\n"},
    answer={
        "rows_read": 1,
        "rows_applied": 1,
        "rows_refused": 0,
        "skus_created": 1,
        "offers_created": 1,
        "offers_changed": 0,
        "items_unchanged": 0,
        "refused": [],
    },
    codes=("catalog.column_unknown", "catalog.column_missing", "catalog.row_malformed"),
)
async def import_catalog(call: Call) -> ImportReport:
    """Import products, SKUs, kits, offers and stock

    Done again it changes nothing. Every refused row is in the report with its line, column and reason.
    """
    platform, world = call.platform, call.platform.world
    seller_id = call.query.seller_id
    if call.principal.role == Role.SELLER or seller_id:
        seller_id, _ = acting(call, seller_id)
    check_text(call.raw)
    reference = f"import.{world.chance(96):024x}"

    withheld: list[tuple[StockRow, Refusal]] = []

    async def set_stock(rows: Sequence[StockRow]) -> None:
        for shard in sorted({platform.db.shard_of(gene_of(row.sku_id)) for row in rows}):
            try:
                await platform.db.transact(shard, count_rows, rows, reference, world.now_ms())
            except Refusal:
                withheld.extend(await _count_singly(call, shard, rows, reference))

    given = call.headers.get("content-type", "text/csv").partition(";")[0].strip().lower()
    report = await catalog.import_rows(
        platform.db,
        world,
        io.TextIOWrapper(io.BytesIO(call.raw), encoding="utf-8-sig", newline=""),
        form=FORMS[given],
        seller_id=seller_id,
        set_stock=set_stock if "stock:write" in call.principal.scopes else None,
    )
    for row, refusal in withheld:
        report.rows_applied -= 1
        report.refuse(row.line_no, "", refusal)
    report.refused.sort(key=lambda row: row.line_no)
    return report


def check_text(raw: bytes) -> None:
    """Refuse what is not UTF-8 before anything is written, a slice at a time: the text is never held whole."""
    decode = codecs.getincrementaldecoder("utf-8")().decode
    try:
        for start in range(0, len(raw), SLICE_BYTES):
            decode(raw[start : start + SLICE_BYTES])
        decode(b"", final=True)
    except UnicodeDecodeError:
        raise Refusal("catalog.row_malformed", "The text is not UTF-8.", expected="UTF-8") from None


async def _count_singly(
    call: Call, shard: int, rows: Sequence[StockRow], reference: str
) -> list[tuple[StockRow, Refusal]]:
    """One bad row must not keep the stock of the others: each on its own; those that are refused."""
    refused = []
    db = call.platform.db
    for row in rows:
        if db.shard_of(gene_of(row.sku_id)) != shard:
            continue
        try:
            await db.transact(shard, count_rows, [row], reference, call.now_ms())
        except Refusal as refusal:
            refused.append((row, refusal))
    return refused


async def levels_of(db: Storage, sku_ids: Iterable[str]) -> dict[str, int]:
    """What is on hand of SKUs at the main location in the shop pool."""
    wanted: dict[int, list[str]] = {}
    for sku_id in sku_ids:
        wanted.setdefault(db.shard_of(gene_of(sku_id)), []).append(sku_id)
    found: dict[str, int] = {}
    for shard, ids in wanted.items():
        for level in await db.read(shard, inventory.levels, ids):
            if (level.location_id, level.pool) == (LOCATION, inventory.SHOP):
                found[level.sku_id] = level.on_hand
    return found


@ROUTES.add(
    "GET",
    "/v1/catalog/export",
    query=ExportQuery,
    media_type="text/csv",
    also=("application/x-ndjson",),
    roles=SELLING,
    answer=CSV,
)
async def export_catalog(call: Call) -> Answer:
    """Export a seller's catalogue in the form that import takes"""
    query: ExportQuery = call.query
    seller_id, _ = acting(call, query.seller_id)

    async def levels(sku_ids: Iterable[str]) -> dict[str, int]:
        return await levels_of(call.platform.db, sku_ids)

    async def pieces() -> AsyncIterator[bytes]:
        rows = catalog.export_rows(call.platform.db, seller_id, form=query.form, levels=levels)
        async for piece in rows:
            yield piece.encode()

    return Answer(pieces(), media_type=MEDIA_TYPES[query.form])
