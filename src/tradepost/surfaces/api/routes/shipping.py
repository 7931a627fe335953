"""Shipping terms: what a seller charges for sending, where to, how fast, and who helps to pay."""

from __future__ import annotations

from tradepost.surfaces.api.operation import Call, Routes
from tradepost.surfaces.api.routes.catalog import SELLING, SellerQuery, acting
from tradepost.surfaces.api.routes.shipping_views import (
    TERMS,
    TERMS_ANSWER,
    TermsAnswer,
    TermsInput,
    TermsList,
    view_terms,
)
from tradepost.trade import shipping
from tradepost.trade.parties import Role
from tradepost.trade.shipping import Terms

ROUTES = Routes("shipping")


@ROUTES.add(
    "PUT",
    "/v1/shipping-terms",
    body=TermsInput,
    query=SellerQuery,
    returns=TermsAnswer,
    scope="catalog:write",
    roles=SELLING,
    example=TERMS,
    answer=TERMS_ANSWER,
    codes=(
        "shipping.terms_invalid",
        "shipping.funder_forbidden",
        "shipping.too_many_currencies",
        "money.currency_unknown",
        "catalog.seller_unknown",
        "version.conflict",
    ),
)
async def put_shipping_terms(call: Call) -> TermsAnswer:
    """Write a seller's shipping terms in a currency

    Quotes made from now on are priced by them; earlier ones stand. What the platform pays is an operator's to write:
    a seller's writing leaves it as it was.
    """
    body: TermsInput = call.body
    seller_id, shard = acting(call, call.query.seller_id)
    names = [name for name in TermsInput.__struct_fields__ if name != "version"]
    stored = await call.platform.db.transact(
        shard,
        shipping.put_terms,
        Terms(seller_id=seller_id, **{name: getattr(body, name) for name in names}),
        call.principal.party_id,
        call.now_ms(),
        by_seller=call.principal.role == Role.SELLER,
        version=body.version,
    )
    return view_terms(stored)


@ROUTES.add(
    "GET",
    "/v1/shipping-terms",
    query=SellerQuery,
    returns=TermsList,
    scope="catalog:write",
    roles=SELLING,
    answer={"items": [TERMS_ANSWER]},
)
async def list_shipping_terms(call: Call) -> TermsList:
    """List a seller's shipping terms by currency"""
    seller_id, shard = acting(call, call.query.seller_id)
    found = await call.platform.db.read(shard, shipping.list_terms, seller_id)
    return TermsList(items=tuple([view_terms(one) for one in found]))


@ROUTES.add(
    "GET",
    "/v1/shipping-terms/{currency}",
    query=SellerQuery,
    returns=TermsAnswer,
    scope="catalog:write",
    roles=SELLING,
    answer=TERMS_ANSWER,
    codes=("shipping.terms_unknown",),
)
async def get_shipping_terms(call: Call) -> TermsAnswer:
    """Read a seller's shipping terms in a currency"""
    seller_id, shard = acting(call, call.query.seller_id)
    return view_terms(
        await call.platform.db.read(shard, shipping.find_terms, seller_id, call.path["currency"])
    )


@ROUTES.add(
    "DELETE",
    "/v1/shipping-terms/{currency}",
    query=SellerQuery,
    returns=TermsAnswer,
    scope="catalog:write",
    roles=SELLING,
    answer=TERMS_ANSWER,
    codes=("shipping.terms_unknown",),
)
async def end_shipping_terms(call: Call) -> TermsAnswer:
    """Take a seller's shipping terms in a currency away

    Quotes made from now on cost what the scene's rate says; earlier ones stand.
    """
    seller_id, shard = acting(call, call.query.seller_id)
    return view_terms(
        await call.platform.db.transact(
            shard, shipping.end_terms, seller_id, call.path["currency"], call.now_ms()
        )
    )
