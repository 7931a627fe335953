"""Hold the order path of two commits against each other: CPU of one order by layer, and statements of a batch of 256.

python tools/compare_commits.py v0.2.0            that commit and the working tree
python tools/compare_commits.py HEAD~9 HEAD --rounds 9 --allow 1.10

Both are measured in turns in one run, each in a process of its own, so that a machine that slows down slows both. Ends
with 1 when the second costs more than allowed, or takes more statements.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
LATER = "relay and consumers, later"
FLUSH = "commit and flush"
WORKER = """
import asyncio, json, shutil, sys, tempfile
from pathlib import Path
from tradepost.app import database_path
from tradepost.testing.bench import in_process, layers, run
from tradepost.testing.bench.shop import Shop, opened

async def measure(shop, batches):
    found = await layers._layers(shop, batches)
    fresh = shop.fresh()
    async with opened(fresh) as app:
        placements = await in_process.make_placements(app, shop.plan, 256)
        path = database_path(app.settings)
    return {"layers": found, "statements": in_process._count_statements(path, placements)}

run._rest_collector()  # as the server and the bench do
with tempfile.TemporaryDirectory() as folder:
    print(json.dumps(asyncio.run(measure(Shop(Path(folder)), int(sys.argv[1])))))
"""
Measured = dict[str, list[float]]


def main() -> None:
    """Check the commits out beside this one, measure in turns, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("before", help="a commit")
    parser.add_argument("after", nargs="?", default="", help="a commit; the working tree when left out")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, default=4, help="batches of 256 orders in a round")
    parser.add_argument("--allow", type=float, default=1.10, help="how much the second may cost")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="compare-") as folder:
        sources = [
            checked_out(asked.before, Path(folder) / "before"),
            checked_out(asked.after, Path(folder) / "after") if asked.after else ROOT / "src",
        ]
        try:
            found = measure(sources, asked.rounds, asked.batches)
        finally:
            for place in sources:
                if place.parent != ROOT:
                    git("worktree", "remove", "--force", str(place.parent))
    sys.exit(0 if told(found, asked.allow) else 1)


def git(*words: str) -> None:
    """Run git here."""
    subprocess.run(["git", "-C", str(ROOT), *words], check=True, stdout=subprocess.DEVNULL)


def checked_out(commit: str, place: Path) -> Path:
    """The sources of a commit in a folder of their own."""
    git("worktree", "add", "--detach", str(place), commit)
    return place / "src"


def measure(sources: list[Path], rounds: int, batches: int) -> list[Measured]:
    """Every round of both, the order turned round each time."""
    found: list[Measured] = [{}, {}]
    for lap in range(rounds):
        for which in (0, 1) if lap % 2 == 0 else (1, 0):
            done = subprocess.run(
                [sys.executable, "-c", WORKER, str(batches)],
                env={**os.environ, "PYTHONPATH": str(sources[which])},
                check=False,
                capture_output=True,
                text=True,
            )
            if done.returncode:
                sys.exit(f"{sources[which]} cannot be measured:\n{done.stderr[-2_000:]}")
            answer = json.loads(done.stdout.splitlines()[-1])
            layers: dict[str, float] = answer["layers"]
            placing = sum(us for name, us in layers.items() if name not in (LATER, FLUSH))
            rows = {
                **layers,
                "placing, CPU": placing,
                "placing and delivering, CPU": placing + layers[LATER],
                "statements of a batch of 256": answer["statements"],
            }
            for name, value in rows.items():
                found[which].setdefault(name, []).append(value)
    return found


def told(found: list[Measured], allow: float) -> bool:
    """Print medians and ratios; whether placing costs no more than allowed and takes no more statements."""
    print(f"{'us of one order, medians':<34}{'before':>10}{'after':>10}{'ratio':>8}")
    for name in found[1]:
        before, after = (median(one.get(name, [0])) for one in found)
        print(f"{name:<34}{before:>10.1f}{after:>10.1f}{after / before if before else 0:>8.3f}")
    ratios = [b / a for a, b in zip(found[0]["placing, CPU"], found[1]["placing, CPU"], strict=True)]
    statements = [median(one["statements of a batch of 256"]) for one in found]
    ratio = median(ratios)
    print(
        f"placing: median of {len(ratios)} paired ratios {ratio:.3f} (allowed {allow}), {statements} statements"
    )
    return ratio <= allow and statements[1] <= statements[0]


if __name__ == "__main__":
    main()
