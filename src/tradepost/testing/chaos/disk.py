"""A disk small enough to be filled: a file system in a file where root may mount one, else a bound on file sizes."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

LOOP, MEMORY, BOUND = "ext4 in a file", "tmpfs", "a bound on the size of each file"
SIZE_MB = 512
BALLAST = "ballast"
LARGEST_PIECE, SMALLEST_PIECE = 1 << 28, 1 << 12
"""The ballast is laid in pieces of so many bytes, ever smaller ones as room gets scarce."""
ROOM_BYTES = 1 << 20
"""Where only file sizes are bounded, a file may still grow by so much."""

_GUARD = 'read -r _; umount "$1" || umount -l "$1"; rm -f "$2"'
"""Lazily where somebody still has a file open: the room is free when they close it."""


class SmallDisk:
    """One folder on a disk of its own. `kind` says in words what stands for a small disk."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.folder = folder
        self.kind = kind

    def fill(self, process_id: int) -> None:
        """Leave no room for what the process writes."""
        if self.kind == BOUND:
            largest = max(path.stat().st_size for path in (self.folder / "data").rglob("*"))
            bound = (largest + ROOM_BYTES, resource.RLIM_INFINITY)
            resource.prlimit(process_id, resource.RLIMIT_FSIZE, bound)
            return
        ballast = os.open(self.folder / BALLAST, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            length, size = 0, LARGEST_PIECE
            while size >= SMALLEST_PIECE:
                try:
                    os.posix_fallocate(ballast, length, size)
                    length += size
                except OSError:
                    size //= 2
        finally:
            os.close(ballast)

    def make_room(self, process_id: int) -> None:
        """As before."""
        if self.kind == BOUND:
            free = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(process_id, resource.RLIMIT_FSIZE, free)
        self.clear()

    def clear(self) -> None:
        """Take the ballast away."""
        (self.folder / BALLAST).unlink(missing_ok=True)


@contextlib.contextmanager
def small_disk(folder: Path, size_mb: int = SIZE_MB) -> Iterator[SmallDisk]:
    """`folder` on a disk of so many MB while the block runs, as well as this user can have one.

    A process of its own holds the disk and lets it go when this one ends, however that ends.
    """
    folder.mkdir(parents=True, exist_ok=True)
    image = folder.with_name(f"{folder.name}.disk")
    kind = _mount(folder, image, size_mb)
    guard = (
        None
        if kind == BOUND
        else subprocess.Popen(  # noqa: S603 - fixed words and a path of ours
            ["/bin/sh", "-c", _GUARD, "sh", str(folder), str(image)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
    )
    try:
        yield SmallDisk(folder, kind)
    finally:
        if guard is not None and guard.stdin is not None:
            guard.stdin.close()
            guard.wait()
        image.unlink(missing_ok=True)


def _mount(folder: Path, image: Path, size_mb: int) -> str:
    if os.getuid():
        return BOUND
    with image.open("wb") as file:
        file.truncate(size_mb << 20)
    if _done("mkfs.ext4", "-q", "-F", "-m", "0", str(image)) and _done(
        "mount", "-o", "loop", str(image), str(folder)
    ):
        return LOOP
    image.unlink()
    if _done("mount", "-t", "tmpfs", "-o", f"size={size_mb}m", "tmpfs", str(folder)):
        return MEMORY
    return BOUND


def _done(program: str, *arguments: str) -> bool:
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")
    if found is None:
        return False
    asked = subprocess.run([found, *arguments], capture_output=True, check=False)  # noqa: S603 - fixed programs
    return asked.returncode == 0
