"""MariaDB of our own: its own folder and port, durable settings, no user with a known password."""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from tradepost.services.checks import check_mysql
from tradepost.services.credentials import secret_of, write_private
from tradepost.services.model import Missing, Place, Progress, Recipe, Stage
from tradepost.services.programs import missing_of, need, run_build

BUFFER_POOL_MIN_MB = 128
BUFFER_POOL_MAX_MB = 2048
"""More is for a machine of its own: --option mariadb.buffer_pool=8G."""
DATABASE = "tradepost"
USER = "tradepost"
SQL_PORT = 13306
CGROUP_MEMORY = Path("/sys/fs/cgroup/memory.max")
PACKAGES = (("mariadbd", "mariadb-server-core"), ("mariadb-install-db", "mariadb-server-core"))

_CONF = """\
# Written by `tradepost services`: changes here are lost.
[mariadbd]
datadir = {folder}/data
tmpdir = {folder}/tmp
socket = ../run/sql.sock
pid-file = {folder}/run/mariadbd.pid
log-error = {folder}/log/mariadbd.log
init-file = {folder}/init.sql
bind-address = 127.0.0.1
port = {port}
server-id = 1
skip-name-resolve
skip-external-locking
character-set-server = utf8mb4
collation-server = utf8mb4_bin
sql-mode = STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION
transaction-isolation = READ-COMMITTED
innodb_flush_log_at_trx_commit = 1
innodb_doublewrite = 1
sync_binlog = 1
skip-log-bin
innodb_buffer_pool_size = {buffer_pool}
innodb_log_file_size = {log_size}
innodb_lock_wait_timeout = 5
innodb_print_all_deadlocks = 1
innodb_autoinc_lock_mode = 2
max_connections = 300
max_allowed_packet = 64M
{user}
"""
_INIT = """\
CREATE DATABASE IF NOT EXISTS `{database}` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE USER IF NOT EXISTS `{user}`@`127.0.0.1`;
ALTER USER `{user}`@`127.0.0.1` IDENTIFIED BY '{password}';
CREATE USER IF NOT EXISTS `{user}`@`localhost`;
ALTER USER `{user}`@`localhost` IDENTIFIED BY '{password}';
GRANT ALL ON {scope} TO `{user}`@`127.0.0.1`;
GRANT ALL ON {scope} TO `{user}`@`localhost`;
GRANT PROCESS, RELOAD ON *.* TO `{user}`@`127.0.0.1`;
GRANT PROCESS, RELOAD ON *.* TO `{user}`@`localhost`;
"""


def steps(place: Place, progress: Progress) -> Iterator[Stage]:
    """Install the data folder if it is new, then run one server over it."""
    yield database_stage(place, progress, port="sql", scope="`tradepost%`.*")


def database_stage(place: Place, progress: Progress, *, port: str, scope: str, statements: str = "") -> Stage:
    """A MariaDB server in a folder: installed if new, with one user that owns `scope`.

    `statements` run at every start after the user is made, so they must be able to run again.
    """
    folder = place.folder
    for name in ("tmp", "run", "log"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    password = secret_of(folder)
    write_private(
        folder / "init.sql",
        _INIT.format(user=USER, database=DATABASE, password=password, scope=scope) + statements,
    )
    conf = folder / "my.cnf"
    me = getpass.getuser()
    write_private(
        conf,
        _CONF.format(
            folder=folder,
            socket=socket_of(folder),
            port=place.ports[port],
            buffer_pool=place.options.get("buffer_pool", f"{BUFFER_POOL_MIN_MB}M"),
            log_size=place.options.get("log_size", "96M"),
            user="user = root" if me == "root" else "",
        ),
    )
    if not (folder / "data" / "mysql").is_dir():
        progress("installing a new data folder")
        _install(folder, me)
    url = f"mysql://{USER}:{quote(password)}@127.0.0.1:{place.ports[port]}/{DATABASE}"
    return Stage(
        name="mariadbd",
        argv=(need("mariadbd"), f"--defaults-file={conf}"),
        ready=lambda: check_mysql(url),
        binds={port: place.ports[port]},
        patience_s=120,
    )


def fit_buffer_pool(memory_mb: int) -> str:
    """The buffer pool for a machine with so much memory that it shares with the shop: a quarter, 128M to 2G."""
    return f"{min(max(memory_mb // 4, BUFFER_POOL_MIN_MB), BUFFER_POOL_MAX_MB)}M"


def fit() -> dict[str, str]:
    """The options that suit this machine."""
    return {"buffer_pool": fit_buffer_pool(memory_mb())}


def memory_mb() -> int:
    """The memory of this machine, or of the container this runs in."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20
    try:
        bound = CGROUP_MEMORY.read_text("ascii").strip()
    except OSError:
        return machine
    return min(machine, int(bound) >> 20) if bound.isdigit() else machine


def _install(folder: Path, me: str) -> None:
    """Make system tables in which the administrator is whoever runs this, known by the socket, with no password."""
    fresh = folder / "data.new"
    run_build(
        [
            need("mariadb-install-db"),
            "--no-defaults",
            f"--datadir={fresh}",
            f"--tmpdir={folder / 'tmp'}",
            "--auth-root-authentication-method=socket",
            f"--auth-root-socket-user={me}",
            "--skip-test-db",
            "--skip-name-resolve",
            *([f"--user={me}"] if me == "root" else []),
        ],
        folder,
    )
    fresh.rename(folder / "data")


def socket_of(folder: Path) -> Path:
    """Its UNIX socket; the system allows 107 characters, so a deep folder gives a file that cannot be used."""
    return folder / "run" / "sql.sock"


def url_of(place: Place) -> str:
    """The address with user, password and database."""
    return f"mysql://{USER}:{quote(secret_of(place.folder))}@127.0.0.1:{place.ports['sql']}/{DATABASE}"


def _missing(_: Place) -> list[Missing]:
    return missing_of(PACKAGES)


RECIPE = Recipe(
    name="mariadb",
    ports={"sql": SQL_PORT},
    missing=_missing,
    steps=steps,
    url=url_of,
    check=check_mysql,
    environment="TRADEPOST_STORAGE__URL",
    schemes=("mysql", "mariadb"),
    sentence="orders, stock and money, flushed at every commit",
    fit=fit,
)
