"""Cases of orders and promotions: every key of the vocabulary by a case reckoned by hand, and what is not guessed."""

from __future__ import annotations

from typing import Any

import pytest

from tradepost.testing.conformance.running import compare, run_case

SPREAD = "in proportion to discounted line totals, then evenly over units; odd cents to the first"
SEQUENTIAL = (
    "sequential: each condition sees the total left by the promotions before it; "
    "line-level before order-level, order percent on what is left"
)
DEAREST = (
    "dearest reward units first, bought units are not eligible as reward units, offer applied at most once"
)


def case(kind: str, given: dict[str, Any], policy: dict[str, Any] | None = None) -> dict[str, Any]:
    return run_case({"id": "x", "kind": kind, "input": given, "policy": policy or {}})


def line(price: int, qty: int = 1, **more: Any) -> dict[str, Any]:
    return {"unit_price": price, "qty": qty, **more}


ORDERS: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    (
        "by sku, spread over lines and evenly over units",
        {
            "lines": [line(1_000, 3, sku="A"), line(700, 2, sku="B")],
            "promotions": [
                {"scope": "unit", "fixed": 100, "filter": {"product": "B"}},
                {"scope": "order", "fixed": 101},
            ],
            "shipping": [{"fee": 500}],
            "cart_history": [{"op": "add", "sku": "A", "qty": 4}, {"op": "remove", "sku": "A", "qty": 1}],
        },
        {"order_discount_spread": SPREAD},
        {
            "discount_total": -301,
            "discount_count": 2,
            "items_total": 4_099,
            "shipping_total": 500,
            "total_gross": 4_599,
            "original_total_gross": 4_900,
            "lines": {
                "A": {
                    "line_discount": -72,
                    "line_level_discount": 0,
                    "unit_discounts": [-24, -24, -24],
                    "line_total": 2_928,
                },
                "B": {"line_discount": -229, "line_level_discount": -200, "unit_discounts": [-115, -114]},
            },
        },
    ),
    (
        "a floor passes its share on",
        {
            "lines": [line(10_000, min_price=9_500), line(5_000, 2)],
            "promotions": [{"scope": "order", "percent": "10%"}],
        },
        {},
        {"discount_total": -2_000, "lines": [{"discount": -500}, {"discount": -1_500}]},
    ),
    (
        "prices with tax, a total to reach, a surcharge without tax, taxed shipping",
        {
            "prices_include_tax": True,
            "lines": [line(1_200, 3, tax_percent="20")],
            "promotions": [
                {"scope": "order", "set_items_total_to": 600, "conditions": [{"items_total_at_least": 500}]}
            ],
            "surcharges": [{"amount": 600, "tax_percent": "20", "includes_tax": False}],
            "shipping": [{"fee": 480, "tax_percent": "20"}],
        },
        {"promotion_evaluation": SEQUENTIAL},
        {
            "discount_total": -3_000,
            "net_items": 500 + 600,
            "gross_items": 600 + 720,
            "items_gross": 600,
            "items_tax": 100,
            "items_total": 600,
            "shipping_net": 400,
            "shipping_gross": 480,
            "shipping_tax": 80,
            "tax_included": 180,
            "tax_added": 120,
            "total_net": 1_500,
            "total_gross": 1_800,
            "tax_summary": [{"rate": "20", "base": 1_500, "tax": 300}],
            "original_total_gross": 3_600 + 720 + 480,
            "lines": [{"gross": 3_600, "gross_after_proration": 600, "tax": 100}],
        },
    ),
    (
        "given discounts without tax",
        {
            "lines": [line(5_000, 2, tax_percent="10", line_discount_net=1_000)],
            "shipping": [{"fee": 2_500, "tax_percent": "10", "discount_net": 500}],
        },
        {"rounding": "none (amounts exact)"},
        {
            "items_gross": 9_900,
            "shipping_gross": 2_200,
            "total_gross": 12_100,
            "original_total_gross": 13_750,
        },
    ),
    (
        "a given discount without tax takes its tax out of a price with it",
        {"prices_include_tax": True, "lines": [line(11_000, tax_percent="10", line_discount_net=1_000)]},
        {},
        {"items_gross": 9_900, "tax_included": 900, "total_net": 9_000},
    ),
    (
        "a rate rounded over its lines beside one rounded line by line",
        {
            "lines": [line(999, tax_category="a"), line(999, tax_category="a")],
            "tax_rates": [
                {"category": "a", "percent": "5.05", "included": False, "sum_then_round": True},
                {"category": "a", "percent": "5.05", "included": False, "sum_then_round": False},
            ],
        },
        {},
        {"tax_added": 101 + 2 * 50, "total_gross": 1_998 + 201},
    ),
    (
        "tax before the discount",
        {"lines": [line(1_000, tax_percent="10")], "promotions": [{"scope": "order", "percent": "50"}]},
        {"tax_base": "before discount"},
        {"tax_added": 100, "total_gross": 600, "lines": [{"gross": 1_100, "gross_after_proration": 600}]},
    ),
    (
        "several taxes of a line",
        {"lines": [line(1_000, tax_percents=["5", "8.25"])]},
        {},
        {
            "lines": [{"taxes": [50, 83]}],
            "tax_summary": [{"rate": "5", "tax": 50}, {"rate": "8.25", "tax": 83}],
        },
    ),
    (
        "only the coupons that were given",
        {
            "lines": [line(1_000)],
            "promotions": [
                {"scope": "order", "percent": "50", "coupon": "A"},
                {"scope": "order", "fixed": 100, "coupon": "B"},
            ],
            "coupons": ["B"],
        },
        {},
        {"discount_total": -100, "discount_count": 1},
    ),
    (
        "an exclusive promotion runs alone, with every action of its own",
        {
            "lines": [line(1_000)],
            "promotions": [
                {"scope": "unit", "percent": "50", "priority": 9},
                {"scope": "unit", "fixed": 100, "promotion": "P", "exclusive": True},
                {"scope": "shipping", "percent": "100", "promotion": "P"},
            ],
            "shipping": [{"fee": 300}],
        },
        {},
        {"discount_total": -100, "shipping_total": 0, "discount_count": 1},
    ),
    (
        "higher priority first, whatever the scope",
        {
            "lines": [line(1_000)],
            "promotions": [
                {"scope": "order", "percent": "10", "priority": 1},
                {"scope": "order", "fixed": 500, "priority": 2},
            ],
        },
        {},
        {"discount_total": -550},
    ),
    (
        "a condition sees what is left where the policy says so",
        {
            "lines": [line(1_000, 2, group="g")],
            "promotions": [
                {
                    "scope": "unit",
                    "percent": "50",
                    "conditions": [{"contains_group": "g", "quantity_at_least": 2}],
                },
                {"scope": "order", "fixed": 100, "conditions": [{"items_total_at_least": 2_000}]},
            ],
        },
        {"promotion_evaluation": SEQUENTIAL},
        {"discount_total": -1_000},
    ),
    (
        "filters by price and by line",
        {
            "lines": [line(1_000), line(2_000), line(3_000), line(500, 4)],
            "promotions": [
                {
                    "scope": "unit",
                    "percent": "10",
                    "filter": {"unit_price_min": 2_000, "unit_price_max": 2_500},
                },
                {"scope": "unit", "fixed": 50, "filter": {"list_price_equals": 3_000}},
                {"scope": "unit", "fixed": 7, "filter": {"line_index": [0]}},
                {
                    "scope": "unit",
                    "fixed": 5,
                    "filter": {"line_index": 3},
                    "conditions": [{"any_line_quantity_at_least": 4}],
                },
            ],
        },
        {},
        {"lines": [{"discount": -7}, {"discount": -200}, {"discount": -50}, {"discount": -20}]},
    ),
    ("an order of nothing", {"lines": []}, {}, {"total_gross": 0, "lines": []}),
]


@pytest.mark.parametrize(("name", "given", "policy", "expected"), ORDERS, ids=[name for name, *_ in ORDERS])
def test_orders(name: str, given: dict[str, Any], policy: dict[str, Any], expected: dict[str, Any]) -> None:
    answer = case("order", {"currency": "EUR", **given}, policy)
    assert "actual" in answer, answer
    found = answer["actual"]
    if "lines" in expected and isinstance(expected["lines"], list):
        assert len(expected["lines"]) == len(found["lines"])
    assert compare(expected, found) == []


AMOUNTS: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    (
        "rewards are the dearest that were not bought, once",
        {
            "lines": [
                {"id": "shirt", **line(500, 4, group="a")},
                {"id": "sweater", **line(1_000, 2, group="a")},
            ],
            "promotions": [
                {
                    "code": "P",
                    "kind": "buy_x_get_y",
                    "buy_filter": {"group": "a"},
                    "buy_qty": 1,
                    "get_filter": {"group": "a"},
                    "get_qty": 1,
                    "get_percent": "100",
                }
            ],
        },
        {"units": DEAREST},
        {"discount": 1_000, "lines": {"shirt": 0, "sweater": 1_000}, "by_promotion": {"P": {"sweater": 1}}},
    ),
    (
        "coupons in the order listed, each of the list price",
        {
            "lines": [{"id": "1", **line(1_000, 3)}, {"id": "2", **line(2_000)}],
            "coupons": [
                {"kind": "percent", "amount": "10"},
                {"kind": "percent", "amount": "10"},
                {"kind": "fixed_product", "amount": 300, "max_units": 2},
            ],
        },
        {
            "coupon_base": "list price",
            "unit_order": "dearest unit price first",
            "rounding": "half down, per line",
        },
        {"discount": 1_600, "lines": {"1": 900, "2": 700}},
    ),
    (
        "coupons on what the one before left",
        {
            "lines": [line(1_000)],
            "coupons": [{"kind": "percent", "amount": "10"}, {"kind": "percent", "amount": "10"}],
        },
        {"coupon_base": "what the coupon before left"},
        {"discount": 190},
    ),
    (
        "units of a line known by its subtotal",
        {
            "lines": [{"id": "1", "line_subtotal": 3_000, "qty": 3}],
            "promotions": [{"scope": "unit", "percent": "10", "max_units": 2, "code": "X"}],
        },
        {},
        {"discount": 200, "by_promotion": {"X": {"1": 2}}},
    ),
    ("rounding up", {"base": 1_000, "percent": "33.33"}, {"rounding": "up"}, {"discount": 334}),
    ("rounding down", {"base": 1_000, "percent": "33.39"}, {"rounding": "down"}, {"discount": 333}),
    (
        "tiers by quantity",
        {
            "lines": [line(100, 5)],
            "tiered_percent": {"base_percent": "0", "tiers": {"5": "10"}},
            "tier_basis": "quantity",
        },
        {},
        {"discount": 50},
    ),
    ("no goods", {"lines": [], "promotions": [{"scope": "order", "fixed": 3}]}, {}, {"discount": 0}),
]


@pytest.mark.parametrize(("name", "given", "policy", "expected"), AMOUNTS, ids=[name for name, *_ in AMOUNTS])
def test_promotion_amounts(
    name: str, given: dict[str, Any], policy: dict[str, Any], expected: dict[str, Any]
) -> None:
    answer = case("promotion_amount", {"currency": "EUR", **given}, policy)
    assert "actual" in answer, answer
    assert compare(expected, answer["actual"]) == []


ONE = {"lines": [line(1_000)]}
NEVER: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("order", {**ONE, "loyalty": 3}, {}),
    ("order", {"promotions": []}, {}),
    ("order", {"lines": [line(1_000, weight=3)]}, {}),
    ("order", {"lines": [line(1_000, tax_category="b")]}, {}),
    ("order", {"lines": [line(1_000, tax_category="b", tax_percent="7")]}, {}),
    ("order", {"lines": [{"qty": 1}]}, {}),
    ("order", {"lines": [line(1_000, -1)]}, {}),
    ("order", {"lines": [line(100, line_discount_net=101)]}, {}),
    ("order", {**ONE, "promotions": [{"percent": "10"}]}, {}),
    ("order", {**ONE, "promotions": [{"scope": "galaxy", "percent": "10"}]}, {}),
    ("order", {**ONE, "promotions": [{"scope": "order"}]}, {}),
    ("order", {**ONE, "promotions": [{"scope": "order", "percent": "10", "fixed": 3}]}, {}),
    ("order", {**ONE, "promotions": [{"scope": "order", "percent": "101"}]}, {}),
    ("order", {**ONE, "promotions": [{"scope": "order", "percent": "0.00001"}]}, {}),
    ("order", {**ONE, "promotions": [{"scope": "order", "fixed": "0.5"}]}, {}),
    ("order", {**ONE, "promotions": [{"scope": "order", "fixed": 1, "filter": {"colour": "red"}}]}, {}),
    ("order", {**ONE, "promotions": [{"scope": "order", "fixed": 1, "conditions": [{"moon": "full"}]}]}, {}),
    ("order", {**ONE, "promotions": [{"kind": "wheel_of_fortune"}]}, {}),
    ("order", ONE, {"remainder": "kept apart as last element"}),
    ("order", ONE, {"tax_base": "never"}),
    ("order", ONE, {"order_discount_spread": "by weight"}),
    ("order", ONE, {"promotion_evaluation": "parallel"}),
    ("order", ONE, {"unit_order": "heaviest first"}),
    ("order", ONE, {"units": "heaviest first"}),
    ("order", ONE, {"application": "twice"}),
    ("order", ONE, {"rounding_level": "galaxy"}),
    (
        "order",
        {"lines": [line(999)], "promotions": [{"scope": "unit", "percent": "10"}]},
        {"rounding": "none (amounts exact)"},
    ),
    ("promotion_amount", {"percent": "10"}, {}),
    ("promotion_amount", {"base": 1_000, "percent": "10", "tiered_flat": {}}, {}),
    (
        "promotion_amount",
        {"base": 1, "tiered_flat": {"base_amount": 1, "tiers": {}}, "tier_basis": "moon"},
        {},
    ),
    ("promotion_amount", {**ONE, "coupons": [{"kind": "magic", "amount": 1}]}, {}),
    ("promotion_amount", {**ONE, "coupons": [{"kind": "percent", "amount": 1}]}, {"coupon_base": "moon"}),
]


@pytest.mark.parametrize(("kind", "given", "policy"), NEVER)
def test_what_has_no_switch_is_never_guessed(
    kind: str, given: dict[str, Any], policy: dict[str, Any]
) -> None:
    answer = case(kind, {"currency": "EUR", **given}, policy)
    assert "actual" not in answer
    assert not answer["unsupported"].startswith("failed"), answer
