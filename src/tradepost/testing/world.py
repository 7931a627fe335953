"""A World whose clock stands until it is moved and whose chance is a seed."""

from __future__ import annotations

import random

from tradepost.kernel.ids import GENES, PREFIXES, mint_id

START_MS = 1_790_000_000_000


class TestWorld:
    """Deterministic time, ids and chance: the same seed gives the same ids in the same order."""

    __test__ = False

    def __init__(self, seed: int = 1, start_ms: int = START_MS, cell: int = 0) -> None:
        self._random = random.Random(seed)
        self._now_ms = start_ms
        self.cell = cell

    def now_ms(self) -> int:
        """The moment the clock stands at."""
        return self._now_ms

    def advance(self, by_ms: int) -> int:
        """Move the clock forward; the new moment."""
        self._now_ms += by_ms
        return self._now_ms

    def set_now(self, now_ms: int) -> None:
        """Put the clock at a moment."""
        self._now_ms = now_ms

    def mint(self, kind: str, gene: int) -> str:
        """A new id, unique within the seed."""
        return mint_id(PREFIXES[kind], gene, self._now_ms, self.cell, self.chance(56))

    def chance(self, bits: int) -> int:
        """The next bits of the seed."""
        return self._random.getrandbits(bits)

    def gene(self) -> int:
        """A gene drawn evenly."""
        return self._random.randrange(GENES)
