"""End every server that a run of the tests left below a folder: end_test_servers.py FOLDER."""

from __future__ import annotations

import sys
from pathlib import Path

from tradepost.kernel.errors import Refusal
from tradepost.services.fleet import RECIPES
from tradepost.services.testing import stop


def main(root: Path) -> None:
    """Only processes that have a record of ours under `root` are touched; says what was still there."""
    for records in sorted(root.glob("**/processes")):
        server = records.parent
        if server.name not in RECIPES:
            continue
        try:
            if stop(server.name, server.parent):
                print(f"ended {server.name}, left behind in {server}", file=sys.stderr)
        except Refusal as refusal:
            print(refusal.detail, file=sys.stderr)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
