"""A shop whose orders were priced in every way is priced again to the cent: the short form of 10,000 orders."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tradepost.demo.priced_shop.making import make_shop
from tradepost.surfaces.cli import __main__ as cli


@pytest.mark.parametrize("count", [150, pytest.param(10_000, marks=pytest.mark.long)])
async def test_every_order_costs_what_it_cost(
    count: int, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = await make_shop(tmp_path / "shop", count)
    assert told.orders >= count
    assert told.orders > told.checkouts
    assert told.campaigns >= 5
    assert told.gifts > 5
    words = ["tradepost", "pricing", "replay", "--data-dir", str(tmp_path / "shop"), "--json"]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    found = json.loads(capsysbinary.readouterr().out)
    assert (found["orders"], found["baskets"], found["equal"]) == (
        told.orders,
        told.checkouts,
        told.checkouts,
    )
    assert (found["unknown"], found["differences"]) == ({}, [])
    sums = found["by_currency"]["GBP"]
    assert sums["discount_was_minor"] == sums["discount_now_minor"] > 0
    assert set(found["by_funder"]["GBP"]) == {"platform", "seller"}


async def test_a_folder_that_has_a_shop_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "something").touch()
    with pytest.raises(ValueError, match="not empty"):
        await make_shop(tmp_path, 1)
