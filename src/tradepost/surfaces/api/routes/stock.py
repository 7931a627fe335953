"""Stock of a SKU: levels, receiving, counting, correcting, moving, writing off."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Annotated

import msgspec
from msgspec import Meta

from tradepost.kernel.errors import Refusal
from tradepost.kernel.ids import check_id, gene_of
from tradepost.kernel.tx import Tx
from tradepost.surfaces.api.once import transact_once
from tradepost.surfaces.api.operation import Answer, Call, Routes
from tradepost.surfaces.api.words import Limit, Page, Pieces, Place, Quantity, Version, home
from tradepost.trade import catalog, inventory, parties
from tradepost.trade.inventory import Level, MovementRow, StockChange, StockCount, StockMove
from tradepost.trade.parties import Principal

ROUTES = Routes("stock")
KEEPING = (parties.Role.SELLER, parties.Role.OPERATOR)
LEVEL = {
    "location_id": "main",
    "pool": "shop",
    "on_hand": 120,
    "held": 2,
    "reserved": 5,
    "available": 113,
    "version": 3,
}
STOCK_ANSWER = {"sku_id": "sku_01m4xk9v0c7s8p2q3r4t5v6w7x", "levels": [LEVEL]}
STOCK_CODES = (
    "catalog.sku_unknown",
    "inventory.sku_unknown",
    "inventory.below_committed",
    "inventory.quantity_invalid",
    "inventory.reference_conflict",
    "inventory.contended",
    "version.conflict",
    "idempotency.key_required",
    "idempotency.in_progress",
)


class LevelView(msgspec.Struct, frozen=True, kw_only=True):
    """Pieces at a location in a pool. `available` is what can still be promised."""

    location_id: str
    pool: str
    on_hand: int
    held: int
    reserved: int
    available: int
    version: int


class StockView(msgspec.Struct, frozen=True, kw_only=True):
    """What lies where of a SKU."""

    sku_id: str
    levels: tuple[LevelView, ...]


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """Goods that came in, or that are lost or broken."""

    quantity: Quantity
    location_id: Place = "main"
    pool: Place = "shop"


class Count(msgspec.Struct, frozen=True, kw_only=True):
    """What was counted. `expected_version` is the version last read, 0 for a place that had none yet."""

    on_hand: Annotated[int, Meta(ge=0, le=1_000_000_000)]
    expected_version: Version
    location_id: Place = "main"
    pool: Place = "shop"


class Delta(msgspec.Struct, frozen=True, kw_only=True):
    """A correction by so many pieces, either way."""

    delta: Pieces
    location_id: Place = "main"
    pool: Place = "shop"


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """Available pieces to take to another pool or location; the total stays."""

    quantity: Quantity
    from_pool: Place
    to_pool: Place
    location_id: Place = "main"
    to_location_id: Annotated[str, Meta(max_length=40, pattern="^[A-Za-z0-9_.-]*$")] = ""


class MovementQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which page of the log."""

    cursor: Annotated[str, Meta(max_length=200)] = ""
    limit: Limit = 50


def reference_of(call: Call) -> str:
    """What makes a movement single: the caller and its key."""
    return "api." + hashlib.sha256(f"{call.principal.party_id} {call.key}".encode()).hexdigest()[:32]


def read_stock(tx: Tx, principal: Principal, sku_id: str) -> StockView:
    """The levels of a SKU of the principal's. Raises Refusal `catalog.sku_unknown`, also for somebody else's."""
    check_owner(tx, principal, sku_id)
    return _view(tx, sku_id)


def check_owner(tx: Tx, principal: Principal, sku_id: str) -> None:
    """Refuse a SKU that is unknown or another seller's, in the same words."""
    found = catalog.sku_homes(tx, [sku_id]).get(sku_id)
    if found is None or not parties.may_see(principal, seller_id=found.seller_id):
        raise Refusal("catalog.sku_unknown", f"No SKU {sku_id}.", field="sku_id")


def _view(tx: Tx, sku_id: str) -> StockView:
    return StockView(
        sku_id=sku_id, levels=tuple(view_level(level) for level in inventory.levels(tx, [sku_id]))
    )


def view_level(level: Level) -> LevelView:
    """A level as shown."""
    return LevelView(
        location_id=level.location_id,
        pool=level.pool,
        on_hand=level.on_hand,
        held=level.held,
        reserved=level.reserved,
        available=level.available,
        version=level.version,
    )


def _receive(tx: Tx, principal: Principal, change: StockChange) -> StockView:
    return _changed(tx, principal, change, inventory.receive)


def _adjust(tx: Tx, principal: Principal, change: StockChange) -> StockView:
    return _changed(tx, principal, change, inventory.adjust)


def _write_off(tx: Tx, principal: Principal, change: StockChange) -> StockView:
    return _changed(tx, principal, change, inventory.write_off)


def _changed(
    tx: Tx,
    principal: Principal,
    change: StockChange,
    act: Callable[[Tx, list[StockChange]], list[Level]],
) -> StockView:
    check_owner(tx, principal, change.sku_id)
    act(tx, [change])
    return _view(tx, change.sku_id)


def _count(tx: Tx, principal: Principal, count: StockCount) -> StockView:
    check_owner(tx, principal, count.sku_id)
    inventory.count(tx, [count])
    return _view(tx, count.sku_id)


def _move(tx: Tx, principal: Principal, move: StockMove) -> StockView:
    check_owner(tx, principal, move.sku_id)
    inventory.move(tx, [move])
    return _view(tx, move.sku_id)


def _change(call: Call, delta: int) -> StockChange:
    body: Receipt | Delta = call.body
    return StockChange(
        sku_id=check_id(call.path["sku_id"], "sku"),
        location_id=body.location_id,
        pool=body.pool,
        delta=delta,
        reference=reference_of(call),
        at_ms=call.now_ms(),
    )


@ROUTES.add(
    "GET",
    "/v1/stock/{sku_id}",
    returns=StockView,
    roles=KEEPING,
    answer=STOCK_ANSWER,
    codes=("catalog.sku_unknown",),
)
async def get_stock(call: Call) -> StockView:
    """Read what lies where of a SKU"""
    sku_id = call.path["sku_id"]
    shard = home(call.platform.db, sku_id, "sku")
    return await call.platform.db.read(shard, read_stock, call.principal, sku_id)


def _movements(
    tx: Tx, principal: Principal, sku_id: str, after: tuple[str, str], limit: int
) -> list[MovementRow]:
    check_owner(tx, principal, sku_id)
    return inventory.movements(tx, sku_id, after, limit)


@ROUTES.add(
    "GET",
    "/v1/stock/{sku_id}/movements",
    query=MovementQuery,
    returns=Page[MovementRow],
    roles=KEEPING,
    answer={
        "items": [
            {
                "sku_id": STOCK_ANSWER["sku_id"],
                "reference": "api.5f4dcc3b5aa765d61d8327deb882cf99",
                "kind": "receive",
                "location_id": "main",
                "pool": "shop",
                "on_hand": 120,
                "held": 0,
                "reserved": 0,
                "at_ms": 1790000000000,
            }
        ],
        "next_cursor": "",
    },
    codes=("catalog.sku_unknown",),
)
async def list_movements(call: Call) -> Page[MovementRow]:
    """Read the log of a SKU's stock"""
    query: MovementQuery = call.query
    sku_id = call.path["sku_id"]
    reference, _, kind = query.cursor.partition("~")
    found = await call.platform.db.read(
        home(call.platform.db, sku_id, "sku"),
        _movements,
        call.principal,
        sku_id,
        (reference, kind),
        query.limit + 1,
    )
    items = tuple(found[: query.limit])
    more = len(found) > query.limit
    return Page(items=items, next_cursor=f"{items[-1].reference}~{items[-1].kind}" if more else "")


@ROUTES.add(
    "POST",
    "/v1/stock/{sku_id}/receive",
    body=Receipt,
    returns=StockView,
    keyed=True,
    scope="stock:write",
    roles=KEEPING,
    example={"quantity": 120, "location_id": "main", "pool": "shop"},
    answer=STOCK_ANSWER,
    codes=STOCK_CODES,
)
async def receive_stock(call: Call) -> Answer:
    """Receive goods"""
    change = _change(call, call.body.quantity)
    return await transact_once(call, gene_of(change.sku_id), 200, _receive, call.principal, change)


@ROUTES.add(
    "POST",
    "/v1/stock/{sku_id}/adjust",
    body=Delta,
    returns=StockView,
    keyed=True,
    scope="stock:write",
    roles=KEEPING,
    example={"delta": -3},
    answer=STOCK_ANSWER,
    codes=STOCK_CODES,
)
async def adjust_stock(call: Call) -> Answer:
    """Correct stock by a delta"""
    change = _change(call, call.body.delta)
    return await transact_once(call, gene_of(change.sku_id), 200, _adjust, call.principal, change)


@ROUTES.add(
    "POST",
    "/v1/stock/{sku_id}/write-off",
    body=Receipt,
    returns=StockView,
    keyed=True,
    scope="stock:write",
    roles=KEEPING,
    example={"quantity": 2},
    answer=STOCK_ANSWER,
    codes=STOCK_CODES,
)
async def write_off_stock(call: Call) -> Answer:
    """Write off goods that are lost or broken"""
    change = _change(call, -call.body.quantity)
    return await transact_once(call, gene_of(change.sku_id), 200, _write_off, call.principal, change)


@ROUTES.add(
    "POST",
    "/v1/stock/{sku_id}/set",
    body=Count,
    returns=StockView,
    keyed=True,
    scope="stock:write",
    roles=KEEPING,
    example={"on_hand": 118, "expected_version": 3},
    answer=STOCK_ANSWER,
    codes=STOCK_CODES,
)
async def set_stock(call: Call) -> Answer:
    """Set what was counted, if nobody changed it since"""
    body: Count = call.body
    count = StockCount(
        sku_id=check_id(call.path["sku_id"], "sku"),
        location_id=body.location_id,
        pool=body.pool,
        on_hand=body.on_hand,
        expected_version=body.expected_version,
        reference=reference_of(call),
        at_ms=call.now_ms(),
    )
    return await transact_once(call, gene_of(count.sku_id), 200, _count, call.principal, count)


@ROUTES.add(
    "POST",
    "/v1/stock/{sku_id}/move",
    body=Move,
    returns=StockView,
    keyed=True,
    scope="stock:write",
    roles=KEEPING,
    example={"quantity": 20, "from_pool": "shop", "to_pool": "campaign"},
    answer=STOCK_ANSWER,
    codes=STOCK_CODES,
)
async def move_stock(call: Call) -> Answer:
    """Move available pieces to another pool or location"""
    body: Move = call.body
    move = StockMove(
        sku_id=check_id(call.path["sku_id"], "sku"),
        location_id=body.location_id,
        from_pool=body.from_pool,
        to_pool=body.to_pool,
        quantity=body.quantity,
        to_location_id=body.to_location_id,
        reference=reference_of(call),
        at_ms=call.now_ms(),
    )
    return await transact_once(call, gene_of(move.sku_id), 200, _move, call.principal, move)
