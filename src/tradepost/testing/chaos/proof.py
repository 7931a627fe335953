"""What must hold after every fault: nothing acknowledged lost, nothing done twice, everything come to rest."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from tradepost.kernel.errors import Refusal
from tradepost.testing.chaos.facts import Facts, provider_accounts, read_facts, read_waiting
from tradepost.testing.chaos.timeline import AWAY
from tradepost.testing.torture import proof as judge
from tradepost.testing.torture.client import Ask, Client, Unanswered, again
from tradepost.testing.torture.report import Report
from tradepost.testing.torture.shop import pause
from tradepost.trade.payments import RefundStatus

ANSWER_WITHIN_S = 45.0
"""A request is repeated as long as it is sent away, but no longer."""
AGAIN_S = 0.25
SETTLE_STEP_S = 0.5
IN_PROGRESS = "idempotency.in_progress"


def is_open(ask: Ask) -> bool:
    """Whether a request is to be repeated as it stands: no answer came, or one that says come again."""
    return not ask.status or ask.status >= 500 or ask.status in AWAY or ask.code == IN_PROGRESS


def repeat_open(client: Client, asks: Sequence[Ask], report: Report) -> int:
    """Repeat every request that is open until it is answered, then once more; how many there were."""
    waiting = [ask for ask in asks if is_open(ask)]
    for ask in waiting:
        until = time.monotonic() + ANSWER_WITHIN_S
        while True:
            try:
                client.repeat(ask)
                twin = client.repeat(again(ask))
                if not is_open(ask) and not is_open(twin):
                    report.look("the repeat of a repeat says the same", judge.differs(ask, twin))
                    break
            except Unanswered:
                ask.status, ask.answer = 0, b""
            if time.monotonic() > until:
                break
            pause(AGAIN_S)
        told = f"{ask.kind} {ask.key}: {ask.status} {ask.answer[:200]!r}"
        report.look("a repeated request is answered in the end", [told] if is_open(ask) else [])
    return len(waiting)


def settle(url: str, provider_book: Path, within_s: float, report: Report) -> int:
    """Wait until nothing is left to do; how long that took in ms."""
    began = time.monotonic()
    left: dict[str, int] = {"everything": 1}
    while left and time.monotonic() < began + within_s:
        try:
            left = read_waiting(url, provider_book) or _stock_behind(url)
        except Refusal as refusal:
            left = {refusal.code: 1}
        if left:
            pause(SETTLE_STEP_S)
    broken = [f"after {within_s:.0f} s: {left}"] if left else []
    report.look("the outbox is drained and everything settles", broken)
    return int((time.monotonic() - began) * 1000)


def _stock_behind(url: str) -> dict[str, int]:
    """Holds that do not follow their orders yet: a broker may keep the event until it is given out again."""
    seen = Report(torture="settling")
    _prove_holds(read_facts(url), seen)
    broken = sum(len(check.broken) for check in seen.checks.values())
    return {"holds behind their orders": broken} if broken else {}


def _prove_holds(facts: Facts, report: Report) -> None:
    unpaid = {order.order_id for order in facts.orders if order.state == "UNPAID"}
    judge.prove_holds(facts.wanted, facts.holds, unpaid, report)


def prove(
    url: str, provider_book: Path, asks: Sequence[Ask], scarce: tuple[str, int], report: Report
) -> None:
    """Everything that must hold once nothing is under way. `scarce` is a SKU and the pieces there ever were of it."""
    facts = read_facts(url)
    judge.prove_placed(asks, facts.orders, report)
    judge.prove_payments(asks, facts.payments, report)
    judge.prove_kept(asks, facts.kept, report)
    judge.prove_versions(asks, facts.versions, report)
    judge.prove_paid(facts.orders, facts.payments, report)
    judge.prove_provider(facts.payments, provider_accounts(provider_book), report)
    _prove_holds(facts, report)
    report.look("every event log is gapless", facts.broken_logs)
    report.look("no dead letter", facts.dead_letters)
    report.look("orders, payments and ledger agree", facts.books, count=facts.audited)
    unbalanced = [] if facts.balanced else ["the accounts do not sum to zero"]
    report.look("the ledger is balanced over all shards", unbalanced)
    report.look("stock agrees with its log, its holds and its limits", facts.stock, count=facts.units)
    _prove_scarce(facts, *scarce, report)
    _prove_charges(facts, provider_book, report)
    _prove_consumers(facts, report)


def _prove_scarce(facts: Facts, sku_id: str, pieces: int, report: Report) -> None:
    sold = facts.sold.get(sku_id, 0)
    report.look("no oversell", [f"{sold} of {pieces} pieces of {sku_id} are sold"] if sold > pieces else [])


def _prove_charges(facts: Facts, provider_book: Path, report: Report) -> None:
    """The provider took no more for a checkout than its orders cost, and under one payment alone."""
    by_checkout: dict[str, set[str]] = {}
    totals: dict[str, int] = {}
    for order in facts.orders:
        totals[order.checkout_id] = totals.get(order.checkout_id, 0) + order.total_minor
        if order.payment_id:
            by_checkout.setdefault(order.checkout_id, set()).add(order.payment_id)
    accounts = provider_accounts(provider_book)
    for checkout_id, payment_ids in by_checkout.items():
        charged = [accounts[one] for one in payment_ids if one in accounts and accounts[one].captured]
        taken = sum(account.captured for account in charged)
        broken = []
        if len(charged) > 1 or taken > totals[checkout_id]:
            broken.append(f"{checkout_id} of {totals[checkout_id]}: {len(charged)} charges, {taken} in all")
        for account in charged:
            refunds = [one for one in account.refunds.values() if one.status is RefundStatus.SUCCEEDED]
            if account.returned() > account.captured:
                broken.append(f"{account.payment_id}: {len(refunds)} refunds give back {account.returned()}")
        report.look("one charge per order", broken)


def _prove_consumers(facts: Facts, report: Report) -> None:
    """What sellers list is what the orders are."""
    states = {order.order_id: order.state for order in facts.orders}
    for order_id, state in states.items():
        listed = facts.listed.get(order_id)
        there = (state, facts.versions[order_id])
        same = listed is not None and (listed[1], listed[2]) == there
        report.look("consumers equal their source", [] if same else [f"{order_id}: {there}, listed {listed}"])
    strangers = [order_id for order_id in facts.listed if order_id not in states]
    report.look("consumers know nothing else", strangers, count=len(facts.listed))
