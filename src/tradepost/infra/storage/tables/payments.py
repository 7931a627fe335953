"""Payments with their portions, refunds, and the provider events that were heard."""

from __future__ import annotations

from sqlalchemy import Index, Table
from sqlalchemy import text as condition

from tradepost.infra.storage.tables.columns import METADATA, blob, gene, ident, number, small, text

PAYMENTS = Table(
    "payments",
    METADATA,
    gene(),
    ident("payment_id", primary_key=True),
    ident("checkout_id"),
    ident("buyer_id"),
    ident("provider"),
    text("currency", 3),
    number("amount_minor"),
    text("state", 20),
    number("authorized_minor"),
    number("captured_minor"),
    number("refunded_minor"),
    number("ask_at_ms"),
    small("version"),
    small("revision"),
    number("opened_at_ms"),
    blob("body"),
    Index("payments_by_ask", "ask_at_ms", sqlite_where=condition("ask_at_ms > 0")),
)

PAYMENT_SHIPMENTS = Table(
    "payment_shipments",
    METADATA,
    gene(),
    ident("order_id", primary_key=True),
    ident("payment_id"),
    sqlite_with_rowid=False,
)
"""Which payment is captured when an order leaves: only for intents that capture on shipment."""

REFUNDS = Table(
    "refunds",
    METADATA,
    gene(),
    ident("refund_id", primary_key=True),
    ident("payment_id"),
    ident("order_id"),
    number("amount_minor"),
    text("currency", 3),
    text("reason", 60),
    text("state", 20),
    small("attempts"),
    number("next_at_ms"),
    text("error", 200),
    small("version"),
    small("revision"),
    number("requested_at_ms"),
    number("stored_minor", default=0),
    Index("refunds_by_payment", "gene", "payment_id"),
    Index("refunds_by_next", "next_at_ms", sqlite_where=condition("next_at_ms > 0")),
    Index("refunds_by_task", "state", "refund_id", sqlite_where=condition("state = 'NEEDS_OPERATOR'")),
)

DISPUTES = Table(
    "disputes",
    METADATA,
    gene(),
    ident("payment_id", primary_key=True),
    ident("dispute_id", primary_key=True),
    small("version"),
    blob("body"),
)
"""What buyers' banks take back, beside the payment whose row guards it."""

STORED_VALUES = Table(
    "stored_values",
    METADATA,
    gene(),
    ident("owner_id", primary_key=True),
    text("currency", 3, primary_key=True),
    number("balance_minor"),
)
"""How much of a `stored:` account is left: it guards what the ledger holds, and is proved against it."""

GIFT_CARDS = Table("gift_cards", METADATA, gene(), ident("card_id", primary_key=True), blob("body"))

STORED_TENDERS = Table(
    "stored_tenders", METADATA, gene(), ident("payment_id", primary_key=True), blob("body")
)
"""What stored value did for a payment: the books of the provider that is ourselves."""

PROVIDER_EVENTS = Table(
    "provider_events",
    METADATA,
    gene(),
    ident("provider", primary_key=True),
    text("event_id", 120, primary_key=True),
    number("at_ms"),
    Index("provider_events_by_time", "at_ms"),
    sqlite_with_rowid=False,
)
