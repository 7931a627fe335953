"""The shard map of a Vitess keyspace, read from the engine and checked against the house's numbering.

The vindex is `reverse_bits(gene)`, so with 2^k equal key ranges a shard keeps the genes with one remainder modulo
2^k. That remainder is the shard's number here: it is stable when every shard is split in two (0 becomes 0 and 2^k),
and a row keyed by the number itself lies on the very shard it tells about.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from tradepost.kernel.errors import Kind, Refusal, declare_problems
from tradepost.kernel.ids import GENES

SHOW_SHARDS = "SHOW VITESS_SHARDS"
_TOP = 1 << 64

declare_problems(
    {
        "storage.shard_map": (
            Kind.CONFLICT,
            "The shards of this keyspace do not fit",
            "Give the keyspace 1, 2, 4 ... 1024 equal key ranges; see docs/how-to/outgrow-one-database.md.",
        ),
    }
)


class Shard(msgspec.Struct, frozen=True):
    """One shard: its number in the house and its key range as Vitess writes it."""

    number: int
    keyspace: str
    key_range: str

    def target(self, tablet_type: str = "primary") -> str:
        """What a connection names as its database so that every statement runs on this shard alone."""
        return f"{self.keyspace}:{self.key_range}@{tablet_type}"


def keyspace_id(gene: int) -> int:
    """Where `reverse_bits` puts a gene: a number of 64 bits, the lowest bit of the gene first."""
    return int(f"{gene:064b}"[::-1], 2)


def read_shards(listed: Iterable[str], keyspace: str) -> tuple[Shard, ...]:
    """The serving shards of a keyspace by number, from the answer of SHOW VITESS_SHARDS (`keyspace/range`).

    Raises Refusal `storage.shard_map` when there are none, or when they are not 2^k equal ranges.
    """
    ranges = [entry.partition("/")[2] for entry in listed if entry.partition("/")[0] == keyspace]
    count = len(ranges)
    if not 0 < count <= GENES or count & (count - 1):
        raise _unfit(keyspace, ranges)
    found: dict[int, Shard] = {}
    for written in ranges:
        first, last = _bounds(written, keyspace, ranges)
        number = min((gene for gene in range(count) if first <= keyspace_id(gene) < last), default=-1)
        if first != keyspace_id(number) or last - first != _TOP // count:
            raise _unfit(keyspace, ranges)
        found[number] = Shard(number, keyspace, written)
    if len(found) != count:
        raise _unfit(keyspace, ranges)
    return tuple(found[number] for number in range(count))


def parent_of(number: int, shards: int) -> int:
    """The shard that kept this one's genes when there were half as many."""
    return number % max(1, shards // 2)


def _bounds(written: str, keyspace: str, ranges: Sequence[str]) -> tuple[int, int]:
    """The half-open range of keyspace ids; an unsharded keyspace writes `0` or `-`."""
    if written == "0":
        return 0, _TOP
    start, dash, end = written.partition("-")
    try:
        first = int(start.ljust(16, "0"), 16)
        last = int(end.ljust(16, "0"), 16) if end else _TOP
    except ValueError:
        raise _unfit(keyspace, ranges) from None
    if not dash:
        raise _unfit(keyspace, ranges)
    return first, last


def _unfit(keyspace: str, ranges: Sequence[str]) -> Refusal:
    told = ", ".join(sorted(ranges)[:16]) or "none"
    return Refusal("storage.shard_map", f"The keyspace {keyspace} serves these shards: {told}.")
