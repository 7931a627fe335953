"""Stored value: a buyer's store credit, and gift cards that become store credit."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from tradepost.kernel.ids import check_id, gene_of
from tradepost.kernel.tx import Tx
from tradepost.surfaces.api.once import story_once, transact_once
from tradepost.surfaces.api.operation import Answer, Call, Routes
from tradepost.surfaces.api.routes.carts import BUYING
from tradepost.surfaces.api.words import home
from tradepost.trade import parties, payments
from tradepost.trade.parties import Role
from tradepost.trade.payments import GiftCard, StoredBalance

ROUTES = Routes("stored value")
Amount = Annotated[int, Meta(ge=1, le=10**12)]
Currency = Annotated[str, Meta(min_length=3, max_length=3)]
CODE = "gft_01m4xk9v0c7s8p2q3r4t5v6w7x_2q3r4t5v6w7x8y9z0a1b"
ISSUE_CODES = (
    "stored.amount_invalid",
    "stored.issue_differs",
    "money.currency_unknown",
    "version.conflict",
    "idempotency.key_required",
    "idempotency.in_progress",
)


class Issue(msgspec.Struct, frozen=True, kw_only=True):
    """How much, in minor units. `reference` names why: the same one gives once."""

    amount_minor: Amount
    currency: Currency
    reference: Annotated[str, Meta(min_length=1, max_length=30, pattern=r"^[a-zA-Z0-9_-]+$")] = "gift"


class CardIssue(msgspec.Struct, frozen=True, kw_only=True):
    """How much is on the card, in minor units."""

    amount_minor: Amount
    currency: Currency


class IssuedCard(msgspec.Struct, frozen=True, kw_only=True):
    """A new gift card. The code is told here and never again."""

    card_id: str
    code: str
    amount_minor: int
    currency: str


class Redemption(msgspec.Struct, frozen=True, kw_only=True):
    """The code of a card, and for whom where an operator or storefront redeems it."""

    code: Annotated[str, Meta(max_length=80)]
    buyer_id: Annotated[str, Meta(max_length=64)] = ""


class Redeemed(msgspec.Struct, frozen=True, kw_only=True):
    """What arrives at the store credit in a moment."""

    buyer_id: str
    amount_minor: int
    currency: str


class StoreCredit(msgspec.Struct, frozen=True, kw_only=True):
    """A buyer's store credit, by currency."""

    buyer_id: str
    balances: tuple[StoredBalance, ...]


def _issue(tx: Tx, buyer_id: str, body: Issue, at_ms: int) -> StoredBalance:
    return payments.issue_credit(tx, buyer_id, body.reference, body.amount_minor, body.currency, at_ms)


def _issue_card(tx: Tx, card_id: str, code: str, body: CardIssue, at_ms: int) -> IssuedCard:
    payments.issue_card(tx, card_id, code, body.amount_minor, body.currency, at_ms)
    return IssuedCard(card_id=card_id, code=code, amount_minor=body.amount_minor, currency=body.currency)


@ROUTES.add(
    "GET",
    "/v1/buyers/{buyer_id}/store-credit",
    returns=StoreCredit,
    scope="orders:read",
    answer={
        "buyer_id": "byr_01m4xk9v0c7s8p2q3r4t5v6w7x",
        "balances": [{"currency": "GBP", "amount_minor": 2500}],
    },
    codes=("auth.other_tenant", "id.invalid"),
)
async def get_store_credit(call: Call) -> StoreCredit:
    """Read a buyer's store credit"""
    buyer_id = call.path["buyer_id"]
    shard = home(call.platform.db, buyer_id, "buyer")
    parties.require_sight(call.principal, buyer_id=buyer_id)
    return StoreCredit(
        buyer_id=buyer_id, balances=await call.platform.db.read(shard, payments.balances_of, buyer_id)
    )


@ROUTES.add(
    "POST",
    "/v1/buyers/{buyer_id}/store-credit",
    body=Issue,
    returns=StoredBalance,
    status=201,
    keyed=True,
    scope="payments:write",
    roles=(Role.OPERATOR,),
    example={"amount_minor": 2500, "currency": "GBP", "reference": "late_parcel"},
    answer={"currency": "GBP", "amount_minor": 2500},
    codes=(*ISSUE_CODES, "id.invalid"),
)
async def issue_store_credit(call: Call) -> Answer:
    """Give a buyer store credit, out of the platform's own money"""
    body: Issue = call.body
    buyer_id = check_id(call.path["buyer_id"], "buyer")
    return await transact_once(call, gene_of(buyer_id), 201, _issue, buyer_id, body, call.now_ms())


@ROUTES.add(
    "POST",
    "/v1/gift-cards",
    body=CardIssue,
    returns=IssuedCard,
    status=201,
    keyed=True,
    scope="payments:write",
    roles=(Role.OPERATOR,),
    example={"amount_minor": 5000, "currency": "GBP"},
    answer={
        "card_id": "gft_01m4xk9v0c7s8p2q3r4t5v6w7x",
        "code": CODE,
        "amount_minor": 5000,
        "currency": "GBP",
    },
    codes=ISSUE_CODES,
)
async def issue_gift_card(call: Call) -> Answer:
    """Issue a gift card; its code is told once"""
    body: CardIssue = call.body
    gene = gene_of(call.principal.party_id)  # where the answer is kept: the card and its code commit together
    card_id, code = payments.mint_card(call.platform.world, gene)
    return await transact_once(call, gene, 201, _issue_card, card_id, code, body, call.now_ms())


@ROUTES.add(
    "POST",
    "/v1/gift-cards/redeem",
    body=Redemption,
    returns=Redeemed,
    keyed=True,
    scope="orders:write",
    roles=BUYING,
    example={"code": CODE},
    answer={"buyer_id": "byr_01m4xk9v0c7s8p2q3r4t5v6w7x", "amount_minor": 5000, "currency": "GBP"},
    codes=(
        "stored.card_unknown",
        "stored.card_used",
        "version.conflict",
        "idempotency.key_required",
        "idempotency.in_progress",
    ),
)
async def redeem_gift_card(call: Call) -> Answer:
    """Turn a gift card into store credit of the buyer's"""
    body: Redemption = call.body
    buyer_id = check_id(parties.acting_buyer(call.principal, body.buyer_id), "buyer")

    async def story() -> Redeemed:
        shard = call.shard(gene_of(payments.card_of(body.code)))
        card: GiftCard = await call.platform.db.transact(
            shard, payments.redeem_card, body.code, buyer_id, call.now_ms()
        )
        return Redeemed(buyer_id=buyer_id, amount_minor=card.amount_minor, currency=card.currency)

    return await story_once(call, gene_of(buyer_id), 200, story)
