"""`tradepost campaign` against a demo shop that serves: from a file to a price and back."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.command_line import Run, commands_for
from tests.demo_server import demo_server

from tradepost.kernel.errors import Refusal
from tradepost.surfaces.cli.campaign import read_campaigns

DRAFT = """
title = "Ten off"
currency = "GBP"
markets = ["GB"]
{more}
[[rules]]
code = "ten"
effect = {{ kind = "percentage", percent_ppm = {ppm} }}
funding = [{{ funder = "platform", bps = 5000 }}, {{ funder = "seller", bps = 5000 }}]
"""


def draft(path: Path, ppm: int = 100_000, more: str = "") -> Path:
    path.write_text(DRAFT.format(ppm=ppm, more=more), "utf-8")
    return path


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with demo_server(tmp_path_factory.mktemp("campaign") / "data") as shop:
        yield shop.address


@pytest.fixture
def run(address: str, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]) -> Run:
    """Run a command of the group against the shop; (exit code, what it said)."""
    command = commands_for(address, monkeypatch, capsysbinary)
    return lambda *words: command("campaign", *words)


def told(run: Run, *words: object) -> Any:
    code, text = run(*words, "--json")
    assert code == 0, text
    return json.loads(text)


def test_a_campaign_from_its_file_to_its_end(run: Run, tmp_path: Path) -> None:
    file = draft(tmp_path / "ten.toml")
    assert run("check", file) == (0, "1 of 1 would be published.\n")
    before = [each["campaign_id"] for each in told(run, "list")["items"]]
    [made] = told(run, "publish", file)["items"]
    campaign_id = made["campaign_id"]
    assert (made["state"], made["live_version"]) == ("ACTIVE", 1)
    code, text = run("publish", file)  # once more: nothing is given twice
    assert code == 3
    assert "promotion.title_taken" in text
    assert campaign_id in text
    listed = [each["campaign_id"] for each in told(run, "list")["items"]]
    assert sorted(listed) == sorted([*before, campaign_id])
    draft(file, 200_000, f'campaign_id = "{campaign_id}"')
    [changed] = told(run, "publish", file)["items"]
    assert (changed["campaign_id"], changed["live_version"]) == (campaign_id, 2)
    code, text = run("show", campaign_id)
    assert code == 0
    for word in ("Ten off", "version 2", "percentage, percent_ppm 200000", "platform 50 %, seller 50 %"):
        assert word in text
    for given, state in (("pause", "PAUSED"), ("resume", "ACTIVE"), ("end", "ENDED")):
        assert f"Ten off: {state}" in run(given, campaign_id)[1]
    assert [one["campaign_id"] for one in told(run, "list", "--state", "ENDED")["items"]] == [campaign_id]
    assert "ENDED" in run("list")[1]
    assert [one["rules_version"] for one in told(run, "show", campaign_id)["versions"]] == [2, 1]
    code, text = run("publish", campaign_id)
    assert code == 3
    assert "state.conflict" in text


def test_a_check_stops_a_wrong_price_and_writes_nothing(run: Run, tmp_path: Path) -> None:
    before = told(run, "list")["items"]
    file = draft(tmp_path / "cheap.toml", 950_000)
    code, text = run("check", file)
    assert code == 1
    assert "0 of 1 would be published." in text
    assert "promotion.price_error" in text
    code, text = run("check", file, "--json")
    assert code == 1
    assert json.loads(text)["items"][0]["faults"][0]["code"] == "promotion.price_error"
    assert told(run, "list")["items"] == before


def test_what_was_published_before_a_refusal_is_told(run: Run, tmp_path: Path) -> None:
    one = {
        "title": "Five",
        "currency": "GBP",
        "rules": [{"code": "x", "effect": {"kind": "percentage", "percent_ppm": 50_000}}],
    }
    wrong = {
        **one,
        "title": "Nearly free",
        "rules": [{"code": "x", "effect": {"kind": "percentage", "percent_ppm": 990_000}}],
    }
    file = tmp_path / "two.json"
    file.write_text(json.dumps({"campaigns": [one, wrong]}), "utf-8")
    code, text = run("publish", file)
    assert code == 3
    assert "Five: ACTIVE, version 1" in text
    assert "promotion.price_error" in text
    states = {each["title"]: each["state"] for each in told(run, "list")["items"]}
    assert (states["Five"], states["Nearly free"]) == ("ACTIVE", "DRAFT")


@pytest.mark.parametrize("text", ["title = ", "campaigns = []", "campaigns = 3", "campaigns = [3]"])
def test_a_file_that_is_no_campaign_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text(text, "utf-8")
    with pytest.raises(Refusal) as refused:
        read_campaigns(path)
    assert refused.value.code == "pricing.draft_invalid"


def test_json_and_toml_say_the_same(tmp_path: Path) -> None:
    file = draft(tmp_path / "a.toml", more='campaign_id = "cmp_1"')
    other = tmp_path / "a.json"
    other.write_text(json.dumps(tomllib.loads(file.read_text("utf-8"))), "utf-8")
    [(campaign_id, terms)] = read_campaigns(file)
    assert read_campaigns(other) == [(campaign_id, terms)]
    assert (campaign_id, terms["currency"]) == ("cmp_1", "GBP")
    assert "campaign_id" not in terms
