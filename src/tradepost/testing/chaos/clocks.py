"""The wall clocks of single processes, moved from outside; see hooks/sitecustomize.py."""

from __future__ import annotations

import struct
from pathlib import Path

HOOKS = Path(__file__).parent / "hooks"
"""Put in front of PYTHONPATH, it makes a Python process follow its clock file."""
VARIABLE = "CHAOS_CLOCKS"
PLANTED = "CHAOS_PLANTED"
_OFFSET = struct.Struct("=q")


def move_clock(folder: Path, process_id: int, by_ms: int) -> None:
    """Set how far a process's wall clock is from the true time, in ms; 0 puts it right.

    Raises FileNotFoundError for a process that follows no clock file.
    """
    with (folder / str(process_id)).open("r+b") as clock:
        clock.write(_OFFSET.pack(by_ms * 1_000_000))
