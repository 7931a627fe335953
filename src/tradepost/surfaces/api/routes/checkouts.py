"""Quotes and checkouts: the hottest routes. The front serves both without a router."""

from __future__ import annotations

from typing import Any

import msgspec

from tradepost.kernel.errors import Refusal
from tradepost.kernel.ids import check_id, gene_for, gene_of
from tradepost.surfaces.api.once import REPLAYED
from tradepost.surfaces.api.operation import Answer, Call, Routes
from tradepost.surfaces.api.platform import Platform
from tradepost.surfaces.api.routes.carts import BUYING, BuyerQuery, buyer_of
from tradepost.surfaces.api.routes.checkout_views import (
    ADDRESS,
    CHECKOUT_ANSWER,
    LINES,
    PLACE_CODES,
    QUOTE_ANSWER,
    QUOTE_CODES,
    AddressInput,
    CheckoutAnswer,
    LineWant,
    PlaceRequest,
    QuoteAnswer,
    QuoteRequest,
    view_checkout,
    view_quote,
)
from tradepost.surfaces.api.routes.payment_views import view_payment
from tradepost.surfaces.api.routes.quote_views import GBP
from tradepost.surfaces.api.routes.shipping_views import destination_of
from tradepost.surfaces.api.words import home, money
from tradepost.trade import checkout, parties, payments
from tradepost.trade.checkout import Address, Want
from tradepost.trade.parties import Role

ROUTES = Routes("checkout")
_FOR_BUYERS = (Role.STOREFRONT, Role.OPERATOR)


def asked_skus(platform: Platform, body: PlaceRequest) -> list[str]:
    """The SKUs of a buy-now request whose offers are in memory: an offer nobody asks for is not the one that is hot."""
    views, _ = platform.checkout.book.peek(line.offer_id for line in body.lines)
    return [component.sku_id for view in views.values() for component in view.components]


_encode = msgspec.json.Encoder().encode


def _wants(lines: tuple[LineWant, ...]) -> list[Want]:
    return [
        Want(
            offer_id=line.offer_id,
            quantity=line.quantity,
            content_id=line.content_id,
            creator_id=line.creator_id,
        )
        for line in lines
    ]


def _buyer(call: Call, named: str) -> tuple[str, str]:
    """The buyer and, where a guest was made for this call, the guest's token."""
    buyer_id = parties.acting_buyer(call.principal, named)
    if buyer_id:
        return check_id(buyer_id, "buyer"), ""
    buyer_id = parties.mint_party(call.platform.world, Role.GUEST)
    return buyer_id, call.platform.keyring.guest_token(buyer_id)


@ROUTES.add(
    "POST",
    "/v1/quotes",
    body=QuoteRequest,
    returns=QuoteAnswer,
    hot=True,
    scope="orders:write",
    roles=BUYING,
    example={"market": "GB", "lines": LINES},
    answer=QUOTE_ANSWER,
    codes=QUOTE_CODES,
)
async def make_quote(call: Call) -> QuoteAnswer:
    """Price a basket

    A promise with a deadline, signed; nothing is written and nothing is held.
    """
    body: QuoteRequest = call.body
    buyer_id, guest_token = _buyer(call, body.buyer_id)
    quote, token = await checkout.make_quote(
        call.platform.checkout,
        body.market,
        _wants(body.lines),
        buyer_id=buyer_id,
        scene=body.scene,
        region=body.region,
        codes=body.codes,
        segments=_segments(call, body),
        wish=checkout.Wish(destination=destination_of(body.destination), methods=body.shipping),
    )
    answer = view_quote(quote, token, guest_token)
    if not body.store_credit:
        return answer
    part = await checkout.find_part(call.platform.checkout, quote, checkout.StoredWish())
    return msgspec.structs.replace(answer, store_credit=money(part, quote.currency))


@ROUTES.add(
    "POST",
    "/v1/checkouts",
    body=PlaceRequest,
    returns=CheckoutAnswer,
    status=201,
    keyed=True,
    hot=True,
    skus=asked_skus,
    scope="orders:write",
    roles=BUYING,
    example={
        "market": "GB",
        "lines": LINES,
        "total": GBP,
        "address": ADDRESS,
        "email": "ann@example.org",
        "payment": {"method": "sandbox_succeeds"},
    },
    answer=CHECKOUT_ANSWER,
    codes=PLACE_CODES,
)
async def place_checkout(call: Call) -> Answer:
    """Place an order: from a quote, or buy now

    One order a seller and one payment for all, or nothing. The total must still be what the buyer saw. Store credit
    that shall pay part of it is taken in the same commit; it comes back when the order ends unpaid.
    """
    body: PlaceRequest = call.body
    platform, context = call.platform, call.platform.checkout
    wish = _stored_wish(body)
    if wish is None:
        placement = await _accept(call, body)
        view, replayed = await checkout.place_order(context, placement)
    else:
        placement, view, replayed = await checkout.place_funded(
            context, lambda: _accept(call, body, wish), wish
        )
    payment = None
    if replayed and view.payment_id:
        shard = call.shard(gene_of(view.payment_id))
        payment = view_payment(await platform.db.read(shard, payments.find_payment, view.payment_id))
    elif placement.intent is not None and placement.intent.confirm:
        payment = view_payment(
            await payments.charge(platform.db, platform.world, platform.providers, placement.intent)
        )
    token = platform.keyring.guest_token(view.buyer_id) if _is_new_guest(call, body) else ""
    answer = view_checkout(view, payment, token)
    return Answer(_encode(answer), headers=REPLAYED if replayed else ())


def _segments(call: Call, body: QuoteRequest | PlaceRequest) -> tuple[str, ...]:
    """The groups of a buyer, said by somebody who may speak for buyers."""
    return body.segments if call.principal.role in _FOR_BUYERS else ()


def _is_new_guest(call: Call, body: PlaceRequest) -> bool:
    return not body.quote and not parties.acting_buyer(call.principal, body.buyer_id)


def _stored_wish(body: PlaceRequest) -> checkout.StoredWish | None:
    """What of it store credit shall pay; None where nobody asked for it."""
    asked, named = body.payment, body.payment.store_credit_amount
    if named is not None:
        return checkout.StoredWish(
            amount_minor=named.amount_minor, currency=named.currency, gift_card=asked.gift_card
        )
    if asked.store_credit:
        return checkout.StoredWish(gift_card=asked.gift_card)
    return checkout.StoredWish(amount_minor=0, gift_card=asked.gift_card) if asked.gift_card else None


async def _accept(call: Call, body: PlaceRequest, wish: checkout.StoredWish | None = None) -> Any:
    platform, context = call.platform, call.platform.checkout
    if bool(body.quote) == bool(body.lines):
        raise Refusal(
            "input.invalid",
            "Send either a quote or lines.",
            field="quote",
            expected="`quote`, or `market` and `lines`",
        )
    buyer_id = parties.acting_buyer(call.principal, body.buyer_id)
    new_buyer = not body.quote and not buyer_id
    if (
        new_buyer and body.payment.gift_card
    ):  # each try draws another guest: the second could not have the card
        raise Refusal("stored.buyer_needed", "Nobody is named whose card it is.", field="payment.gift_card")
    if new_buyer:
        # Each try draws another guest: the gene follows the key, so that a repeat finds what the first one placed.
        buyer_id = platform.world.mint("buyer", gene_for(f"{call.principal.party_id} {call.key}"))
    elif buyer_id:
        check_id(buyer_id, "buyer")
    request = checkout.Request(
        scope=call.principal.party_id,
        key=call.key,
        request_hash=call.request_hash,
        buyer_id=buyer_id,
        address=_address(body.address),
        email=body.email,
        method=body.payment.method,
        confirm=body.payment.confirm and bool(body.payment.method),
        total_minor=body.total.amount_minor if body.total else None,
        currency=body.total.currency if body.total else "",
        new_buyer=new_buyer,
        codes=body.codes,
        segments=_segments(call, body),
        shipping=body.shipping,
        stored=wish,
    )
    if body.quote:
        return await checkout.accept_quote(context, body.quote, request)
    if body.total is None:
        raise Refusal("input.invalid", "Buying now needs the total that the buyer saw.", field="total")
    return await checkout.accept_buy_now(context, body.market, _wants(body.lines), request, scene=body.scene)


def _address(given: AddressInput) -> Address:
    return Address(
        name=given.name,
        line1=given.line1,
        line2=given.line2,
        city=given.city,
        region=given.region,
        postcode=given.postcode,
        country=given.country,
        phone=given.phone,
    )


@ROUTES.add(
    "GET",
    "/v1/checkouts/{checkout_id}",
    query=BuyerQuery,
    returns=CheckoutAnswer,
    hot=True,
    scope="orders:read",
    roles=BUYING,
    answer=CHECKOUT_ANSWER,
    codes=("checkout.not_found",),
)
async def get_checkout(call: Call) -> CheckoutAnswer:
    """Read a placed checkout"""
    buyer_id, checkout_id = buyer_of(call, call.query.buyer_id), call.path["checkout_id"]
    home(call.platform.db, checkout_id, "checkout")
    shard = call.shard(gene_of(buyer_id))
    return view_checkout(await call.platform.db.read(shard, checkout.find_checkout, buyer_id, checkout_id))
