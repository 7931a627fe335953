"""`tradepost points`: which strategy answers for a scene."""

from __future__ import annotations

import tradepost.app  # noqa: F401 - declares every room's points
from tradepost.kernel.points import DEFAULT_SCENE
from tradepost.kernel.points import points as declared_points
from tradepost.surfaces.cli.output import print_json, print_table


def points(*, scene: str = DEFAULT_SCENE, json: bool = False) -> None:
    """Print the resolved table of extension points for a scene, such as `live.flash_sale`.

    Parameters
    ----------
    scene
        A dotted scene; the most specific registration wins.
    json
        Print JSON instead of a table.
    """
    rows = []
    for name, point in declared_points().items():
        matched, code = point.resolved(scene)
        rows.append({"point": name, "strategy": code, "matched": matched, "asks": point.sentence})
    if json:
        print_json({"scene": scene, "points": rows})
    else:
        print_table(
            f"Points for scene {scene}",
            ("point", "strategy", "matched", "asks"),
            [(row["point"], row["strategy"], row["matched"], row["asks"]) for row in rows],
        )
