"""Buyers: quote, place, buy now, click twice, ask again, pay, come back from the provider's page."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from typing import Any

from msgspec.structs import replace

from tradepost.kernel.errors import Refusal
from tradepost.surfaces.api.platform import Platform
from tradepost.testing.simulation.earned import led_by
from tradepost.testing.simulation.network import ConnectionLost
from tradepost.testing.simulation.stage import Stage
from tradepost.testing.simulation.town import MARKETS, METHOD_NAMES, Form, Town
from tradepost.trade import checkout, parties, payments
from tradepost.trade.checkout import CheckoutView, Want

Placed = tuple[CheckoutView, bool, str]
"""(what stands, whether it stood before, state of the payment)."""


def some_wants(town: Town, chance: random.Random) -> tuple[Want, ...]:
    """One to four lines, of one seller or several, now and then the same offer twice."""
    goods = [chance.choice(town.goods) for _ in range(chance.choice((1, 1, 1, 2, 2, 3, 4)))]
    return tuple(
        Want(offer_id=good.offer_id, quantity=chance.choice((1, 1, 1, 2, 3, 7)), content_id="post")
        for good in goods
    )


def some_codes(stage: Stage) -> tuple[str, ...]:
    """Now and then a coupon, drawn by itself so that the rest of a step stays what it is."""
    chance = random.Random(f"codes {stage.step.seed}")
    return (chance.choice(stage.town.codes),) if stage.town.codes and chance.random() < 0.3 else ()


def some_wish(stage: Stage) -> checkout.StoredWish | None:
    """Now and then store credit shall pay: all there is, or an amount that may be too much."""
    chance = random.Random(f"stored {stage.step.seed}")
    if chance.random() < 0.6:
        return None
    return checkout.StoredWish(amount_minor=None if chance.random() < 0.7 else chance.choice((1, 700, 2_500)))


async def give_credit(stage: Stage, buyer_id: str) -> None:
    """Store credit for a buyer who wants to pay with it, often less than the goods cost."""
    chance = random.Random(f"credit {stage.step.seed}")
    for currency in MARKETS.values():
        await stage.transact(
            buyer_id,
            payments.issue_credit,
            buyer_id,
            f"{stage.step.seed:x}"[:20],
            chance.choice((1, 90, 1_500, 9_000)),
            currency,
            stage.now_ms(),
        )


def _form(stage: Stage) -> Form:
    chance, town = stage.chance, stage.town
    guest = chance.random() < 0.2
    buyer_id = parties.mint_party(stage.site.world, "buyer") if guest else chance.choice(town.buyers)
    return Form(
        key=f"key {stage.step.seed:x}",
        buyer_id=buyer_id,
        method=chance.choice(METHOD_NAMES),
        confirm=chance.random() < 0.85,
        market=chance.choice(list(MARKETS)),
        wants=led_by(some_wants(town, chance), town.creators, stage.step.seed),
        scene="presale" if chance.random() < 0.25 else "",
        new_buyer=guest,
        codes=some_codes(stage),
        stored=some_wish(stage),
    )


async def submit(stage: Stage, form: Form) -> str:
    """Send a form, as the route for checkouts deals with it, and hold the answer against earlier ones."""

    async def story(platform: Platform) -> Placed:
        context, request = platform.checkout, form.request()

        async def accept() -> checkout.Placement:
            if form.token:
                return await checkout.accept_quote(context, form.token, request)
            return await checkout.accept_buy_now(context, form.market, form.wants, request, scene=form.scene)

        if form.stored is not None:
            placement, view, replayed = await checkout.place_funded(context, accept, form.stored)
        else:
            placement = await accept()
            view, replayed = await checkout.place_order(context, placement)
        state = ""
        if not replayed and placement.intent is not None and placement.intent.confirm:
            paid = await payments.charge(platform.db, platform.world, platform.providers, placement.intent)
            state = paid.state
        return view, replayed, state

    view, replayed, state = await stage.ask(story)
    if form.checkout_id and view.checkout_id != form.checkout_id:
        stage.site.fail(f"two checkouts: key {form.key} {form.checkout_id} {view.checkout_id}")
    form.checkout_id = view.checkout_id
    _remember(stage, view)
    return f"{'again ' if replayed else ''}{view.checkout_id} {state}".strip()


def _remember(stage: Stage, view: CheckoutView) -> None:
    town = stage.town
    if view.checkout_id not in town.placed:
        town.placed[view.checkout_id] = view.buyer_id
        town.orders.extend(order.order_id for order in view.orders)
        if view.total_minor:
            town.payments.append(view.payment_id)
    stage.touch(*(order.order_id for order in view.orders))
    if view.total_minor:
        stage.touch(view.payment_id)


async def buy_now(stage: Stage) -> str:
    """Lines, address, method: one call."""
    form = _form(stage)
    stage.town.forms.append(form)
    if form.stored is not None and form.stored.amount_minor is None:
        await give_credit(stage, form.buyer_id)
    return await submit(stage, form)


async def quote(stage: Stage) -> str:
    """Ask for a promise, and place it at once or keep it for later."""
    form = _form(stage)

    def story(platform: Platform) -> Coroutine[Any, Any, tuple[checkout.Quote, str]]:
        return checkout.make_quote(
            platform.checkout,
            form.market,
            form.wants,
            buyer_id=form.buyer_id,
            scene=form.scene,
            codes=form.codes,
        )

    promise, token = await stage.ask(story)
    form = replace(form, token=token, total_minor=promise.total_minor, new_buyer=False)
    stage.town.quotes.append(form)
    if stage.chance.random() < 0.4:
        return f"{promise.checkout_id} kept"
    return await submit(stage, form)


async def place_quote(stage: Stage) -> str:
    """Place a quote that was kept, maybe long ago, maybe placed already, under the same key or another."""
    if not stage.town.quotes:
        return "nothing"
    form = stage.chance.choice(stage.town.quotes)
    if stage.chance.random() < 0.3:
        form = replace(form, key=f"key {stage.step.seed:x}")
    stage.town.forms.append(form)
    return await submit(stage, form)


async def double_click(stage: Stage) -> str:
    """The same quote twice at the same moment, under two keys."""
    form = _form(stage)

    def story(platform: Platform) -> Coroutine[Any, Any, tuple[checkout.Quote, str]]:
        return checkout.make_quote(
            platform.checkout,
            form.market,
            form.wants,
            buyer_id=form.buyer_id,
            scene=form.scene,
            codes=form.codes,
        )

    promise, token = await stage.ask(story)
    first = replace(form, token=token, new_buyer=False)
    second = replace(first, key=f"{form.key} again")
    answers = await asyncio.gather(submit(stage, first), submit(stage, second), return_exceptions=True)
    words = []
    for answer in answers:
        if isinstance(answer, Refusal):
            words.append(f"refused {answer.code}")
        elif isinstance(answer, ConnectionLost):
            words.append("lost")
        elif isinstance(answer, BaseException):
            raise answer
        else:
            words.append(answer)
    places = {form.checkout_id for form in (first, second) if form.checkout_id}
    if len(places) > 1:
        stage.site.fail(f"two checkouts: quote {promise.checkout_id} {sorted(places)}")
    return " & ".join(words)


async def repeat(stage: Stage) -> str:
    """Send an earlier request again, answered or not; now and then with another body under its key."""
    if not stage.town.forms:
        return "nothing"
    form = stage.chance.choice(stage.town.forms)
    return await submit(stage, form)


async def pay(stage: Stage) -> str:
    """Pay later, or try another method after a decline."""
    if not stage.town.payments:
        return "nothing"
    payment_id = stage.chance.choice(stage.town.payments)
    method = stage.chance.choice(METHOD_NAMES)
    stage.touch(payment_id)

    def story(platform: Platform) -> Coroutine[Any, Any, payments.PaymentView]:
        return payments.confirm(platform.db, platform.world, platform.providers, payment_id, method)

    return f"{payment_id} {(await stage.ask(story)).state}"


async def redirect(stage: Stage) -> str:
    """Finish on the provider's page, then come back to us or close the window."""
    found = None
    for payment_id in reversed(list(stage.town.payments)):
        view = await stage.read(payment_id, payments.find_payment, payment_id)
        if view.state == "REQUIRES_ACTION":
            found = payment_id
            break
    if found is None:
        return "nobody is there"
    paid = stage.chance.random() < 0.8
    stage.touch(found)
    await stage.site.outside(stage.site.sandbox.complete_redirect(found, paid=paid))
    if stage.chance.random() < 0.5:
        return f"{found} paid={paid}, window closed"

    def story(platform: Platform) -> Coroutine[Any, Any, payments.PaymentView]:
        return payments.confirm(platform.db, platform.world, platform.providers, found)

    return f"{found} {(await stage.ask(story)).state}"
