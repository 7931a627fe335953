"""Event declarations and rows."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from tradepost.kernel import events
from tradepost.kernel.events import Event, EventRow, event, event_types, record
from tradepost.testing.world import TestWorld


class Lit(Event, frozen=True, kw_only=True):
    """A lamp was lit."""

    lamp_id: str
    watts: int = 0


@pytest.fixture(autouse=True)
def declared() -> Iterator[None]:
    """Declared for these tests only: the registry is the source of the reference pages."""
    event("test.lit.v1")(Lit)
    yield
    del events._TYPES["test.lit.v1"], events._NAMES[Lit], events._DECODERS["test.lit.v1"]


def test_a_fact_is_recorded_on_its_aggregates_gene_and_read_back() -> None:
    order_id = TestWorld().mint("order", 77)
    row = record(Lit(lamp_id="l", watts=3), order_id, 2, 1234, buyer_id="b", seller_id="s")
    assert (row.gene, row.aggregate_id, row.version, row.type, row.at_ms) == (
        77,
        order_id,
        2,
        "test.lit.v1",
        1234,
    )
    assert (row.buyer_id, row.seller_id, row.sequence) == ("b", "s", 0)
    assert row.event_id == f"{order_id}.2"
    assert row.data() == Lit(lamp_id="l", watts=3)
    assert msgspec.json.decode(row.payload) == {"lamp_id": "l", "watts": 3}


def test_an_older_or_newer_payload_is_understood() -> None:
    row = EventRow(0, "a", 1, "test.lit.v1", 0, b'{"lamp_id":"l","colour":"red"}')
    assert row.data() == Lit(lamp_id="l")


def test_a_type_is_declared_once() -> None:
    assert event_types()["test.lit.v1"] is Lit
    with pytest.raises(ValueError, match="twice"):
        event("test.lit.v1")(Lit)


def test_an_undeclared_fact_is_a_bug() -> None:
    class Unknown(Event, frozen=True, kw_only=True):
        """Nobody declared this."""

    with pytest.raises(KeyError):
        record(Unknown(), TestWorld().mint("order", 1), 1, 0)
