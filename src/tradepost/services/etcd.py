"""etcd of our own: one member on loopback, which flushes every write by itself."""

from __future__ import annotations

from collections.abc import Iterator

from tradepost.services.checks import check_etcd
from tradepost.services.model import Missing, Place, Progress, Recipe, Stage
from tradepost.services.programs import missing_of, need


def steps(place: Place, progress: Progress) -> Iterator[Stage]:
    """One member, its history compacted after a day."""
    (place.folder / "data").mkdir(parents=True, exist_ok=True, mode=0o700)
    client = f"http://127.0.0.1:{place.ports['client']}"
    peer = f"http://127.0.0.1:{place.ports['peer']}"
    yield Stage(
        name="etcd",
        argv=(
            need("etcd"),
            *("--name", "one"),
            *("--data-dir", str(place.folder / "data")),
            *("--listen-client-urls", client),
            *("--advertise-client-urls", client),
            *("--listen-peer-urls", peer),
            *("--initial-advertise-peer-urls", peer),
            *("--initial-cluster", f"one={peer}"),
            *("--auto-compaction-mode", "periodic"),
            *("--auto-compaction-retention", "24h"),
        ),
        ready=lambda: check_etcd(client),
        binds=place.ports,
    )


def url_of(place: Place) -> str:
    """The address of its JSON gateway."""
    return f"http://127.0.0.1:{place.ports['client']}"


def _missing(_: Place) -> list[Missing]:
    return missing_of((("etcd", "etcd-server"),))


RECIPE = Recipe(
    name="etcd",
    ports={"client": 12379, "peer": 12380},
    missing=_missing,
    steps=steps,
    url=url_of,
    check=check_etcd,
    environment="TRADEPOST_CONFIG__URL",
    schemes=("http", "https"),
    sentence="the config centre: limits, switches and their history",
)
