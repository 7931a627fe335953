"""The command line: every command explains itself, prints JSON when asked, and ends with the code it promises."""

from __future__ import annotations

import json
import shutil
import socket
import sqlite3
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.arch.tree import ROOT
from tests.demo_server import TRADEPOST, demo_server, surroundings

from tradepost.surfaces.cli import __main__ as cli
from tradepost.testing.torture.shop import wait_until

DONE, FAILED, USAGE, REFUSED = 0, 1, 2, 3
BODY = {
    "market": "GB",
    "lines": [{"offer_id": "off_01kdvdna00fg8r05nfzyhw9n1s", "quantity": 2}],
    "total": {"amount_minor": 590, "currency": "GBP"},
    "payment": {"method": "sandbox_succeeds"},
    "address": {
        "name": "Ada Lovelace",
        "line1": "12 St James Square",
        "city": "London",
        "postcode": "SW1Y 4JH",
        "country": "GB",
    },
}
NO_ORDER = "ord_01m83jegm2fkmr0drypqq7bjj9"


def names() -> list[str]:
    """Every command as it is typed."""
    return [
        " ".join([*(part for part in group.name if part != "tradepost"), name])
        for group, name, _, _ in cli._COMMANDS
    ]


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


Run = Callable[..., Ended]


class Shop(NamedTuple):
    """A closed demo shop with one paid order."""

    folder: Path
    order_id: str
    seller_id: str


def is_reserved(folder: Path) -> bool:
    """Whether the stock has heard that the order was paid."""
    database = sqlite3.connect(f"file:{folder / 'tradepost.db'}?mode=ro", uri=True)
    try:
        found: int = database.execute("SELECT COUNT(*) FROM stock WHERE reserved = 2").fetchone()[0]
        return found > 0
    finally:
        database.close()


@pytest.fixture(scope="module")
def sold(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """The shop, made once for this module; tests that change it take a copy."""
    folder = tmp_path_factory.mktemp("cli") / "data"
    with demo_server(folder) as shop:
        request = urllib.request.Request(  # noqa: S310  the address is this machine's own
            f"{shop.address}/v1/checkouts",
            json.dumps(BODY).encode(),
            {
                "Authorization": "Bearer tp_storefront_demo",
                "Idempotency-Key": "cli",
                "Content-Type": "application/json",
            },
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            order = json.load(answer)["orders"][0]
        assert wait_until(lambda: is_reserved(folder), within_s=30), "the paid order's stock is never its own"
    return Shop(folder, order["order_id"], order["seller_id"])


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]) -> Run:
    """Run a command in this process."""

    def run(*words: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["tradepost", *words])
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        caught = capsysbinary.readouterr()
        return Ended(code, caught.out.decode(), caught.err.decode())

    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("DATA_DIR", raising=False)
    return run


def start(*words: str, data_dir: Path, **settings: str) -> Ended:
    """Run a command that may start a server, as a process of its own."""
    done = subprocess.run(
        [TRADEPOST, *words],
        env=surroundings(data_dir, **settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


@pytest.mark.filterwarnings("ignore:Cyclopts application invoked without tokens")
@pytest.mark.parametrize("name", ["", "order", "ledger", *names()])
def test_every_command_explains_itself(name: str, run: Run) -> None:
    ended = run(*name.split(), "--help")
    assert ended.code == DONE
    assert ended.out.startswith("Usage: tradepost")
    assert not ended.err


@pytest.mark.parametrize("name", names())
def test_every_command_is_in_the_reference(name: str) -> None:
    page = (ROOT / "docs/reference/cli.md").read_text("utf-8")
    assert f"## tradepost {name}\n" in page


def test_the_exit_codes_are_in_the_help(run: Run) -> None:
    text = " ".join(run("--help").out.split())
    for code in (
        "0 when done",
        "1 when a check failed",
        "2 on bad usage",
        "3 when refused",
        "4 when interrupted",
    ):
        assert code in text


@pytest.mark.parametrize(
    ("words", "key"),
    [
        ("order show ORDER", "timeline"),
        ("ledger check", "agree"),
        ("ledger check --stock", "conserved"),
        ("points", "points"),
        ("points --scene live.flash_sale", "points"),
    ],
)
def test_json_is_one_document(
    words: str, key: str, sold: Shop, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATA_DIR", str(sold.folder))
    ended = run(*words.replace("ORDER", sold.order_id).split(), "--json")
    assert ended.code == DONE
    assert key in json.loads(ended.out)


def test_order_show_tells_people_what_happened(sold: Shop, run: Run) -> None:
    ended = run("order", "show", sold.order_id, "--data-dir", str(sold.folder))
    assert ended.code == DONE
    for words in ("ON_HOLD", "5.90 GBP", "CAPTURED", "85123A", "order.placed.v1", "order.paid.v1"):
        assert words in ended.out


def test_export_writes_what_can_be_read_again(sold: Shop, run: Run, tmp_path: Path) -> None:
    events = run("export", "events", "--data-dir", str(sold.folder))
    types = [json.loads(line)["type"] for line in events.out.splitlines()]
    assert {"order.placed.v1", "order.paid.v1", "payment.captured.v1"} <= set(types)
    target = tmp_path / "catalog.csv"
    words = ("export", "catalog", "--seller", sold.seller_id, "--form", "csv", "--out", str(target))
    assert run(*words, "--data-dir", str(sold.folder)).code == DONE
    rows = target.read_text("utf-8").splitlines()
    assert rows[0].startswith("seller,product_code")
    assert len(rows) > 1_000


@pytest.mark.parametrize(
    "words",
    [
        "frobnicate",
        "order frobnicate",
        "order show",
        "points --frob",
        "serve --port many",
        "replay other-shop file.csv",
        "export nothing",
    ],
)
def test_bad_usage_ends_with_2(words: str, run: Run) -> None:
    ended = run(*words.split())
    assert ended.code == USAGE
    assert "Error" in ended.err or "Error" in ended.out
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (f"order show {NO_ORDER}", "orders.not_found"),
        ("order show nonsense", "id.invalid"),
        ("order show byr_01m83jegm2fkmr0drypqq7bjj9", "id.invalid"),
        ("export catalog", "id.invalid"),
        ("replay online-retail nowhere.csv", "replay.file_invalid"),
        ("order show x --config nowhere.toml", "settings.invalid"),
    ],
)
def test_a_refusal_ends_with_3_and_names_its_code(
    words: str, code: str, sold: Shop, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATA_DIR", str(sold.folder))
    ended = run(*words.split())
    assert ended.code == REFUSED
    assert f"{code}: " in ended.err
    assert not ended.out


@pytest.mark.parametrize(
    "words", ["order show " + NO_ORDER, "ledger check", "ledger check --stock", "export events"]
)
def test_no_database_ends_with_3(words: str, run: Run, tmp_path: Path) -> None:
    ended = run(*words.split(), "--data-dir", str(tmp_path / "nowhere"))
    assert (ended.code, ended.err.split(":")[0]) == (REFUSED, "storage.not_found")
    assert not (tmp_path / "nowhere").exists(), "looking creates nothing"


@pytest.mark.parametrize(
    ("words", "damage"),
    [
        ("ledger check --stock", "UPDATE stock SET on_hand = on_hand + 1 WHERE reserved = 2"),
        ("ledger check --stock", "UPDATE stock SET reserved = reserved - 1 WHERE reserved = 2"),
        ("ledger check", "UPDATE orders SET total_minor = total_minor + 1"),
        ("ledger check", "UPDATE payments SET captured_minor = captured_minor - 1"),
        ("ledger check", "DELETE FROM journal"),
    ],
)
def test_a_check_that_fails_ends_with_1(
    words: str, damage: str, sold: Shop, run: Run, tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    shutil.copytree(sold.folder, folder)
    with sqlite3.connect(folder / "tradepost.db") as database:
        assert database.execute(damage).rowcount == 1
    database.close()
    ended = run(*words.split(), "--data-dir", str(folder))
    assert ended.code == FAILED
    assert "Disagreements" in ended.out
    told = run(*words.split(), "--json", "--data-dir", str(folder))
    assert told.code == FAILED
    assert json.loads(told.out)["report"]["findings"]


def test_a_taken_port_is_said_clearly(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = start("serve", "--demo", data_dir=tmp_path / "data", PORT=str(port))
    assert ended.code == REFUSED
    assert f"server.port_taken: 127.0.0.1:{port}" in ended.err
    assert "PORT=8701 make run" in ended.err
    assert "Traceback" not in ended.err


def test_one_file_has_one_owner(tmp_path: Path) -> None:
    with demo_server(tmp_path / "data") as shop:
        for words in (("serve",), ("work",)):
            ended = start(*words, data_dir=shop.data_dir)
            assert ended.code == REFUSED
            assert ended.err.startswith("storage.in_use: ")
            assert "Traceback" not in ended.err


def test_production_does_not_start_without_a_secret(tmp_path: Path) -> None:
    ended = start("serve", data_dir=tmp_path / "data", TRADEPOST_MODE="production")
    assert ended.code == REFUSED
    assert ended.err.startswith("settings.secret_missing: ")


@pytest.mark.parametrize(
    ("name", "value"),
    [("TRADEPOST_SERVER__PROT", "1"), ("PORT", "99999"), ("TRADEPOST_STORAGE__WRITER", "monk")],
)
def test_an_unknown_or_unfitting_setting_stops_the_start(name: str, value: str, tmp_path: Path) -> None:
    ended = start("serve", data_dir=tmp_path / "data", **{name: value})
    assert (ended.code, ended.err.split(":")[0]) == (REFUSED, "settings.invalid")
