"""A sheet: a heading, who and what it concerns, tables, totals and notes. Plain text everywhere, escaped by writers."""

from __future__ import annotations

import msgspec

from tradepost.kernel.errors import Kind, declare_problems

ROWS_MAX = 20_000
"""Rows of one sheet; a longer one is told to ask for the data instead."""


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """A titled paragraph, such as an address; one line of text each."""

    title: str
    lines: tuple[str, ...]


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """Columns and rows of text; `right` are the columns of numbers."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    right: frozenset[int] = frozenset()


class Sheet(msgspec.Struct, frozen=True, kw_only=True):
    """What a document says. `totals` end with what counts most; `language` is a BCP 47 tag."""

    title: str
    subtitle: str
    facts: tuple[tuple[str, str], ...]
    blocks: tuple[Block, ...] = ()
    tables: tuple[Table, ...] = ()
    totals: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    language: str = "en"


declare_problems(
    {
        "paper.too_long": (
            Kind.UNPROCESSABLE,
            "Too long for one document",
            "Ask for the same as JSON or CSV.",
        )
    }
)
