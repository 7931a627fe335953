"""The demo's goods as catalogue rows: who sells what, at which explicit price in each currency, how many."""

from __future__ import annotations

import csv
import functools
import io
from collections.abc import Iterator
from importlib import resources

import msgspec

KIT_CODE = "KIT-TEATIME"
SECOND_KIT_CODE = "KIT-PARTY"
STOCK = 500
SCARCE_STOCK = 5
LIMIT_PER_BUYER = 2
HEADER = (
    "sku_code",
    "title",
    "description",
    "components",
    "markets",
    "currency",
    "price",
    "limit_per_buyer",
    "quantity_max",
    "pool",
    "state",
)


class Good(msgspec.Struct, frozen=True):
    """One line of goods.csv: a code, what it is, and its usual price in pence."""

    code: str
    title: str
    pence: int


class Special(msgspec.Struct, frozen=True):
    """A good with something to see: a limit per buyer, or little stock."""

    code: str
    limit_per_buyer: int = 0
    stock: int = STOCK


SPECIALS: dict[str, Special] = {
    "85123A": Special("85123A", limit_per_buyer=LIMIT_PER_BUYER),
    "21621": Special("21621", stock=SCARCE_STOCK),
}
KITS: dict[str, tuple[str, tuple[str, ...]]] = {
    KIT_CODE: ("Teatime Kit: Cake Stand and Two Tins", ("22423*1", "22720*2")),
    SECOND_KIT_CODE: ("Party Kit: Bunting and Napkins", ("47566*1", "21212*3")),
}
"""Kit code to its title and components; a kit is sold by the first seller that has them all."""


SELLERS: tuple[str, ...] = ("Lantern & Lace", "Harbour Toys", "Paper Lane")
_PAPER = """
paper card cards wrap pencil pencils napkins notebook sticker stickers doilies doiley tissues cases book album gift
tag tags ribbon ribbons pen party bunting tape stationery journal letter envelope stamp stamps frames memo magnets
"""
_TOYS = """
toy toys doll dolly girl girls boy boys children childrens childs kid game games puzzle spaceboy skittles jigsaw
circus dinosaur dinosaurs animal animals robot robots shark playhouse feltcraft ludo dominoes snakes knitting owl
baby lunch piggy soldier soldiers skipping helicopter charlotte
"""
_WORDS = {"Paper Lane": frozenset(_PAPER.split()), "Harbour Toys": frozenset(_TOYS.split())}


def seller_of(good: Good) -> str:
    """The demo seller that would have this in its window."""
    words = set(good.title.lower().replace("-", " ").replace("'", "").split())
    return next((seller for seller, known in _WORDS.items() if words & known), SELLERS[0])


@functools.cache
def goods() -> tuple[Good, ...]:
    """The goods of goods.csv, in order of code."""
    text = resources.files(__package__).joinpath("goods.csv").read_text("utf-8")
    rows = list(csv.reader(io.StringIO(text)))[1:]
    return tuple(Good(code, title, int(price.replace(".", ""))) for code, title, price in rows)


def prices_of(pence: int) -> dict[str, str]:
    """The explicit price in each currency: dollars end in 9 cents, yen in tens."""
    cents, yen = pence * 13 // 10 // 10 * 10 + 9, max(pence * 19 // 100, 1) * 10
    return {
        "GBP": f"{pence // 100}.{pence % 100:02d}",
        "USD": f"{cents // 100}.{cents % 100:02d}",
        "JPY": str(yen),
    }


def rows_of(chosen: tuple[Good, ...]) -> Iterator[str]:
    """The import rows of one seller's goods as CSV lines, kits last."""
    yield ",".join(HEADER) + "\n"
    by_code = {good.code: good for good in chosen}
    for good in chosen:
        special = SPECIALS.get(good.code, Special(good.code))
        yield from _lines(good, "", special.limit_per_buyer)
    for code, (title, parts) in KITS.items():
        counted = [(part.split("*")[0], int(part.split("*")[1])) for part in parts]
        if all(part in by_code for part, _ in counted):
            pence = sum(by_code[part].pence * count for part, count in counted) * 9 // 10
            yield from _lines(Good(code, title, pence), "; ".join(parts), 0)


def _lines(good: Good, components: str, limit: int) -> Iterator[str]:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    description = f"{good.title}."
    for currency, price in prices_of(good.pence).items():
        row = (
            good.code,
            good.title,
            description,
            components,
            "GB JP US",
            currency,
            price,
            limit,
            0,
            "shop",
            "ACTIVE",
        )
        writer.writerow(row)
    yield from text.getvalue().splitlines(keepends=True)
