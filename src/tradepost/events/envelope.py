"""The envelope of events outside the database: CloudEvents 1.0 as JSON, structured for one and batched for several."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec

from tradepost.kernel.events import EventRow

ONE = "application/cloudevents+json"
SEVERAL = "application/cloudevents-batch+json"
SOURCE = "/tradepost"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class CloudEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One event on the wire. `subject` is the aggregate, `id` the event id, the same for every delivery.

    Below `data` stand extension attributes: what a consumer's position and inbox need to know the event again
    (`shard` and `sequence`: its place in the stream; `gene`), and whom it concerns.
    """

    specversion: Literal["1.0"]
    id: str
    source: str
    type: str
    subject: str
    time: str
    datacontenttype: Literal["application/json"]
    data: msgspec.Raw
    aggregateversion: int
    gene: int
    shard: int
    sequence: str
    buyerid: str = ""
    sellerid: str = ""


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(CloudEvent).decode
_decode_several = msgspec.json.Decoder(list[CloudEvent]).decode


def wrap(shard: int, rows: Sequence[EventRow], source: str = SOURCE) -> tuple[str, bytes]:
    """Content type and body for events of this shard's stream: one stands for itself, several are a batch."""
    wrapped = [_wrap(shard, row, source) for row in rows]
    return (ONE, _encode(wrapped[0])) if len(wrapped) == 1 else (SEVERAL, _encode(wrapped))


def unwrap(body: bytes) -> list[tuple[int, EventRow]]:
    """The events of a body of either kind, each with its shard, in order.

    Raises ValueError for what is no envelope or contradicts itself.
    """
    try:
        found = _decode_several(body) if body.lstrip()[:1] == b"[" else [_decode(body)]
        return [_unwrap(each) for each in found]
    except (msgspec.MsgspecError, ValueError, OverflowError) as error:
        raise ValueError(f"not an envelope: {error}") from error


def _wrap(shard: int, row: EventRow, source: str) -> CloudEvent:
    return CloudEvent(
        specversion="1.0",
        id=row.event_id,
        source=source,
        type=row.type,
        subject=row.aggregate_id,
        time=timestamp(row.at_ms),
        datacontenttype="application/json",
        data=msgspec.Raw(row.payload),
        aggregateversion=row.version,
        gene=row.gene,
        shard=shard,
        sequence=str(row.sequence),
        buyerid=row.buyer_id,
        sellerid=row.seller_id,
    )


def _unwrap(found: CloudEvent) -> tuple[int, EventRow]:
    row = EventRow(
        found.gene,
        found.subject,
        found.aggregateversion,
        found.type,
        moment(found.time),
        bytes(found.data),
        found.buyerid,
        found.sellerid,
        int(found.sequence),
    )
    if found.id != row.event_id:
        raise ValueError(f"the envelope of {row.event_id} calls itself {found.id}")
    if row.sequence < 1 or found.shard < 0:
        raise ValueError(f"the envelope of {row.event_id} names no place in a stream")
    return found.shard, row


def timestamp(at_ms: int) -> str:
    """RFC 3339 in UTC, to the millisecond."""
    moment_of = _EPOCH + at_ms * _MILLISECOND
    return f"{moment_of:%Y-%m-%dT%H:%M:%S}.{at_ms % 1000:03d}Z"


def moment(text: str) -> int:
    """Milliseconds since 1970 of an RFC 3339 timestamp. Raises ValueError for anything else."""
    parsed = datetime.fromisoformat(text)
    if parsed.tzinfo is None:
        raise ValueError(f"{text} names no time zone")
    return (parsed - _EPOCH) // _MILLISECOND
