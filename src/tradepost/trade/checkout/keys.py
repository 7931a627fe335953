"""What can be set in checkout while the shop runs."""

from __future__ import annotations

from msgspec import Meta

from tradepost.stability.keys import Key, declare_key

QUOTE_TTL: Key[int] = declare_key(
    "checkout.quote_ttl_s",
    int,
    0,
    "s",
    Meta(ge=0, le=86_400),
    "How long a new quote is good for; 0 leaves it to the setting checkout.quote_ttl_ms. Subjects are buyers.",
)
DISCOUNT_MAX: Key[int] = declare_key(
    "checkout.discount_max_ppm",
    int,
    900_000,
    "ppm",
    Meta(ge=0, le=1_000_000),
    "How far campaigns may lower goods below their list price: the guard when one is published, and when an order is"
    " placed.",
)
DEVIATION_MAX: Key[int] = declare_key(
    "checkout.deviation_max_ppm",
    int,
    800_000,
    "ppm",
    Meta(ge=0, le=1_000_000),
    "How far a campaign may lower goods below the median price of their latest sales: the guard when one is published.",
)
