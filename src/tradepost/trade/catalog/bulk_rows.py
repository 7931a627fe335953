"""The flat format of bulk import and export: one row is one price of one offer, as CSV or as JSON lines.

A column that is left out keeps what is there; an empty cell empties it. Rows of one offer follow each other and
differ in their price window only; a row without currency describes a SKU without an offer.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from tradepost.kernel.errors import Refusal
from tradepost.kernel.money import price_from_major, price_to_major
from tradepost.trade.catalog.model import Layer, Offer, PriceWindow, Product, Sku
from tradepost.trade.catalog.rules import accept_code

COLUMNS = (
    "seller",
    "product_code",
    "product_title",
    "sku_code",
    "title",
    "description",
    "image",
    "tax_category",
    "groups",
    "components",
    "weight_g",
    "offer_code",
    "markets",
    "currency",
    "price",
    "from_ms",
    "until_ms",
    "pool",
    "limit_per_buyer",
    "quantity_max",
    "state",
    "stock",
)
LINE_MAX = 131_072
_WHOLE = re.compile(r"[0-9]{1,15}\Z")
Cells = dict[str, str]


class BulkRow(msgspec.Struct, frozen=True, kw_only=True):
    """One read row. None says the column was left out."""

    line_no: int
    seller: str
    sku_code: str
    offer_code: str = ""
    product_code: str | None = None
    product_title: str | None = None
    title: str | None = None
    description: str | None = None
    image: str | None = None
    tax_category: str | None = None
    groups: tuple[str, ...] | None = None
    components: tuple[tuple[str, int], ...] | None = None
    weight_g: int | None = None
    markets: tuple[str, ...] | None = None
    window: PriceWindow | None = None
    pool: str | None = None
    limit_per_buyer: int | None = None
    quantity_max: int | None = None
    state: str | None = None
    stock: int | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        """What the rows of one offer share."""
        return (self.seller, self.sku_code, self.offer_code)


class BadRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row that cannot be read, and why; `key` as far as it was readable."""

    line_no: int
    refusal: Refusal
    key: tuple[str, str, str] = ("", "", "")


def read_csv(lines: Iterable[str], seller_id: str = "") -> Iterator[BulkRow | BadRow]:
    """The rows of a CSV text with a header line; line numbers count from 1 and name a row's last line.

    Raises Refusal `catalog.column_unknown` or `catalog.column_missing` for a header that cannot be used.
    """
    reader = csv.reader(iter(lines), strict=True)
    header = _header(reader)
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield BadRow(line_no=reader.line_num, refusal=_malformed(str(error)))
            continue
        if not cells:
            continue
        if len(cells) != len(header):
            refusal = _malformed(f"{len(cells)} cells under {len(header)} columns")
            yield BadRow(line_no=reader.line_num, refusal=refusal)
            continue
        yield _read(reader.line_num, dict(zip(header, cells, strict=True)), seller_id)


def _header(reader: Iterator[list[str]]) -> list[str]:
    try:
        header = [name.strip().lower() for name in next(reader, [])]
    except csv.Error as error:
        raise _malformed(str(error)) from None
    if header:
        header[0] = header[0].removeprefix("\ufeff")
    _known_columns(header)
    if "sku_code" not in header or len(set(header)) != len(header):
        raise Refusal("catalog.column_missing", "The header needs each column once.", field="sku_code")
    return header


def _known_columns(names: Iterable[str]) -> None:
    unknown = [name for name in names if name not in COLUMNS]
    if unknown:
        raise Refusal(
            "catalog.column_unknown",
            f"There is no column {unknown[0][:40]!r}.",
            field=unknown[0][:40],
            expected=", ".join(COLUMNS),
        )


def read_json_lines(lines: Iterable[str], seller_id: str = "") -> Iterator[BulkRow | BadRow]:
    """The rows of a text with one JSON object a line; lists may stand for `markets` and `components`."""
    decode = msgspec.json.Decoder(dict[str, str | int | list[str] | None]).decode
    for line_no, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            if len(line) > LINE_MAX:
                raise _malformed(f"longer than {LINE_MAX} letters")
            given = decode(line)
            _known_columns(given)
        except Refusal as refusal:
            yield BadRow(line_no=line_no, refusal=refusal)
            continue
        except (msgspec.DecodeError, UnicodeEncodeError) as error:
            yield BadRow(line_no=line_no, refusal=_malformed(f"{error} (prices are strings)"))
            continue
        yield _read(
            line_no, {name: _cell(value) for name, value in given.items() if value is not None}, seller_id
        )


def _cell(value: str | int | list[str] | None) -> str:
    return "; ".join(value) if isinstance(value, list) else str(value)


def _malformed(why: str) -> Refusal:
    return Refusal("catalog.row_malformed", f"The row cannot be read: {why}.")


def _read(line_no: int, cells: Cells, seller_id: str) -> BulkRow | BadRow:
    seller = cells.get("seller", "").strip() or seller_id
    key = (seller, cells.get("sku_code", ""), cells.get("offer_code", ""))
    try:
        if seller_id and seller != seller_id:
            raise Refusal("catalog.seller_mismatch", f"The row names {seller[:60]}.", field="seller")
        if not seller:
            raise _missing("seller")
        return _typed(line_no, cells, key)
    except Refusal as refusal:
        return BadRow(line_no=line_no, refusal=refusal, key=key)


def _typed(line_no: int, cells: Cells, key: tuple[str, str, str]) -> BulkRow:
    if not key[1]:
        raise _missing("sku_code")
    if key[2]:
        accept_code(key[2], "offer_code")
    markets = cells.get("markets")
    return BulkRow(
        line_no=line_no,
        seller=key[0],
        sku_code=accept_code(key[1], "sku_code"),
        offer_code=key[2],
        product_code=cells.get("product_code") or None,
        product_title=cells.get("product_title") or None,
        title=cells.get("title"),
        description=cells.get("description"),
        image=cells.get("image"),
        tax_category=cells.get("tax_category") or None,
        groups=_names(cells["groups"]) if "groups" in cells else None,
        components=_components(cells.get("components")),
        weight_g=_whole(cells, "weight_g"),
        markets=(_names(markets) or None) if markets else None,
        window=_window(cells),
        pool=cells.get("pool") or None,
        limit_per_buyer=_whole(cells, "limit_per_buyer"),
        quantity_max=_whole(cells, "quantity_max"),
        state=cells.get("state") or None,
        stock=_whole(cells, "stock"),
    )


def _names(text: str) -> tuple[str, ...]:
    return tuple(sorted(text.replace(";", " ").replace(",", " ").split()))


def _missing(field: str) -> Refusal:
    return Refusal("catalog.column_missing", f"The row has no {field}.", field=field)


def _whole(cells: Cells, field: str) -> int | None:
    text = cells.get(field, "").strip()
    if not text:
        return None
    if not _WHOLE.match(text):
        raise Refusal("catalog.number_invalid", f"{text[:20]!r} is no whole number.", field=field)
    return int(text)


def _window(cells: Cells) -> PriceWindow | None:
    currency, price = cells.get("currency", "").strip(), cells.get("price", "").strip()
    if not currency and not price:
        return None
    if not currency or not price:
        raise _missing("price" if currency else "currency")
    return PriceWindow(
        currency=currency,
        price_e4=price_from_major(price, currency),
        from_ms=_whole(cells, "from_ms") or 0,
        until_ms=_whole(cells, "until_ms") or 0,
    )


def _components(text: str | None) -> tuple[tuple[str, int], ...] | None:
    if text is None:
        return None
    parts: list[tuple[str, int]] = []
    for part in filter(None, (piece.strip() for piece in text.split(";"))):
        code, star, count = part.rpartition("*")
        counted = bool(star) and count.isascii() and count.isdigit()
        if counted and len(count) > 6:
            raise Refusal("catalog.number_invalid", f"{count[:20]!r} is too many.", field="components")
        parts.append((code.strip(), int(count)) if counted else (part, 1))
    return tuple(parts)


def format_rows(
    product: Product, sku: Sku, offers: Sequence[Offer], code_of: dict[str, str]
) -> Iterator[Cells]:
    """The rows that bring a SKU and its offers back: one a price, or one for a SKU without offers."""
    common = {
        "seller": sku.seller_id,
        "product_code": product.code,
        "product_title": product.title,
        "sku_code": sku.code,
        "title": sku.title,
        "description": product.description,
        "image": product.image,
        "tax_category": product.tax_category,
        "groups": " ".join(product.groups),
        "components": "; ".join(sorted(f"{code_of[part.sku_id]}*{part.quantity}" for part in sku.components)),
        "weight_g": str(sku.weight_g),
    }
    if not offers:
        yield common
    for offer in sorted(offers, key=lambda offer: offer.code):
        terms = offer.facts.terms
        for window in [one for one in terms.prices if one.layer is Layer.LIST]:
            yield common | {
                "offer_code": offer.code,
                "markets": " ".join(terms.markets),
                "currency": window.currency,
                "price": price_to_major(window.price_e4, window.currency),
                "from_ms": str(window.from_ms),
                "until_ms": str(window.until_ms),
                "pool": terms.pool,
                "limit_per_buyer": str(terms.limit_per_buyer),
                "quantity_max": str(terms.quantity_max),
                "state": offer.state,
            }


def write_csv(rows: Iterable[Cells], *, header: bool = False) -> str:
    """The rows as CSV text, after the header line when asked for."""
    text = io.StringIO(newline="")
    writer: Any = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    if header:
        writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def write_json_lines(rows: Iterable[Cells]) -> str:
    """The rows as one JSON object a line."""
    return "".join(msgspec.json.encode(row).decode() + "\n" for row in rows)
