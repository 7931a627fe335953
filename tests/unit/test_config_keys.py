"""Keys: what fits, what does not, who gets which value."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import Meta

from tradepost.kernel.errors import Refusal
from tradepost.stability import keys
from tradepost.stability.keys import (
    DOCUMENT_BYTES_MAX,
    Document,
    Key,
    Rule,
    choose,
    declare_key,
    decode_document,
    encode_document,
    find_key,
    judge,
    share_of,
)

COUNT = declare_key("test.keys_count", int, 10, "pieces", Meta(ge=1, le=100), "A count for tests.")
NAMES = declare_key("test.keys_names", tuple[str, ...], (), "", Meta(max_length=2), "Names for tests.")
FLAG = declare_key(
    "test.keys_flag", bool, False, "", None, "A flag for tests.", audiences=frozenset(("instance",))
)
LIMITS = declare_key("test.keys_limits", dict[str, int], {}, "per s", None, "Limits for tests.")


@pytest.mark.parametrize(
    ("key", "value", "accepted"),
    [
        (COUNT, 1, 1),
        (COUNT, 100, 100),
        (NAMES, ["a", "b"], ("a", "b")),
        (FLAG, True, True),
        (LIMITS, {"a": 1}, {"a": 1}),
    ],
)
def test_a_fitting_value_becomes_the_keys_type(key: Key[Any], value: Any, accepted: Any) -> None:
    assert key.accept(value) == accepted


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (COUNT, 0),
        (COUNT, 101),
        (COUNT, "5"),
        (COUNT, 5.5),
        (COUNT, None),
        (NAMES, ["a", "b", "c"]),
        (NAMES, "a"),
        (FLAG, 1),
        (LIMITS, {"a": "1"}),
    ],
)
def test_an_unfitting_value_is_refused_with_what_would_fit(key: Key[Any], value: Any) -> None:
    with pytest.raises(Refusal) as refused:
        key.accept(value)
    assert (refused.value.code, refused.value.field) == ("config.value_invalid", key.name)
    assert refused.value.expected == key.fits


def test_bounds_and_unit_are_told_in_words() -> None:
    assert COUNT.fits == "int 1 to 100 in pieces"
    assert NAMES.fits == "tuple[str, ...] length at most 2"
    assert FLAG.fits == "bool"


@pytest.mark.parametrize(
    ("name", "default", "sentence"),
    [("flat", 1, "s"), ("Upper.case", 1, "s"), ("a.b", "x", "s"), ("a.b", 1, ""), ("a." + "b" * 70, 1, "s")],
)
def test_a_bad_declaration_stops_the_start(name: str, default: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=r"key|default"):
        declare_key(name, int, default, "", None, sentence)


def test_a_name_has_one_meaning() -> None:
    again = declare_key("test.keys_count", int, 10, "pieces", Meta(ge=1, le=100), "A count for tests.")
    assert again == COUNT
    with pytest.raises(ValueError, match="twice"):
        declare_key("test.keys_count", int, 11, "pieces", Meta(ge=1, le=100), "A count for tests.")


def test_an_unknown_key_is_refused() -> None:
    with pytest.raises(Refusal) as refused:
        find_key("test.nothing")
    assert refused.value.code == "config.key_unknown"


def test_a_document_travels() -> None:
    document = Document(version=3, value=[1], rules=(Rule(value=2, markets=("GB",), share_bps=5),))
    assert decode_document(encode_document(document)) == document
    assert encode_document(Document(version=1)) == b'{"version":1}'
    assert decode_document(b'{"version":1,"value":2,"of_a_newer_version":true}') == Document(
        version=1, value=2
    )


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"7",
        b'{"value":1}',
        b'{"version":-1}',
        b'{"version":1,"rules":[{"value":1,"x":2}]}',
        b'{"version":1,"rules":[{"value":1,"share_bps":10001}]}',
        b"\xff",
        b'{"version":1}' + b" " * DOCUMENT_BYTES_MAX,
    ],
)
def test_anything_else_is_no_document(text: bytes) -> None:
    with pytest.raises(Refusal) as refused:
        decode_document(text)
    assert refused.value.code == "config.value_invalid"


def test_a_document_too_large_is_not_written() -> None:
    with pytest.raises(Refusal):
        encode_document(Document(version=1, value="x" * DOCUMENT_BYTES_MAX))


def test_a_rule_is_judged_as_the_value_is() -> None:
    with pytest.raises(Refusal) as refused:
        judge(COUNT, Document(version=1, rules=(Rule(value=0),)))
    assert refused.value.code == "config.value_invalid"


@pytest.mark.parametrize(
    ("rule", "audience"),
    [(Rule(value=True, markets=("GB",)), "market"), (Rule(value=True, share_bps=5), "subject")],
)
def test_a_key_is_released_only_to_those_its_readers_tell(rule: Rule, audience: str) -> None:
    judge(FLAG, Document(version=1, rules=(Rule(value=True, instances=("a",)),)))
    with pytest.raises(Refusal) as refused:
        judge(FLAG, Document(version=1, rules=(rule,)))
    assert (refused.value.code, refused.value.field) == ("config.audience_not_allowed", audience)


def test_the_first_rule_that_fits_answers() -> None:
    judged = judge(
        COUNT,
        Document(
            version=1,
            value=5,
            rules=(
                Rule(value=1, instances=("a",), markets=("GB",)),
                Rule(value=2, markets=("GB", "JP")),
                Rule(value=3, instances=("a",)),
            ),
        ),
    )

    def asked(instance: str, market: str) -> Any:
        return choose(COUNT.name, judged, instance, market, "")

    assert [asked("a", "GB"), asked("b", "GB"), asked("b", "JP"), asked("a", "US"), asked("b", "US")] == [
        1,
        2,
        2,
        3,
        5,
    ]


def chosen(name: str, share_bps: int, subjects: list[str]) -> set[str]:
    judged = judge(COUNT, Document(version=1, value=5, rules=(Rule(value=9, share_bps=share_bps),)))
    return {one for one in subjects if choose(name, judged, "", "", one) == 9}


def test_a_growing_share_keeps_those_it_had() -> None:
    subjects = [f"byr_{number}" for number in range(20_000)]
    before: set[str] = set()
    for share_bps in (0, 1, 100, 500, 2_500, 9_999, 10_000):
        now = chosen(COUNT.name, share_bps, subjects)
        assert before <= now
        assert abs(len(now) - len(subjects) * share_bps / 10_000) < 200
        before = now
    assert len(before) == len(subjects)


def test_a_subject_stands_where_it_stood() -> None:
    assert [share_of("limits.x", "byr_1"), share_of("limits.y", "byr_1")] == [5939, 7476]


def test_two_keys_choose_other_subjects() -> None:
    subjects = [f"byr_{number}" for number in range(10_000)]
    one, other = chosen("test.one", 5_000, subjects), chosen("test.other", 5_000, subjects)
    assert 2_300 < len(one & other) < 2_700


def test_a_share_never_takes_an_asker_without_a_subject() -> None:
    assert chosen(COUNT.name, 9_999, [""]) == set()


def test_the_reference_table_has_every_key() -> None:
    rows = {row[0] for row in keys.key_rows()}
    assert {f"`{name}`" for name in keys.declared_keys()} == rows

    def table(head: tuple[str, ...], given: Any) -> str:
        return "\n".join(" ".join(row) for row in [head, *given])

    assert "`test.keys_count` int 1 to 100 in pieces `10`" in keys.key_page(table)
    assert msgspec.json.decode(msgspec.json.encode(rows))
