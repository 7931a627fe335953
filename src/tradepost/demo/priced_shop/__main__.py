"""`python -m tradepost.demo.priced_shop FOLDER --orders N`: a shop on a file whose orders were priced in every way.

Its orders come by quote and at once, one seller or several, under campaigns that come, change, pause and end, with
codes, groups of buyers, limits, shipping discounts, floors and price layers. What `tradepost pricing replay` has to get
right to the cent is made here, the same shop of the same seed.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

import msgspec

from tradepost.demo.priced_shop.making import make_shop


def main() -> int:
    """Make the shop and say what is in it."""
    reading = argparse.ArgumentParser(prog="python -m tradepost.demo.priced_shop", description=__doc__)
    reading.add_argument("folder", type=Path)
    reading.add_argument("--orders", type=int, default=10_000)
    reading.add_argument("--seed", type=int, default=1)
    given = reading.parse_args()
    told = asyncio.run(make_shop(given.folder, given.orders, given.seed))
    sys.stdout.write(msgspec.json.encode(told).decode() + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
