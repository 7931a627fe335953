"""Servers of the contract suites."""

from __future__ import annotations

import pytest
from tests.mariadb_server import mariadb, mariadb_folder, migrated_url, mysql_url
from tests.vitess_server import vitess, vitess_server, vitess_url

__all__ = [
    "mariadb",
    "mariadb_folder",
    "migrated_url",
    "mysql_url",
    "vitess",
    "vitess_server",
    "vitess_url",
]


SERVERS = ("mariadb", "vitess", "redis", "etcd", "rocketmq", "stripe-mock", "toxiproxy", "helm")
"""Their tests start, build or fetch a server first: for now they are the long forms."""
STARTED = frozenset(
    (
        "mariadb",
        "mariadb_folder",
        "migrated_url",
        "mysql_url",
        "vitess",
        "vitess_server",
        "vitess_url",
        "helm",
    )
)


def needs_a_server(item: pytest.Item) -> bool:
    """Whether a test starts a server of the production profile."""
    params = getattr(getattr(item, "callspec", None), "params", {})
    names = set(getattr(item, "fixturenames", ()))
    return (
        any(True for _ in item.iter_markers("server"))
        or any(str(one).startswith(SERVERS) for one in params.values())
        or bool(names & STARTED)
        or any("redis" in name for name in names)
    )


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent.name == "contract" and needs_a_server(item):
            item.add_marker(pytest.mark.long)
