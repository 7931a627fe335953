"""Bring servers up, look at them, take them down: one command at a time over one folder."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tradepost.kernel.errors import Refusal
from tradepost.services import compose, etcd, mariadb, native, redis, rocketmq, stripe_mock, toxiproxy, vitess
from tradepost.services.choice import choose, given_address
from tradepost.services.model import How, Place, Progress, Recipe, Server, Unready
from tradepost.services.programs import cache_folder

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        mariadb.RECIPE,
        redis.RECIPE,
        etcd.RECIPE,
        rocketmq.RECIPE,
        vitess.RECIPE,
        stripe_mock.RECIPE,
        toxiproxy.RECIPE,
    )
}
"""Every server this room knows, in the order in which they are started."""

PRODUCTION = ("mariadb", "redis", "etcd", "rocketmq")
"""What `up` brings without a name: what the production profile needs on one machine."""

LOCK_S = 900
"""Longest wait for another command over the same folder, in seconds: a first build of Vitess fits in."""


def silent(_: str) -> None:
    """Progress that nobody watches."""


def recipe_of(name: str) -> Recipe:
    """The recipe of a name. Raises Refusal `services.unknown`."""
    try:
        return RECIPES[name]
    except KeyError:
        raise Refusal(
            "services.unknown", f"No server is called {name}.", field="name", expected=", ".join(RECIPES)
        ) from None


def up(
    names: Sequence[str],
    root: Path,
    *,
    ports: Mapping[str, int] | None = None,
    options: Mapping[str, Mapping[str, str]] | None = None,
    environment: Mapping[str, str] | None = None,
    progress: Progress = silent,
) -> list[Server]:
    """Make every named server answer, each in the first way that applies; those that do already are left alone.

    `ports` are wanted ports by `NAME` (the first port of that server) or `NAME.PURPOSE`. Raises the refusals of
    the three ways; servers brought up before the refused one stay up.
    """
    recipes = [recipe_of(name) for name in names or PRODUCTION]
    env = os.environ if environment is None else environment
    with locked(root, progress):
        engine = compose.engine(env) if any(given_address(each, env) is None for each in recipes) else None
        found = []
        for recipe in recipes:
            how = choose(recipe, env, engine is not None)
            place = native.place_of(
                recipe,
                root,
                cache_folder(),
                wanted=wanted_ports(recipe, ports or {}),
                options=(options or {}).get(recipe.name),
            )
            tell = _named(recipe.name, progress)
            if how is How.ADDRESS:
                found.append(_checked(recipe, str(given_address(recipe, env))))
            elif how is How.COMPOSE and engine is not None and native.find(recipe, place) is None:
                found.append(compose.bring_up(engine, recipe, place, tell))
            else:
                found.append(native.bring_up(recipe, place, tell))
        return found


def fetch(names: Sequence[str], root: Path, *, progress: Progress = silent) -> None:
    """Build and download what the named servers are made of, all without a name; starts nothing.

    Raises Refusal `services.program_missing` or `services.start_failed`.
    """
    for recipe in [recipe_of(name) for name in names or RECIPES]:
        place = native.place_of(recipe, root, cache_folder())
        native.refuse_missing(recipe, place)
        recipe.fetch(place, _named(recipe.name, progress))


def status(
    root: Path, names: Sequence[str] = (), *, environment: Mapping[str, str] | None = None
) -> list[tuple[Recipe, Server | None, str]]:
    """The named servers, all without a name, with where each is, or None and why not, in words.

    Starts and changes nothing. Raises Refusal `services.unknown`.
    """
    env = os.environ if environment is None else environment
    return [(recipe, *_look(recipe, root, env)) for recipe in [recipe_of(name) for name in names or RECIPES]]


def _look(recipe: Recipe, root: Path, env: Mapping[str, str]) -> tuple[Server | None, str]:
    if given_address(recipe, env) is not None:
        try:
            return _checked(recipe, str(given_address(recipe, env))), ""
        except Refusal as refusal:
            return None, refusal.detail
    place = native.place_of(recipe, root, cache_folder())
    server = native.find(recipe, place) or compose.find(recipe, place)
    if server is not None:
        return server, ""
    pids = native.pids_of(place)
    if pids:
        return None, "runs without answering: " + ", ".join(f"{name} {pid}" for name, pid in pids.items())
    return None, "not started" if not place.folder.exists() else "stopped"


def addresses(root: Path, *, storage: str = "mariadb") -> dict[str, str]:
    """The variables that lead a process to the servers of this folder, with their passwords: hand them on unprinted.

    `storage` says which of mariadb and vitess the storage address names. Only servers that answer are in it.
    """
    other = {"mariadb": "vitess", "vitess": "mariadb"}[storage]
    found = [(recipe, server) for recipe, server, _ in status(root, environment={}) if recipe.name != other]
    return {recipe.environment: server.url for recipe, server in found if server is not None}


def down(names: Sequence[str], root: Path, *, purge: bool = False, progress: Progress = silent) -> list[str]:
    """End what was started from this folder, the last started first; with `purge` remove its data too.

    Returns the names of servers that ran. Servers given by an address and system services are never touched.
    """
    recipes = [recipe_of(name) for name in names or RECIPES]
    ended = []
    with locked(root, progress):
        for recipe in reversed(recipes):
            place = native.place_of(recipe, root, cache_folder())
            tell = _named(recipe.name, progress)
            ran = compose.take_down(place, purge, tell)
            ran = native.take_down(place, tell) or ran
            if purge:
                native.purge(place)
            if ran:
                ended.append(recipe.name)
    if not any(root.glob("*/")):
        (root / ".lock").unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            root.rmdir()
    return ended


def wanted_ports(recipe: Recipe, ports: Mapping[str, int]) -> dict[str, int]:
    """The ports wanted for one server, by purpose."""
    wanted: dict[str, int] = {}
    for key, port in ports.items():
        name, _, purpose = key.partition(".")
        if name == recipe.name:
            wanted[purpose or next(iter(recipe.ports))] = port
    return wanted


@contextlib.contextmanager
def locked(root: Path, progress: Progress = silent, patience_s: int = LOCK_S) -> Iterator[None]:
    """Be the only command over this folder. Raises Refusal `services.busy` when another takes too long.

    The kernel frees the lock when its holder ends, however that ends.
    """
    root.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + patience_s
    with (root / ".lock").open("a+") as lock:
        told = False
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise Refusal("services.busy", f"{root} is in use by {_holder(lock.name)}.") from None
                if not told:
                    told = True
                    progress(f"waiting for another command over {root} ({_holder(lock.name)})")
                time.sleep(0.1)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _holder(path: str) -> str:
    return f"process {Path(path).read_text('ascii') or 'unknown'}"


def _checked(recipe: Recipe, url: str) -> Server:
    server = Server(name=recipe.name, how=How.ADDRESS, url=url, seen="")
    try:
        return Server(name=recipe.name, how=How.ADDRESS, url=url, seen=recipe.check(url))
    except Unready as unready:
        raise Refusal(
            "services.unreachable",
            f"{recipe.name} at {server.address}, from {recipe.environment}: {unready}.",
            field=recipe.environment,
        ) from unready


def _named(name: str, progress: Progress) -> Progress:
    return lambda sentence: progress(f"{name}: {sentence}")


def place_at(name: str, root: Path) -> Place:
    """Where a named server is in this folder, for those who look at its files."""
    return native.place_of(recipe_of(name), root, cache_folder())
