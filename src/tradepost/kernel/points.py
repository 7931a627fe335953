"""Points: declared places where the platform asks a strategy. Exactly one strategy answers for a scene.

A scene is a dotted word such as `live.flash_sale`; the most specific registration wins: `live.flash_sale`, then
`live`, then `default`. Plugins register through the entry-point group `tradepost.plugins`.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

S = TypeVar("S")
DEFAULT_SCENE = "default"

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
        _POINTS[name] = self

    def register(self, strategy: S, *, code: str, scene: str = DEFAULT_SCENE) -> None:
        """Let `strategy` answer for a scene. Raises ValueError when another one already does."""
        known = self._strategies.get(scene)
        if known is not None and known[1] is not strategy:
            raise ValueError(f"{self.name}: {known[0]} and {code} both want the scene {scene}")
        self._strategies[scene] = (code, strategy)

    def choose(self, scene: str) -> S:
        """The strategy of the most specific registered scene. Raises LookupError when none is registered."""
        return self._resolve(scene)[2]

    def resolved(self, scene: str) -> tuple[str, str]:
        """(scene that matched, code of its strategy)."""
        return self._resolve(scene)[:2]

    def _resolve(self, scene: str) -> tuple[str, str, S]:
        for candidate in scene_path(scene):
            if candidate in self._strategies:
                return candidate, *self._strategies[candidate]
        raise LookupError(f"no strategy is registered for {self.name}")


def points() -> dict[str, Point[Any]]:
    """Every declared point by name."""
    return dict(sorted(_POINTS.items()))
