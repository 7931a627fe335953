"""The config centre of an embedded shop: one JSON file that processes watch and people may edit.

Writers take turns at a lock file and replace the file whole. Watchers ask for its stamp, which costs two
microseconds, forty times a second.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from tradepost.stability.centre import ENTRIES_MAX, CentreUnavailable, Entry, Snapshot, WriteRaced

LOOK_EVERY_S = 0.025
LOCK_WAIT_S = 2.0
LOCK_LOOK_S = 0.005
FILE_BYTES_MAX = 64 << 20
Stamp = tuple[int, int, int]


class _Row(msgspec.Struct, frozen=True):
    revision: int
    document: msgspec.Raw


class _Content(msgspec.Struct, frozen=True):
    revision: int = 0
    entries: dict[str, _Row] = {}


_NOTHING: Stamp = (0, 0, 0)


class WatchedFile:
    """The port on a file. It need not exist; its folder is made by the first write."""

    def __init__(self, path: Path, *, look_every_s: float = LOOK_EVERY_S) -> None:
        self._path = path
        self._look_every_s = look_every_s
        self._last = Snapshot(0, {})

    async def read(self) -> Snapshot:
        """See `ConfigCentre.read`."""
        self._last = await asyncio.to_thread(self._read)
        return self._last

    async def write(self, name: str, text: bytes, seen: int) -> int:
        """See `ConfigCentre.write`. Gives up with `CentreUnavailable` when the lock is not free within 2 s."""
        return await asyncio.to_thread(self._write, name, text, seen)

    async def watch(self, after: int) -> AsyncIterator[Snapshot]:
        """See `ConfigCentre.watch`. An edit by hand need not count the revision up: what differs is told."""
        known = self._last.entries if self._last.revision == after else None
        stamp: Stamp | None = None
        while True:
            now = self._stamp()
            if now == stamp:
                await asyncio.sleep(self._look_every_s)
                continue
            stamp = now
            found = await self.read()
            if known is None:
                changes = {name: one for name, one in found.entries.items() if one.revision > after}
            else:
                changes = {name: one for name, one in found.entries.items() if known.get(name) != one}
                changes |= {
                    name: Entry(name, None, found.revision) for name in known if name not in found.entries
                }
            known = found.entries
            if changes:
                yield Snapshot(found.revision, changes)

    async def close(self) -> None:
        """Nothing is held open between calls."""

    def _stamp(self) -> Stamp:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return _NOTHING
        except OSError as error:
            raise CentreUnavailable(f"{self._path}: {error.strerror}") from error
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _read(self) -> Snapshot:
        content = self._content()
        return Snapshot(
            content.revision,
            {
                name: Entry(name, msgspec.json.format(bytes(row.document), indent=-1), row.revision)
                for name, row in content.entries.items()
            },
        )

    def _content(self) -> _Content:
        try:
            with self._path.open("rb") as opened:
                text = opened.read(FILE_BYTES_MAX + 1)
        except FileNotFoundError:
            return _Content()
        except OSError as error:
            raise CentreUnavailable(f"{self._path}: {error.strerror}") from error
        try:
            found = msgspec.json.decode(text, type=_Content)
        except (msgspec.DecodeError, UnicodeError) as error:
            raise CentreUnavailable(f"{self._path} is not readable: {error}") from error
        return found

    def _write(self, name: str, text: bytes, seen: int) -> int:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._locked():
                content = self._content()
                row = content.entries.get(name)
                if (row.revision if row else 0) != seen:
                    raise WriteRaced(name)
                if row is None and len(content.entries) >= ENTRIES_MAX:
                    raise CentreUnavailable(f"{self._path} has {ENTRIES_MAX} entries already")
                revision = content.revision + 1
                entries = content.entries | {name: _Row(revision, msgspec.Raw(text))}
                self._replace(_Content(revision, entries))
                return revision
        except OSError as error:
            raise CentreUnavailable(f"{self._path}: {error.strerror}") from error

    def _replace(self, content: _Content) -> None:
        part = self._path.with_name(self._path.name + ".part")
        text = msgspec.json.format(msgspec.json.encode(content, order="sorted"), indent=1)
        with part.open("wb") as opened:
            opened.write(text)
            opened.flush()
            os.fsync(opened.fileno())
        before, made = self._stamp()[0], part.stat().st_mtime_ns
        if made <= before:  # two writes within one tick of the file system's clock
            os.utime(part, ns=(before + 1, before + 1))
        part.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """The only writer, in a thread; a lock that is never freed is not waited for."""
        lock = os.open(self._path.with_name(self._path.name + ".lock"), os.O_CREAT | os.O_RDWR, 0o644)
        try:
            deadline = time.monotonic() + LOCK_WAIT_S
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise CentreUnavailable(f"{self._path} is locked by another writer") from None
                    time.sleep(LOCK_LOOK_S)
            yield
        finally:
            os.close(lock)
