"""Passwords of servers we start: generated once, kept beside the data, readable by their owner alone."""

from __future__ import annotations

import os
from pathlib import Path

_BYTES = 24


def secret_of(folder: Path) -> str:
    """The password of the server in this folder, made at the first call: letters and digits only."""
    path = folder / "secret"
    try:
        return path.read_text("ascii")
    except FileNotFoundError:
        folder.mkdir(parents=True, exist_ok=True)
        write_private(path, os.urandom(_BYTES).hex())
        return path.read_text("ascii")


def write_private(path: Path, text: str) -> None:
    """Replace a file in one step; it is readable by its owner alone from its first byte on."""
    fresh = path.with_name(path.name + ".new")
    with os.fdopen(
        os.open(fresh, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w", encoding="utf-8"
    ) as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    fresh.replace(path)
