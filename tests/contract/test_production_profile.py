"""`serve --profile production` and `work` as an operator runs them: on servers, many processes, killed one by one."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from tests.mariadb_server import fresh_database
from tests.redis_server import free_port

from tradepost import services
from tradepost.settings import DEMO_KEYS

PATIENCE_S = 120.0
ORDER = re.compile(r"-d '(\{.*\})'")


def until(holds: Callable[[], object], what: str | Callable[[], str]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end, f"in vain: {what if isinstance(what, str) else what()}"
        time.sleep(0.05)


class House:
    """A data folder, the servers behind it, and the commands that run there."""

    def __init__(self, folder: Path, addresses: dict[str, str]) -> None:
        self.folder = folder
        self.port = free_port()
        kept = {name: value for name, value in os.environ.items() if not name.startswith("TRADEPOST_")}
        self.environment = {
            **kept,
            **addresses,
            "TRADEPOST_PROFILE": "production",
            "TRADEPOST_SERVER__WORKERS": "2",
            "TRADEPOST_TELEMETRY__PROVE_EVERY_MS": "0",
            "DATA_DIR": str(folder / "d"),
            "PORT": str(self.port),
        }
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, *words: str, **settings: str) -> None:
        with (self.folder / f"{name}.out").open("wb") as out, (self.folder / f"{name}.log").open("wb") as log:
            self.running[name] = subprocess.Popen(
                [sys.executable, "-m", "tradepost.surfaces.cli", *words],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=log,
                env={**self.environment, **settings},
            )

    def out(self, name: str) -> str:
        return (self.folder / f"{name}.out").read_text()

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def end(self, name: str) -> int:
        """End a command as Ctrl-C does; its status."""
        process = self.running.pop(name)
        process.send_signal(signal.SIGINT)
        try:
            return process.wait(60)
        finally:
            process.kill()
            process.wait()

    def run(self, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "tradepost.surfaces.cli", *words],
            env={**self.environment, **settings},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )

    def ask(self, path: str, body: Any = None, key: str = "") -> tuple[int, bytes]:
        """Status and body; 0 when the connection broke."""
        headers = {"authorization": f"Bearer {DEMO_KEYS['storefront']}", "content-type": "application/json"}
        headers |= {"idempotency-key": key} if key else {}
        data = None if body is None else json.dumps(body).encode()
        asked = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, headers)
        try:
            with urllib.request.urlopen(asked, timeout=60) as answer:  # noqa: S310
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
        except OSError:
            return 0, b""

    def pid_of(self, name: str, place: str) -> int:
        """The process that fills a place now, as its parent's log tells."""
        return int(re.findall(rf"{place} is (?:ready|replaced:), pid (\d+)", self.log(name))[-1])

    def close(self) -> None:
        for process in self.running.values():
            process.kill()
            process.wait()


@contextmanager
def house(mariadb: str) -> Iterator[House]:
    """A house on a new database, with Redis and etcd of its own; its folder has a short path, as sockets need."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tp-")))
        found = stack.enter_context(services.running("redis", "etcd", folder=folder / "servers"))
        addresses = {
            "TRADEPOST_STORAGE__URL": fresh_database(mariadb, f"tradepost_p{uuid4().hex[:12]}"),
            "TRADEPOST_CACHE__URL": found["redis"].url,
            "TRADEPOST_CONFIG__URL": found["etcd"].url,
        }
        opened = House(folder, addresses)
        stack.callback(opened.close)
        yield opened


def place(shop: House, number: int) -> str:
    """The id of a new order of the demo shop, asked again with its key until somebody answers."""
    body = json.loads(ORDER.findall(shop.out("serve"))[0])
    answers: list[tuple[int, bytes]] = []

    def placed() -> bool:
        answers.append(shop.ask("/v1/checkouts", body, f"order-{number}"))
        return answers[-1][0] == 201

    until(placed, lambda: f"an order is placed: {answers[-1]!r}")
    return str(json.loads(answers[-1][1])["orders"][0]["order_id"])


def is_paid(shop: House, order_id: str) -> bool:
    status, body = shop.ask(f"/v1/orders/{order_id}")
    return status == 200 and any(one["type"] == "order.paid.v1" for one in json.loads(body)["timeline"])


def workers_up(shop: House) -> set[str]:
    found = re.findall(r'tradepost_worker_up\{worker="(\S+)"\} 1', shop.ask("/metrics")[1].decode())
    return set(found)


@pytest.mark.timeout(600)
def test_processes_share_the_work_and_each_may_be_killed(mariadb: str) -> None:
    with house(mariadb) as shop:
        shop.start("serve", "serve", "--demo")
        until(lambda: ORDER.search(shop.out("serve")), "the shop greets")
        assert "tradepost work --profile production" in shop.out("serve")
        waiting = place(shop, 1)
        shop.start("work", "work", TRADEPOST_MODE="demo")
        until(lambda: is_paid(shop, waiting), "the work process does what follows the order")
        until(lambda: workers_up(shop) == {"api-1", "api-2", "work-1"}, "one scrape tells of all")
        ready = json.loads(shop.ask("/health/ready")[1])
        assert ready["status"] == "ready"
        assert ready["parts"]["redis"]
        assert ready["parts"]["config"]

        os.kill(shop.pid_of("serve", "api-1"), signal.SIGKILL)
        second = place(shop, 2)
        until(lambda: shop.log("serve").count("api-1 is ready") == 2, "its place is filled again")
        os.kill(shop.pid_of("work", "work-1"), signal.SIGKILL)
        third = place(shop, 3)
        until(lambda: is_paid(shop, second) and is_paid(shop, third), "nothing was lost")

        books = shop.run("ledger", "check", "--json")
        assert books.returncode == 0, books.stdout + books.stderr
        assert shop.end("work") == 0
        assert place(shop, 4), "orders are taken while nobody works"
        assert shop.end("serve") == 0
        assert "tradepost services down" in shop.out("serve")
        assert not list((shop.folder / "d" / "processes").iterdir())
        refused = shop.run("serve", TRADEPOST_SECURITY__SIGNING_SECRET="s" * 32)
        assert (refused.returncode, refused.stderr.split(":")[0]) == (3, "settings.demo_keys")


@pytest.mark.timeout(300)
def test_of_many_that_migrate_at_once_one_does(mariadb: str) -> None:
    with tempfile.TemporaryDirectory(prefix="tp-") as folder:
        url = fresh_database(mariadb, f"tradepost_m{uuid4().hex[:12]}")
        shop = House(Path(folder), {"TRADEPOST_STORAGE__URL": url})
        for number in range(4):
            shop.start(str(number), "migrate", "--json")
        done = [process.wait(PATIENCE_S) for process in shop.running.values()]
        assert done == [0, 0, 0, 0], [shop.log(name) for name in shop.running]
        told = [json.loads(shop.out(name)) for name in shop.running]
        assert [one["changed"] for one in told].count(True) == 1
        assert len({one["after"] for one in told}) == 1
        assert json.loads(shop.run("migrate", "--json").stdout)["changed"] is False
