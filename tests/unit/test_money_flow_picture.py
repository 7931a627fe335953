"""The picture of the money's way is what its tool draws from the rules of today."""

from __future__ import annotations

import subprocess
import sys

from tests.arch.tree import ROOT


def test_the_picture_is_fresh() -> None:
    done = subprocess.run(
        [sys.executable, "tools/draw_money_flow.py", "--check"], cwd=ROOT, check=False, timeout=60
    )
    assert done.returncode == 0, "run tools/draw_money_flow.py and commit the picture"
