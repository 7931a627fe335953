"""What creators and agencies see of their money over HTTP, and how it reaches their banks."""

from __future__ import annotations

from typing import Any

import pytest
from tests.api.conftest import Client, Shop
from tests.api.test_commissions import DAY, creator, later, led
from tests.api.test_settlement import pass_days

from tradepost.trade import ledger, settlement

ACCOUNT = {"holder": "Maker", "account": "GB82WEST12345698765432"}
COMMISSION, AGENCY = 1_000, 2_500


async def agreed(shop: Shop) -> tuple[tuple[str, Client], tuple[str, Client]]:
    """A creator and the agency that takes a quarter of what the creator earns."""
    made, agency = await creator(shop), await creator(shop)
    terms = {
        "rate_bps": COMMISSION,
        "settle_after_ms": DAY,
        "agency": {"agency_id": agency[0], "share_bps": AGENCY},
    }
    assert (await shop.seller.post("/v1/commission-plans", terms)).status == 201
    return made, agency


async def overview(client: Client, party_id: str) -> dict[str, Any]:
    reply = await client.get(f"/v1/creators/{party_id}/settlement")
    assert reply.status == 200, reply.body
    return dict(reply.json)


async def test_creator_and_agency_are_paid_to_their_own_accounts(shop: Shop) -> None:
    (creator_id, client), (agency_id, agent) = await agreed(shop)
    order_id = await led(shop, creator_id)
    parts: dict[str, int] = {}
    for party_id, caller in ((creator_id, client), (agency_id, agent)):
        (line,) = (await caller.get(f"/v1/creators/{party_id}/unsettled")).json["items"]
        assert (line["order_id"], line["state"], line["creator_id"]) == (order_id, "ESTIMATED", party_id)
        parts[party_id] = line["amount_minor"]
        seen = await overview(caller, party_id)
        assert seen["unsettled"] == [{"currency": "GBP", "lines": 1, "amount_minor": line["amount_minor"]}]
        assert (seen["accounts"], seen["payout_account"]) == ([], None)
        entered = await caller.put(f"/v1/creators/{party_id}/payout-account", ACCOUNT)
        assert (entered.status, entered.json["destination"]["account"]) == (200, "****5432")
    assert parts[agency_id] == sum(parts.values()) * AGENCY // 10_000 > 0

    await later(shop, 2)
    await pass_days(shop, 2)
    for party_id, caller in ((creator_id, client), (agency_id, agent)):
        path = f"/v1/creators/{party_id}"
        seen = await overview(caller, party_id)
        assert seen["unsettled"] == []
        assert seen["accounts"][0]["balance_minor"] == 0
        (paid,) = (await caller.get(f"{path}/payouts")).json["items"]
        assert (paid["state"], paid["amount_minor"]) == ("PAID", parts[party_id])
        assert paid["destination"]["account"] == "****5432"
        stated = (await caller.get(f"{path}/statements")).json["items"][-1]
        page = (await caller.get(f"{path}/statements/GB/GBP/{stated['date']}")).json
        (line,) = page["lines"]
        assert (line["kind"], line["order_id"]) == ("commission", order_id)
        assert line["components"] == {"commission": parts[party_id]}
    report = await shop.platform.db.read(0, ledger.check_ledger)
    assert report.balanced
    assert list((await shop.platform.db.read(0, settlement.check_settlement)).findings) == []


async def test_what_comes_back_is_taken_from_both(shop: Shop) -> None:
    (creator_id, client), (agency_id, agent) = await agreed(shop)
    order_id = await led(shop, creator_id)
    lines = [{"line_no": 1, "quantity": 4}]
    wanted = await shop.buyer.post(f"/v1/orders/{order_id}/returns", {"lines": lines, "reason": "colour"})
    path = f"/v1/orders/{order_id}/returns/{wanted.json['return_id']}"
    await shop.seller.post(f"{path}/approve")
    await shop.seller.post(f"{path}/receive", {})
    await later(shop, 1)
    for party_id, caller in ((creator_id, client), (agency_id, agent)):
        assert (await overview(caller, party_id))["unsettled"] == []
        (line,) = (await caller.get("/v1/commissions")).json["items"]
        assert (line["state"], line["amount_minor"]) == ("CANCELLED", 0)


async def test_without_an_account_the_money_waits(shop: Shop) -> None:
    (creator_id, client), _ = await agreed(shop)
    await led(shop, creator_id)
    await later(shop, 2)
    await pass_days(shop, 2)
    seen = await overview(client, creator_id)
    owed = seen["accounts"][0]["balance_minor"]
    assert owed > 0
    path = f"/v1/creators/{creator_id}"
    assert (await client.get(f"{path}/payouts")).json["items"] == []
    assert (await client.put(f"{path}/payout-account", ACCOUNT)).status == 200
    assert (await client.put(f"{path}/payout-account", ACCOUNT)).code == "version.conflict"
    await pass_days(shop, 1)
    (paid,) = (await client.get(f"{path}/payouts")).json["items"]
    assert (paid["state"], paid["amount_minor"]) == ("PAID", owed)


@pytest.mark.parametrize("what", ["settlement", "unsettled", "statements", "payouts"])
async def test_a_creators_money_is_nobody_elses_business(shop: Shop, what: str) -> None:
    creator_id, client = await creator(shop)
    _, other = await creator(shop)
    path = f"/v1/creators/{creator_id}/{what}"
    assert (await client.get(path)).status == 200
    assert (await shop.operator.get(path)).status == 200
    assert (await other.get(path)).code == "auth.other_tenant"
    assert (await shop.seller.get(path)).code == "auth.forbidden"
    assert (await client.get(f"/v1/creators/{shop.seller_id}/{what}")).code == "id.invalid"


async def test_only_the_creator_says_where_to_pay(shop: Shop) -> None:
    creator_id, _ = await creator(shop)
    _, other = await creator(shop)
    path = f"/v1/creators/{creator_id}/payout-account"
    assert (await other.put(path, ACCOUNT)).code == "auth.other_tenant"
    assert (await shop.seller.put(path, ACCOUNT)).code == "auth.forbidden"
    assert (await overview(shop.operator, creator_id))["payout_account"] is None


async def test_unsettled_lines_come_in_pages(shop: Shop) -> None:
    (creator_id, client), _ = await agreed(shop)
    placed = [await led(shop, creator_id, quantity=1) for _ in range(3)]
    path, seen, cursor = f"/v1/creators/{creator_id}/unsettled?limit=2", [], ""
    while True:
        page = (await client.get(f"{path}&cursor={cursor}")).json
        seen += [one["order_id"] for one in page["items"]]
        cursor = page["next_cursor"]
        if not cursor:
            break
    assert seen == placed[::-1]
    assert (await client.get(f"{path}&cursor=none")).code == "input.cursor_invalid"
