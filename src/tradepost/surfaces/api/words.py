"""The words of requests and answers that several routes share: bounded texts and numbers, pages, prices."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Generic, TypeVar

import msgspec
from msgspec import Meta

from tradepost.kernel.ids import check_id, gene_of
from tradepost.kernel.money import Money, price_to_major
from tradepost.kernel.tx import Storage

T = TypeVar("T")
MONEY_REMEMBERED = 4_096

Id = Annotated[str, Meta(min_length=1, max_length=64, pattern="^[A-Za-z0-9_.-]+$")]
Text = Annotated[str, Meta(max_length=2_000)]
Name = Annotated[str, Meta(max_length=200)]
Code = Annotated[str, Meta(max_length=64)]
Place = Annotated[str, Meta(min_length=1, max_length=40, pattern="^[A-Za-z0-9_.-]+$")]
Price = Annotated[str, Meta(max_length=26, description="A decimal number in major units, such as 2.555.")]
Quantity = Annotated[int, Meta(ge=1, le=10_000_000)]
Pieces = Annotated[int, Meta(ge=-1_000_000_000, le=1_000_000_000)]
Minor = Annotated[int, Meta(ge=0, le=10**15, description="Money in the currency's minor unit.")]
Version = Annotated[int, Meta(ge=0, le=2**31 - 1)]
MomentMs = Annotated[int, Meta(ge=0, le=2**52, description="Milliseconds since 1970 UTC; 0 for none.")]
Limit = Annotated[int, Meta(ge=1, le=200, description="Rows of a page.")]
Cursor = Annotated[str, Meta(max_length=200, description="`next_cursor` of the page before.")]


class Page(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """A page of a list; an empty `next_cursor` says that it was the last."""

    items: tuple[T, ...]
    next_cursor: str = ""


class PageQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which page."""

    cursor: Cursor = ""
    limit: Limit = 50


class PriceView(msgspec.Struct, frozen=True, kw_only=True):
    """A unit price from a moment until just before another; 0 leaves that end open.

    Of several that hold the first listed decides; above the layer `list` it may be bound to a market, a scene, the
    content that led to the line, or a group of buyers.
    """

    currency: str
    price: str
    from_ms: int = 0
    until_ms: int = 0
    layer: str = "list"
    market: str = ""
    scene: str = ""
    content_id: str = ""
    segment: str = ""


@lru_cache(MONEY_REMEMBERED)
def money(amount_minor: int, currency: str) -> Money:
    """An amount with its currency."""
    return Money(amount_minor, currency)


def unit_price(price_e4: int, currency: str) -> str:
    """A unit price as its shortest exact decimal string."""
    return price_to_major(price_e4, currency)


def home(db: Storage, identifier: str, kind: str) -> int:
    """The shard an id lives on. Raises Refusal `id.invalid` for an id of another kind."""
    return db.shard_of(gene_of(check_id(identifier, kind)))
