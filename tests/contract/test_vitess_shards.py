"""The shard map and the routing of tables, judged without a server."""

from __future__ import annotations

from pathlib import Path

import pytest

import tradepost.services
from tradepost.infra.storage import vitess_schema
from tradepost.infra.storage.migrate import load_tables
from tradepost.infra.storage.tables.columns import METADATA
from tradepost.infra.storage.vitess_shards import keyspace_id, parent_of, read_shards
from tradepost.kernel.errors import Refusal
from tradepost.kernel.ids import GENES

FOUR = ["shop/-40", "shop/40-80", "shop/80-c0", "shop/c0-"]
EIGHT = ["-20", "20-40", "40-60", "60-80", "80-a0", "a0-c0", "c0-e0", "e0-"]


def test_a_shard_is_numbered_by_the_remainder_of_its_genes() -> None:
    shards = read_shards([*FOUR, "global/0"], "shop")
    assert [shard.key_range for shard in shards] == ["-40", "80-c0", "40-80", "c0-"]
    assert shards[1].target() == "shop:80-c0@primary"
    assert shards[1].target("replica") == "shop:80-c0@replica"
    for gene in range(GENES):
        place = keyspace_id(gene) >> 62
        assert shards[gene % 4].key_range == ["-40", "40-80", "80-c0", "c0-"][place]


@pytest.mark.parametrize("listed", [["shop/0"], ["shop/-"]])
def test_an_unsharded_keyspace_is_one_shard(listed: list[str]) -> None:
    assert [shard.number for shard in read_shards(listed, "shop")] == [0]


def test_a_number_lies_on_the_shard_it_tells_about() -> None:
    shards = read_shards([f"shop/{each}" for each in EIGHT], "shop")
    assert [shard.number for shard in shards] == list(range(8))
    for shard in shards:
        start, _, end = shard.key_range.partition("-")
        first, last = int(start.ljust(2, "0"), 16), int(end, 16) if end else 256
        assert first <= keyspace_id(shard.number) >> 56 < last


def test_a_split_keeps_numbers_and_names_parents() -> None:
    before = {shard.number for shard in read_shards(FOUR, "shop")}
    after = read_shards([f"shop/{each}" for each in EIGHT], "shop")
    assert {parent_of(shard.number, len(after)) for shard in after} == before
    assert all(parent_of(number, 8) == number for number in before)
    assert parent_of(0, 1) == 0


@pytest.mark.parametrize(
    "ranges",
    [
        [],
        ["-80"],
        ["-40", "40-80", "80-"],
        ["-40", "40-"],
        ["-80", "-80"],
        ["-80", "80-c0", "c0-e0", "e0-"],
        ["north", "south"],
        ["-zz", "zz-"],
    ],
)
def test_other_ranges_are_refused(ranges: list[str]) -> None:
    with pytest.raises(Refusal) as refused:
        read_shards([f"shop/{each}" for each in ranges], "shop")
    assert refused.value.code == "storage.shard_map"


def test_every_table_is_routed_by_the_first_column_of_its_keys() -> None:
    load_tables()
    tables = vitess_schema.vschema()["tables"]
    assert set(tables) == {*METADATA.tables, "alembic_version"}
    for name, table in METADATA.tables.items():
        if name in vitess_schema.SHARD_OWN:
            continue
        (vindex,) = tables[name]["column_vindexes"]
        assert vindex == {"column": next(iter(table.primary_key.columns)).name, "name": "gene"}
        for index in table.indexes:
            if index.unique:
                assert index.columns[0].name == vindex["column"], f"{index.name} is unique on a shard only"


def test_the_committed_vschema_is_the_generated_one() -> None:
    committed = Path(tradepost.services.__file__).parent / "vitess" / "vschema.json"
    assert committed.read_text() == vitess_schema.written(), (
        "run: python -m tradepost.infra.storage.vitess_schema > src/tradepost/services/vitess/vschema.json"
    )
