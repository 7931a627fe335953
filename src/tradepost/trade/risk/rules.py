"""The default rules: velocity first, then amounts."""

from __future__ import annotations

from tradepost.kernel.errors import Refusal, problem_table
from tradepost.trade.risk.model import CHECK, Decision, RiskFacts, Verdict

_ALLOWED = Verdict(decision=Decision.ALLOW)
_REFUSE = Decision.REFUSE


def judge(facts: RiskFacts) -> Verdict:
    """The verdict of the first rule that objects."""
    if facts.orders_max and facts.placed_in_window >= facts.orders_max:
        return Verdict(
            decision=Decision.REFUSE,
            code="risk.velocity",
            reason=f"{facts.placed_in_window} placed in {facts.window_ms} ms, {facts.orders_max} are allowed.",
            retry_after_s=_seconds(facts.window_ms),
        )
    if facts.amount_max_minor and facts.total_minor > facts.amount_max_minor:
        return Verdict(
            decision=Decision.REFUSE,
            code="risk.amount",
            reason=f"At most {facts.amount_max_minor} minor units of {facts.currency} at once.",
        )
    if facts.amount_review_minor and facts.total_minor > facts.amount_review_minor:
        return Verdict(
            decision=Decision.REVIEW,
            code="risk.amount",
            reason=f"Above {facts.amount_review_minor} minor units of {facts.currency}.",
        )
    return _ALLOWED


CHECK.register(judge, code="velocity_and_amount")


def refusal_of(verdict: Verdict) -> Refusal | None:
    """The refusal a verdict stands for, None when the checkout may be placed.

    A code that nobody declared, from a plugin's rule, becomes `risk.refused` with that code as `rule`.
    """
    if verdict.decision is not _REFUSE:
        return None
    extra: dict[str, str | int | list[str] | list[int] | None] = {}
    if verdict.retry_after_s:
        extra["retry_after_s"] = verdict.retry_after_s
    if verdict.code in problem_table():
        return Refusal(verdict.code, verdict.reason, extra=extra)
    return Refusal("risk.refused", verdict.reason, extra={**extra, "rule": verdict.code})


def refuse_velocity(placed_in_window: int, orders_max: int, window_ms: int) -> Refusal | None:
    """The velocity rule alone, for the place batch where the count is known; None when one more is allowed."""
    if not orders_max or placed_in_window < orders_max:
        return None
    return Refusal(
        "risk.velocity",
        f"{placed_in_window} placed in {window_ms} ms, {orders_max} are allowed.",
        extra={"retry_after_s": _seconds(window_ms)},
    )


def _seconds(span_ms: int) -> int:
    return max(1, -(-span_ms // 1_000))
