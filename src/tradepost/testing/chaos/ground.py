"""The ground of a run: servers of its own with links to them, and the shop that stands on them."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from tradepost import services
from tradepost.infra.messaging.rocketmq_admin import create
from tradepost.infra.messaging.topics import Names
from tradepost.infra.storage.mysql_target import connect, parse_url
from tradepost.services import testing
from tradepost.services.checks import check_mysql
from tradepost.services.fleet import place_at
from tradepost.services.mariadb import DATABASE
from tradepost.services.model import Unready
from tradepost.services.ports import reserve_ports
from tradepost.testing.chaos.clocks import move_clock
from tradepost.testing.chaos.disk import SmallDisk, small_disk
from tradepost.testing.chaos.links import Links
from tradepost.testing.chaos.shop import Shop
from tradepost.testing.torture.client import Client
from tradepost.testing.torture.crowd import Market, look_around

SHARED = ("toxiproxy", "redis", "etcd", "rocketmq")
ADDRESS = {
    "mariadb": "TRADEPOST_STORAGE__URL",
    "vitess": "TRADEPOST_STORAGE__URL",
    "redis": "TRADEPOST_CACHE__URL",
    "rocketmq": "TRADEPOST_MESSAGING__URL",
    "etcd": "TRADEPOST_CONFIG__URL",
}
"""Servers the shop is led to over a link, and the setting that says so."""
OPTIONS = {"mariadb": {"buffer_pool": "128M", "log_size": "64M"}, "vitess": {"log_size": "48M"}}
STAGES = {
    "mariadb": "mariadbd",
    "vitess": "vtcombo",
    "redis": "redis-server",
    "etcd": "etcd",
    "rocketmq": "rocketmq",
}
Tell = Callable[[str], None]


class Ground:
    """What a fault may touch. `storage` names the database the shop stands on."""

    def __init__(
        self, folder: Path, storage: str, url: str, links: Links, disk: SmallDisk, shop: Shop
    ) -> None:
        self.folder = folder
        self.storage = storage
        self.url = url
        self.links = links
        self.disk = disk
        self.shop = shop
        self.market: Market

    def pid(self, server: str) -> int:
        """The process of a server that is killed or frozen. Raises KeyError when it does not run."""
        return testing.pids(server, self.folder)[STAGES[server]]

    def kill(self, server: str) -> None:
        """SIGKILL for a server; it may be gone already."""
        with contextlib.suppress(ProcessLookupError, KeyError):
            os.kill(self.pid(server), signal.SIGKILL)

    def answers(self) -> bool:
        """Whether the database lets somebody in."""
        try:
            check_mysql(self.url)
        except Unready:
            return False
        return True

    def revive(self, server: str) -> None:
        """Start a server again on its ports where it does not run."""
        if STAGES[server] in testing.pids(server, self.folder):
            return
        testing.start(server, self.folder, options=OPTIONS.get(server, {}))

    def freeze(self, server: str) -> None:
        """Stop a server in the middle of whatever it does; its connections stand."""
        os.kill(self.pid(server), signal.SIGSTOP)

    def thaw(self, server: str) -> None:
        """Let it go on, where it still is."""
        with contextlib.suppress(ProcessLookupError, KeyError):
            os.kill(self.pid(server), signal.SIGCONT)

    def victim(self, kind: str) -> int:
        """The process of the shop that is hit: the first of its kind."""
        return self.shop.member(kind).pids()[0]

    def jump(self, process_id: int, by_ms: int) -> None:
        """Set how far a process's clock is off; one that is gone has none."""
        with contextlib.suppress(FileNotFoundError):
            move_clock(self.shop.clocks, process_id, by_ms)


class Grounds:
    """Servers that run, and the links to them; a shop is opened on one of the databases at a time."""

    def __init__(self, folder: Path, urls: dict[str, str], disk: SmallDisk, tell: Tell) -> None:
        self._folder = folder
        self._urls = urls
        self._disk = disk
        self._tell = tell
        self._links = Links(urls["toxiproxy"])
        led = [name for name in urls if name in ADDRESS]
        *ports, self._port = reserve_ports(len(led) + 1)
        self._addresses = {
            name: self._links.lead(name, urls[name], port) for name, port in zip(led, ports, strict=True)
        }

    @contextlib.contextmanager
    def opened(self, storage: str, planted: Sequence[Path] = ()) -> Iterator[Ground]:
        """A shop on one database, closed in the end; one with planted bugs has a database of its own.

        Raises ShopLost.
        """
        url, address = self._urls[storage], self._addresses[storage]
        name = storage
        if planted:
            name = "planted"
            url, address = _beside(url, url), _beside(url, address)
        known = {
            ADDRESS[storage]: address,
            ADDRESS["redis"]: self._addresses["redis"],
            ADDRESS["rocketmq"]: f"{self._addresses['rocketmq']}/chaos-{name}",
            ADDRESS["etcd"]: self._addresses["etcd"],
            "TRADEPOST_CONFIG__PREFIX": f"/chaos-{name}/",
        }
        self._name_topics(Names(f"chaos-{name}"))
        shop = Shop(self._folder / f"shop-{name}", self._port, known, planted=planted)
        ground = Ground(self._folder, storage, url, self._links, self._disk, shop)
        self._tell(f"opening the shop on {name}")
        try:
            shop.open()
            client = Client(shop.port)
            ground.market = look_around(client)
            client.close()
            yield ground
        finally:
            shop.close()

    def _name_topics(self, names: Names) -> None:
        """Topics of a shop's own: what another shop left on the broker would be strange to it."""
        create(f"127.0.0.1:{place_at('rocketmq', self._folder).ports['broker']}", names)


def _beside(server_url: str, url: str) -> str:
    """The address of another database of the server, made if need be."""
    name = f"{DATABASE}_planted"
    with contextlib.closing(connect(parse_url(server_url))) as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE IF NOT EXISTS `{name}` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


@contextlib.contextmanager
def grounds(folder: Path, storages: Sequence[str], tell: Tell) -> Iterator[Grounds]:
    """Every server, running while the block does. Raises the refusals of a native start."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [*SHARED, *dict.fromkeys(storages)]
    with small_disk(folder / "mariadb") as disk, _running(folder, names, tell) as urls:
        yield Grounds(folder, urls, disk, tell)


@contextlib.contextmanager
def _running(folder: Path, names: Sequence[str], tell: Tell) -> Iterator[dict[str, str]]:
    with services.running(*names, folder=folder, options=OPTIONS, progress=tell) as servers:
        yield {name: server.url for name, server in servers.items()}
