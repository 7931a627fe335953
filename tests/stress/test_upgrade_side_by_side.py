"""This release as the one before: the next release migrates the database under running servers of this one.

What the next release does is done here by hand: it adds columns, a table and an index, and names its revision. Two API
workers go on, a killed one comes back, another server of this release starts beside them. Only what takes something
away, and says so in its revision, sends this release out of traffic.
"""

from __future__ import annotations

import os
import random
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.mariadb_server import fresh_database, run

from tradepost.infra.storage.migrations import REVISIONS
from tradepost.testing.torture.client import Client, Unanswered
from tradepost.testing.torture.goods import Good, enter_good, wish
from tradepost.testing.torture.shop import KEYS, ShopLost, ShopProcess, child_processes, free_port, wait_until

pytestmark = [pytest.mark.timeout(400), pytest.mark.server("mariadb")]
START_S = 200.0
EXPAND = (
    "ALTER TABLE orders ADD COLUMN next_note VARCHAR(20) NULL, ADD COLUMN next_rank INT NOT NULL DEFAULT 0",
    "ALTER TABLE holds ADD COLUMN next_kind VARCHAR(20) NOT NULL DEFAULT ''",
    "ALTER TABLE idempotency ADD COLUMN next_cell INT NOT NULL DEFAULT 1",
    "CREATE TABLE next_things (gene INT NOT NULL, thing_id VARCHAR(40) NOT NULL, PRIMARY KEY (gene, thing_id))",
    "CREATE INDEX next_orders_by_note ON orders (gene, next_note)",
    f"UPDATE alembic_version SET version_num = '9998.{REVISIONS[-1]}'",
)
CONTRACT = ("UPDATE alembic_version SET version_num = '9999.9998'",)


@pytest.fixture
def url(mariadb: str) -> str:
    return fresh_database(mariadb, "tradepost_side_by_side")


def shop_on(url: str, folder: Path) -> ShopProcess:
    environment = {"TRADEPOST_STORAGE__URL": url, "TRADEPOST_SERVER__WORKERS": "2"}
    return ShopProcess(folder, free_port(random.Random()), environment=environment, start_s=START_S)


@pytest.fixture
def shop(url: str, tmp_path: Path) -> Iterator[ShopProcess]:
    made = shop_on(url, tmp_path / "shop")
    made.start()
    yield made
    made.stop()


class Buyers:
    """A few who go on buying over connections of their own, and what they were told."""

    def __init__(self, port: int, good: Good) -> None:
        self.told: Counter[str] = Counter()
        self._stop = threading.Event()
        self._port, self._good = port, good
        self._threads = [threading.Thread(target=self._buy, args=(number,)) for number in range(4)]

    def __enter__(self) -> Buyers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _buy(self, number: int) -> None:
        client, count = Client(self._port), 0
        while not self._stop.is_set():
            count += 1
            key = f"buyer-{number}-{count}"
            body = wish(self._good, key)
            for _ in range(20):
                try:
                    ask = client.send("POST", "/v1/checkouts", body, token=KEYS["storefront"], key=key)
                    break
                except Unanswered:  # its worker was killed: the same request again
                    continue
            self.told[ask.code or str(ask.status)] += 1
        client.close()

    def bought(self, more: int) -> None:
        """Wait until so many more were sold."""
        goal = self.told["201"] + more
        assert wait_until(lambda: self.told["201"] >= goal, 60), self.told


def status(port: int) -> int:
    client = Client(port, patience_s=10)
    try:
        return client.send("GET", "/health/ready", token="").status
    except Unanswered:
        return 0
    finally:
        client.close()


def workers(shop: ShopProcess) -> set[int]:
    found = child_processes(shop.process_id)
    return {pid for pid in found if b"cli.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()}


def test_the_next_release_migrates_under_running_servers(shop: ShopProcess, url: str, tmp_path: Path) -> None:
    client = Client(shop.port)
    good = enter_good(client, "SIDE-BY-SIDE", 100_000)
    with Buyers(shop.port, good) as buyers:
        buyers.bought(20)
        run(url, *EXPAND)
        buyers.bought(20)
        assert wait_until(lambda: status(shop.port) == 200, 10)

        before = workers(shop)
        assert len(before) == 2
        os.kill(min(before), signal.SIGKILL)
        assert wait_until(lambda: len(workers(shop)) == 2 and workers(shop) != before, 60)
        buyers.bought(20)

        beside = shop_on(url, tmp_path / "beside")
        (beside.folder / "signing-secret").write_bytes((shop.folder / "signing-secret").read_bytes())
        beside.start()
        try:
            _buys_and_repeats(shop.port, beside.port, good)
        finally:
            beside.stop()
        buyers.bought(20)
    assert buyers.told.keys() == {"201"}, buyers.told
    rows = run(url, "SELECT COUNT(*), MAX(next_rank), MAX(next_note) FROM orders")
    assert rows == [(buyers.told["201"] + 1, 0, None)]

    run(url, *CONTRACT)
    assert wait_until(lambda: status(shop.port) == 503, 40)
    late = shop_on(url, tmp_path / "late")
    with pytest.raises(ShopLost) as refused:
        late.start()
    assert "storage.schema_newer" in str(refused.value)
    client.close()


def _buys_and_repeats(first: int, second: int, good: Good) -> None:
    """What one server took is known to the other."""
    one, other = Client(first), Client(second)
    body = wish(good, "over-both")
    asked = one.send("POST", "/v1/checkouts", body, token=KEYS["storefront"], key="over-both")
    again = other.send("POST", "/v1/checkouts", body, token=KEYS["storefront"], key="over-both")
    assert (asked.status, again.status, again.replayed) == (201, 201, True)
    assert asked.said()["checkout_id"] == again.said()["checkout_id"]
    one.close()
    other.close()
