"""State tables: moves, refusals, and the mistakes a declaration may not contain."""

from __future__ import annotations

import pytest

from tradepost.kernel import states
from tradepost.kernel.errors import Refusal
from tradepost.kernel.states import StateTable, state_tables

LAMP = StateTable(
    "test lamp",
    "OFF",
    ["BROKEN"],
    [("OFF", "press", "ON"), ("ON", "press", "OFF"), ("ON", "drop", "BROKEN"), ("OFF", "drop", "BROKEN")],
)
del states._TABLES["test lamp"]


def test_moves() -> None:
    assert LAMP.next("OFF", "press") == "ON"
    assert LAMP.accepts("ON", "drop")
    assert not LAMP.accepts("BROKEN", "press")
    assert LAMP.allowed("ON") == ["press", "drop"]
    assert LAMP.states == ("OFF", "ON", "BROKEN")


def test_a_declared_table_is_listed_by_name() -> None:
    table = StateTable("test switch", "OFF", [], [("OFF", "press", "ON"), ("ON", "press", "OFF")])
    assert state_tables()["test switch"] is table
    del states._TABLES["test switch"]


@pytest.mark.parametrize(
    ("state", "given", "expected", "allowed"),
    [
        ("ON", "kick", "press or drop", ["press", "drop"]),
        ("BROKEN", "press", "nothing: this state is final", []),
        ("NOWHERE", "press", "nothing: this state is final", []),
    ],
)
def test_a_refused_move_says_what_is_possible(
    state: str, given: str, expected: str, allowed: list[str]
) -> None:
    with pytest.raises(Refusal) as refused:
        LAMP.next(state, given)
    assert refused.value.code == "state.conflict"
    assert refused.value.expected == expected
    assert refused.value.extra == {"state": state, "allowed": allowed}


def test_the_diagram() -> None:
    assert LAMP.mermaid().splitlines() == [
        "stateDiagram-v2",
        "    [*] --> OFF",
        "    OFF --> ON: press",
        "    ON --> OFF: press",
        "    ON --> BROKEN: drop",
        "    OFF --> BROKEN: drop",
        "    BROKEN --> [*]",
    ]


@pytest.mark.parametrize(
    ("final", "rows", "message"),
    [
        (["B"], [("A", "x", "B"), ("A", "x", "A")], "ambiguous"),
        ([], [("A", "x", "B")], "dead end"),
        (["B"], [("A", "x", "B"), ("C", "x", "B")], "cannot be reached"),
        (["B", "C"], [("A", "x", "B")], "cannot be reached"),
    ],
)
def test_a_faulty_table_is_not_declared(
    final: list[str], rows: list[tuple[str, str, str]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        StateTable("test faulty", "A", final, rows)
    assert "test faulty" not in state_tables()
