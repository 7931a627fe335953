"""Vitess of our own: vtcombo (the real gateway, planner and tablets in one process) over one private MariaDB.

One keyspace in equal key ranges, each a schema of that MariaDB. Options: `shards` (a power of two), `transaction_mode`
(SINGLE makes the engine refuse a transaction that touches two shards), `vschema` (a file), `buffer_pool`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from tradepost.kernel.errors import Refusal
from tradepost.services import mariadb
from tradepost.services.checks import check_vitess
from tradepost.services.credentials import secret_of, write_private
from tradepost.services.model import Missing, Place, Progress, Recipe, Stage
from tradepost.services.programs import built_go, missing_go, missing_of, need

KEYSPACE = "tradepost"
NOBODY = 65534
_MODULE = Path(__file__).parent
_PACKAGE = "vitess.io/vitess/go/cmd/vtcombo"
_ROLES = ("app", "dba", "appdebug", "allprivs", "repl", "filtered")


def steps(place: Place, progress: Progress) -> Iterator[Stage]:
    """A MariaDB with a schema a shard, then the gateway over them."""
    program = _program(place, progress)
    shards = key_ranges(int(place.options.get("shards", "4")))
    schemas = "".join(
        f"CREATE DATABASE IF NOT EXISTS `{schema_of(shard)}` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;\n"
        for shard in shards
    )
    yield mariadb.database_stage(place, progress, port="mariadb", scope="*.*", statements=schemas)
    home = place.folder / "gateway"
    _furnish(
        home, program, Path(place.options.get("vschema", _MODULE / "vschema.json")), secret_of(place.folder)
    )
    yield Stage(
        name="vtcombo",
        argv=(*_as_nobody(), "./vtcombo", *arguments(place, shards)),
        environment={"VTDATAROOT": "root", "HOME": "root"},
        folder=home,
        ready=lambda: check_vitess(url_of(place)),
        binds={purpose: port for purpose, port in place.ports.items() if purpose != "mariadb"},
        patience_s=120,
    )


def key_ranges(count: int) -> list[str]:
    """Vitess's names of `count` equal key ranges. Raises Refusal `services.unknown` if that is no power of two."""
    if count < 1 or count > 64 or count & (count - 1):
        raise Refusal("services.unknown", f"{count} shards.", field="shards", expected="1, 2, 4 ... 64")
    if count == 1:
        return ["-"]
    ends = [f"{256 * part // count:02x}" for part in range(1, count)]
    return [f"{first}-{last}" for first, last in zip(["", *ends], [*ends, ""], strict=True)]


def schema_of(shard: str) -> str:
    """The schema of a shard in the MariaDB below."""
    return f"vt_{KEYSPACE}_{shard}"


def arguments(place: Place, shards: Sequence[str]) -> list[str]:
    """What vtcombo is told. Paths are relative, because its user may not walk to our folder from the root."""
    ports = place.ports
    layout = " ".join(f'shards:<name:"{shard}" db_name_override:"{schema_of(shard)}">' for shard in shards)
    told = {
        "log_dir": "root",
        "schema_dir": "vschema",
        "bind-address": "127.0.0.1",
        "port": str(ports["http"]),
        "grpc_bind_address": "127.0.0.1",
        "grpc_port": str(ports["grpc"]),
        "service_map": "grpc-vtgateservice",
        "mysql_server_bind_address": "127.0.0.1",
        "mysql_server_port": str(ports["mysql"]),
        "mysql_auth_server_impl": "none",  # vtcombo knows no other; it listens on loopback only
        "proto_topo": f'keyspaces:<name:"{KEYSPACE}" {layout}> cells:"test"',
        "db_host": "127.0.0.1",
        "db_port": str(ports["mariadb"]),
        "db-credentials-server": "file",
        "db-credentials-file": "database.json",
        "db_charset": "utf8mb4",
        "mycnf_server_id": "1",
        "transaction_mode": place.options.get("transaction_mode", "SINGLE"),
        **{f"db_{role}_user": mariadb.USER for role in _ROLES},
    }
    return ["--normalize_queries", *(word for name, value in told.items() for word in (f"--{name}", value))]


def _furnish(home: Path, program: Path, vschema: Path, password: str) -> None:
    """The folder that the gateway sees: program, vschema and the password below, its own where it runs as nobody."""
    (home / "root").mkdir(parents=True, exist_ok=True)
    keyspace = home / "vschema" / KEYSPACE
    keyspace.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(vschema, keyspace / "vschema.json")
    write_private(home / "database.json", f'{{"{mariadb.USER}": ["{password}"]}}\n')
    binary = home / "vtcombo"
    if not binary.exists():
        fresh = home / "vtcombo.new"
        shutil.copyfile(program, fresh)
        fresh.chmod(0o755)
        fresh.replace(binary)
    if os.getuid() == 0:
        for path in (home, *home.rglob("*")):
            os.chown(path, NOBODY, NOBODY, follow_symlinks=False)


def _as_nobody() -> list[str]:
    """vtcombo refuses to run as root, so there it runs as nobody."""
    if os.getuid():
        return []
    return [need("setpriv"), f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]


def _program(place: Place, progress: Progress) -> Path:
    return built_go("vtcombo", _MODULE, _PACKAGE, place.cache, progress)


def fetch(place: Place, progress: Progress) -> None:
    """Build it."""
    _program(place, progress)


def url_of(place: Place) -> str:
    """The address of the gateway with user and keyspace; it asks for no password."""
    return f"vitess://{mariadb.USER}@127.0.0.1:{place.ports['mysql']}/{KEYSPACE}"


def _missing(place: Place) -> list[Missing]:
    absent = missing_of((*mariadb.PACKAGES, ("setpriv", "util-linux")))
    return [*absent, *missing_go("vtcombo", _MODULE, place.cache)]


RECIPE = Recipe(
    name="vitess",
    ports={"mysql": 15306, "http": 15307, "grpc": 15308, "mariadb": 13307},
    missing=_missing,
    steps=steps,
    url=url_of,
    check=check_vitess,
    environment="TRADEPOST_STORAGE__URL",
    schemes=("vitess",),
    sentence="the same database over many machines; here four shards in one process",
    fetch=fetch,
    compose=False,
    fit=mariadb.fit,
)
