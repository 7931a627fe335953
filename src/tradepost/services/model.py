"""What the services room talks about: ways to run a server, where it is, and why it is not there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path

import msgspec

from tradepost.kernel.errors import Kind, declare_problems

declare_problems(
    {
        "services.unknown": (
            Kind.NOT_FOUND,
            "No server has this name",
            "Name one of those that `tradepost services status` lists.",
        ),
        "services.port_taken": (
            Kind.CONFLICT,
            "A port of this server is taken",
            "Ask whoever runs the named process, or choose another port: tradepost services up --port NAME=NUMBER.",
        ),
        "services.program_missing": (
            Kind.UNPROCESSABLE,
            "A program of this server is not installed",
            "Run the named command, or give the address of a running server in the environment.",
        ),
        "services.start_failed": (
            Kind.INTERNAL,
            "The server did not start",
            "Read the log whose end is shown; nothing of it is left running.",
        ),
        "services.unreachable": (
            Kind.CONFLICT,
            "The server at the given address does not answer",
            "Start it, correct the address in the environment, or unset it so that one is started here.",
        ),
        "services.busy": (
            Kind.CONFLICT,
            "Another command is changing these servers",
            "Wait until it has ended, then try again.",
        ),
        "services.stop_failed": (
            Kind.INTERNAL,
            "A server did not end",
            "Look at the named process; it was told to end, then killed, and is still there.",
        ),
    }
)


class How(StrEnum):
    """Where a server comes from: the first that applies, in this order."""

    ADDRESS = "address"
    COMPOSE = "compose"
    NATIVE = "native"


class Unready(Exception):
    """A server does not answer yet, and why. Only the waiting loops see it."""


class Missing(msgspec.Struct, frozen=True):
    """A program that is not on this machine, and the command that brings it."""

    program: str
    install: str


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where one server runs: its folder, its ports by purpose and what the caller chose."""

    name: str
    folder: Path
    cache: Path
    ports: dict[str, int]
    options: dict[str, str] = {}

    @property
    def log(self) -> Path:
        """The folder of its logs."""
        return self.folder / "log"


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """One process of a server: how it starts, which ports it binds, by purpose, and how to see that it is ready.

    `ready` returns what it saw in words, or raises Unready. `patience_s` bounds the wait for it in seconds;
    `farewell_s` the wait from SIGTERM to SIGKILL.
    """

    name: str
    argv: tuple[str, ...]
    ready: Callable[[], str]
    binds: dict[str, int]
    environment: dict[str, str] = {}
    folder: Path | None = None
    patience_s: int = 60
    farewell_s: int = 30


Progress = Callable[[str], None]
"""Where a long command says in words what it is doing."""


def nothing_more(place: Place, progress: Progress) -> None:
    """Most servers hold what they need from their start on, and are made of installed programs."""


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """How one server runs natively.

    `steps` prepares and yields one Stage after the other; what follows a `yield` runs when that stage is ready.
    `settle` is run on a server that answers, in a container too: what it must hold before anybody uses it. Both
    must be able to run again over their own result. `fetch` builds or downloads what can be kept in the cache, so that
    a later start is quick and needs no network. `check` asks a running server by its own protocol, given its
    address, and raises Unready. `fit` gives the options that suit this machine, where the caller chooses no others.
    """

    name: str
    ports: dict[str, int]
    missing: Callable[[Place], list[Missing]]
    steps: Callable[[Place, Progress], Iterator[Stage]]
    url: Callable[[Place], str]
    check: Callable[[str], str]
    environment: str
    schemes: tuple[str, ...]
    sentence: str
    settle: Callable[[Place, Progress], None] = nothing_more
    fetch: Callable[[Place, Progress], None] = nothing_more
    compose: bool = True
    fit: Callable[[], Mapping[str, str]] = dict


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """A running server as callers see it. `url` holds its password where it has one: never print it as it is."""

    name: str
    how: How
    url: str
    seen: str
    ports: dict[str, int] = {}
    pids: dict[str, int] = {}
    folder: Path | None = None

    @property
    def address(self) -> str:
        """The address without its password, fit for people and logs."""
        scheme, mark, rest = self.url.partition("://")
        credentials, at, place = rest.rpartition("@")
        user = credentials.partition(":")[0]
        return f"{scheme}{mark}{user}{at if user else ''}{place}"
