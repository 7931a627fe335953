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
