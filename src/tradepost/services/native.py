"""Start, find and stop one server natively, as its recipe says."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from tradepost.kernel.errors import Refusal
from tradepost.services import ports, processes
from tradepost.services.model import How, Place, Progress, Recipe, Server, Stage, Unready

_POLL_S = 0.1
_SAY_EVERY_S = 5


def place_of(
    recipe: Recipe,
    root: Path,
    cache: Path,
    *,
    wanted: Mapping[str, int] | None = None,
    options: Mapping[str, str] | None = None,
) -> Place:
    """Where this server is or will be: the ports it was last given, unless others are wanted.

    Raises Refusal `services.unknown` for a port that it does not have.
    """
    folder = root.absolute() / recipe.name
    for purpose in wanted or {}:
        if purpose not in recipe.ports:
            raise Refusal(
                "services.unknown",
                f"{recipe.name} has no port {purpose}.",
                field=purpose,
                expected=", ".join(recipe.ports),
            )
    kept = _kept_ports(folder)
    chosen = {
        purpose: (wanted or {}).get(purpose, kept.get(purpose, default))
        for purpose, default in recipe.ports.items()
    }
    fitting = {**recipe.fit(), **(options or {})}
    return Place(name=recipe.name, folder=folder, cache=cache, ports=chosen, options=fitting)


def bring_up(recipe: Recipe, place: Place, progress: Progress, *, die_with_parent: bool = False) -> Server:
    """Start what of this server does not run, wait until it answers, and say where it is.

    Starts nothing where all of it runs; a running server keeps its ports, whatever is wanted. Raises Refusal
    `services.program_missing`, `services.port_taken` or `services.start_failed`; after each of them nothing that
    this call started is left.
    """
    alive = pids_of(place)
    if alive:
        place = msgspec.structs.replace(place, ports={**place.ports, **_kept_ports(place.folder)})
    else:
        refuse_missing(recipe, place)
    place.folder.mkdir(parents=True, exist_ok=True)
    begun: list[str] = []
    try:
        for stage in recipe.steps(place, progress):
            if processes.find(place, stage.name) is not None and _await(place, stage, progress):
                continue
            ports.refuse_taken(recipe.name, stage.binds)
            _keep_ports(place)
            progress(f"starting {stage.name}")
            begun.append(stage.name)
            processes.start(place, stage, die_with_parent=die_with_parent)
            if not _await(place, stage, progress):
                raise _failed(place, stage, "ended")
        recipe.settle(place, progress)
        return _described(recipe, place, recipe.check(recipe.url(place)))
    except BaseException:
        for name in reversed(begun):
            processes.stop(place, name)
        raise


def refuse_missing(recipe: Recipe, place: Place) -> None:
    """Raise Refusal `services.program_missing` with the commands that install what this server lacks here."""
    missing = recipe.missing(place)
    if missing:
        raise Refusal(
            "services.program_missing",
            f"{recipe.name} needs " + ", ".join(each.program for each in missing) + ".",
            field=f"services.{recipe.name}",
            expected="; ".join(dict.fromkeys(each.install for each in missing)),
            extra={"programs": [each.program for each in missing]},
        )


def _await(place: Place, stage: Stage, progress: Progress) -> bool:
    """Wait until a stage answers; False when it ends instead.

    Raises Refusal `services.start_failed` when it takes longer than its patience.
    """
    begun = said = time.monotonic()
    while True:
        try:
            progress(f"{stage.name} is ready: {stage.ready()}")
            return True
        except Unready as unready:
            why = str(unready)
        now = time.monotonic()
        if processes.find(place, stage.name) is None:
            return False
        if now - begun > stage.patience_s:
            raise _failed(place, stage, f"did not answer within {stage.patience_s} s ({why})")
        if now - said > _SAY_EVERY_S:
            said = now
            progress(
                f"waiting for {stage.name}: {int(now - begun)} of at most {stage.patience_s} s ({why[:80]})"
            )
        time.sleep(_POLL_S)


def _failed(place: Place, stage: Stage, what: str) -> Refusal:
    return Refusal(
        "services.start_failed",
        f"{stage.name} of {place.name} {what}. The end of its log, {place.log / stage.name}.log:\n"
        + processes.tail(place, stage.name),
        field=f"services.{place.name}",
    )


def find(recipe: Recipe, place: Place) -> Server | None:
    """The server if every process of it that was started still runs and it answers; else None."""
    stages = processes.stages_of(place)
    if not stages or any(processes.find(place, name) is None for name in stages):
        return None
    try:
        return _described(recipe, place, recipe.check(recipe.url(place)))
    except Unready:
        return None


def take_down(place: Place, progress: Progress) -> bool:
    """End every process of this server that is ours, the last started first. Says whether any ran."""
    ended = [name for name in reversed(processes.stages_of(place)) if _stop_one(place, name, progress)]
    for left in ("sql.sock", "sql.sock.lock"):
        (place.folder / "run" / left).unlink(missing_ok=True)
    return bool(ended)


def _stop_one(place: Place, name: str, progress: Progress) -> bool:
    if processes.find(place, name) is not None:
        progress(f"stopping {name}")
    return processes.stop(place, name)


def purge(place: Place) -> None:
    """Remove the data, settings and logs of a stopped server."""
    shutil.rmtree(place.folder, ignore_errors=True)


def pids_of(place: Place) -> dict[str, int]:
    """The processes of this server that run, by stage."""
    found = {name: processes.find(place, name) for name in processes.stages_of(place)}
    return {name: pid for name, pid in found.items() if pid is not None}


def _described(recipe: Recipe, place: Place, seen: str) -> Server:
    return Server(
        name=recipe.name,
        how=How.NATIVE,
        url=recipe.url(place),
        seen=seen,
        ports=place.ports,
        pids=pids_of(place),
        folder=place.folder,
    )


def _kept_ports(folder: Path) -> dict[str, int]:
    try:
        return msgspec.json.decode((folder / "ports.json").read_bytes(), type=dict[str, int])
    except (OSError, msgspec.DecodeError):
        return {}


def _keep_ports(place: Place) -> None:
    (place.folder / "ports.json").write_bytes(msgspec.json.encode(place.ports))
