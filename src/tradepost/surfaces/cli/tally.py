"""How many connections each worker of a port holds, in memory that all of them share.

Whoever holds more than another lets that one go first. Nothing depends on the numbers but who takes a connection.
"""

from __future__ import annotations

import mmap
import os
import struct

PLACES_MAX = 256
_COUNT = struct.Struct("=i")
ABSENT = -1


def open_tally() -> int:
    """A file descriptor of fresh shared memory, to be inherited by every worker."""
    descriptor = os.memfd_create("tradepost-tally", 0)
    os.write(descriptor, _COUNT.pack(ABSENT) * PLACES_MAX)
    return descriptor


class Tally:
    """The counts of all places seen from one of them; places beyond the 256th are not counted."""

    def __init__(self, descriptor: int, place: int) -> None:
        self._memory = mmap.mmap(descriptor, PLACES_MAX * _COUNT.size)
        self._place = place

    def write(self, count: int) -> None:
        """Tell how many connections this place holds, `ABSENT` when nobody is there."""
        if self._place < PLACES_MAX:
            _COUNT.pack_into(self._memory, self._place * _COUNT.size, count)

    def holds_more(self, count: int) -> bool:
        """Whether a place with so many holds more than another one that is filled."""
        if self._place >= PLACES_MAX:
            return False
        counts = [found for (found,) in _COUNT.iter_unpack(self._memory[:])]
        counts[self._place] = ABSENT
        return any(ABSENT < other < count for other in counts)

    def close(self) -> None:
        """Give the memory back."""
        self._memory.close()
