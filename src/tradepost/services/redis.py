"""Redis of our own: loopback, bounded memory, nothing on disk.

Nothing that only Redis knows is true: limits, hints and caches may be lost at any moment and are made again from
the database, so persistence would cost time and protect nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from tradepost.services.checks import check_redis
from tradepost.services.credentials import secret_of, write_private
from tradepost.services.model import Missing, Place, Progress, Recipe, Stage
from tradepost.services.programs import missing_of, need

PORT = 16379
_CONF = """\
# Written by `tradepost services`: changes here are lost.
bind 127.0.0.1
port {port}
protected-mode yes
requirepass {password}
dir {folder}
daemonize no
set-proc-title no
save ""
appendonly no
maxmemory {maxmemory}
maxmemory-policy allkeys-lru
timeout 0
tcp-keepalive 60
"""


def steps(place: Place, progress: Progress) -> Iterator[Stage]:
    """One server; its title stays its command line, by which it is known as ours."""
    conf = place.folder / "redis.conf"
    write_private(
        conf,
        _CONF.format(
            port=place.ports["redis"],
            folder=f'"{place.folder}"',
            password=secret_of(place.folder),
            maxmemory=place.options.get("maxmemory", "256mb"),
        ),
    )
    yield Stage(
        name="redis-server",
        argv=(need("redis-server"), str(conf)),
        ready=lambda: check_redis(url_of(place)),
        binds=place.ports,
    )


def url_of(place: Place) -> str:
    """The address with its password."""
    return f"redis://:{secret_of(place.folder)}@127.0.0.1:{place.ports['redis']}/0"


def _missing(_: Place) -> list[Missing]:
    return missing_of((("redis-server", "redis-server"),))


RECIPE = Recipe(
    name="redis",
    ports={"redis": PORT},
    missing=_missing,
    steps=steps,
    url=url_of,
    check=check_redis,
    environment="TRADEPOST_CACHE__URL",
    schemes=("redis", "rediss"),
    sentence="shared limits, hints and caches; loses nothing that matters",
)
