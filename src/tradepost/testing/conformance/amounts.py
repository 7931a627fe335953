"""Cases of one amount: splitting, the tax of a line, a price in another country, conversion, providers' units."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

from tradepost.infra.payments.stripe_money import DECIMALS, nearest_to_stripe
from tradepost.kernel.money import Rounding, divide, exponent_of
from tradepost.kernel.splitting import allocate
from tradepost.testing.conformance.model import Unsupported, exact, whole
from tradepost.testing.conformance.switches import only, remainder_of, rounding_of, tax_policy_of
from tradepost.trade.pricing import convert_currency, exact_rate
from tradepost.trade.tax import Rate, Taxable, restate, tax_line

__all__ = ["KINDS", "percent"]

Given = Mapping[str, Any]


def percent(text: object) -> Fraction:
    """A percentage in words ("8.25", "19%") as an exact share."""
    found = exact(text) / 100
    if found <= -1:
        raise Unsupported(f"percentage {text!r}")
    return found


def split_amount(given: Given, policy: Given) -> dict[str, Any]:
    """Kind allocate."""
    only(given, ("currency", "amount", "weights", "cash_step"))
    shares = [exact(weight) for weight in given["weights"]]
    scale = math.lcm(*(share.denominator for share in shares))
    weights = [int(share * scale) for share in shares]
    step = whole(given.get("cash_step", 1))
    parts = allocate(whole(given["amount"]), weights, remainder_of(policy), step=step)
    return {"parts": parts}


def tax_of_line(given: Given, policy: Given) -> dict[str, Any]:
    """Kind tax_line."""
    only(given, ("currency", "base", "base_major", "tax_percent", "tax_percents", "included"))
    rates = [percent(text) for text in given.get("tax_percents") or [given["tax_percent"]]]
    included = bool(given.get("included", False))
    if "base" in given:
        base = exact(given["base"])
    else:
        base = exact(given["base_major"]) * 10 ** exponent_of(given.get("currency", "EUR"))
    line = Taxable(amount=base, rates=tuple(Rate(share=rate, included=included) for rate in rates))
    found = tax_line(line, tax_policy_of(policy))
    return {"tax": found.tax, "net": found.net, "gross": found.gross, "taxes": list(found.taxes)}


def restated_price(given: Given, policy: Given) -> dict[str, Any]:
    """Kind price_restated_for_destination."""
    only(given, ("currency", "gross_price", "home_tax_percent", "destination_tax_percent"))
    home, there = percent(given["home_tax_percent"]), percent(given["destination_tax_percent"])
    found = restate(whole(given["gross_price"]), home, there, rounding_of(policy))
    return {"net": found.net, "gross": found.gross, "tax_included": found.tax}


def provider_units(given: Given, policy: Given) -> dict[str, Any]:
    """Kind to_psp_minor; without a provider the house's own ISO 4217 units."""
    only(given, ("amount_major", "currency", "psp"))
    psp, currency = given.get("psp") or "", str(given["currency"]).upper()
    amount = exact(given["amount_major"])
    if not psp:
        units = amount * 10 ** exponent_of(currency)
        return {"minor": divide(units.numerator, units.denominator, rounding_of(policy))}
    if psp != "stripe" and "iso" in str(policy.get("rule", "")).lower():
        units = amount * 10 ** exponent_of(currency)
        return {"minor": divide(units.numerator, units.denominator, rounding_of(policy))}
    if psp != "stripe":
        raise Unsupported(f"provider {psp!r}: we have no adapter for it")
    if currency not in DECIMALS:
        raise Unsupported(f"Stripe does not present {currency}")
    step = _step_rounding(policy.get("rule", ""))
    return {"minor": nearest_to_stripe(amount, currency, rounding_of(policy), step)}


def _step_rounding(rule: str) -> Rounding:
    """How a rule in words brings thousandths to tens."""
    words = rule.lower()
    for found, rounding in (("raised", Rounding.UP), ("rounded up", Rounding.UP), ("next", Rounding.UP)):
        if found in words:
            return rounding
    if "cut" in words or "lowered" in words or "rounded down" in words:
        return Rounding.DOWN
    if not words or "nearest" in words or "zero-decimal" in words or "iso" in words:
        return Rounding.HALF_UP
    raise Unsupported(f"rule {rule!r}")


def converted(given: Given, policy: Given) -> dict[str, Any]:
    """Kind convert."""
    only(given, ("amount_major", "rate", "from_currency", "to_currency"))
    sold, paid = str(given["from_currency"]).upper(), str(given["to_currency"]).upper()
    minor = exact(given["amount_major"]) * 10 ** exponent_of(sold)
    numerator, _, denominator = str(given["rate"]).partition("/")
    rate = Fraction(*exact_rate(numerator.strip())) / Fraction(*exact_rate(denominator.strip() or "1"))
    return {"minor": convert_currency(minor, sold, paid, rate, rounding_of(policy))}


KINDS: Mapping[str, Callable[[Given, Given], dict[str, Any]]] = {
    "allocate": split_amount,
    "tax_line": tax_of_line,
    "price_restated_for_destination": restated_price,
    "to_psp_minor": provider_units,
    "convert": converted,
}
