"""The folder of an archive: compressed JSON lines, and a manifest that says what each file holds.

A part counts once its line stands in the manifest, which is written after the file was synced and read back. What a
crash leaves behind without such a line is removed at the next opening: nothing was deleted because of it.
"""

from __future__ import annotations

import contextlib
import fcntl
import gzip
import hashlib
import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from tradepost.archive.model import Done, Part, Record, Rows
from tradepost.archive.store import BLOBS
from tradepost.kernel.errors import Refusal

MANIFEST = "manifest.jsonl"
LOCK = ".lock"
_encode = msgspec.json.Encoder().encode
_line = msgspec.json.Decoder(Part | Done).decode
_plain = msgspec.json.decode
_BASE64 = "__base64"


class _Written(msgspec.Struct):
    checkout_id: str
    buyer_id: str
    gene: int
    rows: dict[str, list[dict[str, msgspec.Raw]]]


_written = msgspec.json.Decoder(_Written).decode


class Folder:
    """An archive that this process alone writes; `parts` and `done` are what its manifest says, by number."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.parts: dict[int, Part] = {}
        self.done: dict[int, Done] = {}
        self._read_manifest()
        self._remove_unfinished()

    def unfinished(self) -> list[Part]:
        """Parts whose records may still be in the database, oldest first."""
        return [part for number, part in sorted(self.parts.items()) if number not in self.done]

    def write(self, records: Sequence[Record], facts: dict[str, Any]) -> Part:
        """Write, sync and read back a part, then enter it in the manifest.

        `facts` are the fields of `Part` that the records do not tell. Raises Refusal `archive.damaged` when the disk
        gives back something else than was written.
        """
        number = max(self.parts, default=0) + 1
        name = f"part-{number:06}.jsonl.gz"
        packed = gzip.compress(b"".join(to_line(record) for record in records), 6, mtime=0)
        part = Part(
            number=number,
            file=name,
            checkouts=len(records),
            rows=count_rows(records),
            sha256=hashlib.sha256(packed).hexdigest(),
            records_digest=digest_of(records),
            **facts,
        )
        unfinished = self.path / f".{name}.unfinished"
        with unfinished.open("wb") as file:
            file.write(packed)
            file.flush()
            os.fsync(file.fileno())
        self._check(unfinished, part)
        unfinished.rename(self.path / name)
        _sync(self.path)
        self._note(part)
        self.parts[number] = part
        return part

    def read(self, part: Part) -> list[Record]:
        """The records of a part. Raises Refusal `archive.damaged`."""
        return self._check(self.path / part.file, part)

    def finish(self, done: Done) -> None:
        """Enter in the manifest that a part's records left the database."""
        self._note(done)
        self.done[done.number] = done

    def _check(self, file: Path, part: Part) -> list[Record]:
        try:
            records = [from_line(line) for line in _lines(file, part)]
            if digest_of(records) != part.records_digest:
                raise ValueError("its records differ")
        except (ValueError, msgspec.MsgspecError) as error:
            raise Refusal("archive.damaged", f"{file.name}: {error}.", field=str(file)) from error
        return records

    def _note(self, entry: Part | Done) -> None:
        with (self.path / MANIFEST).open("ab") as file:
            file.write(_encode(entry) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        _sync(self.path)

    def _read_manifest(self) -> None:
        manifest = self.path / MANIFEST
        if not manifest.exists():
            return
        text = manifest.read_bytes()
        whole = text[: text.rfind(b"\n") + 1]
        if len(whole) < len(text):  # the line that was being written when the process died
            with manifest.open("r+b") as file:
                file.truncate(len(whole))
                os.fsync(file.fileno())
        self.parts, self.done = read_entries(whole, manifest)

    def _remove_unfinished(self) -> None:
        known = {part.file for part in self.parts.values()}
        for left in self.path.glob(".part-*.unfinished"):
            left.unlink()
        for left in self.path.glob("part-*.jsonl.gz"):
            if (
                left.name not in known
            ):  # of a run that died before the manifest named it, or the manifest was lost
                names = (left.with_name(f"{left.name}.{number}.orphan") for number in itertools.count(1))
                left.rename(next(name for name in names if not name.exists()))


@contextlib.contextmanager
def open_folder(path: Path) -> Iterator[Folder]:
    """The folder, made where there is none. Raises Refusal `archive.in_use` while another process has it."""
    path.mkdir(parents=True, exist_ok=True)
    with (path / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refusal("archive.in_use", f"{path} is being written.", field="to") from None
        yield Folder(path)


def read_entries(whole: bytes, manifest: Path) -> tuple[dict[int, Part], dict[int, Done]]:
    """What whole lines of a manifest say, by number. Raises Refusal `archive.damaged`."""
    parts: dict[int, Part] = {}
    done: dict[int, Done] = {}
    for line in whole.splitlines():
        try:
            entry = _line(line)
        except msgspec.MsgspecError as error:
            raise Refusal("archive.damaged", f"{MANIFEST}: {error}.", field=str(manifest)) from error
        if isinstance(entry, Part):
            parts[entry.number] = entry
        else:
            done[entry.number] = entry
    return parts, done


def find_order(path: Path, order_id: str) -> Record:
    """The checkout of an archived order, from a folder that others may be writing. Reads every part, newest first.

    Raises Refusal `archive.order_unknown`, and `archive.damaged` for a part that is not what was written.
    """
    manifest = path / MANIFEST
    if not manifest.is_file():
        raise _unknown(f"{path} holds no archive.")
    text = manifest.read_bytes()
    parts, done = read_entries(text[: text.rfind(b"\n") + 1], manifest)
    for number, part in sorted(parts.items(), reverse=True):
        stayed = done[number].stayed if number in done else ()
        for line in _lines(path / part.file, part):
            if order_id.encode() not in line:
                continue
            record = from_line(line)
            named = any(row["order_id"] == order_id for row in record.rows.get("orders", ()))
            if named and record.checkout_id not in stayed:
                return record
    raise _unknown(f"{path} does not hold {order_id[:60]}.")


def _unknown(detail: str) -> Refusal:
    return Refusal("archive.order_unknown", detail, field="order_id")


def _lines(file: Path, part: Part) -> list[bytes]:
    try:
        packed = file.read_bytes()
        if hashlib.sha256(packed).hexdigest() != part.sha256:
            raise ValueError("its digest differs")
        return gzip.decompress(packed).splitlines()
    except (OSError, ValueError, EOFError) as error:
        raise Refusal("archive.damaged", f"{file.name}: {error}.", field=str(file)) from error


def digest_of(records: Sequence[Record]) -> str:
    """The same for the same records in the same order."""
    return hashlib.sha256("".join(record.digest() for record in records).encode()).hexdigest()


def count_rows(records: Sequence[Record]) -> dict[str, int]:
    """How many rows of each table."""
    counts: dict[str, int] = {}
    for record in records:
        for table, rows in record.rows.items():
            if rows:
                counts[table] = counts.get(table, 0) + len(rows)
    return dict(sorted(counts.items()))


def to_line(record: Record) -> bytes:
    """A record as a line of JSON: blobs stand in it as the JSON they are, anything else as base64."""
    rows = {table: [_shown(row) for row in owned] for table, owned in record.rows.items() if owned}
    document = {
        "checkout_id": record.checkout_id,
        "buyer_id": record.buyer_id,
        "gene": record.gene,
        "rows": rows,
    }
    return _encode(document) + b"\n"


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for column, value in row.items():
        if not isinstance(value, bytes):
            shown[column] = value
        elif _is_compact_json(value):
            shown[column] = msgspec.Raw(value)
        else:
            shown[column + _BASE64] = value
    return shown


def _is_compact_json(blob: bytes) -> bool:
    if not blob or blob != blob.strip() or b"\n" in blob or b"\r" in blob:
        return False
    try:
        _plain(blob)
    except msgspec.MsgspecError:
        return False
    return True


def from_line(line: bytes) -> Record:
    """The record of a line, byte for byte as it was. Raises msgspec.MsgspecError for something else."""
    written = _written(line)
    rows: Rows = {table: [_hidden(row) for row in owned] for table, owned in written.rows.items()}
    return Record(checkout_id=written.checkout_id, buyer_id=written.buyer_id, gene=written.gene, rows=rows)


def _hidden(row: dict[str, msgspec.Raw]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for column, raw in row.items():
        if column.endswith(_BASE64):
            values[column.removesuffix(_BASE64)] = msgspec.json.decode(raw, type=bytes)
        elif column in BLOBS:
            values[column] = bytes(raw)
        else:
            values[column] = _plain(raw)
    return values


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
