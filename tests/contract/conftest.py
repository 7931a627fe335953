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


BUILT = ("vitess", "rocketmq", "stripe-mock", "toxiproxy")
"""Servers that are built or fetched from source registries first: their tests belong to the long forms."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        named = [mark.args[0] for mark in item.iter_markers("server")]
        params = getattr(getattr(item, "callspec", None), "params", {})
        if any(name in BUILT for name in named) or any(
            str(one).startswith("vitess") for one in params.values()
        ):
            item.add_marker(pytest.mark.long)
