"""The last good documents of one instance in a file: what it starts with while the centre is down."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec


class LastGood(msgspec.Struct, frozen=True, kw_only=True):
    """Documents by key, the centre's revision they were seen at, and when they were written down."""

    instance: str
    revision: int
    at_ms: int
    documents: Mapping[str, msgspec.Raw]


def keep(path: Path, found: LastGood) -> None:
    """Put the file in place whole or not at all, durably. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = msgspec.json.format(msgspec.json.encode(found), indent=1)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as opened:
            opened.write(text)
            opened.flush()
            os.fsync(opened.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def recall(path: Path) -> LastGood | None:
    """What the file holds; None when there is none or it is not whole."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=LastGood)
    except (OSError, msgspec.DecodeError):
        return None
