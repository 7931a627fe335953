"""`tradepost conformance`: other engines' cases through the production calculators, by the command itself."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.arch.tree import ROOT
from tests.demo_server import TRADEPOST

from tradepost.testing.conformance.running import compare, read_cases, run_case, summary, verdict_of

FILES = sorted((ROOT / "tests" / "data" / "calc").glob("*.json"))
CASES = [case for path in FILES for case in read_cases(path)]


def run(*arguments: str) -> tuple[int, list[dict[str, Any]], str]:
    done = subprocess.run([TRADEPOST, "conformance", *arguments], capture_output=True, text=True, check=False)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def answer(kind: str, given: dict[str, Any], policy: dict[str, Any] | None = None) -> dict[str, Any]:
    found = run_case({"id": "x", "kind": kind, "input": given, "policy": policy or {}})
    told: dict[str, Any] = found.get("actual", found)
    return told


LINES = {"lines": [{"id": "a", "unit_price": 1000, "qty": 3}, {"id": "b", "unit_price": 700, "qty": 3}]}


def test_the_cheapest_units_are_free_up_to_their_bound() -> None:
    for most, expected in ((0, 1_400), (1, 700), (9, 1_400)):
        free = {"kind": "cheapest_free", "qty": 3, "max_units": most}
        assert answer("promotion_amount", LINES | {"promotions": [free]})["amount"] == expected


@pytest.mark.parametrize(
    "given",
    [
        {"promotions": [{"kind": "bundle_fixed_price", "qty": 2, "price": 100, "max_units": 2}]},
        {"promotions": [{"kind": "cheapest_free", "qty": 3, "percent": 10}]},
        {"promotions": [{"kind": "buy_x_get_y", "qty": 3, "fixed": 10}]},
        {"percent": 10, "coupons": ["SAVE"]},
        {"percent": 10, "coupons": [{"kind": "percent", "amount": 5}]},
        {"percent": 10, "promotions": [{"scope": "unit", "percent": 10}]},
    ],
)
def test_what_would_be_left_out_of_a_promotion_is_said(given: dict[str, Any]) -> None:
    assert "unsupported" in answer("promotion_amount", LINES | given)


def test_an_invoice_rounds_half_up_or_not_at_all() -> None:
    given = {"currency": "EUR", "lines": [{"qty": "1", "unit_price": "10.00", "taxes": []}]}
    plain = answer("invoice_totals", given)
    assert answer("invoice_totals", given, {"rounding": "half up"}) == plain != {}
    assert "unsupported" not in plain
    assert "unsupported" in answer("invoice_totals", given, {"rounding": "half even"})


UNSTATED = {"oscar-007", "oscar-019", "oscar-020"}
"""Cases of a convention that only their note tells: odd pennies to the last line, a discount of 0.525 rounded down.

Their policy names no switch, so the engine answers by its own conventions and is not bent to theirs.
"""


def test_every_visible_case_is_right_or_named() -> None:
    code, lines, report = run(*map(str, FILES), "--check")
    assert len(lines) == len(CASES) == 182
    assert [line["id"] for line in lines] == [case["id"] for case in CASES]
    verdicts = [verdict_of(case, line) for case, line in zip(CASES, lines, strict=True)]
    odd = [verdict for verdict in verdicts if verdict.result not in ("same", "unsupported")]
    assert [verdict for verdict in odd if verdict.case_id not in UNSTATED] == []
    assert {verdict.result for verdict in odd} <= {"different"}
    universal = [verdict for verdict in verdicts if verdict.portability == "universal"]
    assert len(universal) == 99
    assert [verdict for verdict in universal if verdict.result != "same"] == []
    assert code == bool(odd)
    assert "182 cases" in report


def test_expected_numbers_play_no_part(tmp_path: Path) -> None:
    """The same answers when a file has no `expected` at all, and when it is a bare list."""
    bare = [{key: value for key, value in case.items() if key != "expected"} for case in CASES]
    path = tmp_path / "bare.json"
    path.write_text(json.dumps(bare), encoding="utf-8")
    code, lines, _ = run(str(path))
    assert code == 0
    assert lines == run(*map(str, FILES))[1]


def test_a_difference_is_told_and_fails_the_check(tmp_path: Path) -> None:
    cases = [
        {
            "id": "wrong",
            "kind": "allocate",
            "input": {"amount": 100, "weights": [1, 1]},
            "expected": {"parts": [49, 51]},
        },
        {"id": "broken", "kind": "allocate", "input": {"amount": "many", "weights": [1]}, "expected": {}},
        {"id": "odd", "kind": "horoscope", "input": {}},
        "no case at all",
        {"id": "right", "kind": "allocate", "input": {"amount": 100, "weights": [1, 1]}},
    ]
    path = tmp_path / "cases.json"
    path.write_text(json.dumps({"vectors": cases}), encoding="utf-8")
    code, lines, report = run(str(path), "--check")
    assert code == 1
    assert [sorted(line)[0] if "actual" in line else "unsupported" for line in lines] == [
        "actual",
        "unsupported",
        "unsupported",
        "unsupported",
        "actual",
    ]
    assert "wrong: different: parts[0]: 50, 49 expected" in report
    assert "broken: unsupported" in report


@pytest.mark.parametrize("text", ["{}", "7", "not json", '{"vectors": {}}'])
def test_a_file_without_cases_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "odd.json"
    path.write_text(text, encoding="utf-8")
    code, lines, report = run(str(path))
    assert (code, lines) == (3, [])
    assert "conformance.file_invalid" in report


@pytest.mark.parametrize(
    ("policy", "parts"),
    [
        ({}, [33, 50, 17]),
        ({"remainder": "largest fractional part first (earlier line wins ties)"}, [33, 50, 17]),
        ({"remainder": "as listed"}, [33, 50, 17]),
        ({"remainder": "one unit each to the first lines"}, [34, 50, 16]),
        ({"remainder": "last"}, [33, 50, 17]),
        ({"remainder": "whole blocks only, rest kept apart", "note": "words"}, [32, 48, 16, 4]),
    ],
)
def test_remainders_in_words(policy: dict[str, str], parts: list[int]) -> None:
    assert answer("allocate", {"amount": 100, "weights": [2, 3, 1]}, policy) == {"parts": parts}


@pytest.mark.parametrize(
    ("level", "tax"),
    [
        ("line, each rate separately", 4),
        ("line", 3),
        ("order", 3),
        ("multiply_then_round", 3),
        ("unit", 4),
        ("unit_then_multiply", 4),
        ("round_then_multiply", 4),
    ],
)
def test_levels_in_words(level: str, tax: int) -> None:
    """Two taxes of 5 % on 0.30: 0.015 each, 0.03 together."""
    given = {"currency": "EUR", "base": 30, "tax_percents": ["5", "5%"], "included": False}
    assert answer("tax_line", given, {"tax_rounding_level": level})["tax"] == tax


@pytest.mark.parametrize(
    ("units", "refund"), [(0, 0), (1, 1_150), (2, 2_301), (3, 3_451), ([2], 2_301), ({"a": 1}, 1_150)]
)
def test_units_given_back(units: Any, refund: int) -> None:
    """Three units at 10.00 less 1.00 and 19 % on top are 34.51; every unit given back is all of it."""
    given = {
        "currency": "EUR",
        "lines": [{"sku": "a", "unit_price": 1000, "qty": 3, "tax_percent": "19"}],
        "promotions": [{"scope": "order", "fixed": 100}],
        "prices_include_tax": False,
        "return_qty": units,
    }
    assert answer("refund", given) == {"line_total_gross": 3_451, "refund": refund}


@pytest.mark.parametrize("units", [4, -1, [1, 1], {"b": "x"}, None])
def test_units_that_cannot_come_back(units: Any) -> None:
    lines = [{"sku": "a", "unit_price": 1000, "qty": 3}, {"sku": "b", "unit_price": 1, "qty": 1}]
    given = {"currency": "EUR", "lines": lines if isinstance(units, dict | int) else lines[:1]}
    assert "unsupported" in answer("refund", given | ({} if units is None else {"return_qty": units}))


@pytest.mark.parametrize(
    ("kind", "given", "policy"),
    [
        ("allocate", {"amount": 1, "weights": [1]}, {"remainder": "to the poor"}),
        ("allocate", {"amount": 1, "weights": [1]}, {"moon": "full"}),
        ("allocate", {"amount": 1, "weights": [1], "tip": 1}, {}),
        ("allocate", {"amount": 3, "weights": [1], "cash_step": 5}, {}),
        ("tax_line", {"base": 1, "tax_percent": "5"}, {"tax_rounding_level": "galaxy"}),
        ("tax_line", {"base": 1, "tax_percent": "5"}, {"rounding": "sideways"}),
        ("to_psp_minor", {"amount_major": "1", "currency": "EUR", "psp": "pigeon"}, {}),
        ("to_psp_minor", {"amount_major": "1", "currency": "KWD", "psp": "stripe"}, {"rule": "by moonlight"}),
        ("to_psp_minor", {"amount_major": "1", "currency": "IRR", "psp": "stripe"}, {}),
        ("convert", {"amount_major": "1", "from_currency": "EUR", "to_currency": "USD", "rate": "-1"}, {}),
        ("invoice_totals", {"currency": "EUR", "lines": [], "rounding_model": "by feel"}, {}),
        (
            "invoice_totals",
            {"currency": "EUR", "lines": [{"qty": "1", "unit_price": "1", "weight": "1"}]},
            {},
        ),
        (
            "invoice_totals",
            {
                "currency": "EUR",
                "lines": [{"qty": "1", "unit_price": "1", "taxes": [{"kind": "VAT", "rate": "x"}]}],
            },
            {},
        ),
    ],
)
def test_what_we_lack_is_named(kind: str, given: dict[str, Any], policy: dict[str, Any]) -> None:
    assert "unsupported" in answer(kind, given, policy)


def test_an_invoice_in_words() -> None:
    """Kinds, keys and rates as invoice calculators write them; what does not occur is null."""
    found = answer(
        "invoice_totals",
        {
            "currency": "EUR",
            "type": "standard",
            "prices_include": None,
            "rounding_model": "sum-then-round",
            "lines": [
                {
                    "qty": "20",
                    "unit_price": "90.00",
                    "discounts": [{"percent": "10%", "amount": "180.00"}],
                    "taxes": [
                        {"kind": "VAT", "key": "standard", "percent": "21.0", "surcharge_percent": "5.2"},
                        {"kind": "IRPF", "key": "pro", "percent": "15.0%"},
                    ],
                }
            ],
            "order_discounts": [{"amount": "20.00", "taxes": [{"cat": "VAT", "key": "standard"}]}],
            "order_charges": [{"percent": "0%", "amount": "10.00", "taxes": []}],
        },
    )
    assert found["lines"] == [{"sum": "1800.00", "total": "1620.00"}]
    assert found["totals"] == {
        **dict.fromkeys(("tax_included", "rounding", "advance", "due")),
        "sum": "1620.00",
        "discount": "20.00",
        "charge": "10.00",
        "total": "1610.00",
        "tax": "420.24",
        "total_with_tax": "2030.24",
        "retained_tax": "243.00",
        "payable": "1787.24",
    }
    assert [(tax["kind"], tax["retained"]) for tax in found["taxes"]] == [("VAT", False), ("IRPF", True)]
    assert found["taxes"][1]["rates"] == [
        {"key": "pro", "base": "1620.00", "percent": "15.0%", "amount": "243.00", "surcharge": None}
    ]


def test_exact_amounts_are_not_rounded() -> None:
    """5 % of 10.00 is whole; 5 % of 10.01 would have to be invented."""
    policy = {"rounding": "none (amounts exact)"}
    whole = {"currency": "EUR", "base": 1000, "tax_percent": "5", "included": False}
    assert answer("tax_line", whole, policy) == {"tax": 50, "net": 1000, "gross": 1050, "taxes": [50]}
    assert "no whole minor units" in answer("tax_line", whole | {"base": 1001}, policy)["unsupported"]


def taxed(kind: str, share: str, **more: str) -> dict[str, str]:
    return {"kind": kind, "percent": share, **more}


HOURS = [{"qty": "1", "unit_price": "125.00", "taxes": [taxed("VAT", "21.0%"), taxed("IRPF", "15.0%")]}] * 12
PROVIDER = [
    {"qty": "10", "unit_price": "10.00", "taxes": [taxed("VAT", "21.0%", surcharge_percent="5.2%")]},
    {"qty": "1", "unit_price": "10.00", "taxes": [taxed("VAT", "21.0%")]},
]
HALVES = [
    ("9.0000", "697.5650", "6278.09"),
    ("5.5000", "443.9050", "2441.48"),
    ("2.5000", "697.5650", "1743.91"),
]


@pytest.mark.parametrize(
    ("given", "totals"),
    [
        (  # invopop/gobl (Apache-2.0), examples/es/out/invoice-es-prices-include.json
            {"prices_include": "VAT", "rounding_model": "currency", "lines": HOURS},
            {
                "sum": "1500.00",
                "tax_included": "260.33",
                "total": "1239.67",
                "tax": "260.33",
                "total_with_tax": "1500.00",
                "retained_tax": "185.95",
                "payable": "1314.05",
            },
        ),
        (  # examples/es/out/invoice-es-es-vateqs-provider.json
            {"prices_include": "VAT", "lines": PROVIDER, "advances": [{"amount": "25.00"}]},
            {
                "sum": "110.00",
                "tax_included": "19.09",
                "total": "90.91",
                "tax": "23.39",
                "total_with_tax": "114.30",
                "payable": "114.30",
                "advance": "25.00",
                "due": "89.30",
            },
        ),
        (  # examples/br/out/invoice-nfse-retentions.json
            {
                "lines": [
                    {
                        "qty": "40",
                        "unit_price": "150.00",
                        "taxes": [
                            taxed("ISS", "5%"),
                            taxed("PISRet", "0.65%"),
                            taxed("COFINSRet", "3%"),
                            taxed("CSLL", "1%"),
                            taxed("INSS", "11%"),
                            taxed("IRRF", "1.5%"),
                        ],
                    }
                ]
            },
            {"sum": "6000.00", "tax": "0.00", "retained_tax": "1029.00", "payable": "4971.00"},
        ),
        (  # examples/ar/out/invoice-ar-arca-with-charges.json
            {
                "lines": [{"qty": "100", "unit_price": "5000.00", "taxes": [taxed("VAT", "10.5%")]}],
                "order_charges": [{"percent": "3.5%", "amount": "17500.00"}, {"percent": "1%"}],
            },
            {"charge": "22500.00", "total": "522500.00", "tax": "52500.00", "payable": "575000.00"},
        ),
        (  # examples/de/out/invoice-de-rounding-2.json, its lines of half cents
            {
                "rounding_model": "currency",
                "lines": [{"qty": qty, "unit_price": price} for qty, price, _ in HALVES],
            },
            {"sum": "10463.48"},
        ),
    ],
)
def test_other_peoples_invoices(given: dict[str, Any], totals: dict[str, str]) -> None:
    found = answer("invoice_totals", {"currency": "EUR", **given})["totals"]
    assert {key: found.get(key) for key in totals} == totals


def test_the_rows_of_a_surcharge() -> None:
    given = {"currency": "EUR", "prices_include": "VAT", "lines": PROVIDER}
    assert answer("invoice_totals", given)["taxes"] == [
        {
            "kind": "VAT",
            "retained": False,
            "amount": "19.09",
            "rates": [
                {
                    "key": None,
                    "base": "82.64",
                    "percent": "21.0%",
                    "amount": "17.36",
                    "surcharge": {"percent": "5.2%", "amount": "4.30"},
                },
                {"key": None, "base": "8.26", "percent": "21.0%", "amount": "1.74", "surcharge": None},
            ],
        }
    ]


def test_half_a_cent_is_rounded_at_the_line() -> None:
    given = {
        "currency": "EUR",
        "rounding_model": "currency",
        "lines": [{"qty": qty, "unit_price": price} for qty, price, _ in HALVES],
    }
    assert [row["sum"] for row in answer("invoice_totals", given)["lines"]] == [sum_ for _, _, sum_ in HALVES]


@pytest.mark.parametrize(
    ("currency", "major", "minor"),
    [("JPY", "500", 500), ("UGX", "5", 500), ("ISK", "5", 500), ("MGA", "5", 5), ("USD", "2.675", 268)],
)
def test_stripes_own_digits(currency: str, major: str, minor: int) -> None:
    given = {"amount_major": major, "currency": currency, "psp": "stripe"}
    assert answer("to_psp_minor", given) == {"minor": minor}


@pytest.mark.parametrize(
    ("expected", "actual", "differences"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, 0),
        ({"a": 1}, {"b": 2}, 1),
        ({"a": "1.50"}, {"a": "1.5"}, 0),
        ({"a": "21%"}, {"a": "21.0"}, 0),
        ({"a": True}, {"a": 1}, 0),
        ({"a": None}, {"a": 0}, 1),
        ({"a": "x"}, {"a": "y"}, 1),
        ({"a": [1, 2]}, {"a": [1]}, 1),
        ({"parts_any_order": [1, 2]}, {"parts": [2, 1]}, 0),
        ({"parts_any_order": [1, 2]}, {"parts": [2, 2]}, 1),
        ({"lines": {"a": {"x": 1}}}, {"lines": {"a": {"x": 2}}}, 1),
        ({"a": {}}, {"a": 1}, 1),
    ],
)
def test_comparing(expected: Any, actual: Any, differences: int) -> None:
    assert len(compare(expected, actual)) == differences


def test_the_table_counts_by_kind() -> None:
    verdicts = [verdict_of(case, run_case(case)) for case in CASES if case["kind"] == "allocate"]
    assert summary(verdicts) == [("allocate", "policy", {"same": 73}), ("allocate", "universal", {"same": 3})]
