"""The servers of a run: started when a figure first asks for them, ended with the run."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

from tradepost import services
from tradepost.services import mariadb
from tradepost.testing.bench.shop import Shop

OPTIONS: Mapping[str, Mapping[str, str]] = {
    "mariadb": {**mariadb.fit(), "log_size": "1G"},
    "vitess": mariadb.fit(),
    "rocketmq": {"jvm": ""},
}
"""The memory that `tradepost services up` gives, and room for the log of a run's orders between two checkpoints; every
commit is flushed. The broker's JVM may compile as well as it can, which tests do without."""


class Ground:
    """Servers and stocked shops by name, in a folder of the run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._running = contextlib.ExitStack()
        self._urls: dict[str, str] = {}
        self._shops: dict[str, Shop] = {}

    def url(self, name: str) -> str:
        """The address of a server. Raises the refusals of `tradepost services` where it cannot be started here."""
        if name not in self._urls:
            started = services.running(name, folder=self.folder / "servers", options=OPTIONS)
            self._urls[name] = self._running.enter_context(started)[name].url
        return self._urls[name]

    def shop(self, name: str) -> Shop:
        """The demo shop on a database server, stocked."""
        if name not in self._shops:
            self._shops[name] = Shop(
                self.folder / f"shop-{name}", self.url(name), lambda: self._processes(name)
            )
        return self._shops[name]

    def _processes(self, name: str) -> tuple[int, ...]:
        return tuple(services.pids(name, self.folder / "servers").values())

    def close(self) -> None:
        """End what was started."""
        self._running.close()
