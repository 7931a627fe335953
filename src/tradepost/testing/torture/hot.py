"""Everybody wants the same thing at once: exactly what there is gets sold, everybody else is told so."""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from tradepost.testing.load import LoadReport
from tradepost.testing.torture import proof, rows
from tradepost.testing.torture.client import Client
from tradepost.testing.torture.goods import buy_now, enter_good, levels
from tradepost.testing.torture.report import Report
from tradepost.testing.torture.shop import KEYS, ShopProcess, free_port
from tradepost.testing.wire import write_requests

SOLD_OUT = "inventory.sold_out"
LIMIT = "inventory.limit_reached"
SETTLE_S = 120.0


def hot_sku(
    requests: int, stock: int, connections: int, *, twins: bool = False, writer: str = "thread"
) -> Report:
    """`requests` buy-now requests for `stock` pieces of one SKU. With `twins` each is sent twice at once."""
    name = f"{requests:,} requests{' sent twice' if twins else ''} for {stock:,} pieces"
    report = Report(torture=f"hot SKU: {name}, {connections} connections, writer {writer}")
    times = 2 if twins else 1
    sold = min(stock, requests)
    with _shop(writer) as (shop, client):
        good = enter_good(client, "TORTURE-HOT", stock)
        wishes = (buy_now(good, f"hot-{number}") for number in range(requests) for _ in range(times))
        load = drive(shop, wishes, connections)
        note(load, report)
        refused = (requests - sold) * times
        expect(
            "every request is sold or told sold out",
            told(load),
            only(sold * times, refused, SOLD_OUT),
            report,
        )
        has = levels(client, good)
        has["held and reserved"] = has.pop("held") + has.pop("reserved")
        wanted = {"on_hand": stock, "available": stock - sold, "held and reserved": sold}
        expect("the stock says the same", has, wanted, report)
        if proof.settle(shop, SETTLE_S, report):
            proof.prove_settled(shop.database, shop.provider_book, report)
        _prove_single(shop, sold, report)
    return report


def _prove_single(shop: ShopProcess, sold: int, report: Report) -> None:
    with rows.opened(shop.database) as tx:
        found = rows.all_orders(tx)
        by_request = Counter(order.email for order in found)
        twice = [f"{name}: {count} orders" for name, count in by_request.items() if count != 1]
        report.look("one order for one request", twice, count=len(by_request))
        expect("as many orders as pieces", {"orders": len(found)}, {"orders": sold}, report)
        proof.prove_books(tx, report)


def kits_that_share(requests: int, stock: int, connections: int, *, writer: str = "thread") -> Report:
    """Two kits and their shared component, wanted at once: the component is never sold more often than it is there."""
    report = Report(torture=f"kits that share: {requests:,} requests for {stock:,} components")
    parts = {"TORTURE-ONE": 1, "TORTURE-TWO": 2, "TORTURE-PART": 1}
    with _shop(writer) as (shop, client):
        part = enter_good(client, "TORTURE-PART", stock)
        other = enter_good(client, "TORTURE-OTHER", stock * 4)
        goods = [
            enter_good(client, code, kit={part.code: parts[code], other.code: 1}) for code in list(parts)[:2]
        ]
        goods.append(part)
        chance = random.Random(requests)
        wishes = [(chance.choice(goods), number) for number in range(requests)]
        load = drive(shop, (buy_now(good, f"kit-{number}") for good, number in wishes), connections)
        note(load, report)
        answers = told(load)
        broken = sorted(answers.keys() - {"201", SOLD_OUT})
        report.look("every request is sold or told sold out", broken, count=load.answered)
        has = levels(client, part)
        with rows.opened(shop.database) as tx:
            used = sum(sum(pieces) for (_, sku), pieces in rows.open_holds(tx).items() if sku == part.sku_id)
            proof.prove_books(tx, report)
        expect(
            "all components are promised once",
            {"available": has["available"], "used": used},
            {"available": 0, "used": stock},
            report,
        )
        if proof.settle(shop, SETTLE_S, report):
            proof.prove_settled(shop.database, shop.provider_book, report)
    return report


def buyer_limit(requests: int, limit: int, connections: int, *, writer: str = "thread") -> Report:
    """One buyer asks for the same thing on every connection at once and gets no more than the limit."""
    report = Report(torture=f"limit per buyer: {requests:,} requests of one buyer, limit {limit}")
    with _shop(writer) as (shop, client):
        good = enter_good(client, "TORTURE-LIMITED", requests * 2, limit_per_buyer=limit)
        buyers = [
            client.send("POST", "/v1/buyers", {"name": name}, token=KEYS["storefront"]).said()["buyer_id"]
            for name in ("Ann", "Bob")
        ]
        wishes = [
            buy_now(good, f"limit-{number}-{buyer}", buyer_id=buyer)
            for number in range(requests)
            for buyer in buyers
        ]
        load = drive(shop, wishes, connections)
        note(load, report)
        sold = limit * len(buyers)
        expect(
            "each buyer gets the limit, the rest is told",
            told(load),
            only(sold, len(wishes) - sold, LIMIT),
            report,
        )
        has = levels(client, good)
        expect("the stock says the same", {"taken": has["held"] + has["reserved"]}, {"taken": sold}, report)
        _prove_single(shop, sold, report)
    return report


@contextmanager
def _shop(writer: str) -> Iterator[tuple[ShopProcess, Client]]:
    with tempfile.TemporaryDirectory(prefix="tradepost-hot-") as folder:
        shop = ShopProcess(Path(folder), free_port(random.Random()), writer=writer)
        try:
            shop.start()
            client = Client(shop.port)
            yield shop, client
            client.close()
        finally:
            shop.kill(whole_group=True)


def drive(shop: ShopProcess, requests: Iterable[bytes], connections: int) -> LoadReport:
    """Send these requests from a driver in a process of its own."""
    path = shop.folder / "requests.bin"
    write_requests(path, requests)
    command = [sys.executable, "-m", "tradepost.testing.load", "--port", str(shop.port), "--codes"]
    options = ["--requests", str(path), "--connections", str(connections)]
    done = subprocess.run([*command, *options], check=True, stdout=subprocess.PIPE)  # noqa: S603 - our own module
    return msgspec.json.decode(done.stdout, type=LoadReport)


def expect(name: str, has: dict[str, int], wanted: dict[str, int], report: Report) -> None:
    """Note whether counts are as they must be."""
    broken = [] if has == wanted else [f"{has}, expected {wanted}"]
    report.look(name, broken, count=max(sum(wanted.values()), 1))


def told(load: LoadReport) -> dict[str, int]:
    """Successes by status, refusals by code, requests without an answer by cause."""
    good = {status: count for status, count in load.statuses.items() if status < "400"}
    untold = sum(load.statuses.values()) - sum(good.values()) - sum(load.codes.values())
    return {**good, **load.codes, **load.failures, **({"without a code": untold} if untold else {})}


def only(sold: int, refused: int, code: str) -> dict[str, int]:
    """The answers there must be: sales and refusals of one code, and nothing else."""
    return {name: count for name, count in (("201", sold), (code, refused)) if count}


def note(load: LoadReport, report: Report) -> None:
    """Write down how hard it was."""
    report.facts["answers"] = told(load)
    report.facts["answers a second"] = int(load.per_second)
    report.facts["latency p99 us"] = load.service.p99_us
