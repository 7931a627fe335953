"""The sandbox provider's own page for buyers: where `redirect_url` leads outside production."""

from __future__ import annotations

from html import escape
from typing import Literal

import msgspec

from tradepost.kernel.errors import Refusal
from tradepost.surfaces.api.operation import FORM, Answer, Call, Routes
from tradepost.surfaces.api.pages import HTML, PAGE, show_page
from tradepost.surfaces.api.platform import Sandbox
from tradepost.trade.payments import ProviderFact, Status

ROUTES = Routes("sandbox")
CODES = ("route.unknown", "payments.not_found")
FORM_BYTES_MAX = 1_024


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """Which button was pressed."""

    outcome: Literal["pay", "decline"]


def _sandbox(call: Call) -> Sandbox:
    if call.platform.sandbox is None:
        raise Refusal("route.unknown", "There is no sandbox here.", expected="/docs")
    return call.platform.sandbox


def _page(fact: ProviderFact) -> Answer:
    payment_id = escape(fact.payment_id)
    body = f"<h1>Sandbox payment</h1><p><code>{payment_id}</code></p>"
    if fact.status is Status.REQUIRES_ACTION:
        body += (
            f'<form method="post" action="/sandbox/redirect/{payment_id}">'
            '<button name="outcome" value="pay">Pay</button> '
            '<button name="outcome" value="decline">Decline</button></form>'
            "<p>No money moves: this page stands in for a payment provider's.</p>"
        )
    else:
        paid = fact.authorized_minor > 0
        body += f"<p>{'Paid' if paid else 'Not paid'}. You can go back to the shop.</p>"
    return Answer(show_page("Sandbox payment", body), media_type=HTML, headers=PAGE)


@ROUTES.add("GET", "/sandbox/redirect/{payment_id}", public=True, media_type=HTML, codes=CODES)
async def show_redirect(call: Call) -> Answer:
    """The page where a buyer pays or declines, in the sandbox only

    Anybody who has the link may decide, as with a provider's link. In production there is no such page.
    """
    payment_id = call.path["payment_id"]
    fact = await _sandbox(call).ask(payment_id)
    if fact is None:
        raise Refusal("payments.not_found", "The sandbox has no such payment.", field="payment_id")
    return _page(fact)


@ROUTES.add(
    "POST",
    "/sandbox/redirect/{payment_id}",
    public=True,
    accepts=(FORM,),
    body=Decision,
    body_bytes_max=FORM_BYTES_MAX,
    media_type=HTML,
    example={"outcome": "pay"},
    codes=CODES,
)
async def decide_redirect(call: Call) -> Answer:
    """Pay or decline, in the sandbox only

    A webhook tells the shop; deciding again changes nothing.
    """
    decision: Decision = call.body
    paid = decision.outcome == "pay"
    return _page(await _sandbox(call).complete_redirect(call.path["payment_id"], paid=paid))


class DisputeForm(msgspec.Struct, frozen=True, kw_only=True):
    """How the buyer's bank will decide, and about how much; 0 is all that is left."""

    outcome: Literal["won", "lost"]
    amount_minor: int = 0


@ROUTES.add(
    "POST",
    "/sandbox/disputes/{payment_id}",
    public=True,
    accepts=(FORM,),
    body=DisputeForm,
    body_bytes_max=FORM_BYTES_MAX,
    media_type=HTML,
    example={"outcome": "lost"},
    codes=CODES,
)
async def raise_dispute(call: Call) -> Answer:
    """Let the buyer's bank take a payment back, in the sandbox only

    The bank withdraws at once and decides an hour later; webhooks tell the shop.
    """
    form: DisputeForm = call.body
    payment_id = call.path["payment_id"]
    fact = await _sandbox(call).raise_dispute(payment_id, form.amount_minor, lost=form.outcome == "lost")
    return Answer(
        show_page("Sandbox dispute", f"<h1>Sandbox dispute</h1><p>{len(fact.disputes)} raised.</p>"),
        media_type=HTML,
        headers=PAGE,
    )
