"""Rows of values as one JSON text: for Vitess, whose planner pays for every value it sees and for a text only once."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tradepost.kernel.tx import Value

_LETTERS_MAX = 16_000
_encode = msgspec.json.Encoder().encode


def json_rows(rows: Sequence[Sequence[Value]], name: str) -> str:
    """A derived table of this name with the columns p0, p1 ... for a FROM; bytes travel as base64."""
    shown: list[str] = []
    declared: list[str] = []
    for place, column in enumerate(zip(*rows, strict=True)):
        kind, read = _column([value for value in column if value is not None], f"p{place}")
        shown.append(f"{read} AS p{place}")
        declared.append(f"p{place} {kind} PATH '$[{place}]'")
    letters = _encode(rows).decode().replace("\\", "\\\\").replace("'", "\\'")  # JSON escapes all else itself
    return (
        f"(SELECT {','.join(shown)} FROM"
        f" JSON_TABLE('{letters}','$[*]' COLUMNS({','.join(declared)})) listed) {name}"
    )


def _column(values: Sequence[Value], name: str) -> tuple[str, str]:
    """The type in which a column is read, and how it becomes the value that was meant.

    ASCII text says so, else it would not be looked up in the index of an ASCII column. Sizes are powers of two, so
    that few plans serve all rows.
    """
    if any(isinstance(value, bytes) for value in values):
        return "LONGTEXT", f"FROM_BASE64({name})"
    texts = [value for value in values if isinstance(value, str)]
    if not texts:
        return "BIGINT", name
    longest = max(len(value) for value in texts)
    kind = "LONGTEXT" if longest > _LETTERS_MAX else f"VARCHAR({1 << max(6, longest.bit_length())})"
    plain = all(value.isascii() for value in texts)
    return kind, f"CONVERT({name} USING ascii)" if plain else name
