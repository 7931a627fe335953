"""Servers for tests: started natively in a folder of the test's own, on free ports, ended with it."""

from __future__ import annotations

import contextlib
import fcntl
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tradepost.services import native
from tradepost.services.fleet import locked, recipe_of, silent
from tradepost.services.model import Progress, Server
from tradepost.services.ports import reserve_ports
from tradepost.services.programs import cache_folder, need

QUICK: Mapping[str, Mapping[str, str]] = {
    "mariadb": {"buffer_pool": "128M"},
    "vitess": {"buffer_pool": "128M"},
    "rocketmq": {"jvm": "-XX:TieredStopAtLevel=1"},
}
"""What tests choose unless they say otherwise: little memory, for many run side by side, and a JVM that starts with a
quarter less work and peaks lower."""
PORTS_APART = 16
"""Room beside each chosen port: RocketMQ's broker also takes its port - 2 and + 1."""


@contextlib.contextmanager
def running(
    *names: str,
    folder: Path,
    options: Mapping[str, Mapping[str, str]] | None = None,
    progress: Progress = silent,
    shared: bool = False,
) -> Iterator[dict[str, Server]]:
    """The named servers, running natively under `folder` while the block runs.

    With `shared` other processes may enter with the same folder: the first starts the servers, all use the same
    ones, the last to leave stops them, and so does the end of all of them, even by kill -9. Without, a killed test
    takes its servers with it. Raises the refusals of a native start. Data stays in `folder` until that is removed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f".users-{'-'.join(names)}").open("a+") as users:
        with locked(folder):
            fcntl.flock(users, fcntl.LOCK_SH)
        try:
            with locked(folder):
                if shared:
                    _end_with_the_last(names, folder, Path(users.name))
                servers = {
                    name: _start(name, folder, options or {}, progress, bound=not shared) for name in names
                }
            yield servers
        finally:
            with locked(folder):
                if _is_last(users):
                    for name in reversed(names):
                        stop(name, folder)


def _end_with_the_last(names: Sequence[str], folder: Path, users: Path) -> None:
    """Leave a process behind that waits until nobody holds the folder, however they ended, and stops what is left."""
    stopping = [sys.executable, "-m", __name__, str(folder), *reversed(names)]
    subprocess.Popen(  # noqa: S603  our own interpreter and module
        [need("flock"), str(users), *stopping],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _is_last(users: object) -> bool:
    """Whether nobody else holds the folder; asked under its lock, so nobody can enter meanwhile."""
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)  # type: ignore[arg-type]
    except BlockingIOError:
        return False
    return True


def _start(
    name: str, folder: Path, options: Mapping[str, Mapping[str, str]], progress: Progress, *, bound: bool
) -> Server:
    recipe = recipe_of(name)
    chosen = {**QUICK.get(name, {}), **options.get(name, {})}
    place = native.place_of(recipe, folder, cache_folder(), options=chosen)
    if not (place.folder / "ports.json").exists():
        free = dict(zip(recipe.ports, reserve_ports(len(recipe.ports), apart=PORTS_APART), strict=True))
        place = native.place_of(recipe, folder, cache_folder(), wanted=free, options=chosen)
    bound = bound and threading.current_thread() is threading.main_thread()
    return native.bring_up(recipe, place, progress, die_with_parent=bound)


def start(name: str, folder: Path, *, options: Mapping[str, str] | None = None) -> Server:
    """Start one server again on the ports it had, after a test stopped or killed it."""
    return _start(name, folder, {name: options or {}}, silent, bound=True)


def stop(name: str, folder: Path) -> bool:
    """Stop one server and say whether it ran."""
    recipe = recipe_of(name)
    return native.take_down(native.place_of(recipe, folder, cache_folder()), silent)


def pids(name: str, folder: Path) -> dict[str, int]:
    """The processes of one server by stage, for a test that kills or freezes them."""
    return native.pids_of(native.place_of(recipe_of(name), folder, cache_folder()))


if __name__ == "__main__":
    for each in sys.argv[2:]:
        stop(each, Path(sys.argv[1]))
