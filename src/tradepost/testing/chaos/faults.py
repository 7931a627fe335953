"""The faults: what is done to which part, and how it ends. A table; `tradepost chaos --list` prints it."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from tradepost.kernel.errors import Kind, Refusal, declare_problems
from tradepost.testing.chaos.shop import API, WORK
from tradepost.testing.torture.shop import wait_until

if TYPE_CHECKING:
    from tradepost.testing.chaos.ground import Ground

declare_problems(
    {
        "chaos.unknown": (
            Kind.NOT_FOUND,
            "No fault has this name",
            "Name one of those that `tradepost chaos --list` prints; two at once are joined by a plus sign.",
        ),
    }
)

MARIADB, VITESS = "mariadb", "vitess"
LATENCY_MS = 300
AHEAD_MS = 40_000
"""What a process with such a clock puts off is late by as much, so a trial can wait for it."""
BACK_MS = -3_600_000
STANDS_S = 60.0
"""A server that fell over a full disk is started again within this time, as a supervisor would."""
Undo = Callable[[], None]


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One fault. `begin` does it and returns how to end it; `part` is what it hits: two faults of one part cannot
    happen at once. `freezes` where its length is that of a frozen process; `least_s` is the shortest that bites."""

    name: str
    sentence: str
    part: str
    begin: Callable[[Any], Undo]
    storage: str = MARIADB
    freezes: bool = False
    least_s: float = 0


def _kill_process(kind: str) -> Callable[[Ground], Undo]:
    def begin(ground: Ground) -> Undo:
        os.kill(ground.victim(kind), signal.SIGKILL)
        return ground.shop.mend

    return begin


def _freeze_process(kind: str) -> Callable[[Ground], Undo]:
    def begin(ground: Ground) -> Undo:
        pid = ground.victim(kind)
        os.kill(pid, signal.SIGSTOP)

        def end() -> None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

        return end

    return begin


def _kill(server: str) -> Callable[[Ground], Undo]:
    def begin(ground: Ground) -> Undo:
        ground.kill(server)
        return lambda: ground.revive(server)

    return begin


def _freeze(server: str) -> Callable[[Ground], Undo]:
    def begin(ground: Ground) -> Undo:
        ground.freeze(server)
        return lambda: ground.thaw(server)

    return begin


def _slow(server: str) -> Callable[[Ground], Undo]:
    def begin(ground: Ground) -> Undo:
        ground.links.slow_down(server, LATENCY_MS, LATENCY_MS // 3)
        return ground.links.heal

    return begin


def _cut(server: str) -> Callable[[Ground], Undo]:
    def begin(ground: Ground) -> Undo:
        ground.links.cut(server)
        return ground.links.heal

    return begin


def _fill_disk(ground: Ground) -> Undo:
    pid = ground.pid(MARIADB)

    def end() -> None:
        ground.disk.make_room(pid)
        wait_until(stands, STANDS_S)

    def stands() -> bool:
        ground.revive(MARIADB)  # it may have given up on a full disk, and take its time to fall
        return ground.answers()

    ground.disk.fill(pid)
    return end


def _jump_ahead(kind: str) -> Callable[[Ground], Undo]:
    """It never comes right: it is killed, and its successor finds what it wrote about the future."""

    def begin(ground: Ground) -> Undo:
        pid = ground.victim(kind)
        ground.jump(pid, AHEAD_MS)

        def end() -> None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

        return end

    return begin


def _jump_back(kind: str) -> Callable[[Ground], Undo]:
    def begin(ground: Ground) -> Undo:
        pid = ground.victim(kind)
        ground.jump(pid, BACK_MS)
        return lambda: ground.jump(pid, 0)

    return begin


def _of_servers() -> list[Fault]:
    named = {
        MARIADB: "the database server",
        "redis": "Redis",
        "rocketmq": "the broker",
        "etcd": "the config centre's etcd",
    }
    found = []
    for server, words in named.items():
        short = "broker" if server == "rocketmq" else server
        found += [
            Fault(
                name=f"kill-{short}",
                part=server,
                begin=_kill(server),
                sentence=f"kill -9 of {words}, started again after a while",
            ),
            Fault(
                name=f"freeze-{short}",
                part=server,
                begin=_freeze(server),
                freezes=True,
                sentence=f"{words} is stopped in the middle (SIGSTOP): connections stand, nobody answers",
            ),
        ]
        if server != "etcd":
            found += [
                Fault(
                    name=f"slow-{short}",
                    part=server,
                    begin=_slow(server),
                    sentence=f"every answer of {words} takes {LATENCY_MS} ms longer",
                ),
                Fault(
                    name=f"cut-{short}",
                    part=server,
                    begin=_cut(server),
                    sentence=f"nothing passes between the shop and {words}, and nobody is told",
                ),
            ]
    return found


def _of_processes() -> list[Fault]:
    found = []
    for kind, words in ((API, "one API worker"), (WORK, "the work process")):
        found += [
            Fault(name=f"kill-{kind}", part=kind, begin=_kill_process(kind), sentence=f"kill -9 of {words}"),
            Fault(
                name=f"freeze-{kind}",
                part=kind,
                begin=_freeze_process(kind),
                freezes=True,
                sentence=f"{words} is stopped in the middle (SIGSTOP)",
            ),
            Fault(
                name=f"clock-ahead-{kind}",
                part=kind,
                begin=_jump_ahead(kind),
                sentence=f"the wall clock of {words} jumps {AHEAD_MS // 1000} s ahead, then it is killed",
            ),
            Fault(
                name=f"clock-back-{kind}",
                part=kind,
                begin=_jump_back(kind),
                sentence=f"the wall clock of {words} jumps back an hour, then right again",
            ),
        ]
    return found


FAULTS: dict[str, Fault] = {
    fault.name: fault
    for fault in (
        *_of_processes(),
        *_of_servers(),
        Fault(
            name="disk-full",
            part="disk",
            begin=_fill_disk,
            least_s=6.0,
            sentence="no room is left on the disk of the database, then there is again",
        ),
        Fault(
            name="kill-vtcombo",
            part=VITESS,
            begin=_kill(VITESS),
            storage=VITESS,
            sentence="kill -9 of the gateway of the distributed database, started again after a while",
        ),
        Fault(
            name="freeze-vtcombo",
            part=VITESS,
            begin=_freeze(VITESS),
            storage=VITESS,
            freezes=True,
            sentence="the gateway of the distributed database is stopped in the middle (SIGSTOP)",
        ),
        Fault(
            name="cut-vitess",
            part=VITESS,
            begin=_cut(VITESS),
            storage=VITESS,
            sentence="nothing passes between the shop and the distributed database, and nobody is told",
        ),
    )
}
PAIRS: tuple[tuple[str, str], ...] = (
    ("kill-api", "kill-mariadb"),
    ("kill-work", "kill-broker"),
    ("kill-redis", "kill-mariadb"),
    ("kill-etcd", "kill-redis"),
    ("freeze-mariadb", "kill-work"),
    ("cut-broker", "kill-api"),
    ("slow-mariadb", "kill-redis"),
    ("clock-ahead-work", "kill-mariadb"),
    ("disk-full", "kill-api"),
)
"""Pairs that meet in the same path; `--only A+B` makes any other."""


def find_fault(name: str) -> Fault:
    """The fault of a name. Raises Refusal `chaos.unknown`."""
    try:
        return FAULTS[name]
    except KeyError:
        known = ", ".join(FAULTS)
        raise Refusal("chaos.unknown", f"No fault is called {name}.", field="only", expected=known) from None


def chosen(only: Sequence[str], *, pairs: bool) -> list[tuple[Fault, ...]]:
    """What to try: the named ones (`A+B` is two at once), or every single one, or with `pairs` the declared pairs.

    Raises Refusal `chaos.unknown`, also for two of one part or on two databases.
    """
    wanted = [tuple(word.split("+")) for word in only]
    if not wanted:
        wanted = [*PAIRS] if pairs else [(name,) for name in FAULTS]
    found = [tuple(find_fault(name) for name in names) for names in wanted]
    for faults in found:
        same_part = len({fault.part for fault in faults}) < len(faults)
        if same_part or len({fault.storage for fault in faults}) > 1:
            raise Refusal(
                "chaos.unknown",
                f"{'+'.join(fault.name for fault in faults)} cannot happen at once.",
                field="only",
                expected="faults of different parts on the same database",
            )
    return found
