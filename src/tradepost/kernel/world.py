"""World: the only source of time, ids and chance. Give another one and the whole platform replays."""

from __future__ import annotations

import os
import time
from typing import Protocol

from tradepost.kernel.ids import ALPHABET, GENES, PREFIXES, compose_id

_POOL_BYTES = 4096
_TO_LETTERS = bytes(ord(ALPHABET[byte & 31]) for byte in range(256))
_ID_BYTES = 11
"""One byte for the six random bits in the middle of an id, ten for its last letters."""


class World(Protocol):
    """Clock, ids and chance, passed in wherever a decision needs them."""

    def now_ms(self) -> int:
        """Milliseconds since 1970 UTC."""
        ...

    def mint(self, kind: str, gene: int) -> str:
        """A new id of this kind (a key of `ids.PREFIXES`) on this gene."""
        ...

    def chance(self, bits: int) -> int:
        """An unpredictable integer of so many bits."""
        ...

    def gene(self) -> int:
        """A gene for something new that follows nobody else's, 0..1023."""
        ...


class SystemWorld:
    """The real world: the system clock and the operating system's randomness."""

    def __init__(self, cell: int = 0) -> None:
        self.cell = cell
        self._pool = b""
        self._at = 0
        self._letters = ""
        self._sixes = b""
        self._letters_at = 0

    def now_ms(self) -> int:
        """Milliseconds since 1970 UTC by the system clock."""
        return time.time_ns() // 1_000_000

    def mint(self, kind: str, gene: int) -> str:
        """A new unguessable id; see `kernel.ids` for its layout."""
        at = self._letters_at
        if at + _ID_BYTES > len(self._letters):
            self._sixes, at = os.urandom(_POOL_BYTES), 0
            self._letters = self._sixes.translate(_TO_LETTERS).decode("ascii")
        self._letters_at = end = at + _ID_BYTES
        return compose_id(
            PREFIXES[kind],
            gene,
            time.time_ns() // 1_000_000,
            self.cell,
            self._sixes[at] & 63,
            self._letters[at + 1 : end],
        )

    def chance(self, bits: int) -> int:
        """Bits from the operating system, drawn 4 KB at a time."""
        size = (bits + 7) // 8
        if self._at + size > len(self._pool):
            self._pool, self._at = os.urandom(_POOL_BYTES), 0
        drawn = int.from_bytes(self._pool[self._at : self._at + size], "big")
        self._at += size
        return drawn >> (size * 8 - bits)

    def gene(self) -> int:
        """A gene drawn evenly."""
        return self.chance(16) % GENES
