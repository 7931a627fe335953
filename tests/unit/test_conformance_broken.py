"""Broken, huge and strange cases: each says for itself what is wrong, and none stops another or the command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.unit.test_conformance import run

from tradepost.kernel.errors import Refusal
from tradepost.testing.conformance.running import read_cases, run_case, verdict_of

LINE = {"unit_price": 1000, "qty": 2, "tax_percent": "20"}
GOOD = {"id": "good", "kind": "order", "input": {"lines": [LINE]}, "expected": {"total_gross": 2400}}


def order(**given: Any) -> dict[str, Any]:
    return {"id": "x", "kind": "order", "input": {"lines": [LINE], **given}}


def of_line(**fields: Any) -> dict[str, Any]:
    return order(lines=[LINE | fields])


@pytest.mark.parametrize(
    ("case", "why"),
    [
        (of_line(qty=2.5), "no whole number"),
        (of_line(qty="2.5"), "no whole number"),
        (of_line(qty=True), "no number"),
        (of_line(qty=None), "no number"),
        (of_line(qty=-1), "less than no unit"),
        (of_line(unit_price="1e999999999"), "no number that we reckon with"),
        (of_line(unit_price="NaN"), "no number that we reckon with"),
        (of_line(unit_price="ten"), "no number"),
        (of_line(tax_percent="-100"), "percentage"),
        (order(lines=[5]), "object"),
        (order(promotions=[5]), "object"),
        (order(promotions=[{"scope": "unit", "percent": "10", "get_qty": 3}]), "get_qty without a kind"),
        (order(promotions=[{"scope": "unit", "fixed": -10}]), "in a promotion"),
        (order(promotions=[{"kind": "buy_x_get_y", "buy_qty": 0}]), "in a promotion"),
        (order(promotions=[{"kind": "bundle_fixed_price", "qty": 0, "price": 5}]), "in a promotion"),
        (order(coupons=[{"kind": "percent", "amount": "10"}]), "coupons that are rules"),
        (order(tax_rates="20"), "tax_rates"),
        (order() | {"policy": "half up"}, "no object"),
        (order() | {"policy": {"same_priority": "by name"}}, "same_priority"),
        ({"id": "x", "kind": "allocate", "input": {"amount": 100.5, "weights": [1]}}, "no whole number"),
        ({"id": "x", "kind": "allocate", "input": {"amount": 100}}, "weights"),
        (
            {
                "id": "x",
                "kind": "invoice_totals",
                "input": {
                    "currency": "EUR",
                    "prices_include": "VAT",
                    "lines": [
                        {"qty": "1", "unit_price": "1", "taxes": [{"kind": "VAT", "percent": "-100%"}]}
                    ],
                },
            },
            "tax.invoice_invalid",
        ),
        ({"id": "x", "kind": ["order"], "input": {}}, "kind"),
    ],
)
def test_a_broken_case_says_why(case: dict[str, Any], why: str) -> None:
    answer = run_case(case)
    assert answer.keys() == {"id", "unsupported"}
    assert why in answer["unsupported"]


def test_numbers_may_be_long_or_written_as_words() -> None:
    words = run_case(of_line(unit_price="1000", qty="2", tax_percent=20))
    assert words["actual"]["total_gross"] == 2400
    huge = run_case(of_line(unit_price=10**60, qty=10**12))
    assert huge["actual"]["total_gross"] == 12 * 10**71


def test_a_line_whose_category_no_rate_names_is_untaxed() -> None:
    lines = [{"unit_price": 1000, "qty": 1, "tax_category": "books"}]
    answer = run_case(order(lines=lines, tax_rates=[{"category": "other", "percent": "5"}]))
    assert (answer["actual"]["total_gross"], answer["actual"]["tax_added"]) == (1000, 0)
    assert "no rate" in run_case(order(lines=lines))["unsupported"]


def test_the_command_goes_on_after_every_broken_case(tmp_path: Path) -> None:
    huge = '{"id": "huge", "kind": "order", "input": {"lines": [{"unit_price": %s, "qty": 1}]}}' % (
        "9" * 5000
    )
    lone = '{"id": "\\ud800", "kind": "order", "input": {"lines": [{"unit_price": 1e400, "qty": 1}]}}'
    whole = json.dumps(of_line(unit_price=10**60) | {"expected": {"total_gross": 24 * 10**59}})
    path = tmp_path / "cases.json"
    path.write_text(
        f'{{"vectors": [5, null, {{}}, {{"id": {{"a": 1.5}}}}, {lone}, {huge}, {whole}, {json.dumps(GOOD)}]}}'
    )
    code, lines, _ = run(str(path), "--check")
    assert code == 0
    assert ["actual" in line for line in lines] == [False] * 6 + [True] * 2
    assert lines[7]["actual"]["total_gross"] == 2400


def test_cases_may_stand_one_a_line_or_alone(tmp_path: Path) -> None:
    path = tmp_path / "cases.jsonl"
    path.write_text(f"{json.dumps(GOOD)}\n\n{json.dumps(GOOD | {'id': 'two'})}\n")
    assert [case["id"] for case in read_cases(path)] == ["good", "two"]
    path.write_text("\ufeff" + json.dumps(GOOD))
    assert [case["id"] for case in read_cases(path)] == ["good"]


@pytest.mark.parametrize("text", ["", "{}", "5", "[", "[" * 100_000, '{"vectors": {}}', "{}\n{"])
def test_what_is_no_file_of_cases_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "cases.json"
    path.write_text(text)
    with pytest.raises(Refusal) as refused:
        list(read_cases(path))
    assert refused.value.code == "conformance.file_invalid"
    with pytest.raises(Refusal):
        list(read_cases(tmp_path / "none.json"))


@pytest.mark.parametrize(
    ("expected", "result"),
    [
        (None, "unjudged"),
        ([1], "different"),
        ({"total_gross": {"a": 1}}, "different"),
        ({"parts_any_order": None}, "different"),
        ({"parts_any_order": ["1", None]}, "different"),
        ({"total_gross": "2400"}, "same"),
    ],
)
def test_a_strange_expectation_is_judged(expected: Any, result: str) -> None:
    case = GOOD | {"expected": expected}
    assert verdict_of(case, run_case(case)).result == result
