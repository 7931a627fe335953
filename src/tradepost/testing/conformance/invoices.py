"""Cases of whole invoices: decimal strings in, decimal strings out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from tradepost.kernel.money import Rounding
from tradepost.testing.conformance.model import Unsupported
from tradepost.testing.conformance.switches import only, rounding_of
from tradepost.trade.tax import Change, Invoice, InvoiceLine, InvoiceTax, RoundingModel, total_invoice

__all__ = ["RETAINED_KINDS", "run_invoice"]

_RETAINED_BY_COUNTRY = {
    "ES": ("IRPF",),
    "MX": ("ISR", "RVAT", "RIEPS"),
    "CO": ("RVAT", "RR", "RICA"),
    "IT": ("IRPEF", "IRES", "INPS", "ENASARCO", "ENPAM", "CP"),
    "PT": ("IRS", "IRC"),
    "BR": ("CSLL", "PISRet", "COFINSRet", "INSS", "IRRF"),
    "IN": ("TDS",),
}
RETAINED_KINDS = frozenset(kind for kinds in _RETAINED_BY_COUNTRY.values() for kind in kinds)
"""Taxes that the buyer keeps back and pays to the state, by the codes of their countries."""
INFORMATIVE_KINDS = frozenset({"ISS", "ICMS", "PIS", "COFINS"})
"""Brazil's taxes inside the price: an invoice shows them and adds nothing."""

_UNTAXED = frozenset({"exempt", "zero", "outside-scope", "reverse-charge", "export", "intra-community"})
"""Names of rates that have no percentage."""
_MODELS = {
    "": RoundingModel.PRECISE,
    "precise": RoundingModel.PRECISE,
    "sum-then-round": RoundingModel.PRECISE,
    "currency": RoundingModel.CURRENCY,
    "round-then-sum": RoundingModel.CURRENCY,
}
_INPUT = (
    "currency",
    "type",
    "prices_include",
    "rounding_model",
    "lines",
    "order_discounts",
    "order_charges",
    "advances",
    "rounding",
)


def run_invoice(given: Mapping[str, Any], policy: Mapping[str, Any]) -> dict[str, Any]:
    """Kind invoice_totals: every key of the vocabulary that the invoice has."""
    only(given, _INPUT)
    if rounding_of(policy) is not Rounding.HALF_UP:
        raise Unsupported(f"an invoice rounded {policy['rounding']!r}")
    model = _MODELS.get(str(given.get("rounding_model") or "").replace("_", "-"))
    if model is None:
        raise Unsupported(f"rounding_model {given['rounding_model']!r}")
    lines = given["lines"]
    known = _percents(lines)
    rounding = given.get("rounding")
    found = total_invoice(
        Invoice(
            currency=given["currency"],
            lines=tuple(_line(line, known) for line in lines),
            discounts=_changes(given.get("order_discounts"), known),
            charges=_changes(given.get("order_charges"), known),
            prices_include=given.get("prices_include") or "",
            model=model,
            advances=_changes(given.get("advances"), known),
            rounding=None if rounding is None else str(rounding),
        )
    )
    present: dict[str, Any] = _present(msgspec.to_builtins(found))
    return present


def _line(line: Mapping[str, Any], known: Mapping[tuple[str, str], str]) -> InvoiceLine:
    only(line, ("qty", "unit_price", "discounts", "charges", "taxes"))
    return InvoiceLine(
        quantity=str(line["qty"]),
        unit_price=str(line["unit_price"]),
        discounts=_changes(line.get("discounts"), known),
        charges=_changes(line.get("charges"), known),
        taxes=_taxes(line.get("taxes"), known),
    )


def _changes(
    changes: Sequence[Mapping[str, Any]] | None, known: Mapping[tuple[str, str], str]
) -> tuple[Change, ...]:
    found = []
    for change in changes or ():
        only(change, ("percent", "amount", "taxes"))
        share, amount = change.get("percent"), change.get("amount")
        if share is not None and amount is not None and not str(share).strip("0.% "):
            share = None  # nothing per cent beside an amount: the amount is meant
        found.append(
            Change(
                percent=None if share is None else str(share),
                amount=None if amount is None else str(amount),
                taxes=_taxes(change.get("taxes"), known),
            )
        )
    return tuple(found)


def _percents(lines: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], str]:
    """What the lines call a rate, so that a discount may name it without its percentage; no name of two rates."""
    found: dict[tuple[str, str], set[str]] = {}
    for line in lines:
        for tax in line.get("taxes") or ():
            for name in (tax.get("key"), tax.get("rate")):
                if name and tax.get("percent") is not None:
                    found.setdefault((_kind(tax), str(name)), set()).add(str(tax["percent"]))
    return {name: next(iter(percents)) for name, percents in found.items() if len(percents) == 1}


def _kind(tax: Mapping[str, Any]) -> str:
    return str(tax.get("kind") or tax["cat"])


def _taxes(
    taxes: Sequence[Mapping[str, Any]] | None, known: Mapping[tuple[str, str], str]
) -> tuple[InvoiceTax, ...]:
    return tuple(_tax(tax, known) for tax in taxes or ())


def _tax(tax: Mapping[str, Any], known: Mapping[tuple[str, str], str]) -> InvoiceTax:
    only(tax, ("kind", "cat", "key", "rate", "percent", "surcharge_percent", "surcharge", "ext", "retained"))
    kind, key, rate = _kind(tax), str(tax.get("key") or ""), str(tax.get("rate") or "")
    share = tax.get("percent")
    if share is None:
        share = known.get((kind, key)) or known.get((kind, rate))
    untaxed = rate.partition("+")[0] in _UNTAXED
    if share is None and rate and not untaxed and key in ("", "standard"):
        raise Unsupported(f"tax {kind} names the rate {rate!r} without its percentage")
    surcharge = tax.get("surcharge_percent", tax.get("surcharge"))
    return InvoiceTax(
        kind=kind,
        percent=None if share is None else str(share),
        key=key or (rate if share is None else ""),
        surcharge_percent=None if surcharge is None else str(surcharge),
        retained=bool(tax.get("retained", kind in RETAINED_KINDS)),
        informative=kind in INFORMATIVE_KINDS,
    )


def _present(value: Any) -> Any:
    """The same with None for an empty key; what does not occur is None as well."""
    if isinstance(value, dict):
        return {key: None if key == "key" and part == "" else _present(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_present(part) for part in value]
    return value
