"""What happened: the stream by cursor, dead letters, markets."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from tradepost import events
from tradepost.kernel.errors import Refusal
from tradepost.kernel.events import EventRow
from tradepost.kernel.ids import gene_of
from tradepost.markets import all_markets
from tradepost.surfaces.api.operation import Call, Routes
from tradepost.surfaces.api.words import Cursor, Limit
from tradepost.trade import parties
from tradepost.trade.parties import Principal, Role

ROUTES = Routes("events")
EVENT = {
    "id": "ord_01m4xk9v0c7s8p2q3r4t5v6w7x.1",
    "type": "order.placed.v1",
    "time_ms": 1790000000000,
    "subject": "ord_01m4xk9v0c7s8p2q3r4t5v6w7x",
    "version": 1,
    "data": {"order_id": "ord_01m4xk9v0c7s8p2q3r4t5v6w7x", "total_minor": 1790, "currency": "GBP"},
}
LETTER = {
    "consumer": "orders.payments",
    "aggregate_id": "pay_01m4xk9v0c7s8p2q3r4t5v6w7x",
    "version": 2,
    "attempts": 8,
    "error": "KeyError: 'x'",
    "at_ms": 1790000000000,
}
MARKET = {
    "code": "GB",
    "name": "United Kingdom",
    "currency": "GBP",
    "locale": "en-GB",
    "time_zone": "Europe/London",
    "prices_include_tax": True,
    "address_required": ["name", "line1", "city", "postcode", "country"],
}


class EventQuery(msgspec.Struct, frozen=True, kw_only=True):
    """From where, how many, and of which types (separated by commas; none is all)."""

    cursor: Cursor = ""
    limit: Limit = 50
    types: Annotated[str, Meta(max_length=1_000)] = ""


class EventView(msgspec.Struct, frozen=True, kw_only=True):
    """A fact. `subject` is what it is about; `version` counts the facts about it without gaps."""

    id: str
    type: str
    time_ms: int
    subject: str
    version: int
    data: msgspec.Raw


class EventPage(msgspec.Struct, frozen=True, kw_only=True):
    """Facts in order, where to go on, and whether there is more now. A page may be empty with `more` set."""

    items: tuple[EventView, ...]
    next_cursor: str
    more: bool


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """An event that a consumer failed on too often."""

    consumer: str
    aggregate_id: str
    version: int
    attempts: int
    error: str
    at_ms: int


class LetterList(msgspec.Struct, frozen=True, kw_only=True):
    """Dead letters, newest first."""

    items: tuple[Letter, ...]


class LetterQuery(msgspec.Struct, frozen=True, kw_only=True):
    """How many."""

    limit: Limit = 50


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """Which dead letter to deliver again."""

    consumer: Annotated[str, Meta(max_length=64)]
    aggregate_id: Annotated[str, Meta(max_length=64)]
    version: Annotated[int, Meta(ge=1, le=2**31 - 1)]


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """The event that is on its way again."""

    event_id: str


class MarketView(msgspec.Struct, frozen=True, kw_only=True):
    """What a shop must know of a market."""

    code: str
    name: str
    currency: str
    locale: str
    time_zone: str
    prices_include_tax: bool
    address_required: tuple[str, ...]


class MarketList(msgspec.Struct, frozen=True, kw_only=True):
    """Every market."""

    items: tuple[MarketView, ...]


def _positions(cursor: str, shards: int) -> list[int]:
    """Where each shard's stream goes on."""
    if not cursor:
        return [0] * shards
    parts = cursor.split(".")
    if len(parts) != shards or not all(
        part.isdecimal() and part.isascii() and len(part) < 19 for part in parts
    ):
        raise Refusal("input.cursor_invalid", "The cursor is not one of this stream.", field="cursor")
    return [int(part) for part in parts]


def _filters(principal: Principal) -> dict[str, str]:
    if principal.role == Role.SELLER:
        return {"seller_id": principal.party_id}
    if principal.role in (Role.BUYER, Role.GUEST):
        return {"buyer_id": principal.party_id}
    if principal.role == Role.CREATOR:
        raise Refusal("auth.forbidden", "No events are addressed to creators yet.", expected="another role")
    return {}


def view_event(row: EventRow) -> EventView:
    """An event as shown."""
    return EventView(
        id=row.event_id,
        type=row.type,
        time_ms=row.at_ms,
        subject=row.aggregate_id,
        version=row.version,
        data=msgspec.Raw(bytes(row.payload)),
    )


@ROUTES.add(
    "GET",
    "/v1/events",
    query=EventQuery,
    returns=EventPage,
    answer={"items": [EVENT], "next_cursor": "42", "more": False},
    codes=("input.cursor_invalid",),
)
async def list_events(call: Call) -> EventPage:
    """Read the stream of facts from a cursor

    Sellers and buyers see those that concern them, storefronts those that concern a buyer, operators all.
    """
    query: EventQuery = call.query
    principal, db = call.principal, call.platform.db
    filters = _filters(principal)
    if principal.role not in (Role.BUYER, Role.GUEST):
        parties.require(principal, scope="events:read")
    types = [name for name in query.types.split(",") if name][:50]
    positions = _positions(query.cursor, db.shards)
    items: list[EventView] = []
    more = False
    for shard in range(db.shards):
        room = query.limit - len(items)
        if not room:
            more = True
            break
        page = await db.read(shard, events.stream_page, positions[shard], room, types, **filters)
        positions[shard] = page.next_sequence
        more = more or page.more
        items += [view_event(row) for row in page.rows if principal.role != Role.STOREFRONT or row.buyer_id]
    return EventPage(items=tuple(items), next_cursor=".".join(map(str, positions)), more=more)


@ROUTES.add(
    "GET",
    "/v1/dead-letters",
    query=LetterQuery,
    returns=LetterList,
    scope="admin",
    roles=(Role.OPERATOR,),
    answer={"items": [LETTER]},
)
async def list_dead_letters(call: Call) -> LetterList:
    """List events that a consumer failed on too often"""
    query: LetterQuery = call.query
    found: list[events.Delivery] = []
    for shard in range(call.platform.db.shards):
        found += await call.platform.db.read(shard, events.dead_letters, query.limit)
    found.sort(key=lambda letter: -letter.at_ms)
    return LetterList(
        items=tuple(
            Letter(
                consumer=letter.consumer,
                aggregate_id=letter.aggregate_id,
                version=letter.version,
                attempts=letter.attempts,
                error=letter.error,
                at_ms=letter.at_ms,
            )
            for letter in found[: query.limit]
        )
    )


@ROUTES.add(
    "POST",
    "/v1/dead-letters/replay",
    body=Replay,
    returns=Replayed,
    scope="admin",
    roles=(Role.OPERATOR,),
    example={"consumer": LETTER["consumer"], "aggregate_id": LETTER["aggregate_id"], "version": 2},
    answer={"event_id": "pay_01m4xk9v0c7s8p2q3r4t5v6w7x.2"},
    codes=("events.dead_letter_unknown", "id.invalid"),
)
async def replay_dead_letter(call: Call) -> Replayed:
    """Deliver a dead letter again"""
    body: Replay = call.body
    await call.platform.db.transact(
        call.shard(gene_of(body.aggregate_id)),
        events.replay_dead_letter,
        body.consumer,
        body.aggregate_id,
        body.version,
        call.now_ms(),
    )
    return Replayed(event_id=f"{body.aggregate_id}.{body.version}")


@ROUTES.add("GET", "/v1/markets", public=True, returns=MarketList, answer={"items": [MARKET]})
async def list_markets(call: Call) -> MarketList:
    """List the markets"""
    return MarketList(
        items=tuple(
            MarketView(
                code=found.code,
                name=found.name,
                currency=found.currency,
                locale=found.locale,
                time_zone=found.time_zone,
                prices_include_tax=found.prices_include_tax,
                address_required=found.address_required,
            )
            for found in all_markets().values()
        )
    )
