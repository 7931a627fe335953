"""A refund that arrived finishes its return."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tradepost.kernel.events import Consumer, EventRow
from tradepost.kernel.tx import Tx
from tradepost.trade.aftersales import returning


class _Refund(msgspec.Struct):
    refund_id: str


_refund = msgspec.json.Decoder(_Refund)


def follow_refunds(tx: Tx, rows: Sequence[EventRow]) -> None:
    """Finish the returns among these refunds: two statements, however many."""
    returning.finish_returns(tx, [(_refund.decode(row.payload).refund_id, row.at_ms) for row in rows])


CONSUMERS = [Consumer("aftersales.refunds", ("refund.succeeded.v1",), follow_refunds)]
