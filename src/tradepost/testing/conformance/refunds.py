"""Cases of goods given back: an order's input and how many units return."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tradepost.testing.conformance.model import Unsupported, whole
from tradepost.testing.conformance.orders import run_order
from tradepost.trade.orders import share

__all__ = ["run_refund"]


def run_refund(given: Mapping[str, Any], policy: Mapping[str, Any]) -> dict[str, Any]:
    """Kind refund: the order is priced by kind order's runner, the units are worth what a return pays out.

    `return_qty` is a number for an order of one line, a list in line order, or units by sku.
    """
    order = {key: value for key, value in given.items() if key != "return_qty"}
    if "return_qty" not in given:
        raise Unsupported("no return_qty")
    priced = run_order(order, policy)
    lines: Sequence[Mapping[str, Any]] = order["lines"]
    totals = _totals(priced, lines)
    wanted = _wanted(given["return_qty"], lines)
    refund = 0
    for line, total, units in zip(lines, totals, wanted, strict=True):
        quantity = whole(line.get("qty", 1))
        if not 0 <= units <= quantity:
            raise Unsupported(f"{units} of {quantity} units given back")
        refund += share(total, quantity, units)
    found: dict[str, Any] = {"refund": refund}
    if len(lines) == 1:
        found["line_total_gross"] = totals[0]
    return found


def _totals(priced: Mapping[str, Any], lines: Sequence[Mapping[str, Any]]) -> list[int]:
    """What each line costs with tax and its share of order discounts, in line order."""
    rows = priced.get("lines")
    if len(lines) == 1 and "total_gross" in priced and not priced.get("shipping_gross"):
        return [int(priced["total_gross"])]
    if isinstance(rows, Mapping):
        rows = [rows[str(line["sku"])] for line in lines]
    for key in ("gross_after_proration", "line_total", "gross"):
        if rows and all(key in row for row in rows):
            return [int(row[key]) for row in rows]
    raise Unsupported("the order's lines have no gross total")


def _wanted(units: Any, lines: Sequence[Mapping[str, Any]]) -> list[int]:
    if isinstance(units, Mapping):
        return [whole(units.get(str(line.get("sku")), 0)) for line in lines]
    if isinstance(units, Sequence) and not isinstance(units, str):
        if len(units) != len(lines):
            raise Unsupported("return_qty has another number of lines")
        return [whole(unit) for unit in units]
    if len(lines) != 1:
        raise Unsupported("return_qty is one number, the order has several lines")
    return [whole(units)]
