"""A World that stands still and whose chance is counted: the demo shop has the same ids everywhere."""

from __future__ import annotations

import hashlib

from tradepost.kernel.ids import GENES, PREFIXES, mint_id

DEMO_MOMENT_MS = 1_767_225_600_000
"""2026-01-01 00:00 UTC: when everything of the demo shop was entered."""


class DemoWorld:
    """Ids in a fixed order. Only data that everybody may know is made in this world, never a secret."""

    def __init__(self, room: str) -> None:
        self._room = room
        self._drawn = 0

    def now_ms(self) -> int:
        """The fixed moment."""
        return DEMO_MOMENT_MS

    def chance(self, bits: int) -> int:
        """The next bits of this room's sequence."""
        self._drawn += 1
        digest = hashlib.blake2b(f"{self._room}:{self._drawn}".encode(), digest_size=32).digest()
        return int.from_bytes(digest, "big") >> (256 - bits)

    def gene(self) -> int:
        """The next gene of this room's sequence."""
        return self.chance(16) % GENES

    def mint(self, kind: str, gene: int) -> str:
        """The next id of this room's sequence."""
        return mint_id(PREFIXES[kind], gene, DEMO_MOMENT_MS, 0, self.chance(56))
