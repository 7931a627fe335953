"""Servers in containers: `docker compose` over the compose.yaml of the repository, where an engine answers."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path

import msgspec

from tradepost.kernel.errors import Refusal
from tradepost.services.credentials import secret_of, write_private
from tradepost.services.model import How, Place, Progress, Recipe, Server, Unready

ENGINE_S = 5
"""Longest wait for the engine's word that it is there, in seconds."""
UP_S = 600
"""Longest wait for images and health, in seconds."""
FILE = "compose.yaml"

_Runner = Callable[[Sequence[str], Mapping[str, str], int], "subprocess.CompletedProcess[bytes]"]


class Engine(msgspec.Struct, frozen=True):
    """A container engine that answered, and the compose file it is given."""

    program: str
    file: Path


class Recorded(msgspec.Struct, frozen=True):
    """What is written down before a container starts: how to find it again."""

    program: str
    file: str
    project: str


def engine(environment: Mapping[str, str]) -> Engine | None:
    """The engine, if its command is here, has `compose`, reaches a running daemon, and our file is at hand.

    `SERVICES_COMPOSE=off` says that none is to be used.
    """
    program = shutil.which("docker", path=environment.get("PATH"))
    file = compose_file()
    if program is None or file is None or environment.get("SERVICES_COMPOSE") == "off":
        return None
    for words in (("info", "--format", "{{.ServerVersion}}"), ("compose", "version")):
        try:
            if _run([program, *words], environment, ENGINE_S).returncode:
                return None
        except (OSError, subprocess.TimeoutExpired):
            return None
    return Engine(program, file)


def compose_file() -> Path | None:
    """The compose file: of the folder we are in, else of the repository that this code is in."""
    for folder in (Path.cwd(), Path(__file__).resolve().parents[3]):
        if (folder / FILE).is_file():
            return folder / FILE
    return None


def command(engine: Engine, project: str, secrets: Path, words: Sequence[str]) -> list[str]:
    """The command line of one compose call."""
    return [
        *(engine.program, "compose", "--project-name", project),
        *("--file", str(engine.file), "--env-file", str(secrets)),
        *words,
    ]


def bring_up(engine: Engine, recipe: Recipe, place: Place, progress: Progress) -> Server:
    """Start a container and wait for its health check, then ask it as any other server.

    Raises Refusal `services.start_failed` with the end of its log.
    """
    project = _project(place)
    place.folder.mkdir(parents=True, exist_ok=True)
    recorded = Recorded(engine.program, str(engine.file), project)
    write_private(place.folder / "compose.json", msgspec.json.encode(recorded).decode())
    (place.folder / "ports.json").write_bytes(msgspec.json.encode(place.ports))
    secrets = _write_secrets(recipe, place)
    progress("starting its container")
    words = ["up", "--detach", "--wait", "--wait-timeout", str(UP_S), recipe.name]
    done = _run(command(engine, project, secrets, words), os.environ, UP_S + 30)
    if done.returncode:
        logs = _run(
            command(engine, project, secrets, ["logs", "--tail", "15", recipe.name]), os.environ, ENGINE_S * 4
        )
        raise Refusal(
            "services.start_failed",
            f"The container of {recipe.name} did not become healthy:\n{_text(done)}\n{_text(logs)}",
            field=f"services.{recipe.name}",
        )
    recipe.settle(place, progress)
    server = find(recipe, place)
    if server is None:
        raise Refusal(
            "services.start_failed", f"The container of {recipe.name} is healthy but does not answer."
        )
    return server


def find(recipe: Recipe, place: Place) -> Server | None:
    """The server, if it was started in a container from this folder and answers."""
    if not (place.folder / "compose.json").is_file():
        return None
    url = recipe.url(place)
    try:
        seen = recipe.check(url)
    except Unready:
        return None
    return Server(
        name=recipe.name, how=How.COMPOSE, url=url, seen=seen, ports=place.ports, folder=place.folder
    )


def take_down(place: Place, purge: bool, progress: Progress) -> bool:
    """Stop and remove the container that was started from this folder; with `purge` its volume too."""
    path = place.folder / "compose.json"
    try:
        recorded = msgspec.json.decode(path.read_bytes(), type=Recorded)
    except (OSError, msgspec.DecodeError):
        return False
    progress("removing its container")
    engine = Engine(recorded.program, Path(recorded.file))
    words = ["down", "--timeout", "30", *(["--volumes"] if purge else [])]
    done = _run(command(engine, recorded.project, place.folder / "compose.env", words), os.environ, 120)
    if done.returncode:
        raise Refusal("services.stop_failed", f"The container of {place.name}: {_text(done)}")
    path.unlink()
    (place.folder / "compose.env").unlink(missing_ok=True)
    return True


def _write_secrets(recipe: Recipe, place: Place) -> Path:
    """The variables that compose.yaml reads: the password, ports and options of this server."""
    prefix = recipe.name.upper()
    lines = [f"{prefix}_PASSWORD={secret_of(place.folder)}"]
    lines += [f"{prefix}_{purpose.upper()}_PORT={port}" for purpose, port in place.ports.items()]
    lines += [f"{prefix}_{option.upper()}={value}" for option, value in place.options.items()]
    path = place.folder / "compose.env"
    write_private(path, "\n".join(lines) + "\n")
    return path


def _project(place: Place) -> str:
    """One project a server and folder, so that taking one down leaves the others."""
    return f"tradepost-{place.name}-{sha256(str(place.folder).encode()).hexdigest()[:8]}"


def _run(
    argv: Sequence[str], environment: Mapping[str, str], timeout_s: int
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(  # noqa: S603  the command is made of constants of this package
        list(argv),
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=timeout_s,
        check=False,
    )


def _text(done: subprocess.CompletedProcess[bytes]) -> str:
    return "\n".join(done.stdout.decode(errors="replace").strip().splitlines()[-15:])
