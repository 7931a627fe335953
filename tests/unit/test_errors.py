"""Refusals and their code table."""

from __future__ import annotations

import copy
import pickle

import pytest

from tradepost.kernel.errors import Kind, Problem, Refusal, declare_problems, problem_table


def test_a_refusal_survives_the_way_between_processes() -> None:
    refusal = Refusal("id.invalid", "No.", field="id", expected="an id", extra={"sku_id": "x", "left": 3})
    for twin in (pickle.loads(pickle.dumps(refusal)), copy.copy(refusal)):  # noqa: S301
        assert twin == refusal
        assert (twin.detail, twin.expected) == ("No.", "an id")
    assert hash(refusal) == hash(Refusal("id.invalid", "Other words.", field="id"))


def test_wording_is_not_compared_but_members_are() -> None:
    assert Refusal("id.invalid", "a") == Refusal("id.invalid", "b")
    assert Refusal("id.invalid", "a") != Refusal("id.invalid", "a", field="x")
    assert Refusal("id.invalid", "a") != Refusal("internal", "a")
    assert Refusal("id.invalid", "a") != "id.invalid"


def test_the_declared_row_is_found() -> None:
    assert Refusal("storage.overloaded", "").problem.kind is Kind.OVERLOADED
    with pytest.raises(KeyError):
        _ = Refusal("nobody.declared_this", "").problem


def test_a_code_means_one_thing() -> None:
    row = problem_table()["internal"]
    declare_problems({"internal": (row.kind, row.title, row.remedy)})
    with pytest.raises(ValueError, match="twice"):
        declare_problems({"internal": (Kind.CONFLICT, "Other", "Other")})
    assert problem_table()["internal"] == row


def test_every_row_is_complete() -> None:
    table = problem_table()
    assert list(table) == sorted(table)
    for code, problem in table.items():
        assert isinstance(problem, Problem)
        assert code == code.lower()
        assert problem.title
        assert problem.remedy.endswith(".")
