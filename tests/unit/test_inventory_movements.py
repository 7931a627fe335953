"""The movement log of a SKU, read through its spans: every row once, in order of reference, whatever the page."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradepost.infra.storage.sqlite import SqliteStorage
from tradepost.kernel.ids import gene_of
from tradepost.testing.world import TestWorld
from tradepost.trade import inventory
from tradepost.trade.inventory import store

SHORT = "abcdefghij"
WIDE = "abcdefghijk"


def rows(sku_id: str, references: list[str]) -> list[tuple[int, str, str, str, str, str, int, int, int, int]]:
    """Two movements under each reference."""
    gene = gene_of(sku_id)
    return [
        (gene, sku_id, reference, kind, "main", "shop", 1, 0, 0, 1)
        for reference in references
        for kind in ("hold", "reserve")
    ]


async def read_all(db: SqliteStorage, sku_id: str, limit: int) -> list[tuple[str, str]]:
    """Every movement by pages."""
    found: list[tuple[str, str]] = []
    while True:
        after = found[-1] if found else ("", "")
        page = await db.read(0, inventory.movements, sku_id, after, limit)
        found += [(row.reference, row.kind) for row in page]
        if len(page) < limit:
            return found


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
async def test_every_movement_is_read_once(db: SqliteStorage, world: TestWorld, limit: int) -> None:
    mine, other = world.mint("sku", 3), world.mint("sku", 3)
    references = [
        SHORT,
        WIDE,
        WIDE + "a",
        WIDE + "\u00e9",
        "b",
        "b c",
        *[world.mint("order", gene) for gene in range(5)],
    ]
    await db.transact(0, store.insert_movements, rows(mine, references[:4]))
    await db.transact(0, store.insert_movements, rows(mine, references[4:]))
    await db.transact(0, store.insert_movements, rows(other, ["abc", WIDE + "z"]))
    wanted = [(reference, kind) for reference in sorted(references) for kind in ("hold", "reserve")]
    assert await read_all(db, mine, limit) == wanted
    assert await read_all(db, other, limit) == [
        (reference, kind) for reference in ("abc", WIDE + "z") for kind in ("hold", "reserve")
    ]


@given(st.sets(st.text(st.sampled_from("ab_1"), min_size=1, max_size=14), min_size=1, max_size=30))
@settings(max_examples=50)
def test_a_reference_lies_in_its_own_span_only(references: set[str]) -> None:
    spans = {reference[: store.SPAN_LETTERS] for reference in references}
    for reference in references:
        covering = [
            span
            for span in spans
            if (reference.startswith(span) if len(span) == store.SPAN_LETTERS else reference == span)
        ]
        assert covering == [reference[: store.SPAN_LETTERS]]
