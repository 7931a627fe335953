"""Load the demo shop: once, in about a second, with the same ids everywhere."""

from __future__ import annotations

import msgspec

from tradepost.demo.goods import KITS, SELLERS, SPECIALS, STOCK, Special, goods, rows_of, seller_of
from tradepost.demo.world import DEMO_MOMENT_MS, DemoWorld
from tradepost.kernel.ids import gene_of
from tradepost.kernel.tx import Storage, Tx
from tradepost.settings import DEMO_KEYS
from tradepost.trade import catalog, inventory, parties

FEE_BPS = 800
FEATURED: dict[str, str] = {
    "first": "85123A",
    "scarce": "21621",
    "cake_stand": "22423",
    "party_kit": "KIT-PARTY",
    "kit": "KIT-TEATIME",
}


class DemoShop(msgspec.Struct, frozen=True, kw_only=True):
    """What is in the demo shop. `offers` are the ids that examples name; `loaded` says whether it was new."""

    sellers: dict[str, str]
    creator_id: str
    buyer_id: str
    storefront_id: str
    operator_id: str
    offers: dict[str, str]
    loaded: bool


class _Cast(msgspec.Struct, frozen=True, kw_only=True):
    sellers: dict[str, str]
    locations: dict[str, str]
    creator_id: str
    buyer_id: str
    storefront_id: str
    operator_id: str


def _cast() -> _Cast:
    world = DemoWorld("parties")
    sellers = {name: parties.mint_party(world, "seller") for name in SELLERS}
    return _Cast(
        sellers=sellers,
        locations={name: world.mint("location", gene_of(sellers[name])) for name in SELLERS},
        creator_id=parties.mint_party(world, "creator"),
        buyer_id=parties.mint_party(world, "buyer"),
        storefront_id=parties.mint_party(world, "storefront"),
        operator_id=parties.mint_party(world, "operator"),
    )


async def load_demo(db: Storage) -> DemoShop:
    """Enter the demo shop unless it is there: sellers, creator, storefront, buyer, goods, kits, stock, keys.

    Every step finds what an interrupted load left and goes on; the keys come last and say that all is there.
    """
    cast = _cast()
    missing = not await parties.keys_of(db, cast.operator_id)
    if missing:
        for name, seller_id in cast.sellers.items():
            await _load_seller(db, name, seller_id, cast.locations[name])
        await _load_members(db, cast)
        await _load_keys(db, cast)
    return DemoShop(
        sellers=cast.sellers,
        creator_id=cast.creator_id,
        buyer_id=cast.buyer_id,
        storefront_id=cast.storefront_id,
        operator_id=cast.operator_id,
        offers=await _featured(db, cast),
        loaded=missing,
    )


def _enter_seller(tx: Tx, seller_id: str, name: str) -> None:
    if seller_id not in parties.seller_views(tx, [seller_id]):
        parties.open_seller(tx, seller_id, DEMO_MOMENT_MS, name=name, fee_bps=FEE_BPS, active=True)
    # The event says the same a moment later; the shop is open before that.
    facts = catalog.SellerFacts(seller_id=seller_id, state="ACTIVE", fee_bps=FEE_BPS, version=1)
    catalog.note_sellers(tx, [facts])


async def _load_seller(db: Storage, name: str, seller_id: str, location_id: str) -> None:
    shard = db.shard_of(gene_of(seller_id))
    await db.transact(shard, _enter_seller, seller_id, name)
    chosen = tuple(good for good in goods() if seller_of(good) == name)
    report = await catalog.import_rows(db, DemoWorld(f"catalog {name}"), rows_of(chosen), seller_id=seller_id)
    if report.refused:
        raise ValueError(f"the demo data does not load: {report.refused[0]}")
    skus = await db.read(shard, catalog.skus_by_code, seller_id, [good.code for good in chosen])
    by_shard: dict[int, list[inventory.StockChange]] = {}
    for code, sku in skus.items():
        change = inventory.StockChange(
            sku_id=sku.sku_id,
            location_id=location_id,
            delta=SPECIALS.get(code, Special(code, stock=STOCK)).stock,
            reference="demo",
            at_ms=DEMO_MOMENT_MS,
        )
        by_shard.setdefault(db.shard_of(gene_of(sku.sku_id)), []).append(change)
    for sku_shard, changes in by_shard.items():
        await db.transact(sku_shard, inventory.receive, changes)


def _enter_buyer(tx: Tx, buyer_id: str) -> None:
    if buyer_id not in parties.buyer_views(tx, [buyer_id]):
        parties.create_buyer(tx, buyer_id, DEMO_MOMENT_MS, name="Ann Example", email="ann@example.org")


def _enter_member(tx: Tx, party_id: str, role: str, name: str) -> None:
    if party_id not in parties.member_views(tx, [party_id]):
        parties.create_member(tx, party_id, role, DEMO_MOMENT_MS, name=name)


async def _load_members(db: Storage, cast: _Cast) -> None:
    await db.transact(db.shard_of(gene_of(cast.buyer_id)), _enter_buyer, cast.buyer_id)
    for party_id, role, name in (
        (cast.creator_id, "creator", "Mika Makes"),
        (cast.storefront_id, "storefront", "Demo storefront"),
        (cast.operator_id, "operator", "Demo operator"),
    ):
        await db.transact(db.shard_of(gene_of(party_id)), _enter_member, party_id, role, name)


async def _load_keys(db: Storage, cast: _Cast) -> None:
    first, second, third = cast.sellers.values()
    world = DemoWorld("keys")
    for name, role, party_id in (
        ("storefront", "storefront", cast.storefront_id),
        ("buyer", "buyer", cast.buyer_id),
        ("creator", "creator", cast.creator_id),
        ("seller", "seller", first),
        ("seller_2", "seller", second),
        ("seller_3", "seller", third),
        ("operator", "operator", cast.operator_id),
    ):
        if not await parties.keys_of(db, party_id):
            await parties.issue_key(db, world, party_id, role, token=DEMO_KEYS[name])


async def _featured(db: Storage, cast: _Cast) -> dict[str, str]:
    codes = [*FEATURED.values(), *KITS]
    found: dict[str, str] = {}
    for seller_id in cast.sellers.values():
        shard = db.shard_of(gene_of(seller_id))
        offers = await db.read(shard, catalog.offers_of_codes, seller_id, codes)
        found |= {code: of_code[0].offer_id for code, of_code in offers.items()}
    return {name: found[code] for name, code in FEATURED.items() if code in found}
