"""Hashes of journal rows, their sums by day, and the chain of seals. Pure.

Rows of a day are added up, not chained one to the other: a commit then needs no row of its own that every posting of a
bucket would wait for, and a row that leaves for the archive is subtracted. Adding hashes modulo 2^256 keeps a set
apart from every other as long as nobody can choose hundreds of rows freely; the chain then keeps the days in order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import msgspec

from tradepost.trade.ledger.model import Transaction

DAY_MS = 86_400_000
MODULUS = 1 << 256
FIRST = "0" * 64
Key = tuple[int, int]
"""(gene, day since 1970, UTC)."""

_encode = msgspec.json.Encoder().encode


class Tally(msgspec.Struct, frozen=True):
    """How many rows, and the sum of their hashes."""

    count: int = 0
    total: int = 0

    def plus(self, other: Tally) -> Tally:
        """Both together."""
        return Tally(self.count + other.count, (self.total + other.total) % MODULUS)

    def written(self) -> str:
        """The sum as 64 hexadecimal digits."""
        return f"{self.total:064x}"


class Seal(msgspec.Struct, frozen=True):
    """A closed day of a gene's journal."""

    gene: int
    day: int
    row_count: int
    row_sum: str
    previous: str
    digest: str
    at_ms: int


def hash_row(t: Transaction) -> int:
    """The hash of everything a row says."""
    return int.from_bytes(hashlib.blake2b(_encode(t), digest_size=32).digest(), "big")


def key_of(t: Transaction) -> Key:
    """The bucket and day of a row."""
    return t.gene, t.at_ms // DAY_MS


def tally(rows: Iterable[Transaction]) -> dict[Key, Tally]:
    """Rows added up by bucket and day."""
    counts: dict[Key, list[int]] = {}
    for t in rows:
        pair = counts.setdefault(key_of(t), [0, 0])
        pair[0] += 1
        pair[1] += hash_row(t)
    return {key: Tally(count, total % MODULUS) for key, (count, total) in counts.items()}


def digest_of(gene: int, day: int, found: Tally, previous: str) -> str:
    """The digest of a day behind the one before it."""
    text = f"{previous}/{gene}/{day}/{found.count}/{found.written()}"
    return hashlib.blake2b(text.encode(), digest_size=32).hexdigest()


def next_seals(known: Iterable[Seal], found: dict[Key, Tally], through: int, at_ms: int) -> list[Seal]:
    """The seals of all days up to one that are not sealed yet, each gene's chained to its last."""
    last = {seal.gene: seal for seal in known}
    fresh: list[Seal] = []
    for gene, day in sorted(found):
        before = last.get(gene)
        if day <= through and (before is None or before.day < day):
            previous = before.digest if before is not None else FIRST
            own = found[gene, day]
            seal = Seal(
                gene, day, own.count, own.written(), previous, digest_of(gene, day, own, previous), at_ms
            )
            last[gene] = seal
            fresh.append(seal)
    return fresh


def find_breaks(
    seals: Iterable[Seal], found: dict[Key, Tally], gone: dict[Key, Tally]
) -> list[tuple[str, str]]:
    """(what about, what is wrong): sealed days whose rows changed, and links that do not fit."""
    faults: list[tuple[str, str]] = []
    previous: dict[int, Seal] = {}
    for seal in seals:
        name = f"gene {seal.gene} day {seal.day}"
        key = (seal.gene, seal.day)
        own = found.get(key, Tally()).plus(gone.get(key, Tally()))
        if (own.count, own.written()) != (seal.row_count, seal.row_sum):
            faults.append(
                (
                    name,
                    f"{own.count} rows now, {seal.row_count} when it was sealed"
                    if own.count != seal.row_count
                    else "a row was changed since it was sealed",
                )
            )
        before = previous.get(seal.gene)
        wanted = before.digest if before is not None else FIRST
        written = Tally(seal.row_count, int(seal.row_sum, 16))
        if seal.previous != wanted or seal.digest != digest_of(seal.gene, seal.day, written, seal.previous):
            faults.append((name, "the seal does not fit the one before it"))
        previous[seal.gene] = seal
    return faults
