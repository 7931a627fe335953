"""The proof: what was acknowledged stands, nothing was done twice, stock and money agree with everybody's books."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tradepost.books import check_books
from tradepost.infra.payments.sandbox_book import Account
from tradepost.kernel.tx import Tx
from tradepost.kernel.world import SystemWorld
from tradepost.testing.torture import rows
from tradepost.testing.torture.client import Ask, Client, Unanswered, again
from tradepost.testing.torture.report import Report
from tradepost.testing.torture.rows import OrderRow, PaymentRow
from tradepost.testing.torture.shop import KEYS, ShopProcess, pause
from tradepost.trade import inventory, orders

CHECKOUTS = "/v1/checkouts"
POLL_S = 0.2
ORDERS_READ = 200
SHOWN_BY = ("return_id", "package_id", "order_id", "payment_id")
"""What an answer is about: the first of these members it has."""


def repeat_unanswered(client: Client, asks: Iterable[Ask], report: Report) -> list[Ask]:
    """Send every request without an answer again, twice; a refusal must be typed, the second answer the first's.

    The requests carry their answers afterwards. Returns those that are still without one, because the server
    went away meanwhile.
    """
    left: list[Ask] = []
    for ask in asks:
        if ask.status:
            continue
        try:
            client.repeat(ask)
            twin = client.repeat(again(ask))
        except Unanswered:
            ask.status = 0
            left.append(ask)
            continue
        broken = [f"{ask.kind} {ask.key}: {ask.status} {ask.answer[:200]!r}"] if ask.status >= 500 else []
        report.look("an unanswered request can be repeated", broken)
        report.look("the repeat of a repeat says the same", differs(ask, twin))
        report.add("unanswered requests repeated")
    return left


def repeat_acknowledged(client: Client, asks: Sequence[Ask], report: Report) -> None:
    """Send requests again that were accepted: each must name what it made the first time."""
    for ask in asks:
        report.look("a repeated success names the same thing", differs(ask, client.repeat(again(ask))))


def differs(first: Ask, second: Ask) -> list[str]:
    """What is wrong with the second answer to a request that was done: it names something else."""
    if not first.accepted:
        return []  # a refusal changed nothing and is judged anew
    if second.status == first.status and (_names(first) == _names(second)):
        return []
    return [f"{first.kind} {first.key}: {first.answer[:300]!r}, then {second.status} {second.answer[:300]!r}"]


def _names(ask: Ask) -> Any:
    """What a success is about: the orders of a checkout, or else the whole answer."""
    said = ask.said()
    if ask.path == CHECKOUTS:
        return said["checkout_id"], [order["order_id"] for order in said["orders"]], said["total"]
    return said


def prove_standing(database: Path, asks: Sequence[Ask], report: Report) -> None:
    """What must hold in the file at every moment, also right after a kill."""
    with rows.opened(database) as tx:
        found = rows.all_orders(tx)
        prove_placed(asks, found, report)
        prove_payments(asks, rows.all_payments(tx), report)
        prove_kept(asks, rows.answers_by_key(tx), report)
        prove_versions(asks, rows.versions(tx), report)
        report.look("every event log is gapless", rows.broken_logs(tx))
        holds = rows.open_holds(tx)
        known = {order.order_id for order in found}
        orphans = [f"{owner} {sku}" for owner, sku in holds if owner not in known]
        report.look("no hold without an order", orphans, count=len(holds))
        prove_books(tx, report)


def prove_readable(client: Client, asks: Sequence[Ask], report: Report) -> None:
    """The newest acknowledged orders, asked for over HTTP."""
    placed = [ask for ask in asks if ask.path == CHECKOUTS and ask.accepted][-ORDERS_READ:]
    for ask in placed:
        for order in ask.said()["orders"]:
            read = client.send("GET", f"/v1/orders/{order['order_id']}", token=KEYS["storefront"])
            fault = f"{order['order_id']}: {read.status} {read.answer[:200]!r}"
            report.look("an acknowledged order can be read", [] if read.status == 200 else [fault])


def prove_placed(asks: Sequence[Ask], found: Sequence[OrderRow], report: Report) -> None:
    """Each placing that was answered made what it said: one checkout, or nothing."""
    by_checkout: dict[str, set[str]] = defaultdict(set)
    by_request: dict[str, set[str]] = defaultdict(set)
    for order in found:
        by_checkout[order.checkout_id].add(order.order_id)
        by_request[order.email.partition("@")[0]].add(order.checkout_id)
    placing = [ask for ask in asks if ask.path == CHECKOUTS and ask.status]
    for ask in placing:
        made = by_request.get(ask.key, set())
        if not ask.accepted:
            report.look("a refused request made nothing", [f"{ask.key} {ask.code}: {made}"] if made else [])
            continue
        said = ask.said()
        there = by_checkout.get(said["checkout_id"], set())
        named = {order["order_id"] for order in said["orders"]}
        report.look(
            "an acknowledged checkout stands with its orders",
            [] if named == there else [f"{ask.key} {said['checkout_id']}: said {named}, there {there}"],
        )
        report.look(
            "one request made one checkout",
            [] if made == {said["checkout_id"]} else [f"{ask.key}: {said['checkout_id']}, there {made}"],
        )


def prove_payments(asks: Sequence[Ask], paid: dict[str, PaymentRow], report: Report) -> None:
    """What a buyer was told is paid is paid."""
    for ask in asks:
        payment = ask.said().get("payment") if ask.path == CHECKOUTS and ask.accepted else None
        if not payment:
            continue
        told, there = payment["captured"]["amount_minor"], paid.get(payment["payment_id"])
        lost = there is None or there.captured < told
        report.look(
            "an acknowledged payment stands", [f"{payment['payment_id']}: {told}, {there}"] if lost else []
        )


def prove_kept(asks: Sequence[Ask], kept: dict[str, int], report: Report) -> None:
    """One answer under each key that was answered with a success."""
    accepted = [ask for ask in asks if ask.accepted and ask.key]
    broken = [f"{ask.kind} {ask.key}: {kept.get(ask.key, 0)}" for ask in accepted if kept.get(ask.key) != 1]
    report.look("each success is kept once under its key", broken, count=len(accepted))


def prove_versions(asks: Sequence[Ask], there: dict[str, int], report: Report) -> None:
    """Every order, package, return and payment is at least where an answer has shown it."""
    for ask in asks:
        said = ask.said() if ask.accepted else {}
        shown = said.get("payment") or said
        name = next((shown[name] for name in SHOWN_BY if name in shown), "")
        if name and "version" in shown:
            lost = there.get(name, 0) < shown["version"]
            fault = (
                f"{ask.kind} {ask.key}: {name} was shown as version {shown['version']}, is {there.get(name)}"
            )
            report.look("nothing falls back behind what was shown", [fault] if lost else [])


def prove_books(tx: Tx, report: Report) -> None:
    """Money and stock recomputed from their rows."""
    books = check_books(tx)
    faults = [f"{one.kind} {one.subject}: {one.detail}" for one in books.findings]
    report.look("orders, payments and ledger agree", faults, count=books.orders + books.payments)
    stock = inventory.check_stock(tx, SystemWorld().now_ms())
    found = [f"{one.kind} {one.subject}: {one.detail}" for one in stock.findings]
    report.look("stock agrees with its log, its holds and its limits", found, count=stock.units)


def settle(shop: ShopProcess, within_s: float, report: Report) -> bool:
    """Wait until nothing is left to do: events relayed, payments known, refunds done, webhooks sent."""
    began = time.monotonic()
    left: dict[str, int] = {}
    while time.monotonic() < began + within_s:
        with rows.opened(shop.database) as tx:
            left = rows.waiting(tx)
        accounts = rows.provider_accounts(shop.provider_book).values()
        due = sum(len(account.due) for account in accounts)
        left |= {"webhooks to come": due} if due else {}
        if not left:
            report.look("everything settles")
            report.facts["settled in ms"] = int((time.monotonic() - began) * 1000)
            return True
        pause(POLL_S)
    report.look("everything settles", [f"after {within_s} s: {left}; log: {shop.last_words()}"])
    return False


def prove_settled(database: Path, provider_book: Path, report: Report) -> None:
    """What must hold once nothing is under way."""
    with rows.opened(database) as tx:
        report.look("no dead letter", rows.dead_letters(tx))
        found = rows.all_orders(tx)
        paid = rows.all_payments(tx)
        _prove_holds(tx, found, report)
    prove_paid(found, paid, report)
    prove_provider(paid, rows.provider_accounts(provider_book), report)
    states: dict[str, int] = {}
    for order in found:
        states[order.state] = states.get(order.state, 0) + 1
    report.facts["orders by state"] = dict(sorted(states.items()))


def _prove_holds(tx: Tx, found: Sequence[OrderRow], report: Report) -> None:
    unpaid = {order.order_id for order in found if order.state == "UNPAID"}
    wanted = wanted_holds(tx, [one.order_id for one in found])
    prove_holds(wanted, rows.open_holds(tx), unpaid, report)


def wanted_holds(tx: Tx, order_ids: Sequence[str]) -> dict[tuple[str, str], int]:
    """Pieces by (order, SKU) of the units that were neither cancelled nor shipped."""
    wanted: dict[tuple[str, str], int] = {}
    for order in orders.orders_by_ids(tx, order_ids):
        if order.state == "CANCELLED":
            continue
        for line, done in zip(order.body.lines, orders.full_progress(order), strict=True):
            units = line.quantity - done.cancelled - done.shipped
            for part in line.components:
                key = (order.order_id, part.sku_id)
                wanted[key] = wanted.get(key, 0) + units * part.quantity
    return wanted


def prove_holds(
    expected: dict[tuple[str, str], int],
    holds: dict[tuple[str, str], tuple[int, int]],
    unpaid: set[str],
    report: Report,
) -> None:
    """Open holds are exactly the units that are still to go: held until paid, then reserved."""
    for key in expected.keys() | holds.keys():
        pieces = expected.get(key, 0)
        wanted = (pieces, 0) if key[0] in unpaid else (0, pieces)
        has = holds.get(key, (0, 0))
        report.look(
            "open holds are what orders still wait for",
            [] if has == wanted else [f"{key}: held, reserved {has}, the order wants {wanted}"],
        )


def prove_paid(found: Sequence[OrderRow], paid: dict[str, PaymentRow], report: Report) -> None:
    """Orders and payments say the same: captured money is for orders that stand, or given back."""
    by_payment: dict[str, list[OrderRow]] = defaultdict(list)
    for order in found:
        if order.payment_id:
            by_payment[order.payment_id].append(order)
    for payment in paid.values():
        mine = by_payment.get(payment.payment_id, [])
        owed = sum(order.total_minor for order in mine if order.state != "CANCELLED")
        kept = payment.captured - payment.refunded
        unpaid = [order.order_id for order in mine if order.state == "UNPAID"]
        broken = [f"{payment}: {unpaid} are unpaid"] if payment.captured and unpaid else []
        if payment.captured and not 0 <= kept <= owed:
            broken.append(f"{payment}: keeps {kept} for orders of {owed}")
        moved = [order.order_id for order in mine if order.state not in ("UNPAID", "CANCELLED")]
        if not payment.captured and moved:
            broken.append(f"{payment}: nothing was captured for {moved}")
        report.look("what was captured is paid for or given back", broken)


def prove_provider(paid: dict[str, PaymentRow], accounts: dict[str, Account], report: Report) -> None:
    """What the provider took and gave back is what we know of."""
    for payment_id in paid.keys() | accounts.keys():
        payment, account = paid.get(payment_id), accounts.get(payment_id)
        if payment is None:
            report.look(
                "the provider's book agrees with ours", [f"{payment_id} is known to the provider alone"]
            )
            continue
        theirs = (account.captured, account.returned()) if account else (0, 0)
        ours = (payment.captured, payment.refunded)
        report.look(
            "the provider's book agrees with ours",
            [] if ours == theirs else [f"{payment}: the provider says captured, refunded {theirs}"],
        )
