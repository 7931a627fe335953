"""What a MySQL or MariaDB server must be set to, told in words when it is not."""

from __future__ import annotations

import contextlib
import re
from typing import Any

from tradepost.infra.storage.group import TransactionLost
from tradepost.infra.storage.mysql_target import Target, connect
from tradepost.kernel.errors import Refusal

PACKET_BYTES_MIN = 4 << 20
PACKET_BYTES_GOOD = 32 << 20
OLDEST_MARIADB = (10, 6)
OLDEST_MYSQL = (8, 0, 19)
_ASKED = (
    "innodb_flush_log_at_trx_commit",
    "log_bin",
    "sync_binlog",
    "binlog_format",
    "innodb_doublewrite",
    "max_allowed_packet",
    "read_only",
    "super_read_only",
    "default_storage_engine",
    "innodb_autoinc_lock_mode",
    "version",
)
Facts = dict[str, str]


def check_server(target: Target) -> list[str]:
    """Look at the server's settings: what is not durable, in words; empty when all is well.

    Raises Refusal `storage.unreachable`, and `storage.unsuitable` for a setting that would break correctness.
    """
    try:
        with contextlib.closing(connect(target)) as connection, connection.cursor() as cursor:
            names = ",".join([f"'{name}'" for name in _ASKED])
            cursor.execute(f"SHOW GLOBAL VARIABLES WHERE Variable_name IN ({names})")
            facts: Facts = {str(name).lower(): str(value) for name, value in cursor.fetchall()}
            others = _other_engines(cursor)
    except TransactionLost as error:
        raise unreachable(target, error) from error
    if wrong := unsuitable(facts, others):
        raise Refusal("storage.unsuitable", f"{target.place}: {wrong}", field="storage.url")
    return [f"{target.place}: {warning}" for warning in warnings_of(facts)]


def unreachable(target: Target, cause: BaseException) -> Refusal:
    """The refusal of a start without a database."""
    return Refusal("storage.unreachable", f"{target.place}: {cause}", field="storage.url")


def _other_engines(cursor: Any) -> list[str]:
    cursor.execute(
        "SELECT TABLE_NAME FROM information_schema.TABLES"
        " WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE = 'BASE TABLE' AND ENGINE <> 'InnoDB'"
    )
    return [str(row[0]) for row in cursor.fetchall()]


def unsuitable(facts: Facts, other_engines: list[str]) -> str:
    """Why no shop may be kept there, "" when it may."""
    version = facts.get("version", "")
    number = tuple(int(part) for part in re.findall(r"\d+", version)[:3])
    oldest = OLDEST_MARIADB if "MariaDB" in version else OLDEST_MYSQL
    if number < oldest:
        return f"version {version} is older than {'.'.join(map(str, oldest))}"
    if other_engines:
        return f"tables without transactions: {', '.join(sorted(other_engines))} (they need ENGINE=InnoDB)"
    if facts.get("default_storage_engine", "InnoDB") != "InnoDB":
        return f"default_storage_engine is {facts['default_storage_engine']}, it has to be InnoDB"
    if _on(facts, "read_only") or _on(facts, "super_read_only"):
        return "the server is read-only: it is a replica, give the address of the primary"
    if _on(facts, "log_bin") and facts.get("binlog_format") == "STATEMENT":
        return "binlog_format is STATEMENT, which refuses READ COMMITTED; set ROW"
    if int(facts.get("max_allowed_packet", PACKET_BYTES_MIN)) < PACKET_BYTES_MIN:
        return f"max_allowed_packet is {facts['max_allowed_packet']}, it has to be {PACKET_BYTES_MIN} or more"
    return ""


def warnings_of(facts: Facts) -> list[str]:
    """What an answer of this server does not promise, in words."""
    found: list[str] = []
    flush = facts.get("innodb_flush_log_at_trx_commit", "1")
    if flush != "1":
        found.append(
            f"innodb_flush_log_at_trx_commit is {flush}: orders of the last second may vanish in a crash, set it to 1"
        )
    if _on(facts, "log_bin") and facts.get("sync_binlog", "1") != "1":
        found.append(
            f"sync_binlog is {facts['sync_binlog']}: a crash may leave replicas and backups without acknowledged"
            " orders, set it to 1"
        )
    if not _on(facts, "innodb_doublewrite", "ON"):
        found.append("innodb_doublewrite is off: a power cut may tear pages for good, switch it on")
    packet = int(facts.get("max_allowed_packet", PACKET_BYTES_GOOD))
    if packet < PACKET_BYTES_GOOD:
        found.append(
            f"max_allowed_packet is {packet} bytes: very large orders and imports are refused, set it to 32M or more"
        )
    return found


def _on(facts: Facts, name: str, absent: str = "OFF") -> bool:
    return facts.get(name, absent).upper() not in ("0", "OFF", "NO", "FALSE")
