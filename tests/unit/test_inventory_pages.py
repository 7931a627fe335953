"""The READMEs of the two rooms that keep balances show the machines as they are declared."""

from __future__ import annotations

from pathlib import Path

import pytest

from tradepost.kernel.states import StateTable
from tradepost.trade import inventory, ledger
from tradepost.trade.inventory.model import HOLD_STATES
from tradepost.trade.ledger.model import ACCOUNTS, TRANSACTION_STATES


@pytest.mark.parametrize(("room", "table"), [(inventory, HOLD_STATES), (ledger, TRANSACTION_STATES)])
def test_the_page_shows_the_declared_machine(room: object, table: StateTable) -> None:
    page = Path(str(room.__file__)).with_name("README.md").read_text()  # type: ignore[attr-defined]
    assert f"```mermaid\n{table.mermaid()}\n```" in page


def test_the_page_names_every_kind_of_account() -> None:
    page = Path(str(ledger.__file__)).with_name("README.md").read_text()
    assert all(f"`{kind}:" in page for kind in ACCOUNTS)
