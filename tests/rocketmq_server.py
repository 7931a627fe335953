"""A private RocketMQ for tests: one broker for all test processes; each test has topics and groups of its own names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tradepost.services import running
from tradepost.services.model import Server


@pytest.fixture(scope="session")
def broker(servers_folder: Path) -> Iterator[Server]:
    """One RocketMQ for every test of this run that lets it live."""
    with running("rocketmq", folder=servers_folder / "rocketmq", shared=True) as servers:
        yield servers["rocketmq"]
