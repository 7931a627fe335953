"""The keys of limits and admission: defaults are the code's own, and what is set reaches the terms."""

from __future__ import annotations

from typing import Any

import pytest

from tradepost.kernel.errors import Refusal
from tradepost.stability import tuning
from tradepost.stability.admission import Admission, AdmissionTerms
from tradepost.stability.keys import Key
from tradepost.stability.limits import By


class Set:
    """Keys with some of them set."""

    def __init__(self, **values: Any) -> None:
        self.values = {name.replace("__", "."): value for name, value in values.items()}

    def __call__(self, key: Key[Any]) -> Any:
        return key.accept(self.values[key.name]) if key.name in self.values else key.default


def test_nothing_set_gives_the_terms_of_the_code() -> None:
    assert tuning.admission_terms(Set())() == AdmissionTerms()
    assert tuning.limit_rules(Set())() == ()


def test_what_is_set_reaches_the_terms() -> None:
    keys = Set(
        admission__capacity_per_s=1_000, admission__latency_target_ms=50, admission__concurrency_max=20
    )
    terms = tuning.admission_terms(keys)()
    assert (terms.capacity_per_s, terms.concurrency.target_ms) == (1_000, 50)
    assert (terms.concurrency.limit_min, terms.concurrency.limit_first, terms.concurrency.limit_max) == (
        20,
        20,
        20,
    )


def test_browsing_never_has_more_room_than_orders() -> None:
    keys = Set(admission__kept_from_orders_pct=40, admission__kept_from_browsing_pct=5)
    assert tuning.admission_terms(keys)().kept_pct == (0, 40, 40)


def test_rules_are_read_from_plain_data_and_judged() -> None:
    rules = tuning.limit_rules(
        Set(limits__callers=[{"name": "apps", "by": "app", "requests": 5, "burst": 10}])
    )()
    assert [(rule.name, rule.by, rule.burst) for rule in rules] == [("apps", By.APP, 10)]
    with pytest.raises(Refusal) as wrong:
        tuning.limit_rules(Set(limits__callers=[{"name": "apps", "by": "moon", "requests": 5}]))()
    assert wrong.value.code == "config.value_invalid"


def test_equal_terms_read_anew_change_nothing() -> None:
    admission = Admission(tuning.admission_terms(Set()))
    concurrency = admission.concurrency
    admission.retune()
    assert admission.concurrency is concurrency
