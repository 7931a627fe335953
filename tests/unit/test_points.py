"""Points: exactly one strategy a scene, the most specific first."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tradepost.kernel import points
from tradepost.kernel.points import Point, scene_path


@pytest.fixture
def point() -> Iterator[Point[Callable[[], str]]]:
    made: Point[Callable[[], str]] = Point("test.point", "What is asked?")
    yield made
    del points._POINTS["test.point"]


def plain() -> str:
    return "plain"


def live() -> str:
    return "live"


def flash() -> str:
    return "flash"


def test_the_path_of_a_scene() -> None:
    assert scene_path("live.flash_sale") == ["live.flash_sale", "live", "default"]


@pytest.mark.parametrize(
    ("scene", "matched", "code"),
    [
        ("live.flash_sale", "live.flash_sale", "flash"),
        ("live.flash_sale.night", "live.flash_sale", "flash"),
        ("live.auction", "live", "live"),
        ("live", "live", "live"),
        ("shop", "default", "plain"),
        ("default", "default", "plain"),
    ],
)
def test_the_most_specific_scene_answers(
    point: Point[Callable[[], str]], scene: str, matched: str, code: str
) -> None:
    point.register(plain, code="plain")
    point.register(live, code="live", scene="live")
    point.register(flash, code="flash", scene="live.flash_sale")
    assert point.choose(scene)() == code
    assert point.resolved(scene) == (matched, code)


def test_two_for_one_scene_are_refused_and_one_may_register_twice(point: Point[Callable[[], str]]) -> None:
    point.register(plain, code="plain")
    point.register(plain, code="plain")
    with pytest.raises(ValueError, match="both want"):
        point.register(live, code="live")


def test_nobody_to_ask(point: Point[Callable[[], str]]) -> None:
    with pytest.raises(LookupError):
        point.choose("live")


def test_a_point_is_declared_once(point: Point[Callable[[], str]]) -> None:
    assert points.points()["test.point"] is point
    with pytest.raises(ValueError, match="twice"):
        Point("test.point", "Again?")
