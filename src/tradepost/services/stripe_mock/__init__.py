"""stripe-mock, for tests: answers Stripe's requests by Stripe's own description of its API, and keeps no state."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tradepost.services.checks import check_stripe_mock
from tradepost.services.model import Missing, Place, Progress, Recipe, Stage
from tradepost.services.programs import built_go, missing_go

_MODULE = Path(__file__).parent
_PACKAGE = "github.com/stripe/stripe-mock"


def steps(place: Place, progress: Progress) -> Iterator[Stage]:
    """One process, plain HTTP on loopback."""
    program = _program(place, progress)
    yield Stage(
        name="stripe-mock",
        argv=(
            *(str(program), "-http-addr", f"127.0.0.1:{place.ports['http']}"),
            *("-https-addr", f"127.0.0.1:{place.ports['https']}"),  # else it takes 12112 on every interface
        ),
        ready=lambda: check_stripe_mock(url_of(place)),
        binds=place.ports,
    )


def _program(place: Place, progress: Progress) -> Path:
    return built_go("stripe-mock", _MODULE, _PACKAGE, place.cache, progress)


def fetch(place: Place, progress: Progress) -> None:
    """Build it."""
    _program(place, progress)


def url_of(place: Place) -> str:
    """The address to give the Stripe library as its API base."""
    return f"http://127.0.0.1:{place.ports['http']}"


def _missing(place: Place) -> list[Missing]:
    return missing_go("stripe-mock", _MODULE, place.cache)


RECIPE = Recipe(
    name="stripe-mock",
    ports={"http": 12111, "https": 12112},
    missing=_missing,
    steps=steps,
    url=url_of,
    check=check_stripe_mock,
    environment="STRIPE_MOCK_URL",
    schemes=("http", "https"),
    sentence="for tests: the shapes of Stripe's API",
    fetch=fetch,
    compose=False,
)
