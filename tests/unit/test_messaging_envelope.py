"""The envelope: CloudEvents 1.0, and an event comes out as it went in."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradepost.events import envelope
from tradepost.kernel.events import EventRow

ROW = EventRow(7, "ord_1", 3, "order.paid.v1", 1_700_000_000_123, b'{"total_minor":5}', "byr_1", "sel_1", 42)

texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=20)
rows = st.builds(
    EventRow,
    gene=st.integers(0, 1023),
    aggregate_id=texts,
    version=st.integers(1, 10**6),
    type=texts,
    at_ms=st.integers(0, 4_102_444_800_000),
    payload=st.dictionaries(texts, st.integers() | texts).map(lambda value: json.dumps(value).encode()),
    buyer_id=texts,
    seller_id=texts,
    sequence=st.integers(1, 2**62),
)


@given(st.integers(0, 1023), st.lists(rows, min_size=1, max_size=5))
def test_events_come_out_as_they_went_in(shard: int, events: list[EventRow]) -> None:
    assert envelope.unwrap(envelope.wrap(shard, events)[1]) == [(shard, row) for row in events]


def test_one_event_is_structured_cloudevents() -> None:
    kind, body = envelope.wrap(2, [ROW])
    assert kind == "application/cloudevents+json"
    assert json.loads(body) == {
        "specversion": "1.0",
        "id": "ord_1.3",
        "source": "/tradepost",
        "type": "order.paid.v1",
        "subject": "ord_1",
        "time": "2023-11-14T22:13:20.123Z",
        "datacontenttype": "application/json",
        "data": {"total_minor": 5},
        "aggregateversion": 3,
        "gene": 7,
        "shard": 2,
        "sequence": "42",
        "buyerid": "byr_1",
        "sellerid": "sel_1",
    }
    for name in json.loads(body):
        assert name.isalnum()
        assert name == name.lower()
        assert len(name) <= 20


def test_several_events_are_a_batch() -> None:
    kind, body = envelope.wrap(0, [ROW, ROW])
    assert kind == "application/cloudevents-batch+json"
    assert [each["id"] for each in json.loads(body)] == ["ord_1.3", "ord_1.3"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b'"specversion":"1.0"', b'"specversion":"2.0"', "specversion"),
        (b'"id":"ord_1.3"', b'"id":"ord_1.4"', "calls itself ord_1.4"),
        (b'"sequence":"42"', b'"sequence":"0"', "no place"),
        (b'"sequence":"42"', b'"sequence":"x"', "invalid literal"),
        (b"2023-11-14T22:13:20.123Z", b"2023-11-14T22:13:20.123", "time zone"),
        (b"2023-11-14T22:13:20.123Z", b"yesterday", "yesterday"),
        (b'"data":{"total_minor":5},', b"", "data"),
        (b"{", b"", "not an envelope"),
    ],
)
def test_what_is_no_envelope_is_refused(old: bytes, new: bytes, said: str) -> None:
    body = envelope.wrap(2, [ROW])[1].replace(old, new, 1)
    with pytest.raises(ValueError, match=said):
        envelope.unwrap(body)


@given(st.integers(0, 253_402_300_799_999))
def test_a_moment_survives_its_words(at_ms: int) -> None:
    assert envelope.moment(envelope.timestamp(at_ms)) == at_ms
