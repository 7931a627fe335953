"""`tradepost fx` against a demo shop that serves: a rate is published, listed, replaced and withdrawn."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.command_line import Run, commands_for
from tests.demo_server import demo_server


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with demo_server(tmp_path_factory.mktemp("fx") / "data") as shop:
        yield shop.address


@pytest.fixture
def run(address: str, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]) -> Run:
    """Run a command against the shop; (exit code, what it said)."""
    return commands_for(address, monkeypatch, capsysbinary)


def rates(run: Run) -> list[dict[str, Any]]:
    code, text = run("fx", "list", "--json")
    assert code == 0, text
    found: list[dict[str, Any]] = json.loads(text)["rates"]
    return found


def test_a_rate_from_its_publishing_to_its_end(run: Run) -> None:
    code, text = run("fx", "publish", "gbp/eur", "1.1522", "--source", "ECB", "--margin", "1.5", "--hours", 2)
    assert code == 0, text
    assert "1 GBP = 1.1522 EUR, ECB, margin 1.5 %" in text
    [one] = rates(run)
    assert (one["sold"], one["paid"], one["rate"], one["margin_ppm"]) == ("GBP", "EUR", "1.1522", 15_000)
    assert one["until_ms"] - one["published_ms"] == 2 * 3_600_000
    code, text = run("fx", "list")
    assert code == 0
    for word in ("GBP/EUR", "1.1522", "1.5 %", "ECB", "yes"):
        assert word in text
    code, text = run("fx", "publish", "GBP/EUR", "11.522", "--source", "ECB")
    assert (code, "fx.rate_invalid" in text, "--anyway" in text) == (3, True, True)
    assert run("fx", "publish", "GBP/EUR", "2", "--source", "ECB", "--anyway")[0] == 0
    assert run("fx", "publish", "USD/EUR", "0.91", "--source", "ECB")[0] == 0
    assert [(each["sold"], each["rate"]) for each in rates(run)] == [("GBP", "2"), ("USD", "0.91")]
    assert run("fx", "withdraw", "GBP/EUR", "--reason", "no more")[0] == 0
    assert [each["sold"] for each in rates(run)] == ["USD"]
    code, text = run("settle", "revalue", "--json")
    assert (code, json.loads(text)) == (0, {"items": []})


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("publish", "GBPEUR", "1.1", "--source", "x"), "input.invalid"),
        (("publish", "GBP/EUR", "1.1", "--source", "x", "--margin", "much"), "input.invalid"),
        (("publish", "GBP/EUR", "1.1", "--source", "x", "--margin", "0.00001"), "input.invalid"),
        (("publish", "GBP/EUR", "1.1", "--source", "x", "--margin", "51"), "config.value_invalid"),
        (("publish", "GBP/EUR", "1.1", "--source", "x", "--hours", "0"), "input.invalid"),
        (("publish", "GBP/EUR", "nothing", "--source", "x"), "config.value_invalid"),
        (("publish", "GBP/XQZ", "1", "--source", "x"), "config.value_invalid"),
        (("withdraw", "KWD/JPY", "--reason", "x"), "fx.no_rate"),
    ],
)
def test_what_is_refused(run: Run, words: tuple[str, ...], code: str) -> None:
    ended, text = run("fx", *words)
    assert (ended, code in text) == (3, True), text
