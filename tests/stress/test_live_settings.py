"""Limits, gray release, switches and drills on a shop of two API workers over one MariaDB, followed from outside: what
`tradepost config` says is felt on every connection within a second, with values in a file and in etcd."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
from tests.demo_server import DemoServer, demo_server
from tests.mariadb_server import fresh_database

from tradepost import services
from tradepost.kernel.errors import Refusal
from tradepost.stability.switches import declared_switches
from tradepost.surfaces.cli.__main__ import app
from tradepost.surfaces.cli.output import stop
from tradepost.testing.torture.client import Client
from tradepost.testing.torture.goods import PRICE_MINOR, enter_good
from tradepost.testing.torture.shop import KEYS

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.server("mariadb"),
    pytest.mark.xdist_group("live-settings"),
]
FELT_S = 1.0
CONNECTIONS = 8
IDLE_S = 2.0
OFFERS = "/v1/offers?market=GB&limit=5"
LIMIT = '[{"name": "apps", "by": "app", "requests": 1, "per_ms": 60000, "burst": 2, "routes": ["GET /v1/offers"]}]'


class Said(NamedTuple):
    """One answer."""

    status: int
    headers: dict[str, str]
    body: Any


class Caller:
    """One connection, so one worker."""

    def __init__(self, address: str) -> None:
        self._connection = HTTPConnection(urlsplit(address).netloc, timeout=20)
        self._used_at = time.monotonic()

    def ask(self, method: str, path: str, body: Any = None, *, key: str = "storefront") -> Said:
        headers = {"Authorization": f"Bearer {KEYS[key]}", "Content-Type": "application/json"}
        sent = None if body is None else json.dumps(body)
        if time.monotonic() - self._used_at > IDLE_S:
            self._connection.close()  # the server hangs up on the idle; this one is opened anew by itself
        self._used_at = time.monotonic()
        self._connection.request(method, path, sent, headers | {"Idempotency-Key": f"{time.monotonic_ns()}"})
        answer = self._connection.getresponse()
        told = answer.read()
        said = json.loads(told) if "json" in answer.headers.get("content-type", "") else told.decode()
        return Said(answer.status, {name.lower(): value for name, value in answer.getheaders()}, said)

    def close(self) -> None:
        self._connection.close()


class Shop:
    """The server, a caller for each connection, and the command line."""

    def __init__(self, server: DemoServer, capsys: pytest.CaptureFixture[str]) -> None:
        self.address = server.address
        self.callers = [Caller(server.address) for _ in range(CONNECTIONS)]
        self._capsys = capsys

    def tradepost(self, *words: str) -> str:
        """What a command printed; it must end well."""
        code = 0
        try:
            try:
                app([*words, "--server", self.address])
            except Refusal as refusal:
                stop(refusal)
        except SystemExit as ended:
            code = int(ended.code or 0)
        out, err = self._capsys.readouterr()
        assert code == 0, out + err
        return str(out)

    def set(self, key: str, *words: str) -> None:
        self.tradepost("config", "set", key, *words, "--reason", "a test")

    def back(self, key: str) -> None:
        self.tradepost("config", "rollback", key, "--reason", "a test")

    def felt(self, by: Callable[[Caller], bool]) -> float:
        """Wait until every connection feels it; how long after the command that took, in seconds. At most one."""
        began = time.monotonic()
        late = list(self.callers)
        while late and time.monotonic() < began + FELT_S:
            late = [caller for caller in late if not by(caller)]
            threading.Event().wait(0.005)
        assert not late, f"{len(late)} of {len(self.callers)} connections feel nothing after {FELT_S} s"
        return time.monotonic() - began


@pytest.fixture(scope="module", params=["file", pytest.param("etcd", marks=pytest.mark.server("etcd"))])
def server(
    request: pytest.FixtureRequest, mariadb: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DemoServer]:
    kind = str(request.param)
    folder = tmp_path_factory.mktemp(f"live-{kind}")
    names = ["etcd", "redis"] if kind == "etcd" else []
    with services.running(*names, folder=folder / "servers") as started:
        settings = {
            "TRADEPOST_STORAGE__URL": fresh_database(mariadb, f"tradepost_live_{kind}"),
            "TRADEPOST_SERVER__WORKERS": "2",
            "TRADEPOST_CONFIG__URL": started["etcd"].url if names else "",
            "TRADEPOST_CACHE__URL": started["redis"].url if names else "",
            "TRADEPOST_CONFIG__INSTANCE": "here",
            "TRADEPOST_CHECKOUT__VELOCITY_ORDERS_MAX": "0",
        }
        (folder / "data").mkdir()
        with demo_server(folder / "data", **settings) as served:
            yield served


@pytest.fixture
def shop(server: DemoServer, capsys: pytest.CaptureFixture[str]) -> Iterator[Shop]:
    made = Shop(server, capsys)
    yield made
    for key in ("limits.callers", "checkout.quote_ttl_s", "switch.new_carts_off"):
        made.set(key, "--default")  # one test that failed shall not fail the others
    for caller in made.callers:
        caller.close()


def test_a_curl_loop_is_limited_the_second_after_and_free_the_second_after_rollback(shop: Shop) -> None:
    assert {caller.ask("GET", OFFERS).status for caller in shop.callers} == {200}
    shop.set("limits.callers", LIMIT)
    shop.felt(lambda caller: caller.ask("GET", OFFERS).status == 429)
    refused = curl(shop.address)
    assert (refused.status, refused.body["code"], refused.body["limit"]) == (429, "limit.exceeded", "apps")
    assert int(refused.headers["retry-after"]) == refused.body["retry_after_s"] >= 1
    assert shop.callers[0].ask("GET", "/v1/markets").status == 200
    shop.back("limits.callers")
    shop.felt(lambda caller: caller.ask("GET", OFFERS).status == 200)
    assert [curl(shop.address).status for _ in range(4)] == [200] * 4


def curl(address: str) -> Said:
    """One round of the loop that a person types."""
    key = f"Authorization: Bearer {KEYS['storefront']}"
    done = subprocess.run(
        ["curl", "-sS", "-i", "-H", key, f"{address}{OFFERS}"], capture_output=True, text=True, check=True
    )
    head, _, body = done.stdout.partition("\n\n")
    lines = head.splitlines()
    headers = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
    return Said(int(lines[0].split()[1]), headers, json.loads(body))


class Quotes:
    """How long new quotes are good for, in seconds, by who asks."""

    def __init__(self, shop: Shop) -> None:
        offers = {
            market: shop.callers[0]
            .ask("GET", f"/v1/offers?market={market}&limit=1")
            .body["items"][0]["offer_id"]
            for market in ("GB", "US")
        }
        self._wants = {
            market: {"market": market, "lines": [{"offer_id": offer, "quantity": 1}]}
            for market, offer in offers.items()
        }
        names = [{"name": f"Buyer {number}", "email": f"b{number}@example.org"} for number in range(40)]
        self.buyers = [shop.callers[0].ask("POST", "/v1/buyers", one).body["buyer_id"] for one in names]

    def good_for(self, caller: Caller, market: str = "GB", buyer_id: str = "") -> int:
        wanted = self._wants[market] | ({"buyer_id": buyer_id} if buyer_id else {})
        before_ms = time.time_ns() // 1_000_000
        said = caller.ask("POST", "/v1/quotes", wanted)
        assert said.status == 200, said.body
        return int(said.body["expires_at_ms"] - before_ms + 500) // 1000

    def released_to(self, caller: Caller, seconds: int) -> set[str]:
        return {buyer for buyer in self.buyers if self.good_for(caller, buyer_id=buyer) == seconds}


def test_gray_release_by_instance_market_and_percentage(shop: Shop) -> None:
    quotes, key = Quotes(shop), "checkout.quote_ttl_s"
    usual = quotes.good_for(shop.callers[0])
    shop.set(key, "60", "--instance", "elsewhere")
    shop.set(key, "120", "--instance", "here", "--keep-rules")
    shop.felt(lambda caller: quotes.good_for(caller) == 120)
    shop.set(key, "--default")
    shop.felt(lambda caller: quotes.good_for(caller) == usual)
    shop.set(key, "60", "--market", "GB")
    shop.felt(lambda caller: quotes.good_for(caller) == 60)
    assert {quotes.good_for(caller, "US") for caller in shop.callers} == {usual}
    shop.back(key)
    shop.felt(lambda caller: quotes.good_for(caller) == usual)
    shop.set(key, "30", "--percent", "30")
    shop.felt(lambda caller: bool(quotes.released_to(caller, 30)))
    some = quotes.released_to(shop.callers[0], 30)
    assert 2 <= len(some) <= 24
    assert all(quotes.released_to(caller, 30) == some for caller in shop.callers[1:3])
    shop.set(key, "30", "--percent", "70")
    shop.felt(lambda caller: quotes.released_to(caller, 30) > some)
    shop.set(key, "--default")
    shop.felt(lambda caller: not quotes.released_to(caller, 30))


def test_a_price_that_changes_is_quoted_by_every_worker_within_a_second(shop: Shop) -> None:
    """Each worker remembers offers; what makes it forget comes over Redis, or out of the database's events."""
    first = shop.callers[0]
    client = Client(urlsplit(shop.address).port or 0)
    good = enter_good(client, f"PRICED-{time.monotonic_ns()}", 100)
    client.close()
    wanted = {"market": "GB", "lines": [{"offer_id": good.offer_id, "quantity": 1}]}

    def total(caller: Caller) -> int:
        return int(caller.ask("POST", "/v1/quotes", wanted).body["total"]["amount_minor"])

    shipping = total(first) - PRICE_MINOR
    assert {total(caller) - shipping for caller in shop.callers} == {PRICE_MINOR}
    terms = {"markets": ["GB"], "prices": [{"currency": "GBP", "price": "2.50"}]}
    assert first.ask("PUT", f"/v1/offers/{good.offer_id}", terms, key="seller").status == 200
    shop.felt(lambda caller: total(caller) - shipping == 250)


def test_a_switch_is_seen_on_answers_in_health_and_in_metrics(shop: Shop) -> None:
    def degraded(caller: Caller) -> str:
        return caller.ask("GET", "/v1/markets").headers.get("tradepost-degraded", "")

    shop.set("switch.new_carts_off", "true")
    shop.felt(lambda caller: degraded(caller) == "new_carts_off")
    assert shop.callers[0].ask("GET", "/health/ready").body["degraded"] == ["new_carts_off"]
    metrics = shop.callers[0].ask("GET", "/metrics").body
    on = [
        line
        for line in metrics.splitlines()
        if line.startswith("tradepost_switch_on") and "new_carts_off" in line
    ]
    assert on
    assert all(line.endswith(" 1.0") for line in on), on
    shop.back("switch.new_carts_off")
    shop.felt(lambda caller: degraded(caller) == "")
    assert shop.callers[0].ask("GET", "/health/ready").body["degraded"] == []


@pytest.mark.parametrize("switch", sorted(declared_switches()))
def test_every_drill_passes_on_two_workers(shop: Shop, switch: str) -> None:
    result = json.loads(shop.tradepost("drill", switch, "--seconds", "1", "--orders", "--json"))
    assert result["passed"], result
    assert result["wrong"] == {}
    listed = json.loads(shop.tradepost("drill", "--list", "--json"))["items"]
    (last,) = [one["last_drill"] for one in listed if one["switch"] == switch]
    assert last["passed"]


def test_a_file_lies_where_the_how_to_says(server: DemoServer) -> None:
    kept = [path.name for path in Path(server.data_dir).glob("config*.json")]
    assert kept, "neither the file nor a last good copy"
