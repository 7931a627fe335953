"""The demo shop as its users run it behind a broker: API and work processes of their own on one MariaDB."""

from __future__ import annotations

import http.client
import os
import re
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
from tests.mariadb_server import run
from tests.redis_server import free_port

from tradepost.infra.messaging.rocketmq_admin import create
from tradepost.infra.messaging.topics import SUBSCRIPTIONS, Names, groups
from tradepost.services.model import Server

PATIENCE_S = 150.0
STEP_S = 0.05
KEY = "tp_storefront_demo"
PROBE = "probe"
_ORDER = re.compile(r"-d '(\{.*\})'")


def until(holds: Callable[[], object], what: str, within_s: float = PATIENCE_S) -> None:
    """Wait until something holds."""
    end = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < end, f"in vain: {what}"
        time.sleep(STEP_S)


class BrokerShop:
    """One shop. Its topics and groups have a prefix of their own, so shops share a broker."""

    def __init__(self, folder: Path, database: str, broker: Server, **settings: str) -> None:
        self.folder = folder
        self.database = database
        self.broker = broker
        self.names = Names(f"s{uuid4().hex[:12]}")
        self.port = free_port()
        self._environment = {
            **os.environ,
            "TRADEPOST_MODE": "demo",
            "DATA_DIR": str(folder),
            "TRADEPOST_STORAGE__URL": database,
            "TRADEPOST_STORAGE__WRITER": "thread",
            "TRADEPOST_MESSAGING__URL": f"{broker.url}/{self.names.prefix}",
            "TRADEPOST_SERVER__WORKS_ELSEWHERE": "true",
            "TRADEPOST_CHECKOUT__VELOCITY_ORDERS_MAX": "0",
            "TRADEPOST_TELEMETRY__PROVE_EVERY_MS": "0",
            **{f"TRADEPOST_{name}": value for name, value in settings.items()},
        }
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._body: dict[str, Any] = {}
        self._placed = 0

    @property
    def environment(self) -> Mapping[str, str]:
        """What its commands are given."""
        return self._environment

    def declare(self) -> None:
        """Create its topics and groups, and one group more that reads everything for a test."""
        address = f"127.0.0.1:{self.broker.ports['broker']}"
        create(address, self.names, wanted_groups=groups(self.names, [*SUBSCRIPTIONS, PROBE]))

    def start_api(self) -> None:
        """One API process on the demo shop, which has goods for 250 orders."""
        self._start("api", "serve", "--demo", "--port", str(self.port), "--workers", "1")
        until(lambda: self.ready()[0] == 200, "the API is ready")
        out = self.folder / "api.out"
        until(lambda: _ORDER.search(out.read_text()), "it greets with an order")
        found = _ORDER.search(out.read_text())
        assert found
        self._body = msgspec.json.decode(found[1])

    def start_work(self, name: str = "work") -> None:
        """One work process; it reads when every subscription does."""
        self._start(name, "work")
        until(lambda: self.number("messaging_groups_reading") >= len(SUBSCRIPTIONS), "every group reads")

    def _start(self, name: str, *words: str) -> None:
        with (self.folder / f"{name}.out").open("ab") as out, (self.folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", "tradepost.surfaces.cli", *words],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=log,
                env=self._environment,
            )

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """One command to its end."""
        return subprocess.run(
            [sys.executable, "-m", "tradepost.surfaces.cli", *words],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )

    def stop(self, name: str) -> int:
        """End a command as an operator does; its exit status."""
        process = self._processes.pop(name)
        process.send_signal(signal.SIGTERM)
        try:
            return process.wait(30)
        finally:
            process.kill()

    def close(self) -> None:
        """End what runs."""
        for name in list(self._processes):
            self.stop(name)

    def words(self, name: str) -> str:
        """The log of a command so far."""
        return (self.folder / f"{name}.log").read_text()

    def ask(self, method: str, path: str, body: object = None, key: str = "") -> tuple[int, Any]:
        """One request: status and decoded answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
        if key:
            headers["idempotency-key"] = key
        try:
            connection.request(method, path, None if body is None else msgspec.json.encode(body), headers)
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        is_json = "json" in (answer.getheader("content-type") or "")
        return answer.status, msgspec.json.decode(text) if is_json else text.decode()

    def ready(self) -> tuple[int, Any]:
        """The answer of /health/ready; 0 while nobody answers."""
        try:
            return self.ask("GET", "/health/ready")
        except OSError:
            return 0, {}

    def number(self, name: str) -> float:
        """The sum of a metric over its processes and labels, 0 where nobody tells it."""
        _, text = self.ask("GET", "/metrics")
        found = re.findall(rf"^tradepost_{name}(?:\{{.*\}})? (\S+)$", text, re.M)
        return sum(map(float, found))

    def place(self, count: int) -> list[str]:
        """Place and pay so many orders one after the other, each of another guest; their ids."""
        placed = []
        for _ in range(count):
            self._placed += 1
            status, answer = self.ask("POST", "/v1/checkouts", self._body, f"order-{self._placed}")
            assert status == 201, answer
            placed += [order["order_id"] for order in answer["orders"]]
        return placed

    def sql(self, text: str) -> list[tuple[Any, ...]]:
        """Rows of the shop's database."""
        return run(self.database, text)

    def unpaid(self) -> int:
        """Orders whose payment no consumer has heard of."""
        return int(self.sql("SELECT COUNT(*) FROM orders WHERE state = 'UNPAID'")[0][0])

    def drained(self) -> bool:
        """Whether every event went out and was consumed, as far as the database can tell."""
        (behind,) = self.sql(
            "SELECT (SELECT MAX(sequence) FROM events) -"
            " (SELECT sequence FROM relay_cursors WHERE relay = 'main')"
        )[0]
        (waiting,) = self.sql("SELECT COUNT(*) FROM deliveries")[0]
        return behind <= 0 and not waiting and not self.unpaid()

    def books(self) -> dict[str, list[tuple[Any, ...]]]:
        """What orders, payments, stock and ledger hold: equal when nothing has happened in between."""
        return {
            table: self.sql(f"CHECKSUM TABLE `{table}`")
            for table in ("orders", "payments", "stock", "holds", "journal", "events", "inbox")
        }


def versions(rows: list[tuple[str, int]]) -> dict[str, list[int]]:
    """The versions of each aggregate as they came, those that came again left out."""
    found: dict[str, list[int]] = defaultdict(list)
    for aggregate_id, version in rows:
        if version not in found[aggregate_id]:
            found[aggregate_id].append(version)
    return found
