"""The port of the config centre: a small store of documents that tells every process of a change."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Protocol

import msgspec

from tradepost.kernel.errors import Kind, declare_problems

ENTRIES_MAX = 1_000

declare_problems(
    {
        "config.centre_unavailable": (
            Kind.OVERLOADED,
            "The config centre does not answer",
            "Nothing was changed; every process works on with the last good values. Repeat when the centre is back.",
        ),
        "config.version_conflict": (
            Kind.CONFLICT,
            "Somebody changed the key meanwhile",
            "Read the key again, look at the difference, and repeat with the version you saw.",
        ),
    }
)


class CentreUnavailable(Exception):
    """The centre did not answer, or not in time, or not in its own words."""


class CentreForgot(Exception):
    """The centre no longer knows what came after the revision asked for: read everything, then watch again."""


class WriteRaced(Exception):
    """The entry is not at the revision that the writer saw."""


class Entry(msgspec.Struct, frozen=True):
    """One key's document, None where it was removed, and the revision that wrote it."""

    name: str
    text: bytes | None
    revision: int


class Snapshot(msgspec.Struct, frozen=True):
    """Entries and the revision they were read at, or reached by."""

    revision: int
    entries: Mapping[str, Entry]


class ConfigCentre(Protocol):
    """A store of at most 1,000 entries whose revision grows with every write of any of them.

    Each call answers or raises `CentreUnavailable` within a few seconds, whatever the network does.
    """

    async def read(self) -> Snapshot:
        """Everything, as of one revision."""
        ...

    async def write(self, name: str, text: bytes, seen: int) -> int:
        """Write an entry that still is at revision `seen` (0: that is not there); the new revision.

        Raises `WriteRaced` when it is not. After `CentreUnavailable` the write may have happened: read to know.
        """
        ...

    def watch(self, after: int) -> AsyncIterator[Snapshot]:
        """What changed after a revision, at once and then as it happens, until the caller stops.

        States, not steps: of several writes to one entry only the last may come, and one may come twice. Raises
        `CentreForgot` when the revision is too old and `CentreUnavailable` when the stream broke.
        """
        ...

    async def close(self) -> None:
        """Let go of connections and files."""
        ...
