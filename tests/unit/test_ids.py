"""Ids: layout, order in time, genes, order numbers that catch typing errors."""

from __future__ import annotations

import pytest

from tradepost.kernel.errors import Refusal
from tradepost.kernel.ids import (
    ALPHABET,
    GENES,
    PREFIXES,
    cell_of,
    check_id,
    check_order_number,
    compose_id,
    first_id_at,
    gene_for,
    gene_of,
    mint_id,
    order_number,
    time_of,
)
from tradepost.kernel.world import SystemWorld
from tradepost.testing.world import START_MS, TestWorld


@pytest.mark.parametrize("gene", [0, 1, 511, 512, 1023])
@pytest.mark.parametrize("cell", [0, 1, 63, 64, 255])
def test_time_gene_and_cell_are_read_back(gene: int, cell: int) -> None:
    for chance in (0, (1 << 56) - 1):
        minted = mint_id("ord", gene, START_MS, cell, chance)
        assert len(minted) == 30
        assert (gene_of(minted), cell_of(minted), time_of(minted)) == (gene, cell, START_MS)
        assert check_id(minted, "order") == minted


def test_the_number_inside_is_a_uuid_of_version_7() -> None:
    body = mint_id("ord", 1023, START_MS, 255, (1 << 56) - 1)[4:]
    value = 0
    for letter in body:
        value = value * 32 + ALPHABET.index(letter)
    assert value < 1 << 128
    assert value >> 80 == START_MS
    assert (value >> 76) & 15 == 7
    assert (value >> 62) & 3 == 2


def test_ids_sort_as_their_times_do() -> None:
    ids = [mint_id("ord", 7, START_MS + ms, 0, 5) for ms in range(0, 5_000, 7)]
    assert ids == sorted(ids)
    assert first_id_at("ord", 7, START_MS) <= ids[0] < first_id_at("ord", 7, START_MS + 1)


def test_prefixes_are_distinct_words_of_three_letters() -> None:
    assert len(set(PREFIXES.values())) == len(PREFIXES)
    assert {len(prefix) for prefix in PREFIXES.values()} == {3}


GOOD = mint_id("ord", 1, START_MS, 0, 1)


@pytest.mark.parametrize(
    "text",
    ["", "ord_", GOOD[:-1], GOOD + "0", GOOD.upper(), "pay" + GOOD[3:], GOOD[:-1] + "u", "ord_8" + GOOD[5:]],
)
def test_what_is_no_order_id_is_refused(text: str) -> None:
    with pytest.raises(Refusal) as refused:
        check_id(text, "order", field="orders[0]")
    assert (refused.value.code, refused.value.field) == ("id.invalid", "orders[0]")


@pytest.mark.parametrize("text", ["", "x", "ord_", "ord_" + "!" * 26])
def test_the_gene_of_something_else_is_refused(text: str) -> None:
    with pytest.raises(Refusal):
        gene_of(text)


def test_genes_for_foreign_keys_are_spread() -> None:
    genes = {gene_for(f"reference {number}") for number in range(20_000)}
    assert len(genes) == GENES
    assert gene_for("a") == gene_for("a")


def test_an_order_number_is_read_back_however_it_is_typed() -> None:
    order_id = TestWorld().mint("order", 5)
    number = order_number(order_id)
    assert len(number) == 14
    for typed in (
        number,
        number.lower(),
        number.replace("-", ""),
        number.replace("0", "O").replace("1", "l"),
    ):
        assert check_order_number(typed) == order_id[-11:]


def test_every_mistyped_letter_and_every_swap_is_noticed() -> None:
    world = TestWorld(seed=3)
    for _ in range(5):
        number = order_number(world.mint("order", world.gene())).replace("-", "").lower()
        wrong = [
            number[:at] + letter + number[at + 1 :]
            for at in range(12)
            for letter in ALPHABET
            if letter != number[at]
        ]
        wrong += [
            number[:at] + number[at + 1] + number[at] + number[at + 2 :]
            for at in range(11)
            if number[at] != number[at + 1]
        ]
        for typed in wrong:
            with pytest.raises(Refusal):
                check_order_number(typed)


@pytest.mark.parametrize("typed", ["", "ABCD", "UUUU-UUUU-UUUU", "0" * 13])
def test_what_is_no_order_number_is_refused(typed: str) -> None:
    with pytest.raises(Refusal) as refused:
        check_order_number(typed)
    assert refused.value.code == "id.invalid"


def test_the_real_world_mints_distinct_ids_now() -> None:
    world = SystemWorld(cell=9)
    ids = {world.mint("order", world.gene()) for _ in range(2_000)}
    assert len(ids) == 2_000
    assert {cell_of(one) for one in ids} == {9}
    assert abs(time_of(min(ids)) - world.now_ms()) < 60_000
    assert all(0 <= world.chance(5) < 32 for _ in range(100))


def test_the_test_world_replays() -> None:
    one, two = TestWorld(seed=4), TestWorld(seed=4)
    assert [one.mint("order", one.gene()) for _ in range(5)] == [
        two.mint("order", two.gene()) for _ in range(5)
    ]
    assert one.advance(5) == two.now_ms() + 5


@pytest.mark.parametrize("gene", [0, 1, 511, 512, 1023])
@pytest.mark.parametrize("cell", [0, 1, 63, 64, 255])
@pytest.mark.parametrize("chance", [0, 1, (1 << 56) - 1, 0x5A_3C96_F00D_1234, 0xA5_0000_FFFF_9876])
def test_an_id_of_drawn_letters_is_the_id_of_their_number(gene: int, cell: int, chance: int) -> None:
    letters = "".join(ALPHABET[(chance >> shift) & 31] for shift in range(45, -5, -5))
    six = chance >> 50
    assert compose_id("ord", gene, START_MS, cell, six, letters) == mint_id(
        "ord", gene, START_MS, cell, chance
    )


def test_the_system_draws_ids_that_differ_and_fit() -> None:
    world = SystemWorld(cell=77)
    minted = [world.mint("order", 700) for _ in range(2_000)]  # more than one draw from the system brings
    assert len(set(minted)) == len(minted)
    assert {(gene_of(each), cell_of(each)) for each in minted} == {(700, 77)}
    assert all(check_id(each, "order") == each for each in minted)
    for place in range(20, 30):
        assert {each[place] for each in minted} == set(ALPHABET), "every letter is drawn at every place"
