"""The commands of README, tutorial and how-tos, run against a demo shop that really serves."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.arch.tree import ROOT
from tests.demo_server import TRADEPOST, DemoServer, demo_server, surroundings

from tradepost.kernel.ids import gene_of

BLOCK = re.compile(r"^```bash\n(.*?)^```", re.MULTILINE | re.DOTALL)
WRITTEN_ADDRESS = "http://127.0.0.1:8700"
WRITTEN_COMMAND = ".venv/bin/tradepost"
WAIT_S = 20
SCRAPE_KEPT_S = 1.1
"""The shop keeps what a scrape reads of the database for a second."""

PAGES = ["README.md", "docs/tutorial/first-order.md"]
PAGES += sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("docs/how-to/*.md"))

SETTINGS = {
    "docs/how-to/cancel-and-refund.md": {"TRADEPOST_CHECKOUT__REMORSE_MS": "0"},
    "docs/how-to/settle-a-case.md": {"TRADEPOST_CHECKOUT__REMORSE_MS": "0"},
    "docs/how-to/issue-invoices.md": {"TRADEPOST_CHECKOUT__REMORSE_MS": "0"},
}
"""What a page tells its reader to start the shop with."""

NEEDS_ORDER = {
    "docs/how-to/cancel-and-refund.md",
    "docs/how-to/handle-dead-letters.md",
    "docs/how-to/settle-a-case.md",
    "docs/how-to/issue-invoices.md",
}
"""Pages that begin with an order: the one of README is placed first."""

NOT_RUN = {
    "README.md": ["run", "run-production", "test"],
    "docs/tutorial/first-order.md": ["run"],
    "docs/how-to/cancel-and-refund.md": ["run"],
    "docs/how-to/settle-a-case.md": ["run"],
    "docs/how-to/issue-invoices.md": ["run"],
}
"""Blocks that only call make, which the shop of this test stands for: their targets, in order."""

CAPTURES: dict[str, Callable[[Any], Any]] = {
    "ORDER_ID": lambda answer: answer["orders"][0]["order_id"],
    "PACKAGE_ID": lambda answer: answer["package_id"],
    "RETURN_ID": lambda answer: answer["return_id"],
    "CONSUMER": lambda answer: answer["items"][0]["consumer"],
    "AGGREGATE_ID": lambda answer: answer["items"][0]["aggregate_id"],
    "VERSION": lambda answer: answer["items"][0]["version"],
    "INVOICE_ID": lambda answer: answer["invoice_id"],
    "CAMPAIGN_ID": lambda answer: answer["items"][0]["campaign_id"],
}
"""A variable that pages tell their reader to set, and where in an answer its value stands."""


def blocks_of(page: str) -> list[str]:
    return BLOCK.findall((ROOT / page).read_text("utf-8"))


def make_target(block: str) -> str:
    """The target of a block that only calls make, else nothing."""
    found = re.fullmatch(r"(?:[A-Z_]+=\S+ )*make ([a-z-]+)(?: +#.*)?\n", block)
    return found[1] if found else ""


def documents(text: str) -> Iterator[Any]:
    """Every JSON object in an output that holds other lines too."""
    at = text.find("{")
    while at >= 0:
        try:
            document, end = json.JSONDecoder().raw_decode(text, at)
            yield document
        except ValueError:
            end = at + 1
        at = text.find("{", end)


class Reader:
    """Somebody who types what a page says, in one folder, keeping the ids that answers name."""

    def __init__(self, shop: DemoServer, folder: Path) -> None:
        self.shop = shop
        self.folder = folder
        self.known: dict[str, str] = {}

    def run(self, block: str) -> list[Any]:
        """Run a block; its JSON answers. Fails on a non-zero exit and on a problem document."""
        script = block.replace(WRITTEN_ADDRESS, self.shop.address).replace(WRITTEN_COMMAND, str(TRADEPOST))
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", 'curl() { command curl --fail-with-body "$@"; }\n' + script],
            env=surroundings(self.shop.data_dir, **self.known),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
        answers = list(documents(done.stdout))
        for answer in answers:
            assert "code" not in answer, answer
            for name, find in CAPTURES.items():
                try:
                    self.known[name] = str(find(answer))
                except (KeyError, IndexError, TypeError):
                    continue
        return answers

    def breathe(self) -> None:
        """A person types more slowly than the relay delivers: wait until nothing is left to deliver."""

        asked_s = time.monotonic()

        def delivered() -> bool:
            if time.monotonic() - asked_s < SCRAPE_KEPT_S:
                return False  # a scrape may be as old as that
            with urllib.request.urlopen(f"{self.shop.address}/metrics", timeout=WAIT_S) as answer:  # noqa: S310
                return "\ntradepost_outbox_lag_events 0.0\n" in answer.read().decode()

        until(delivered, "every event delivered")

    def refused(self, block: str) -> Any:
        """The problem document that a block's only request gets."""
        script = block.replace(WRITTEN_ADDRESS, self.shop.address)
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60, check=False)
        (problem,) = documents(done.stdout)
        return problem

    def command(self, *words: str) -> Any:
        """What a command prints with --json."""
        done = subprocess.run(
            [TRADEPOST, *words, "--json"],
            env=surroundings(self.shop.data_dir),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)


def first_order() -> str:
    return next(block for block in blocks_of("README.md") if "/v1/checkouts" in block)


def plant_dead_letter(data_dir: Path, order_id: str) -> None:
    """A shop that is well has no dead letter: write the row of one, as the relay would."""
    row = (gene_of(order_id), "orders.seller_view", order_id, 1, "DEAD", 8, 0, "it would not", 0)
    with sqlite3.connect(data_dir / "tradepost.db", timeout=10) as database:
        database.execute(
            "INSERT INTO deliveries (gene, consumer, aggregate_id, version, state, attempts, next_at_ms, error, at_ms)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            row,
        )
    database.close()


def until(true: Callable[[], bool], what: str) -> None:
    """Wait for a condition."""
    end = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < end, f"not within {WAIT_S} s: {what}"
        time.sleep(0.05)


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_the_page_works(page: str, tmp_path: Path) -> None:
    blocks = blocks_of(page)
    assert [make_target(block) for block in blocks if make_target(block)] == NOT_RUN.get(page, [])
    with demo_server(tmp_path / "data", **SETTINGS.get(page, {})) as shop:
        reader = Reader(shop, tmp_path)
        if page in NEEDS_ORDER:
            reader.run(first_order())
            reader.breathe()
        if page.endswith("handle-dead-letters.md"):
            plant_dead_letter(shop.data_dir, reader.known["ORDER_ID"])
        for block in blocks:
            if not make_target(block):
                reader.run(block)
                reader.breathe()
        if page.endswith("cancel-and-refund.md"):
            check_refunds(reader)
        assert reader.command("ledger", "check")["agree"]
        assert reader.command("ledger", "check", "--stock")["conserved"]


def check_refunds(reader: Reader) -> None:
    """One unit was cancelled and one returned: all the money goes back."""

    def refunded() -> int:
        payment = reader.command("order", "show", reader.known["ORDER_ID"])["payment"]
        return int(payment["refunded_minor"])

    until(lambda: refunded() == 590, "both refunds")


def test_every_block_that_is_not_run_is_a_make_target() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert {target for named in NOT_RUN.values() for target in named} <= targets
    assert set(NOT_RUN) <= set(PAGES)


def test_commands_stand_in_blocks_that_are_run() -> None:
    """A command that is only indented or quoted would not be run above."""
    for page in PAGES:
        outside = BLOCK.sub("", (ROOT / page).read_text("utf-8"))
        assert re.findall(r"^(?: {4}|```sh.*\n)(?:tradepost|curl|make) .*", outside, re.MULTILINE) == [], page


def test_the_first_order_is_seen_everywhere(tmp_path: Path) -> None:
    with demo_server(tmp_path / "data") as shop:
        reader = Reader(shop, tmp_path)
        (checkout,) = reader.run(first_order())
        order_id = reader.known["ORDER_ID"]
        assert checkout["total"] == {"amount_minor": 590, "currency": "GBP"}
        reader.breathe()
        look = next(block for block in blocks_of("docs/tutorial/first-order.md") if "/v1/orders/" in block)
        (order,) = reader.run(look)
        assert order["state"] == "ON_HOLD"
        happened = ["order.placed.v1", "payment.captured.v1", "order.paid.v1"]
        assert [entry["type"] for entry in order["timeline"]] == happened
        shown = reader.command("order", "show", order_id)
        assert shown["order"]["state"] == "ON_HOLD"
        assert [entry["type"] for entry in shown["timeline"]] == happened
        books = reader.command("ledger", "check")["report"]
        assert books["gross"] == books["captured"] == books["ledger_captured"] == {"GBP": 590}
        stock = reader.command("ledger", "check", "--stock")
        assert (stock["conserved"], stock["report"]["reserved"]) == (True, 2)


def test_the_printed_line_places_an_order(tmp_path: Path) -> None:
    with demo_server(tmp_path / "data") as shop:
        reader = Reader(shop, tmp_path)
        line = shop.greeting[shop.greeting.index("curl ") :]
        (placed,) = reader.run(line)
        (again,) = reader.run(line)
        assert placed["orders"][0]["order_id"] == again["orders"][0]["order_id"]


def test_the_tutorial_tells_what_the_key_does(tmp_path: Path) -> None:
    text = (ROOT / "docs/tutorial/first-order.md").read_text("utf-8")
    block = next(block for block in blocks_of("docs/tutorial/first-order.md") if "/v1/checkouts" in block)
    changed_city = block.replace("London", "Leeds")
    changed_quantity = block.replace('"quantity": 2', '"quantity": 3').replace(
        "first-order-1", "first-order-2"
    )
    with demo_server(tmp_path / "data") as shop:
        reader = Reader(shop, tmp_path)
        (placed,) = reader.run(block)
        (again,) = reader.run(block)
        assert placed["checkout_id"] == again["checkout_id"]
        for changed, code in (
            (changed_city, "idempotency.key_reused"),
            (changed_quantity, "checkout.total_changed"),
        ):
            problem = reader.refused(changed)
            assert problem["code"] == code
            assert f"`{code}`" in text
        assert problem["total_minor"] == 885
        assert reader.command("ledger", "check")["report"]["orders"] == 1
