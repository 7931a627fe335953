"""Delta debugging: leave out steps as long as the run still fails, within a budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tradepost.testing.simulation.steps import Step

Fails = Callable[[Sequence[Step]], bool]


def shrink(steps: Sequence[Step], fails: Fails, *, steps_max: int) -> list[Step]:
    """The shortest list found that still fails, trying at most about `steps_max` steps altogether."""
    kept = list(steps)
    pieces, spent = 2, 0
    while len(kept) > 1 and spent < steps_max:
        size = -(-len(kept) // pieces)
        for start in range(0, len(kept), size):
            without = kept[:start] + kept[start + size :]
            spent += len(without) + 1
            if without and fails(without):
                kept, pieces = without, max(2, pieces - 1)
                break
            if spent >= steps_max:
                return kept
        else:
            if size == 1:
                break
            pieces = min(len(kept), pieces * 2)
    return kept
