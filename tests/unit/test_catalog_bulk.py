"""Bulk import: every refused row is reported with line, code, field and reason; done again it changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from tradepost.kernel.errors import Refusal, problem_table
from tradepost.testing.world import TestWorld
from tradepost.trade import catalog
from tradepost.trade.catalog import ImportReport, StockRow, bulk_import

HEAD = "sku_code,title,currency,price"


@pytest.fixture
async def seller_id(db: Any, world: TestWorld) -> str:
    """A seller the catalogue knows."""
    return await known_seller(db, world)


async def known_seller(db: Any, world: TestWorld) -> str:
    seller_id = world.mint("seller", 5)
    facts = catalog.SellerFacts(seller_id=seller_id, state="ACTIVE", fee_bps=800, version=1)
    await db.transact(0, catalog.note_sellers, [facts])
    return seller_id


async def load(
    db: Any, world: TestWorld, seller_id: str, text: str, form: str = "csv", **options: Any
) -> ImportReport:
    report = await catalog.import_rows(
        db, world, text.splitlines(keepends=True), form=form, seller_id=seller_id, **options
    )
    assert report.rows_read == report.rows_applied + report.rows_refused
    assert len(report.refused) == report.rows_refused
    return report


async def save(db: Any, seller_id: str, form: str = "csv") -> str:
    return "".join([piece async for piece in catalog.export_rows(db, seller_id, form=form)])


async def test_weights_come_and_go_with_the_file(db: Any, world: TestWorld, seller_id: str) -> None:
    await load(db, world, seller_id, f"{HEAD},weight_g\nA,Lantern,GBP,2.555,420\nB,Mug,GBP,1,\n")

    async def weights() -> dict[str, tuple[int, int]]:
        offers = (await db.read(0, catalog.offers_of_seller, seller_id)).offers
        skus = await db.read(0, catalog.skus_by_code, seller_id, ["A", "B"])
        return {one.sku_code: (one.weight_g, skus[one.sku_code].weight_g) for one in offers}

    assert await weights() == {"A": (420, 420), "B": (0, 0)}
    saved = await save(db, seller_id)
    changed = await load(db, world, seller_id, f"{HEAD}\nA,Lamp,GBP,2.555\n")
    assert (changed.rows_applied, await weights()) == (1, {"A": (420, 420), "B": (0, 0)})
    await load(db, world, seller_id, f"{HEAD},weight_g\nA,Lamp,GBP,2.555,500\n")
    assert (await weights())["A"] == (500, 500)
    await load(db, world, seller_id, saved)
    assert await weights() == {"A": (420, 420), "B": (0, 0)}


async def test_groups_come_and_go_with_the_file(db: Any, world: TestWorld, seller_id: str) -> None:
    await load(db, world, seller_id, f"{HEAD},groups\nA,Lantern,GBP,2.555,summer; light\nB,Mug,GBP,1,\n")

    async def groups() -> dict[str, tuple[str, ...]]:
        offers = (await db.read(0, catalog.offers_of_seller, seller_id)).offers
        return {one.sku_code: one.groups for one in offers}

    assert await groups() == {"A": ("light", "summer"), "B": ()}
    saved = await save(db, seller_id)
    await load(db, world, seller_id, f"{HEAD}\nA,Lamp,GBP,2.555\n")
    assert (await groups())["A"] == ("light", "summer"), "a column that is left out changes nothing"
    await load(db, world, seller_id, f"{HEAD},groups\nA,Lamp,GBP,2.555,\n")
    assert (await groups())["A"] == ()
    await load(db, world, seller_id, saved)
    assert await groups() == {"A": ("light", "summer"), "B": ()}


async def test_import_creates_then_changes_nothing(db: Any, world: TestWorld, seller_id: str) -> None:
    text = f"{HEAD}\nA,Lantern,GBP,2.555\nA,Lantern,USD,3.5\nB,Mug,GBP,0\n"
    first = await load(db, world, seller_id, text)
    assert (first.rows_applied, first.skus_created, first.offers_created) == (3, 2, 2)
    offers = (await db.read(0, catalog.offers_of_seller, seller_id)).offers
    assert {(o.sku_code, o.markets, o.tax_category, o.pool) for o in offers} == {
        ("A", ("GB", "US"), "standard", "shop"),
        ("B", ("GB",), "standard", "shop"),
    }
    again = await load(db, world, seller_id, text)
    assert (again.skus_created, again.offers_created, again.offers_changed, again.items_unchanged) == (
        0,
        0,
        0,
        2,
    )
    dearer = await load(db, world, seller_id, f"{HEAD}\nA,Lamp,GBP,2.56\nA,Lamp,USD,3\n")
    assert (dearer.offers_changed, dearer.items_unchanged) == (1, 0)
    found = (await db.read(0, catalog.offers_of_codes, seller_id, ["A"]))["A"][0]
    assert (found.facts.title, found.version) == ("Lamp", 2)
    assert [window.price_e4 for window in found.facts.terms.prices] == [2_560_000, 3_000_000]


async def test_left_out_columns_keep_what_is_there(db: Any, world: TestWorld, seller_id: str) -> None:
    text = "sku_code,title,description,currency,price,limit_per_buyer,markets\nA,Lantern,Bright,GBP,1,3,GB\n"
    await load(db, world, seller_id, text)
    await load(db, world, seller_id, "sku_code,currency,price\nA,GBP,2\n")
    facts = (await db.read(0, catalog.offers_of_codes, seller_id, ["A"]))["A"][0].facts
    assert (facts.title, facts.description, facts.terms.limit_per_buyer) == ("Lantern", "Bright", 3)
    await load(db, world, seller_id, "sku_code,description\nA,\n")
    facts = (await db.read(0, catalog.offers_of_codes, seller_id, ["A"]))["A"][0].facts
    assert (facts.description, facts.terms.prices[0].price_e4) == ("", 2_000_000)


async def test_products_are_shared_by_code(db: Any, world: TestWorld, seller_id: str) -> None:
    head = "product_code,sku_code,title,description,currency,price"
    await load(db, world, seller_id, f"{head}\nP,S,Small,Text,GBP,1\nP,L,Large,Text,GBP,2\n")
    await load(db, world, seller_id, f"{head}\nP,L,Large,Newer,GBP,2\n")
    found = await db.read(0, catalog.offers_of_codes, seller_id, ["S", "L"])
    assert {offers[0].facts.description for offers in found.values()} == {"Newer"}
    assert len({offers[0].facts.product_id for offers in found.values()}) == 1


async def test_kits_come_after_their_components(db: Any, world: TestWorld, seller_id: str) -> None:
    head = "sku_code,title,components,currency,price"
    rows = "K,Kit,A*2; B,GBP,5\nA,Cup,,GBP,1\nB,Plate,,GBP,1\nK,Kit,A*2;B*1,GBP,5\n"
    report = await load(db, world, seller_id, f"{head}\n{rows}")
    assert [(row.line_no, row.code) for row in report.refused] == [
        (2, "catalog.component_unknown"),
        (5, "catalog.rows_scattered"),
    ]
    again = await load(db, world, seller_id, f"{head}\nK,Kit,A*2;B*1,GBP,5\n")
    assert again.skus_created == 1
    fixed = await load(db, world, seller_id, f"{head}\nK,Kit,A*3,GBP,5\n")
    assert [(row.code, row.field) for row in fixed.refused] == [("catalog.components_fixed", "components")]


ROWS: list[tuple[str, str, str]] = [
    ("catalog.row_malformed", "", "A,Lantern,GBP"),
    ("catalog.row_malformed", "", "A,Lantern,GBP,1,1"),
    ("catalog.row_malformed", "", 'A,"Lan"tern,GBP,1'),
    ("catalog.column_missing", "sku_code", ",Lantern,GBP,1"),
    ("catalog.code_invalid", "sku_code", "A ,Lantern,GBP,1"),
    ("catalog.code_invalid", "sku_code", "A;B,Lantern,GBP,1"),
    ("catalog.column_missing", "price", "A,Lantern,GBP,"),
    ("catalog.column_missing", "currency", "A,Lantern,,1"),
    ("money.currency_unknown", "currency", "A,Lantern,XYZ,1"),
    ("money.price_invalid", "price", "A,Lantern,GBP,1.1234567"),
    ("money.price_invalid", "price", "A,Lantern,GBP,cheap"),
    ("money.price_invalid", "price", "A,Lantern,GBP,1e3"),
    ("catalog.price_negative", "prices[0].price", "A,Lantern,GBP,-1"),
    ("catalog.text_invalid", "title", "A,,GBP,1"),
    ("catalog.markets_invalid", "markets", "A,Lantern,CHF,1"),
]


@pytest.mark.parametrize(("code", "field", "row"), ROWS)
async def test_refused_csv_rows(
    db: Any, world: TestWorld, seller_id: str, code: str, field: str, row: str
) -> None:
    report = await load(db, world, seller_id, f"{HEAD}\nGOOD,Mug,GBP,1\n{row}\nALSO,Cup,GBP,1\n")
    assert [(bad.line_no, bad.code, bad.field) for bad in report.refused] == [(3, code, field)]
    assert report.refused[0].reason
    assert code in problem_table()
    assert report.offers_created == 2, "the others stand"


WIDE_ROWS: list[tuple[str, dict[str, Any]]] = [
    ("catalog.number_invalid", {"limit_per_buyer": "1.5"}),
    ("catalog.number_invalid", {"from_ms": "soon"}),
    ("catalog.number_invalid", {"weight_g": "-1"}),
    ("catalog.weight_invalid", {"weight_g": "10000001"}),
    ("catalog.number_invalid", {"components": "B*1234567"}),
    ("catalog.components_invalid", {"components": "A*1"}),
    ("catalog.state_invalid", {"state": "LOST"}),
    ("catalog.pool_invalid", {"pool": "No Pool"}),
    ("catalog.limit_invalid", {"quantity_max": 1_000_001}),
    ("catalog.market_without_price", {"markets": ["GB", "US"]}),
    ("market.unknown", {"markets": "GB XX"}),
    ("catalog.price_window_empty", {"from_ms": 5, "until_ms": 5}),
    ("catalog.code_invalid", {"offer_code": " x"}),
    ("catalog.code_invalid", {"product_code": " x"}),
    ("catalog.image_invalid", {"image": "lantern.png"}),
    ("catalog.text_invalid", {"tax_category": "A B"}),
    ("catalog.group_invalid", {"groups": "summer SALE"}),
    ("catalog.column_unknown", {"colour": "red"}),
    ("catalog.stock_unsupported", {"stock": 5}),
    ("catalog.seller_mismatch", {"seller": "sel_other"}),
    ("catalog.row_malformed", {"price": 1.5}),
    ("catalog.row_malformed", {"title": {"en": "x"}}),
    ("catalog.row_malformed", {"description": "x" * 140_000}),
]


@pytest.mark.parametrize(("code", "change"), WIDE_ROWS)
async def test_refused_json_rows(
    db: Any, world: TestWorld, seller_id: str, code: str, change: dict[str, Any]
) -> None:
    row = {"sku_code": "A", "title": "Lantern", "currency": "GBP", "price": "1"} | change
    text = msgspec.json.encode(row).decode() + '\n{"sku_code":\n\n{"sku_code": "OK", "title": "Mug"}\n'
    report = await load(db, world, seller_id, text, "jsonl")
    assert [(bad.line_no, bad.code) for bad in report.refused] == [(1, code), (2, "catalog.row_malformed")]
    assert (report.skus_created, report.offers_created) == (1, 0)


async def test_rows_of_an_offer_are_applied_together(db: Any, world: TestWorld, seller_id: str) -> None:
    report = await load(
        db,
        world,
        seller_id,
        f"{HEAD}\nA,Lantern,GBP,1\nA,Lantern,USD,x\nB,Mug,GBP,1\nB,Jug,USD,1\nC,Cup,GBP,1\nC,Cup,GBP,2\n",
    )
    assert [(row.line_no, row.code) for row in report.refused] == [
        (2, "catalog.rows_withheld"),
        (3, "money.price_invalid"),
        (4, "catalog.rows_disagree"),
        (5, "catalog.rows_disagree"),
        (6, "catalog.price_windows_overlap"),
        (7, "catalog.price_windows_overlap"),
    ]
    rows = "".join(f"A,Lantern,GBP,{n}\n" for n in range(70))
    many = await load(db, world, seller_id, f"{HEAD}\n{rows}")
    assert (many.rows_refused, many.refused[-1].code) == (70, "catalog.prices_too_many")


@pytest.mark.parametrize(
    ("code", "head"),
    [
        ("catalog.column_unknown", "sku_code,colour"),
        ("catalog.column_missing", "title"),
        ("catalog.column_missing", "sku_code,sku_code"),
        ("catalog.column_missing", ""),
        ("catalog.row_malformed", 'sku_code,"a"b'),
    ],
)
async def test_header_that_cannot_be_used(
    db: Any, world: TestWorld, seller_id: str, code: str, head: str
) -> None:
    with pytest.raises(Refusal) as caught:
        await load(db, world, seller_id, f"{head}\nA,B\n")
    assert caught.value.code == code


async def test_excel_header_and_blank_lines(db: Any, world: TestWorld, seller_id: str) -> None:
    report = await load(db, world, seller_id, f"\ufeff{HEAD.upper()}\r\n\r\nA,Lantern,GBP,1\r\n")
    assert report.offers_created == 1


async def test_operator_imports_for_several_sellers(db: Any, world: TestWorld, seller_id: str) -> None:
    other, unknown = await known_seller(db, world), world.mint("seller", 5)
    rows = "".join(f"{seller},A,Lantern,GBP,1\n" for seller in (seller_id, other, unknown, "", "sel_1"))
    report = await load(db, world, "", f"seller,{HEAD}\n{rows}")
    assert report.offers_created == 2
    assert [(row.line_no, row.code) for row in report.refused] == [
        (4, "catalog.seller_unknown"),
        (5, "catalog.column_missing"),
        (6, "id.invalid"),
    ]


async def test_states_follow_the_table(db: Any, world: TestWorld, seller_id: str) -> None:
    head = f"{HEAD},state"
    for state, refused in (("PAUSED", 0), ("ACTIVE", 0), ("ENDED", 0), ("ENDED", 0), ("ACTIVE", 1)):
        report = await load(db, world, seller_id, f"{head}\nA,Lantern,GBP,1,{state}\n")
        assert report.rows_refused == refused
    report = await load(db, world, seller_id, f"{HEAD}\nA,Lantern,GBP,2\n")
    assert report.refused[0].code == "state.conflict"


async def test_stock_column_goes_to_its_callback(db: Any, world: TestWorld, seller_id: str) -> None:
    seen: list[StockRow] = []
    reports: list[ImportReport] = []

    async def set_stock(rows: Sequence[StockRow]) -> None:
        seen.extend(rows)

    text = f"{HEAD},stock\nA,Lantern,GBP,1,7\nB,Mug,GBP,1,\n"
    await load(db, world, seller_id, text, set_stock=set_stock, progress=reports.append)
    skus = await db.read(0, catalog.skus_by_code, seller_id, ["A"])
    assert seen == [StockRow(sku_id=skus["A"].sku_id, quantity=7, line_no=2)]
    assert reports

    async def levels(sku_ids: Any) -> dict[str, int]:
        return {skus["A"].sku_id: 7}

    pieces = [piece async for piece in catalog.export_rows(db, seller_id, levels=levels)]
    assert [line.rsplit(",", 1)[1] for line in "".join(pieces).splitlines()] == ["stock", "7", ""]


@pytest.mark.parametrize("form", ["csv", "jsonl"])
async def test_export_over_many_pages_comes_back(
    db: Any, world: TestWorld, seller_id: str, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tradepost.trade.catalog.bulk_export.PAGE_SKUS", 3)
    monkeypatch.setattr(bulk_import, "BATCH_ROWS", 4)
    rows = "".join(f"S{n},Title {n},,GBP,{n}.125\nS{n},Title {n},,USD,{n}\n" for n in range(10))
    head = "sku_code,title,components,currency,price"
    first = await load(db, world, seller_id, f"{head}\n{rows}A-KIT,Kit,S1*2; S9,GBP,3\nBARE,No offer,,,\n")
    assert first.skus_created == 12
    text = await save(db, seller_id, form)
    same = await load(db, world, seller_id, text, form)
    assert (same.items_unchanged, same.rows_refused) == (12, 0)
    assert await save(db, seller_id, form) == text


async def test_a_batch_is_one_transaction_of_few_statements(
    db: Any, world: TestWorld, seller_id: str
) -> None:
    calls: list[str] = []
    transact = db.transact

    def counted(shard: int, work: Any, *args: Any, **kwargs: Any) -> Any:
        calls.append(work.__name__)
        return transact(shard, work, *args, **kwargs)

    db.transact = counted
    rows = "".join(f"S{n},Title,GBP,1\n" for n in range(450))
    await load(db, world, seller_id, f"{HEAD}\n{rows}")
    assert calls == ["home_skus", "apply_items"] * 3


async def test_a_report_names_so_many_refused_rows_and_counts_all(
    db: Any, world: TestWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tradepost.trade.catalog.bulk_import.REFUSED_NAMED_MAX", 3)
    lines = ["sku_code,title\n", *["only one cell\n"] * 5]
    report = await catalog.import_rows(db, world, lines)
    assert (report.rows_read, report.rows_refused, len(report.refused)) == (5, 5, 3)
