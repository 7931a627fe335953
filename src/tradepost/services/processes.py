"""Processes that outlive the command that started them: intent first, then the pid, both checked before any signal.

A process is ours when its environment holds the token of our record, or when pid and start time are those that we
wrote down. The token is written before the start and the pid by the starting process itself, so a crash at any
moment leaves nothing running that the record does not lead to.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from pathlib import Path

import msgspec

from tradepost.kernel.errors import Refusal
from tradepost.services.model import Place, Stage

TOKEN = "SERVICES_RECORD_TOKEN"  # noqa: S105  a name, not a secret
_START = 'cd "$1" && echo $$ > "$2.new" && mv "$2.new" "$2" && shift 2 && exec "$@"'
_POLL_S = 0.02


class Record(msgspec.Struct, frozen=True):
    """What is written down before a process starts."""

    stage: str
    token: str
    argv: tuple[str, ...]
    farewell_s: int


class Born(msgspec.Struct, frozen=True):
    """When a process started: ticks since the boot, and which boot."""

    pid: int
    ticks: int
    boot: str


def start(place: Place, stage: Stage, *, die_with_parent: bool = False) -> int:
    """Start a stage in a session of its own, its output in the log folder, and return its pid.

    With `die_with_parent` the kernel ends it when the calling thread ends, however that ends.
    """
    folder = _folder(place)
    folder.mkdir(parents=True, exist_ok=True)
    place.log.mkdir(parents=True, exist_ok=True)
    record = Record(stage.name, os.urandom(16).hex(), stage.argv, stage.farewell_s)
    _write(folder / f"{stage.name}.json", msgspec.json.encode(record))
    pid_file = folder / f"{stage.name}.pid"
    pid_file.unlink(missing_ok=True)
    (folder / f"{stage.name}.born").unlink(missing_ok=True)
    argv = _bound_to_us(stage.argv) if die_with_parent else stage.argv
    log = place.log / f"{stage.name}.log"
    pid = os.posix_spawn(
        "/bin/sh",
        ["sh", "-c", _START, "sh", str(stage.folder or place.folder), str(pid_file), *argv],
        {**os.environ, **stage.environment, TOKEN: record.token},
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )
    ticks = _ticks(pid)
    if ticks is not None:
        _write(folder / f"{stage.name}.born", msgspec.json.encode(Born(pid, ticks, _boot())))
    return pid


def _bound_to_us(argv: tuple[str, ...]) -> tuple[str, ...]:
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        return argv
    if argv[0] == setpriv:  # changing the user clears the wish, so it is said in the same call
        return (setpriv, "--pdeathsig", "TERM", *argv[1:])
    return (setpriv, "--pdeathsig", "TERM", "--", *argv)


def find(place: Place, stage: str) -> int | None:
    """The pid of a stage that runs and is ours; None when there is none."""
    folder = _folder(place)
    record = _read_record(folder / f"{stage}.json")
    if record is None:
        return None
    born = _read_born(folder / f"{stage}.born")
    if born is not None and _started_then(born):
        return born.pid
    with contextlib.suppress(OSError, ValueError):
        pid = int((folder / f"{stage}.pid").read_text("ascii"))
        if _holds(pid, record.token) and _state(pid) is not None:
            return pid
    return _search(record.token)


def stop(place: Place, stage: str) -> bool:
    """End a stage if it is ours and runs, by SIGTERM and, past its farewell time, SIGKILL; then forget it.

    Says whether there was something to end. Raises Refusal `services.stop_failed` when it survives both.
    """
    folder = _folder(place)
    record = _read_record(folder / f"{stage}.json")
    pid = find(place, stage) if record is not None else None
    if record is not None and pid is not None:
        for number, patience_s in ((signal.SIGTERM, record.farewell_s), (signal.SIGKILL, 10)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)  # a frozen process cannot hear SIGTERM
                os.kill(pid, number)
            if _gone(pid, patience_s):
                break
        else:
            raise Refusal("services.stop_failed", f"Process {pid} ({stage} of {place.name}) is still there.")
    for ending in ("pid", "pid.new", "born", "json"):
        (folder / f"{stage}.{ending}").unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        folder.rmdir()
    return pid is not None


def stages_of(place: Place) -> list[str]:
    """The stages with a record, in the order in which they were started."""
    records = sorted(_folder(place).glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
    return [record.stem for record in records]


def tail(place: Place, stage: str, lines: int = 15) -> str:
    """The end of a stage's log."""
    with contextlib.suppress(OSError):
        text = (place.log / f"{stage}.log").read_bytes()[-16_384:].decode(errors="replace")
        return "\n".join(text.splitlines()[-lines:])
    return ""


def _folder(place: Place) -> Path:
    return place.folder / "processes"


def _gone(pid: int, patience_s: int) -> bool:
    deadline = time.monotonic() + patience_s
    while _state(pid) is not None:
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


def _started_then(born: Born) -> bool:
    """Whether this pid is still the process that was written down; true while it becomes the server, too."""
    return _state(born.pid) is not None and born == Born(born.pid, _ticks(born.pid) or -1, _boot())


def _read_born(path: Path) -> Born | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Born)
    except (OSError, msgspec.DecodeError):
        return None


def _search(token: str) -> int | None:
    for process in Path("/proc").glob("[0-9]*"):
        pid = int(process.name)
        if _holds(pid, token) and _state(pid) is not None:
            return pid
    return None


def _holds(pid: int, token: str) -> bool:
    with contextlib.suppress(OSError):
        return f"{TOKEN}={token}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return False


def _state(pid: int) -> str | None:
    """The state letter of a process; None when it is gone or only waits to be reaped, which is done here.

    A process whose first thread has ended while others still do counts as there: it holds its ports until they have.
    """
    fields = _stat(pid)
    if fields and fields[0] in "ZX":
        try:
            reaped = os.waitpid(pid, os.WNOHANG)[0] == pid
        except ChildProcessError:  # another's child: its parent reaps it
            reaped = int(fields[17]) <= 1
        return None if reaped else fields[0]
    return fields[0] if fields else None


def _ticks(pid: int) -> int | None:
    fields = _stat(pid)
    return int(fields[19]) if fields else None


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name, which may hold blanks and brackets itself."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()


def _read_record(path: Path) -> Record | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Record)
    except (OSError, msgspec.DecodeError):
        return None


def _write(path: Path, data: bytes) -> None:
    """Replace a file in one step, readable by its owner alone, on disk before this returns."""
    fresh = path.with_suffix(".tmp")
    with os.fdopen(os.open(fresh, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as opened:
        opened.write(data)
        opened.flush()
        os.fsync(opened.fileno())
    fresh.replace(path)
