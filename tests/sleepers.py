"""Programs that do nothing but end, or refuse to: what tests of `services` start and stop."""

from __future__ import annotations

import sys
import time

from tradepost.services.model import Stage

SLEEPER = "import signal, time; signal.signal(signal.SIGTERM, lambda *_: exit(0)); time.sleep(600)"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"


def stage(name: str = "sleeper", program: str = SLEEPER, farewell_s: int = 5) -> Stage:
    return Stage(
        name=name,
        argv=(sys.executable, "-c", program),
        ready=lambda: "there",
        binds={},
        patience_s=2,
        farewell_s=farewell_s,
    )


def until(what: str, holds: object) -> None:
    deadline = time.monotonic() + 10
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < deadline, what
        time.sleep(0.01)
