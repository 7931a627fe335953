"""Fetch and build what the servers of the tests are made of, once into the cache; quick when all is there."""

from __future__ import annotations

import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.helm_program import built_helm  # noqa: E402

from tradepost.kernel.errors import Refusal  # noqa: E402
from tradepost.services import fetch  # noqa: E402


def main() -> None:
    """Say each step with the seconds since the start. Ends with 1 and the command that helps where one fails."""
    begun = time.monotonic()

    def say(sentence: str) -> None:
        print(f"[{time.monotonic() - begun:4.0f} s] {sentence}", file=sys.stderr, flush=True)

    try:
        fetch([], ROOT / "build" / "services", progress=say)
        built_helm(lambda sentence: say(f"helm: {sentence}"))
    except Refusal as refusal:
        say(f"{refusal.detail}\n{refusal.expected}")
        raise SystemExit(1) from refusal


if __name__ == "__main__":
    main()
