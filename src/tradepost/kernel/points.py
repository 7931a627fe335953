"""Points: declared places where the platform asks a strategy. Exactly one strategy answers for a scene.

A scene is a dotted word such as `live.flash_sale`; the most specific registration wins: `live.flash_sale`, then
`live`, then `default`. Plugins register through the entry-point group `tradepost.plugins`.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

S = TypeVar("S")
DEFAULT_SCENE = "default"
SCENES_REMEMBERED = 1_000

_POINTS: dict[str, Point[Any]] = {}


def scene_path(scene: str) -> list[str]:
    """The scenes to look under, most specific first, `default` last."""
    parts = scene.split(".")
    return [".".join(parts[:length]) for length in range(len(parts), 0, -1)] + [DEFAULT_SCENE]


class Point(Generic[S]):
    """One declared place. `sentence` tells what is asked, for the reference page and `tradepost points`."""

    def __init__(self, name: str, sentence: str) -> None:
        if name in _POINTS:
            raise ValueError(f"point {name} is declared twice")
        self.name = name
        self.sentence = sentence
        self._strategies: dict[str, tuple[str, S]] = {}
        self._chosen: dict[str, tuple[str, str, S]] = {}
        _POINTS[name] = self

    def register(self, strategy: S, *, code: str, scene: str = DEFAULT_SCENE) -> None:
        """Let `strategy` answer for a scene. Raises ValueError when another one already does."""
        known = self._strategies.get(scene)
        if known is not None and known[1] is not strategy:
            raise ValueError(f"{self.name}: {known[0]} and {code} both want the scene {scene}")
        self._strategies[scene] = (code, strategy)
        self._chosen.clear()

    def choose(self, scene: str) -> S:
        """The strategy of the most specific registered scene. Raises LookupError when none is registered."""
        return self._resolve(scene)[2]

    def resolved(self, scene: str) -> tuple[str, str]:
        """(scene that matched, code of its strategy)."""
        return self._resolve(scene)[:2]

    def _resolve(self, scene: str) -> tuple[str, str, S]:
        chosen = self._chosen.get(scene)
        if chosen is None:
            for candidate in scene_path(scene):
                if candidate in self._strategies:
                    chosen = (candidate, *self._strategies[candidate])
                    break
            else:
                raise LookupError(f"no strategy is registered for {self.name}")
            if len(self._chosen) < SCENES_REMEMBERED:
                self._chosen[scene] = chosen
        return chosen


def points() -> dict[str, Point[Any]]:
    """Every declared point by name."""
    return dict(sorted(_POINTS.items()))
