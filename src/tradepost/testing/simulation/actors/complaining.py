"""After the sale: cases of every kind through their steps, new goods for old, and banks that take money back."""

from __future__ import annotations

from tradepost.kernel.ids import gene_of
from tradepost.kernel.tx import Tx
from tradepost.surfaces.api.platform import Platform
from tradepost.testing.simulation.actors.caring import some_lines
from tradepost.testing.simulation.stage import Stage
from tradepost.trade import aftersales, orders, payments
from tradepost.trade.aftersales import Asked, CaseKind, Evidence, Return, WantedOffer
from tradepost.trade.orders import LineQuantity

REASONS = ("changed_mind", "damaged", "wrong_item", "does_not_fit")
PARTIES = ("BUYER", "SELLER", "SELLER", "SELLER", "OPERATOR")
AHEAD = {
    "REQUESTED": ("approve", "approve", "approve", "refuse", "close"),
    "APPROVED": ("ship_back", "arrive", "receive", "receive", "close"),
    "SHIPPED_BACK": ("arrive", "receive", "escalate"),
    "INSPECTING": ("receive", "receive", "refuse"),
    "REFUSED": ("escalate",),
    "DISPUTED": ("add_evidence", "judge", "judge"),
    "RECEIVED": ("goods",),
    "GRANTED": ("goods",),
}
"""What may come next of a case in a state, likelier steps more often."""


async def ask_case(stage: Stage) -> str:
    """Somebody wants something after the sale: units or an amount, money or goods; now and then too much."""
    chance, town = stage.chance, stage.town
    for _ in range(8):
        order_id = town.some_order(chance)
        if not order_id:
            return "nothing"
        left = await stage.read(order_id, aftersales.returnable_lines, order_id)
        if left:
            break
    else:
        return "nothing to give back"
    order = await stage.read(order_id, orders.get_order, order_id)
    kind = chance.choice(list(CaseKind))
    amount = 0
    lines: tuple[LineQuantity, ...] = ()
    if kind in (CaseKind.REFUND_ONLY, CaseKind.CLAIM) and chance.random() < 0.4:
        amount = chance.randint(1, max(1, order.total_minor // 2))
    else:
        sizes = {line.line_no: line.quantity + (chance.random() < 0.05) for line in left}
        lines = tuple(some_lines(chance, sizes))
    offers = [good.offer_id for good in town.goods if good.seller_id == order.seller_id]
    others = kind is CaseKind.EXCHANGE and offers and chance.random() < 0.6
    case = aftersales.new_case(
        order_id,
        stage.mint("return", order_id),
        chance.choice(REASONS),
        stage.now_ms(),
        lines=lines,
        kind=kind.value,
        amount_minor=amount,
        wanted=(WantedOffer(chance.choice(offers), 1),) if others else (),
    )
    stage.touch(order_id)
    asked = await stage.transact(
        order_id, aftersales.request_case, case, chance.choice(("BUYER", "OPERATOR"))
    )
    town.returns.append(case.return_id)
    return f"{case.return_id} {kind.value} of {order_id} {amount or len(lines)} {asked.state}"


async def case_work(stage: Stage) -> str:
    """One step of some case by one of the parties, as often as not the one whose step it is."""
    chance, town = stage.chance, stage.town
    if not town.returns:
        return "nothing"
    for _ in range(8):
        return_id = chance.choice(town.returns)
        item = await stage.read(return_id, aftersales.get_return, return_id)
        if item.state in AHEAD:
            break
    else:
        return "nothing to do"
    stage.touch(item.order_id)
    act, party = chance.choice(AHEAD[item.state]), chance.choice(PARTIES)
    if act in ("ship_back", "close", "escalate"):
        party = "BUYER"
    if act == "judge":
        party = "OPERATOR"
    if act == "goods":
        after = await stage.ask(lambda platform: aftersales.replace_goods(platform.checkout, return_id))
    else:
        winner = chance.choice(("BUYER", "SELLER"))
        at_ms = stage.now_ms()
        after = await stage.ask(lambda platform: _on_case(platform, return_id, act, party, winner, at_ms))
    if after.replacement_id and after.replacement_id not in town.orders:
        town.orders.append(after.replacement_id)
        if await _is_to_pay(stage, after):
            town.payments.append(f"pay_{return_id[-26:]}")
        stage.touch(after.replacement_id)
    return f"{return_id} {act} by {party} {after.state}"


async def _is_to_pay(stage: Stage, case: Return) -> bool:
    order = await stage.read(case.replacement_id, orders.get_order, case.replacement_id)
    return order.total_minor > 0


async def _on_case(
    platform: Platform, return_id: str, act: str, party: str, winner: str, at_ms: int
) -> Return:
    db = platform.db
    after: Return = await db.transact(
        db.shard_of(gene_of(return_id)), step_and_compare, return_id, act, party, winner, at_ms
    )
    return after


def step_and_compare(tx: Tx, return_id: str, act: str, party: str, winner: str, at_ms: int) -> Return:
    """One step; where it settles the case, what a preview showed right before is what is refunded.

    Raises AssertionError when it is not: no refusal, but a defect of ours.
    """
    before = aftersales.get_return(tx, return_id)
    asked = Asked(
        kind=before.kind, reason=before.reason, lines=before.lines, amount_minor=before.amount_minor
    )
    shown = aftersales.preview(tx, before.order_id, asked)
    if act == "add_evidence":
        after = aftersales.add_evidence(tx, return_id, Evidence(party=party, note="look", at_ms=at_ms))
    elif act == "judge":
        after = aftersales.judge(tx, return_id, winner, "fair", at_ms, party)
    elif act == "refuse":
        after = aftersales.refuse(tx, return_id, "used", at_ms, party)
    elif act == "receive":
        after = aftersales.receive(tx, return_id, at_ms, party=party)
    elif act == "ship_back":
        after = aftersales.ship_back(tx, return_id, "T1", at_ms, party)
    else:
        steps = {
            "approve": aftersales.approve,
            "arrive": aftersales.arrive,
            "close": aftersales.close,
            "escalate": aftersales.escalate,
        }
        after = steps[act](tx, return_id, at_ms, party)
    settles = after.state in ("RECEIVED", "GRANTED", "REFUNDED") and after.kind not in (
        "exchange",
        "replacement",
    )
    if settles and (after.refund_minor, after.held_minor, after.values) != (
        shown.refund_minor,
        shown.held_minor,
        shown.lines,
    ):
        raise AssertionError(f"preview differs: {return_id} {shown.refund_minor} {after.refund_minor}")
    return after


async def chargeback(stage: Stage) -> str:
    """A buyer's bank takes a payment back, whole, in part, or more than is left; later it decides."""
    town, chance = stage.town, stage.chance
    if not town.payments:
        return "nothing"
    for _ in range(6):
        payment_id = chance.choice(town.payments)
        view = await stage.read(payment_id, payments.find_payment, payment_id)
        if view.captured_minor:
            break
    else:
        return "nothing captured"
    stage.touch(payment_id)
    amount = chance.choice((0, 0, chance.randint(1, view.captured_minor), view.captured_minor))
    lost, after_ms = chance.random() < 0.6, chance.randint(1_000, 86_400_000)
    if await stage.site.sandbox.ask(payment_id) is None:
        return f"{payment_id} unknown"
    await stage.site.outside(
        stage.site.sandbox.raise_dispute(payment_id, amount, lost=lost, after_ms=after_ms)
    )
    return f"{payment_id} {amount or 'all'} lost={lost}"
