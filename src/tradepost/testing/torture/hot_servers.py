"""The hot SKU on the servers of production: several API workers over one database, with and without Redis."""

from __future__ import annotations

import random
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from tradepost import services
from tradepost.testing.chaos.facts import provider_accounts, read_facts
from tradepost.testing.chaos.proof import settle
from tradepost.testing.torture.client import Client
from tradepost.testing.torture.goods import Good, buy_now, enter_good, levels, wish
from tradepost.testing.torture.hot import SETTLE_S, SOLD_OUT, drive, expect, note, only, told
from tradepost.testing.torture.proof import prove_paid, prove_provider
from tradepost.testing.torture.report import Report
from tradepost.testing.torture.shop import KEYS, ShopProcess, free_port, pause

START_S = 240.0
SHARED_BOOK = "sandbox-provider.db"
STORAGE, CACHE = "TRADEPOST_STORAGE__URL", "TRADEPOST_CACHE__URL"
SERVERS = ("mariadb", "vitess")
OPTIONS = {
    "mariadb": {"buffer_pool": "256M", "log_size": "128M"},
    "vitess": {"log_size": "64M"},
}
RESTOCK_CONNECTIONS = 16
SOLD_AGAIN_S = 1.0
"""After a restock through one connection every other one must sell within this time."""
_STEP_S = 0.01


class Race(msgspec.Struct, frozen=True, kw_only=True):
    """What races for what on what. `database` is mariadb or vitess, which are started, or the address of an empty one.

    `cache` puts a Redis of its own beside it.
    """

    requests: int = 20_000
    stock: int = 5_000
    connections: int = 256
    workers: int = 2
    database: str = "mariadb"
    cache: bool = False
    twins: bool = False


def hot_sku_on_servers(race: Race) -> Report:
    """Buy-now requests for fewer pieces: exactly those are sold; what is restocked sells everywhere within 1 s."""
    place = race.database if race.database in SERVERS else race.database.partition(":")[0]
    report = Report(
        torture=f"hot SKU: {race.requests:,} requests{' sent twice' if race.twins else ''} for {race.stock:,} pieces, "
        f"{race.connections} connections, {race.workers} API workers on {place}{' with Redis' if race.cache else ''}"
    )
    with tempfile.TemporaryDirectory(prefix="tradepost-hot-") as folder, _shop(race, Path(folder)) as shop:
        client = Client(shop.port)
        good = enter_good(client, "TORTURE-HOT", race.stock)
        _sell_out(race, shop, good, report)
        again = _restock(shop.port, good, report)
        has = levels(client, good)
        has["held and reserved"] = has.pop("held") + has.pop("reserved")
        sold = min(race.stock, race.requests) + again
        on_hand = race.stock + RESTOCK_CONNECTIONS
        wanted = {"on_hand": on_hand, "available": on_hand - sold, "held and reserved": sold}
        expect("the stock says the same", has, wanted, report)
        client.close()
        _prove(shop, sold, report)
    return report


def _sell_out(race: Race, shop: ShopProcess, good: Good, report: Report) -> None:
    times = 2 if race.twins else 1
    sold = min(race.stock, race.requests)
    load = drive(
        shop,
        (buy_now(good, f"hot-{number}") for number in range(race.requests) for _ in range(times)),
        race.connections,
    )
    note(load, report)
    wanted = only(sold * times, (race.requests - sold) * times, SOLD_OUT)
    expect("every request is sold or told sold out", told(load), wanted, report)


def _restock(port: int, good: Good, report: Report) -> int:
    """Each of some connections, spread over the workers, is told sold out; one restocks; each buys. How many did."""
    clients = [Client(port) for _ in range(RESTOCK_CONNECTIONS)]
    refused = [_buy(client, good, f"early-{number}") for number, client in enumerate(clients)]
    broken = [f"connection {number}: {code}" for number, code in enumerate(refused) if code != SOLD_OUT]
    report.look("before the restock everybody is told sold out", broken, count=len(clients))
    path, body = f"/v1/stock/{good.sku_id}/receive", {"quantity": RESTOCK_CONNECTIONS}
    received = clients[0].send("POST", path, body, token=KEYS["seller"], key="restock")
    began = time.monotonic()
    slowest_s, late, sold = 0.0, [], 0
    for number, client in reversed(list(enumerate(clients))):
        since, code = time.monotonic(), "not asked"
        while code and time.monotonic() < began + SOLD_AGAIN_S + (since - began):
            code = _buy(client, good, f"late-{number}-{time.monotonic_ns()}")
            if code:
                pause(_STEP_S)
        slowest_s = max(slowest_s, time.monotonic() - since)
        sold += not code
        late += [f"connection {number}: {code} {SOLD_AGAIN_S} s after the restock"] if code else []
        client.close()
    report.look(
        "the restock was taken", [] if received.accepted else [f"{received.status} {received.answer!r}"]
    )
    report.look("what was restocked sells through every worker within a second", late, count=len(clients))
    report.facts["slowest first sale after the restock ms"] = int(slowest_s * 1000)
    return sold


def _buy(client: Client, good: Good, key: str) -> str:
    """The code of the refusal, "" for a sale."""
    ask = client.send("POST", "/v1/checkouts", wish(good, key), token=KEYS["storefront"], key=key)
    return "" if ask.accepted else ask.code


def _prove(shop: ShopProcess, sold: int, report: Report) -> None:
    url = shop.environment[STORAGE]
    book = shop.folder / SHARED_BOOK
    report.facts["settled in ms"] = settle(url, book, SETTLE_S, report)
    facts = read_facts(url)
    by_request = Counter(order.email for order in facts.orders)
    twice = [f"{name}: {count} orders" for name, count in by_request.items() if count != 1]
    report.look("one order for one request", twice, count=len(by_request))
    expect("as many orders as pieces", {"orders": len(facts.orders)}, {"orders": sold}, report)
    report.look("orders, payments and ledger agree", facts.books, count=facts.audited)
    unbalanced = [] if facts.balanced else ["the accounts do not sum to zero"]
    report.look("the ledger is balanced over all shards", unbalanced)
    report.look("stock agrees with its log, its holds and its limits", facts.stock, count=facts.units)
    report.look("no dead letter", facts.dead_letters)
    prove_paid(facts.orders, facts.payments, report)
    prove_provider(facts.payments, provider_accounts(book), report)


@contextmanager
def _shop(race: Race, folder: Path) -> Iterator[ShopProcess]:
    names = [race.database] if race.database in SERVERS else []
    names += ["redis"] if race.cache else []
    with services.running(*names, folder=folder / "servers", options=OPTIONS) as started:
        known = started.get(race.database)
        environment = {
            "TRADEPOST_SERVER__WORKERS": str(race.workers),
            STORAGE: known.url if known else race.database,
            CACHE: started["redis"].url if race.cache else "",
        }
        shop = ShopProcess(
            folder / "shop", free_port(random.Random()), environment=environment, start_s=START_S
        )
        try:
            shop.start()
            yield shop
        finally:
            shop.stop()
