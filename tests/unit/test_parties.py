"""Parties: sellers' states, what is refused, and who sees what."""

from __future__ import annotations

from typing import Any

import pytest

from tradepost.kernel.errors import Refusal
from tradepost.kernel.tx import Tx
from tradepost.testing.world import TestWorld
from tradepost.trade import parties
from tradepost.trade.parties import Principal

AT = 1_790_000_000_000
BUYER = Principal(party_id="byr_me", role="buyer", scopes=("orders:read",))
GUEST = Principal(party_id="byr_guest", role="guest", scopes=("orders:read",))
SELLER = Principal(party_id="sel_me", role="seller", scopes=("stock:write",))
CREATOR = Principal(party_id="cre_me", role="creator")
STOREFRONT = Principal(party_id="sto_me", role="storefront")
OPERATOR = Principal(party_id="opr_me", role="operator", scopes=("admin",))


async def refused(code: str, call: Any, *args: Any, **kwargs: Any) -> Refusal:
    """The refusal an awaitable call raises, whose code must be declared."""
    with pytest.raises(Refusal) as caught:
        await call(*args, **kwargs)
    assert caught.value.code == code
    assert caught.value.problem.remedy
    return caught.value


def _log(tx: Tx, aggregate_id: str) -> list[tuple[int, str]]:
    rows = tx.query(
        "SELECT version, type FROM events WHERE aggregate_id = ? ORDER BY version", (aggregate_id,)
    )
    return [(row[0], row[1]) for row in rows]


async def test_seller_moves_through_its_states_with_a_gapless_log(db: Any, world: TestWorld) -> None:
    seller_id = parties.mint_party(world, "seller")
    opened = await db.transact(0, parties.open_seller, seller_id, AT, name=" Lace ", fee_bps=800)
    assert (opened.state, opened.name, opened.version) == ("PENDING", "Lace", 1)
    active = await db.transact(0, parties.move_seller, seller_id, "activate", AT, version=1)
    assert active.state == "ACTIVE"
    stopped = await db.transact(0, parties.move_seller, seller_id, "suspend", AT, reason="late_shipments")
    assert (stopped.state, stopped.reason, stopped.version) == ("SUSPENDED", "late_shipments", 3)
    back = await db.transact(0, parties.move_seller, seller_id, "reinstate", AT)
    assert (back.state, back.reason) == ("ACTIVE", "")
    dearer = await db.transact(0, parties.set_fee, seller_id, 900, AT)
    same = await db.transact(0, parties.set_fee, seller_id, 900, AT)
    assert dearer == same
    await db.transact(0, parties.move_seller, seller_id, "close", AT, reason="asked")
    found = await db.read(0, parties.seller_views, [seller_id])
    assert (found[seller_id].state, found[seller_id].fee_bps, found[seller_id].version) == ("CLOSED", 900, 6)
    log = await db.read(0, _log, seller_id)
    assert [version for version, _ in log] == [1, 2, 3, 4, 5, 6]
    assert log[0][1] == "seller.opened.v1"
    assert log[4][1] == "seller.fee_changed.v1"


async def test_seller_refusals(db: Any, world: TestWorld) -> None:
    seller_id, unknown = world.mint("seller", 3), world.mint("seller", 3)
    await db.transact(0, parties.open_seller, seller_id, AT, name="Lace", fee_bps=0, active=True)
    rows: list[tuple[str, Any, tuple[Any, ...], dict[str, Any]]] = [
        ("parties.exists", parties.open_seller, (seller_id, AT), {"name": "Lace", "fee_bps": 0}),
        ("parties.name_invalid", parties.open_seller, (unknown, AT), {"name": "  ", "fee_bps": 0}),
        ("parties.name_invalid", parties.open_seller, (unknown, AT), {"name": "x" * 201, "fee_bps": 0}),
        ("parties.name_invalid", parties.open_seller, (unknown, AT), {"name": "a\x00b", "fee_bps": 0}),
        ("parties.fee_invalid", parties.open_seller, (unknown, AT), {"name": "Lace", "fee_bps": 10_001}),
        ("parties.fee_invalid", parties.set_fee, (seller_id, -1, AT), {}),
        ("parties.unknown", parties.move_seller, (unknown, "close", AT), {"reason": "asked"}),
        ("parties.reason_required", parties.move_seller, (seller_id, "close", AT), {}),
        ("parties.reason_required", parties.move_seller, (seller_id, "suspend", AT), {"reason": "Ann said"}),
        ("state.conflict", parties.move_seller, (seller_id, "activate", AT), {}),
        ("version.conflict", parties.move_seller, (seller_id, "close", AT), {"reason": "a", "version": 9}),
        ("version.conflict", parties.set_fee, (seller_id, 5, AT), {"version": 2}),
    ]
    for code, work, args, options in rows:
        await refused(code, db.transact, 0, work, *args, **options)
    found = await db.read(0, parties.seller_views, [seller_id, unknown])
    assert [(seller.state, seller.version) for seller in found.values()] == [("ACTIVE", 1)]


async def test_buyers_and_members_are_entered_once(db: Any, world: TestWorld) -> None:
    buyer_id, creator_id = world.mint("buyer", 5), world.mint("creator", 6)
    await db.transact(0, parties.create_buyer, buyer_id, AT, name="Ann", email="ann@example.org")
    await refused("parties.exists", db.transact, 0, parties.create_buyer, buyer_id, AT)
    await refused("parties.email_invalid", db.transact, 0, parties.create_buyer, buyer_id, AT, email="ann")
    await db.transact(0, parties.create_member, creator_id, "creator", AT, name="Mika")
    await refused(
        "parties.exists", db.transact, 0, parties.create_member, creator_id, "creator", AT, name="M"
    )
    await refused(
        "parties.role_invalid", db.transact, 0, parties.create_member, creator_id, "king", AT, name="M"
    )
    assert (await db.read(0, parties.buyer_views, [buyer_id]))[buyer_id].email == "ann@example.org"
    assert (await db.read(0, parties.member_views, [creator_id]))[creator_id].name == "Mika"


async def test_sellers_are_listed_in_pages(db: Any, world: TestWorld) -> None:
    ids = sorted(world.mint("seller", gene) for gene in range(5))
    for seller_id in ids:
        await db.transact(0, parties.open_seller, seller_id, AT, name="S", fee_bps=1)
    first = await db.read(0, parties.list_sellers, "", 3)
    rest = await db.read(0, parties.list_sellers, first[-1].seller_id, 3)
    assert [seller.seller_id for seller in first + rest] == ids


@pytest.mark.parametrize(
    ("principal", "of", "sees"),
    [
        (BUYER, {"buyer_id": "byr_me", "seller_id": "sel_x"}, True),
        (BUYER, {"buyer_id": "byr_other"}, False),
        (BUYER, {"seller_id": "byr_me"}, False),
        (BUYER, {}, False),
        (GUEST, {"buyer_id": "byr_guest"}, True),
        (GUEST, {"buyer_id": "byr_me"}, False),
        (SELLER, {"buyer_id": "byr_me", "seller_id": "sel_me"}, True),
        (SELLER, {"seller_id": "sel_other"}, False),
        (SELLER, {"buyer_id": "sel_me"}, False),
        (CREATOR, {"creator_id": "cre_me"}, True),
        (CREATOR, {"buyer_id": "byr_me", "seller_id": "sel_me"}, False),
        (CREATOR, {}, False),
        (STOREFRONT, {"buyer_id": "byr_other"}, True),
        (STOREFRONT, {"seller_id": "sel_me"}, False),
        (OPERATOR, {"seller_id": "sel_other"}, True),
    ],
)
def test_tenants_see_their_own(principal: Principal, of: dict[str, str], sees: bool) -> None:
    assert parties.may_see(principal, **of) is sees
    if sees:
        parties.require_sight(principal, **of)
        return
    with pytest.raises(Refusal) as caught:
        parties.require_sight(principal, **of)
    assert caught.value.code == "auth.other_tenant"
    assert caught.value.problem.kind == "not_found"


def test_require_names_what_is_needed() -> None:
    assert parties.require(SELLER, scope="stock:write", roles=("seller", "operator")) is SELLER
    with pytest.raises(Refusal) as caught:
        parties.require(None)
    assert caught.value.code == "auth.missing"
    with pytest.raises(Refusal) as caught:
        parties.require(SELLER, scope="admin")
    assert (caught.value.code, caught.value.extra) == ("auth.forbidden", {"needed_scope": "admin"})
    with pytest.raises(Refusal) as caught:
        parties.require(BUYER, roles=("seller",))
    assert (caught.value.code, caught.value.extra) == ("auth.forbidden", {"needed_role": ["seller"]})


def test_who_a_request_acts_for() -> None:
    assert parties.acting_buyer(BUYER) == "byr_me"
    assert parties.acting_buyer(BUYER, "byr_me") == "byr_me"
    assert parties.acting_buyer(STOREFRONT, "byr_any") == "byr_any"
    assert parties.acting_buyer(STOREFRONT) == ""
    assert parties.acting_seller(SELLER) == "sel_me"
    assert parties.acting_seller(OPERATOR, "sel_any") == "sel_any"
    rows: list[tuple[Any, Principal, str]] = [
        (parties.acting_buyer, BUYER, "byr_other"),
        (parties.acting_buyer, GUEST, "byr_me"),
        (parties.acting_buyer, SELLER, ""),
        (parties.acting_seller, SELLER, "sel_other"),
        (parties.acting_seller, OPERATOR, ""),
        (parties.acting_seller, BUYER, "sel_me"),
    ]
    for ask, principal, identifier in rows:
        with pytest.raises(Refusal) as caught:
            ask(principal, identifier)
        assert caught.value.code == "auth.forbidden"
