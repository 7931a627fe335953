"""`tradepost fx`: the exchange rates that offers are converted at, published through the config centre."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any

from tradepost.kernel.errors import Refusal
from tradepost.kernel.world import SystemWorld
from tradepost.surfaces.cli.asking import HERE, Asking, Where, ask
from tradepost.surfaces.cli.output import console, moment, print_json, print_table
from tradepost.trade.pricing import RATES, exact_rate, percent_of

HOUR_MS = 3_600_000
HOURS_MAX = 24 * 366
LEAP_PERCENT = 10
"""How far a rate may be from the one before it without being confirmed: what a misplaced point would do."""
_KEY = f"/v1/config/keys/{RATES.name}"


def publish(
    pair: str,
    rate: str,
    *,
    source: str,
    margin: str = "0",
    hours: int = 30,
    anyway: bool = False,
    where: Where = HERE,
) -> None:
    """Publish what one unit of a currency costs in another, from now on; offers that convert are sold at it.

    Quotes keep the rate they were made at.

    Parameters
    ----------
    pair
        The seller's currency and the buyer's: USD/EUR.
    rate
        Units of the second for one of the first, such as 0.9135.
    source
        Whose rate it is, such as ECB.
    margin
        What the platform adds for the buyer, in percent: 1.5.
    hours
        How long it holds; then nothing is sold at it until a newer one is published.
    anyway
        Publish it though it is more than 10 % away from the rate before.
    """
    sold, paid = _pair(pair)
    now_ms = SystemWorld().now_ms()
    if not 0 < hours <= HOURS_MAX:
        raise Refusal("input.invalid", f"{hours} hours.", field="hours", expected=f"1 to {HOURS_MAX}")
    fresh = {
        "sold": sold,
        "paid": paid,
        "rate": rate,
        "source": source,
        "published_ms": now_ms,
        "until_ms": now_ms + hours * HOUR_MS,
        "margin_ppm": _ppm(margin),
    }
    with ask(where) as asking:
        stands = asking.get(_KEY)
        before = [one for one in stands["in_force"] if _is(one, sold, paid)]
        if before and not anyway:
            _check_leap(before[0]["rate"], rate)
        kept = [one for one in stands["in_force"] if not _is(one, sold, paid)]
        reason = f"1 {sold} = {rate} {paid}, {source}, margin {percent_of(_ppm(margin))} %"
        _write(asking, stands, [*kept, fresh], reason, as_json=where.json)


def withdraw(pair: str, *, reason: str, where: Where = HERE) -> None:
    """Take a pair's rate back: nothing new is sold at it. Quotes and orders keep theirs.

    Parameters
    ----------
    pair
        The seller's currency and the buyer's: USD/EUR.
    reason
        Why; it stays in the history.
    """
    sold, paid = _pair(pair)
    with ask(where) as asking:
        stands = asking.get(_KEY)
        kept = [one for one in stands["in_force"] if not _is(one, sold, paid)]
        if len(kept) == len(stands["in_force"]):
            raise Refusal("fx.no_rate", f"There is no rate of {sold}/{paid}.", field="pair")
        _write(asking, stands, kept, reason, as_json=where.json)


def list_rates(*, where: Where = HERE) -> None:
    """List the rates that the answering server has, and whether they hold now."""
    with ask(where) as asking:
        found = asking.get(_KEY)["in_force"]
    if where.json:
        print_json({"rates": found})
        return
    now_ms = SystemWorld().now_ms()
    print_table(
        "Exchange rates",
        ("pair", "rate", "margin", "source", "since", "until", "holds"),
        [
            (
                f"{one['sold']}/{one['paid']}",
                one["rate"],
                f"{percent_of(one.get('margin_ppm', 0))} %",
                one["source"],
                moment(one["published_ms"]),
                moment(one["until_ms"]),
                "yes" if one["published_ms"] <= now_ms < one["until_ms"] else "no",
            )
            for one in found
        ],
    )


def _is(one: dict[str, Any], sold: str, paid: str) -> bool:
    return (one["sold"], one["paid"]) == (sold, paid)


def _write(
    asking: Asking, stands: dict[str, Any], value: list[dict[str, Any]], reason: str, *, as_json: bool
) -> None:
    body = {"value": value, "rules": [], "seen_version": stands["version"], "reason": reason}
    written = asking.send("PUT", _KEY, body)
    if as_json:
        print_json(written)
    else:
        console.print(f"{RATES.name} is at version {written['version']}: {reason}")


def _pair(text: str) -> tuple[str, str]:
    sold, slash, paid = text.upper().partition("/")
    if not slash or not sold or not paid:
        raise Refusal("input.invalid", f"{text[:20]!r} is no pair.", field="pair", expected="USD/EUR")
    return sold, paid


def _ppm(percent: str) -> int:
    try:
        exact = Decimal(percent) * 10_000
    except InvalidOperation:
        exact = Decimal(-1)
    if not exact.is_finite() or exact < 0 or exact != exact.to_integral_value():
        raise Refusal(
            "input.invalid", f"{percent[:20]!r} is no margin.", field="margin", expected="0 to 50, as 1.5"
        )
    return int(exact)


def _check_leap(before: str, now: str) -> None:
    old, new = (Fraction(*exact_rate(text)) for text in (before, now))
    if abs(new - old) * 100 > LEAP_PERCENT * old:
        raise Refusal(
            "fx.rate_invalid",
            f"{now} is more than {LEAP_PERCENT} % away from {before}, the rate before.",
            field="rate",
            expected="another rate, or --anyway",
        )
