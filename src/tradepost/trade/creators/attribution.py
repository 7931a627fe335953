"""Which content earned a line: versioned models over the touches, replayable under another version. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from tradepost.kernel.errors import Refusal
from tradepost.trade.creators.model import TOUCHES_MAX, Attribution, Touch

DAY_MS = 86_400_000
Model = Callable[[Sequence[Touch], int], tuple[Touch, str] | None]
"""(touches before the order, oldest first; the order's moment) -> the touch that earned it, and why."""


def direct(touches: Sequence[Touch], at_ms: int) -> tuple[Touch, str] | None:
    """Only the tap that led into the line: no view-through for anybody."""
    taps = [touch for touch in touches if touch.is_direct]
    return (taps[-1], "the tap that led here") if taps else None


def last_touch(touches: Sequence[Touch], at_ms: int) -> tuple[Touch, str] | None:
    """The tap that led here, else the last touch of the seven days before."""
    found = direct(touches, at_ms)
    recent = [touch for touch in touches if at_ms - 7 * DAY_MS <= touch.at_ms <= at_ms]
    return found or ((recent[-1], "the last touch within 7 days") if recent else None)


def first_touch(touches: Sequence[Touch], at_ms: int) -> tuple[Touch, str] | None:
    """The tap that led here, else who showed it first within thirty days."""
    found = direct(touches, at_ms)
    recent = [touch for touch in touches if at_ms - 30 * DAY_MS <= touch.at_ms <= at_ms]
    return found or ((recent[0], "the first touch within 30 days") if recent else None)


MODELS: Mapping[tuple[str, int], Model] = {
    ("direct", 1): direct,
    ("last_touch", 1): last_touch,
    ("first_touch", 1): first_touch,
}
"""By (name, version). A rule that changes gets a new version beside the old one, so that old orders replay."""
DEFAULT = ("direct", 1)


def attribute(
    touches: Sequence[Touch], at_ms: int, buyer_id: str, model: tuple[str, int] = DEFAULT
) -> Attribution | None:
    """Who earned a line bought at this moment; None when nobody did, or the buyer would earn from themselves.

    The newest 200 touches count. Equal moments go by creator and content id, so the same touches in any order
    give the same answer. Raises Refusal `creators.model_unknown`.
    """
    choose = MODELS.get(model)
    if choose is None:
        raise Refusal(
            "creators.model_unknown",
            f"There is no attribution model {model[0][:40]} version {model[1]}.",
            field="model",
            expected=", ".join(f"{name} {version}" for name, version in MODELS),
        )
    known = sorted(
        {touch for touch in touches if touch.creator_id and touch.creator_id != buyer_id},
        key=lambda touch: (touch.at_ms, touch.is_direct, touch.creator_id, touch.content_id),
    )
    found = choose(known[-TOUCHES_MAX:], at_ms)
    if found is None:
        return None
    touch, why = found
    return Attribution(
        creator_id=touch.creator_id,
        content_id=touch.content_id,
        content_kind=touch.content_kind,
        model=model[0],
        model_version=model[1],
        why=why,
    )
