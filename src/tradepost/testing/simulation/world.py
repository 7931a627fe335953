"""The World of a simulation: the loop's clock, ids and chance from one seed."""

from __future__ import annotations

import random

from tradepost.kernel.ids import GENES, PREFIXES, mint_id
from tradepost.testing.simulation.loop import VirtualLoop

START_MS = 1_790_000_000_000


class SimWorld:
    """See `kernel.world.World`. The same seed gives the same ids in the same order."""

    def __init__(self, loop: VirtualLoop, seed: str) -> None:
        self._loop = loop
        self._random = random.Random(seed)

    def now_ms(self) -> int:
        """The loop's moment, counted from a fixed day."""
        return START_MS + self._loop.now_ms()

    def mint(self, kind: str, gene: int) -> str:
        """A new id of this kind."""
        return mint_id(PREFIXES[kind], gene, self.now_ms(), 0, self.chance(56))

    def chance(self, bits: int) -> int:
        """The next bits of the seed."""
        return self._random.getrandbits(bits)

    def gene(self) -> int:
        """A gene drawn evenly."""
        return self._random.randrange(GENES)
