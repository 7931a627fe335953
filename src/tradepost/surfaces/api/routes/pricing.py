"""Prices with their reasons: what every rule made of a quote or of an order."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from tradepost.kernel.ids import check_id, gene_of
from tradepost.kernel.money import Money
from tradepost.surfaces.api.operation import Call, Routes
from tradepost.surfaces.api.routes.carts import BUYING
from tradepost.surfaces.api.words import money
from tradepost.trade import checkout, orders, parties
from tradepost.trade.checkout import Explained
from tradepost.trade.parties import Role
from tradepost.trade.promotion import Verdict

ROUTES = Routes("pricing")
_OFF = {"amount_minor": 179, "currency": "GBP"}
_RULE = {
    "campaign_id": "cmp_01m4xk9v0c7s8p2q3r4t5v6w7x",
    "campaign_version": 1,
    "code": "ten",
    "title": "Ten percent in November",
    "outcome": "applied",
    "because_of": "",
    "off": _OFF,
}
EXPLAINED: dict[str, Any] = {
    "checkout_id": "chk_01m4xk9v0c7s8p2q3r4t5v6w7x",
    "total": {"amount_minor": 1611, "currency": "GBP"},
    "agrees": True,
    "lines": [
        {
            "line_no": 1,
            "offer_id": "off_01m4xk9v0c7s8p2q3r4t5v6w7x",
            "title": "Stoneware mug, blue",
            "quantity": 2,
            "list": {"amount_minor": 1790, "currency": "GBP"},
            "total": {"amount_minor": 1611, "currency": "GBP"},
            "applied": [_RULE],
        }
    ],
    "rules": [
        _RULE,
        {**_RULE, "code": "big", "outcome": "condition_not_met", "off": {**_OFF, "amount_minor": 0}},
    ],
    "left_out": [],
}


class ExplainRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A quote as POST /v1/quotes returned it."""

    quote: Annotated[str, Meta(max_length=4_000_000)]


class RuleOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a rule. `outcome` is `applied`, or why it gave nothing; `because_of` the rule before it."""

    campaign_id: str
    campaign_version: int
    code: str
    title: str
    outcome: str
    because_of: str
    off: Money


class ExplainedLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the basket and what lowered it; `total` is what the buyer pays for it."""

    line_no: int
    offer_id: str
    title: str
    quantity: int
    list: Money
    total: Money
    applied: tuple[RuleOutcome, ...]


class ExplainedAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A basket's prices with their reasons. `left_out` are campaigns whose limit was reached.

    `agrees` says that the rules of its moment still give its total; anything else is a defect.
    """

    checkout_id: str
    total: Money
    agrees: bool
    lines: tuple[ExplainedLine, ...]
    rules: tuple[RuleOutcome, ...]
    left_out: tuple[str, ...]


def view_explained(found: Explained) -> ExplainedAnswer:
    """The reasons as shown."""
    currency = found.currency
    return ExplainedAnswer(
        checkout_id=found.name,
        total=money(found.total_minor, currency),
        agrees=found.agrees,
        lines=tuple(
            [
                ExplainedLine(
                    line_no=line.place,
                    offer_id=line.offer_id,
                    title=line.title,
                    quantity=line.quantity,
                    list=money(line.list_minor, currency),
                    total=money(line.total_minor, currency),
                    applied=tuple([_outcome(rule, off, currency) for rule, off in line.applied]),
                )
                for line in found.lines
            ]
        ),
        rules=tuple(
            [_outcome(rule, rule.amount_minor, currency) for rule in (*found.applied, *found.refused)]
        ),
        left_out=found.left_out,
    )


def _outcome(rule: Verdict, off_minor: int, currency: str) -> RuleOutcome:
    return RuleOutcome(
        campaign_id=rule.campaign_id,
        campaign_version=rule.version,
        code=rule.code,
        title=rule.title,
        outcome=rule.why,
        because_of=rule.detail,
        off=money(off_minor, currency),
    )


@ROUTES.add(
    "POST",
    "/v1/quotes/explain",
    body=ExplainRequest,
    returns=ExplainedAnswer,
    scope="orders:read",
    roles=BUYING,
    example={"quote": "v2.AJ6lY2hrXzE.q3V5dGVfc2lnbmF0dXJl"},
    answer=EXPLAINED,
    codes=("checkout.quote_forged",),
)
async def explain_quote(call: Call) -> ExplainedAnswer:
    """Explain a quote

    For each line what was tried, applied, refused and why. Nothing is written.
    """
    body: ExplainRequest = call.body
    context = call.platform.checkout
    quote = checkout.read_quote(body.quote, context.secret)
    parties.require_sight(call.principal, buyer_id=quote.buyer_id)
    return view_explained(await checkout.explain_quote(context, quote))


@ROUTES.add(
    "GET",
    "/v1/orders/{order_id}/pricing",
    returns=ExplainedAnswer,
    scope="orders:read",
    roles=(Role.BUYER, Role.GUEST, Role.STOREFRONT, Role.OPERATOR),
    answer=EXPLAINED,
    codes=("orders.not_found",),
)
async def explain_order(call: Call) -> ExplainedAnswer:
    """Explain what an order cost

    Of the whole basket it was bought in, by the rules of that day.
    """
    order_id = check_id(call.path["order_id"], "order")
    order = await call.platform.db.read(call.shard(gene_of(order_id)), orders.get_order, order_id)
    parties.require_sight(call.principal, buyer_id=order.buyer_id)
    return view_explained(await checkout.explain_order(call.platform.checkout, order))
