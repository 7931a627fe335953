"""`tradepost services up|status|down`: the servers of the production profile on this machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import cyclopts

from tradepost.kernel.errors import Refusal
from tradepost.services import Server, addresses
from tradepost.services import down as take_down
from tradepost.services import fetch as bring_in
from tradepost.services import status as look
from tradepost.services import up as bring_up
from tradepost.settings import Settings, load_settings
from tradepost.surfaces.cli.output import FAILED, errors, print_json, print_table

app = cyclopts.App(name="services", help="Bring up, look at and take down the servers of production.")
FOLDER = "services"


def folder_of(config: Path | None, data_dir: str | None) -> Path:
    """Where the servers of a data folder keep theirs."""
    return folder_at(load_settings(os.environ, config, {"server.data_dir": data_dir} if data_dir else None))


def folder_at(settings: Settings) -> Path:
    """Where the servers of a shop's data folder keep theirs."""
    return Path(settings.server.data_dir).absolute() / FOLDER


@app.command
def up(
    *names: str,
    port: tuple[str, ...] = (),
    option: tuple[str, ...] = (),
    data_dir: str | None = None,
    config: Path | None = None,
    json: bool = False,
) -> None:
    """Bring servers up: each at the address in the environment, else by docker compose, else natively.

    Running it again changes nothing. Without a name: what production needs on one machine.

    Parameters
    ----------
    names
        mariadb, redis, etcd, rocketmq, vitess; for tests stripe-mock and toxiproxy.
    port
        A port of your own, NAME=NUMBER or NAME.PURPOSE=NUMBER; may be given more than once.
    option
        A choice of one server, NAME.OPTION=VALUE, such as mariadb.buffer_pool=1G or vitess.transaction_mode=MULTI.
    data_dir
        Folder of the data; the servers keep theirs under services/ in it.
    config
        A TOML file of settings.
    json
        Print JSON instead of tables.
    """
    found = bring_up(
        names,
        folder_of(config, data_dir),
        ports=read_ports(port),
        options=read_options(option),
        progress=_say,
    )
    _print([_row(server.name, server, "") for server in found], json)


@app.command
def status(*, data_dir: str | None = None, config: Path | None = None, json: bool = False) -> None:
    """Ask every server that was brought up. Ends with 1 when one of them does not answer.

    Parameters
    ----------
    data_dir
        Folder of the data.
    config
        A TOML file of settings.
    json
        Print JSON instead of tables.
    """
    rows = [_row(recipe.name, server, why) for recipe, server, why in look(folder_of(config, data_dir))]
    _print(rows, json)
    if any(row["state"] == "down" for row in rows):
        raise SystemExit(FAILED)


@app.command
def fetch(*names: str, data_dir: str | None = None, config: Path | None = None) -> None:
    """Build and download what servers are made of, so that they start quickly later. Starts nothing.

    Parameters
    ----------
    names
        Servers to prepare for; all without a name.
    data_dir
        Folder of the data.
    config
        A TOML file of settings.
    """
    bring_in(names, folder_of(config, data_dir), progress=_say)


@app.command
def down(
    *names: str,
    purge: bool = False,
    data_dir: str | None = None,
    config: Path | None = None,
    json: bool = False,
) -> None:
    """End the servers that `up` started here, and only those. Data stays unless it is purged.

    Parameters
    ----------
    names
        Servers to end; all without a name.
    purge
        Remove their data, logs and passwords too.
    data_dir
        Folder of the data.
    config
        A TOML file of settings.
    json
        Print JSON instead of tables.
    """
    ended = take_down(
        names,
        folder_of(config, data_dir),
        purge=purge,
        progress=_say,
    )
    if json:
        print_json({"ended": ended, "purged": purge})
    else:
        print_table("Services", ("server", "now"), [(name, "ended") for name in ended] or [("none", "ran")])


def environment(config: Path | None = None, data_dir: str | None = None) -> dict[str, str]:
    """The variables that lead `serve` and `work` to the servers of the data folder. They hold passwords."""
    return addresses(folder_of(config, data_dir))


def read_ports(given: tuple[str, ...]) -> dict[str, int]:
    """`NAME=NUMBER` in words. Raises Refusal `settings.invalid`."""
    ports: dict[str, int] = {}
    for word in given:
        name, _, number = word.partition("=")
        if not number.isdigit() or not 0 < int(number) < 65_536:
            raise Refusal("settings.invalid", f"{word!r} is no port.", field="port", expected="NAME=NUMBER")
        ports[name] = int(number)
    return ports


def read_options(given: tuple[str, ...]) -> dict[str, dict[str, str]]:
    """`NAME.OPTION=VALUE` in words. Raises Refusal `settings.invalid`."""
    options: dict[str, dict[str, str]] = {}
    for word in given:
        path, is_given, value = word.partition("=")
        name, _, option = path.partition(".")
        if not is_given or not option:
            raise Refusal(
                "settings.invalid", f"{word!r} is no option.", field="option", expected="NAME.OPTION=VALUE"
            )
        options.setdefault(name, {})[option] = value
    return options


def _say(sentence: str) -> None:
    errors.print(sentence, style="dim", highlight=False, markup=False)


def _row(name: str, server: Server | None, why: str) -> dict[str, Any]:
    if server is None:
        state = why if why in ("stopped", "not started") else "down"
        return {"server": name, "state": state, "why": why}
    return {
        "server": name,
        "state": "up",
        "how": server.how,
        "address": server.address,
        "seen": server.seen,
        "ports": server.ports,
        "pids": server.pids,
    }


def _print(rows: list[dict[str, Any]], json: bool) -> None:
    if json:
        print_json(rows)
        return
    print_table(
        "Services",
        ("server", "state", "listens on", "seen"),
        [(row["server"], _state(row), _place(row), row.get("seen", "")) for row in rows],
    )


def _state(row: dict[str, Any]) -> str:
    return f"up ({row['how']})" if row["state"] == "up" else str(row["why"])


def _place(row: dict[str, Any]) -> str:
    return urlsplit(str(row.get("address", ""))).netloc.rpartition("@")[2]
