"""toxiproxy, for tests: links that are slow, cut or narrow, made over its API."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tradepost.services.checks import check_toxiproxy
from tradepost.services.model import Missing, Place, Progress, Recipe, Stage
from tradepost.services.programs import built_go, missing_go

_MODULE = Path(__file__).parent
_PACKAGE = "github.com/Shopify/toxiproxy/v2/cmd/server"


def steps(place: Place, progress: Progress) -> Iterator[Stage]:
    """One process; the links it carries listen where their maker says."""
    program = _program(place, progress)
    yield Stage(
        name="toxiproxy",
        argv=(str(program), "-host", "127.0.0.1", "-port", str(place.ports["http"])),
        ready=lambda: check_toxiproxy(url_of(place)),
        binds=place.ports,
    )


def _program(place: Place, progress: Progress) -> Path:
    return built_go("toxiproxy", _MODULE, _PACKAGE, place.cache, progress)


def fetch(place: Place, progress: Progress) -> None:
    """Build it."""
    _program(place, progress)


def url_of(place: Place) -> str:
    """The address of its API."""
    return f"http://127.0.0.1:{place.ports['http']}"


def _missing(place: Place) -> list[Missing]:
    return missing_go("toxiproxy", _MODULE, place.cache)


RECIPE = Recipe(
    name="toxiproxy",
    ports={"http": 18474},
    missing=_missing,
    steps=steps,
    url=url_of,
    check=check_toxiproxy,
    environment="TOXIPROXY_URL",
    schemes=("http", "https"),
    sentence="for tests: slow and cut links",
    fetch=fetch,
    compose=False,
)
