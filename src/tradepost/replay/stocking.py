"""Prepare the shop for a history: a seller, an offer for each SKU and price, and exactly the stock that will leave."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import msgspec

from tradepost.kernel.ids import gene_of
from tradepost.kernel.money import price_to_major
from tradepost.kernel.tx import Storage, Tx
from tradepost.kernel.world import World
from tradepost.replay.history import CURRENCY, HistoryLine, LineKind
from tradepost.trade import catalog, inventory, parties

MARKET = "GB"
FEE_BPS = 500
TITLE_MAX = 200
OFFERS_PAGE = 200
_encode = msgspec.json.Encoder().encode


class Shelf(msgspec.Struct, frozen=True, kw_only=True):
    """Where everything of the history is found: offers by (code, price), SKUs by code, pieces received by code."""

    seller_id: str
    location_id: str
    offers: dict[tuple[str, int], str]
    skus: dict[str, str]
    received: dict[str, int]


async def stock_up(
    db: Storage,
    world: World,
    lines: Iterable[HistoryLine],
    progress: Callable[[int], None] = lambda rows: None,
) -> Shelf:
    """Open the shop. Raises ValueError when the catalogue does not take a row, naming it."""
    gene = world.gene()
    seller_id, location_id = world.mint("seller", gene), world.mint("location", gene)
    shard = db.shard_of(gene)
    await db.transact(shard, _open_seller, seller_id, world.now_ms())
    titles: dict[str, str] = {}
    prices: dict[str, dict[int, None]] = {}
    needed: dict[str, int] = {}
    for line in lines:
        if line.kind in (LineKind.SALE, LineKind.WRITE_OFF):
            titles[line.code] = titles.get(line.code) or line.description
            prices.setdefault(line.code, {})
            needed[line.code] = needed.get(line.code, 0) + line.quantity
            if line.kind is LineKind.SALE:
                prices[line.code][line.price_e4] = None
    report = await catalog.import_rows(
        db,
        world,
        _rows(titles, prices),
        form="jsonl",
        seller_id=seller_id,
        progress=lambda done: progress(done.rows_read),
    )
    if report.refused:
        raise ValueError(f"{report.rows_refused} catalogue rows refused, first {report.refused[0]}")
    skus = await _skus(db, shard, seller_id, list(needed))
    await _receive(db, world, location_id, skus, needed)
    offers = await _offers(db, shard, seller_id)
    return Shelf(seller_id=seller_id, location_id=location_id, offers=offers, skus=skus, received=needed)


def _open_seller(tx: Tx, seller_id: str, at_ms: int) -> None:
    parties.open_seller(tx, seller_id, at_ms, name="History", fee_bps=FEE_BPS, active=True)
    catalog.note_sellers(
        tx, [catalog.SellerFacts(seller_id=seller_id, state="ACTIVE", fee_bps=FEE_BPS, version=1)]
    )


def _rows(titles: dict[str, str], prices: dict[str, dict[int, None]]) -> Iterator[str]:
    for code, listed in prices.items():
        printable = "".join(letter for letter in titles[code] if letter.isprintable())
        title = printable.strip()[:TITLE_MAX] or code
        for price_e4 in listed or (None,):
            row: dict[str, object] = {"sku_code": code, "title": title}
            if price_e4 is not None:
                row |= {
                    "offer_code": offer_code(code, price_e4),
                    "markets": MARKET,
                    "currency": CURRENCY,
                    "price": price_to_major(price_e4, CURRENCY),
                }
            yield _encode(row).decode() + "\n"


def offer_code(code: str, price_e4: int) -> str:
    """The code of the offer of a SKU at one price."""
    return f"{code} at {price_to_major(price_e4, CURRENCY)}"


async def _skus(db: Storage, shard: int, seller_id: str, codes: list[str]) -> dict[str, str]:
    found = await db.read(shard, catalog.skus_by_code, seller_id, codes)
    return {code: sku.sku_id for code, sku in found.items()}


async def _receive(
    db: Storage, world: World, location_id: str, skus: dict[str, str], needed: dict[str, int]
) -> None:
    by_shard: dict[int, list[inventory.StockChange]] = {}
    for code, quantity in needed.items():
        change = inventory.StockChange(
            sku_id=skus[code],
            location_id=location_id,
            delta=quantity,
            reference="history",
            at_ms=world.now_ms(),
        )
        by_shard.setdefault(db.shard_of(gene_of(skus[code])), []).append(change)
    for shard, changes in by_shard.items():
        await db.transact(shard, inventory.receive, changes)


async def _offers(db: Storage, shard: int, seller_id: str) -> dict[tuple[str, int], str]:
    found: dict[tuple[str, int], str] = {}
    after = ""
    while True:
        page = await db.read(shard, catalog.offers_of_seller, seller_id, after, OFFERS_PAGE)
        for offer in page.offers:
            found[(offer.sku_code, offer.prices[0].price_e4)] = offer.offer_id
        after = page.after
        if not after:
            return found
