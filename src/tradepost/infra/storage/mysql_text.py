"""House statements as text for MySQL: values in place of marks, many rows in one statement.

Values become text through the driver's own escaping (`pymysql.converters`), bytes that are UTF-8 by escaping the two
letters that must be. Both are right for a connection of charset utf8mb4 whose sql_mode lacks NO_BACKSLASH_ESCAPES;
`mysql_target` opens no other.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import msgspec
from pymysql.converters import escape_bytes, escape_string

from tradepost.infra.storage.vitess_rows import json_rows
from tradepost.kernel.tx import Row, Value

TEXT_CHARS_MAX = 1 << 20
"""About the longest statement of many rows; a longer list goes in several. One row may be longer."""
DRIVEN_ROWS_MIN = 8
"""Below this many rows, one statement a row in one packet is cheaper than a join (docs/adr/0021)."""
_MARKS = re.compile(r"'(?:[^'\\]|\\.|'')*'|\"(?:[^\"\\]|\\.|\"\")*\"|`[^`]*`|\?", re.DOTALL)
_INSERT = re.compile(r"(INSERT INTO .*? VALUES )(\(.*\))\s*", re.DOTALL)
_UPDATE = re.compile(r"UPDATE (\w+) SET (.+) WHERE (.+)", re.DOTALL)
_DELETE = re.compile(r"DELETE FROM (\w+) WHERE (.+)", re.DOTALL)
_FROM = re.compile(r" FROM \w+")
_EQUAL = re.compile(r"(\w+)\s*=\s*\?")


def literal(value: Value) -> str:
    """One value as the driver escapes it. Raises TypeError for what no column keeps."""
    if isinstance(value, str):
        return f"'{escape_string(value)}'"
    if isinstance(value, int):
        return str(int(value))
    if value is None:
        return "NULL"
    if isinstance(value, bytes | bytearray | memoryview):
        return _bytes(bytes(value))
    raise TypeError(f"{type(value).__name__} is no value of a column")


def _bytes(value: bytes) -> str:
    """Bytes that are text, as most bodies are, as that text: half as long as in hexadecimal, which the rest is in."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return str(escape_bytes(value))
    slashed = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"_binary'{slashed}'"


def literals(values: Iterable[Value]) -> list[str]:
    """Many values as `literal` writes them; values of one type, as a column has them, cost a third of that each.

    What reads as a name, as most ids do, needs no escaping.
    """
    known = list(values)
    kinds = set(map(type, known))
    if kinds == {int}:
        return list(map(str, known))
    if kinds == {str}:
        texts: list[Any] = known
        return [f"'{v}'" if v.isidentifier() else f"'{escape_string(v)}'" for v in texts]
    return list(map(literal, known))


def tuples(rows: Sequence[Sequence[Value]]) -> list[str]:
    """Each row as the inside of `(...)`, written column by column. Raises ValueError for rows of unlike length."""
    columns = [literals(column) for column in zip(*rows, strict=True)]
    return list(map(",".join, zip(*columns, strict=True)))


@functools.lru_cache(maxsize=2048)
def pieces(sql: str) -> tuple[str, ...]:
    """The text around each `?`; marks inside quotes are letters."""
    found: list[str] = []
    start = 0
    for match in _MARKS.finditer(sql):
        if match.group() == "?":
            found.append(sql[start : match.start()])
            start = match.end()
    return (*found, sql[start:])


def bind(sql: str, params: Sequence[Value]) -> str:
    """The statement with its values. Raises ValueError when marks and values do not pair."""
    return _bound(pieces(sql), params)


def _bound(around: Sequence[str], params: Sequence[Value]) -> str:
    if len(around) != len(params) + 1:
        raise ValueError(f"{len(around) - 1} marks for {len(params)} values: {around[0][:60]!r}")
    parts = [around[0]]
    for value, piece in zip(params, around[1:], strict=True):
        parts.append(literal(value))
        parts.append(piece)
    return "".join(parts)


def bind_in(sql: str, values: Sequence[Value], params: Sequence[Value]) -> str:
    """A `{in}` statement with its list."""
    head, tail = sql.split("{in}")
    return f"{bind(head, params)}{','.join(literals(values))}{tail}"


def bind_keys(
    sql: str, columns: Sequence[str], keys: Sequence[Sequence[Value]], params: Sequence[Value]
) -> str:
    """A `{keys}` statement with its keys as a list of tuples, which both servers look up by range."""
    head, tail = sql.split("{keys}")
    return f"{bind(head, params)}{_among(columns, keys)}{tail}"


def _among(columns: Sequence[str], keys: Sequence[Sequence[Value]]) -> str:
    if len(columns) == 1:
        return f"{columns[0]} IN ({','.join(tuples(keys))})"
    return f"({','.join(columns)}) IN (({'),('.join(tuples(keys))}))"


class Many(msgspec.Struct, frozen=True):
    """A statement to be run for many rows, taken apart.

    `keys` are the places of the values that a WHERE compares with `column = ?`, `rest` the places of all others;
    `keys` is empty where the text has another form, and each row is then a statement of its own.
    """

    around: tuple[str, ...]
    verb: str
    table: str = ""
    sets: str = ""
    where: str = ""
    others: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    keys: tuple[int, ...] = ()
    rest: tuple[int, ...] = ()


@functools.lru_cache(maxsize=512)
def take_apart(sql: str) -> Many:
    """How a statement can be run for many rows."""
    around, text = pieces(sql), sql.strip()
    if _INSERT.fullmatch(text):
        return Many(around, "INSERT")
    if match := _UPDATE.fullmatch(text):
        table, sets, where = match.groups()
    elif match := _DELETE.fullmatch(text):
        table, sets, where = match.group(1), "", match.group(2)
    else:
        return Many(around, "")
    verb = text[:6]
    conditions = where.split(" AND ")
    if re.search(r"\(|'|\bOR\b|\bBETWEEN\b", re.sub(r"'\w*'", "", where)):
        return Many(around, verb)
    columns: list[str] = []
    keys: list[int] = []
    others: list[str] = []
    place = len(pieces(sets)) - 1
    rest = list(range(place))
    for condition in conditions:
        marks = len(pieces(condition)) - 1
        if match := _EQUAL.fullmatch(condition.strip()):
            columns.append(match.group(1))
            keys.append(place)
        else:
            others.append(condition)
            rest += range(place, place + marks)
        place += marks
    return Many(around, verb, table, sets, where, tuple(others), tuple(columns), tuple(keys), tuple(rest))


def driven_keys(
    sql: str,
    columns: Sequence[str],
    keys: Sequence[Sequence[Value]],
    params: Sequence[Value],
    derived: str,
) -> str:
    """A `{keys}` statement with its table joined to the keys as a derived table; see `change_texts` for `derived`.

    The keys are looked up one by one. As a list in a WHERE the optimizer first makes a tree of ranges of them, which
    costs a third more than the whole join does.
    """
    equal = " AND ".join([f"{column}=wanted.p{place}" for place, column in enumerate(columns)])
    head, tail = sql.replace(" FROM ", " FROM {wanted} STRAIGHT_JOIN ", 1).split("{keys}")
    return f"{bind(head, params)}{equal}{tail}".replace("{wanted}", _wanted(keys, derived), 1)


def json_insert_texts(sql: str, rows: Sequence[Sequence[Value]]) -> Iterator[str]:
    """The same as `insert_texts` with the rows as one JSON text."""
    head, template = _insert_parts(sql)
    columns = "?".join(template)[1:-1]
    for part in _slices(rows):
        yield f"{head[: -len('VALUES ')]}SELECT {_numbered(columns, 0)} FROM {json_rows(part, 'wanted')}"


@functools.lru_cache(maxsize=512)
def gene_place(sql: str) -> int:
    """Which value of an INSERT is its row's gene, -1 where the text itself says it or there is none."""
    head, template = _insert_parts(sql)
    columns = [name.strip() for name in head[head.index("(") + 1 : head.rindex(")")].split(",")]
    values = [value.strip() for value in "?".join(template)[1:-1].split(",")]
    if "gene" not in columns or values[columns.index("gene")] != "?":
        return -1
    return values[: columns.index("gene")].count("?")


def insert_texts(sql: str, rows: Sequence[Sequence[Value]]) -> Iterator[str]:
    """One INSERT for all rows, or several of about TEXT_CHARS_MAX. Raises ValueError where values are missing."""
    head, template = _insert_parts(sql)
    if any(len(row) != len(template) - 1 for row in rows):
        raise ValueError(f"{len(template) - 1} marks for other numbers of values: {head!r}")
    if (
        len(template) > 1
        and all(piece == "," for piece in template[1:-1])
        and template[0] + template[-1] == "()"
    ):
        texts = tuples(rows)
    else:
        texts = [_bound(template, row)[1:-1] for row in rows]
    waiting: list[str] = []
    length = 0
    for text in texts:
        if waiting and length + len(text) > TEXT_CHARS_MAX:
            yield f"{head}({'),('.join(waiting)})"
            waiting, length = [], 0
        waiting.append(text)
        length += len(text)
    yield f"{head}({'),('.join(waiting)})"


@functools.lru_cache(maxsize=512)
def _insert_parts(sql: str) -> tuple[str, tuple[str, ...]]:
    match = _INSERT.fullmatch(sql.strip())
    assert match is not None, sql
    return match.group(1), pieces(match.group(2))


def change_texts(many: Many, rows: Sequence[Sequence[Value]], derived: str) -> list[str]:
    """The cheapest statements that change each row as if one by one; several go in one packet.

    Rows that share everything but their keys are one statement with a list of keys; rows that differ are joined
    to the table as a list of values, where the server can (`derived`: what stands before a row of VALUES, "-" for
    a server that cannot) and no key comes twice, since a join changes a row once. So are rows to be deleted: a
    DELETE heeds `key_hint` in a join alone.
    """
    if not many.keys or len({tuple([row[place] for place in many.keys]) for row in rows}) < len(rows):
        return [_bound(many.around, row) for row in rows]
    classes: dict[tuple[Value, ...], list[Sequence[Value]]] = {}
    for row in rows:
        classes.setdefault(tuple([row[place] for place in many.rest]), []).append(row)
    by_list = len(classes) == 1 or len(classes) * DRIVEN_ROWS_MIN <= len(rows)
    if by_list and (many.sets or not key_hint(many.columns) or len(rows) == 1):
        return [_class_text(many, shared, members) for shared, members in classes.items()]
    if (len(rows) < DRIVEN_ROWS_MIN and not by_list) or derived == "-":
        return [_bound(many.around, row) for row in rows]
    return [_join_text(many, part, derived) for part in _slices(rows)]


def key_hint(columns: Sequence[str]) -> str:
    """What makes a server that locks rows look them up by the primary key, where that begins with these columns.

    The optimizer would rather scan a small table than look up many keys, and a list of one key it never looks up
    (MariaDB 10.11): a scan waits for every row that another writer has locked. Gene first in every key means that
    the gene and one more column are enough to find few rows (tests/arch/test_schema.py).
    """
    return " FORCE INDEX (PRIMARY)" if columns[0] == "gene" and len(columns) > 1 else ""


def lock_keys(
    sql: str, columns: Sequence[str], keys: Sequence[Sequence[Value]], params: Sequence[Value]
) -> str:
    """The same as `bind_keys` for rows to be locked: in the order of the list, and no others."""
    by_key = _FROM.sub(rf"\g<0>{key_hint(columns)}", sql, count=1)
    return f"{bind_keys(by_key, columns, keys, params)} FOR UPDATE"


def _class_text(many: Many, shared: tuple[Value, ...], members: Sequence[Sequence[Value]]) -> str:
    if len(members) == 1:
        return _bound(many.around, members[0])
    values = iter(shared)

    def fill(text: str) -> str:
        around = pieces(text)
        return _bound(around, [next(values) for _ in around[1:]])

    by_key = f"{many.table}{key_hint(many.columns)}"
    start = f"UPDATE {by_key} SET {fill(many.sets)}" if many.sets else f"DELETE FROM {many.table}"
    keys = _among(many.columns, [[row[place] for place in many.keys] for row in members])
    return " AND ".join([f"{start} WHERE {keys}", *[fill(other) for other in many.others]])


def _join_text(many: Many, rows: Sequence[Sequence[Value]], derived: str) -> str:
    wanted = _wanted(rows, derived)
    place = len(pieces(many.sets)) - 1
    where = _numbered(many.where, place)
    by_key = f"{many.table}{key_hint(many.columns)}"
    if many.sets:
        return f"UPDATE {wanted} STRAIGHT_JOIN {by_key} SET {_numbered(many.sets, 0)} WHERE {where}"
    return f"DELETE {many.table} FROM {wanted} STRAIGHT_JOIN {by_key} WHERE {where}"


def _wanted(rows: Sequence[Sequence[Value]], derived: str) -> str:
    return json_rows(rows, "wanted") if derived == "JSON" else _value_rows(rows, derived)


def _value_rows(rows: Sequence[Sequence[Value]], derived: str) -> str:
    columns = list(zip(*rows, strict=True))
    write: list[Callable[[Any], str]] = []
    names: list[str] = []
    for place, column in enumerate(columns):
        kind, empty = _column(column)
        write.append(kind)
        names.append(f"{empty} AS p{place}")
    listed = ",".join(
        [f"{derived}({','.join([w(v) for w, v in zip(write, row, strict=True)])})" for row in rows]
    )
    return f"(SELECT {','.join(names)} FROM DUAL WHERE 1=0 UNION ALL VALUES {listed}) wanted"


def _column(values: Sequence[Value]) -> tuple[Callable[[Any], str], str]:
    """How to write a column of values, and an empty value of its type to name it by.

    ASCII text says so, else it would not be looked up in the index of an ASCII column.
    """
    if any(isinstance(value, str) for value in values):
        if all(isinstance(value, str) and value.isascii() for value in values):
            return _ascii, "_ascii''"
        return literal, "''"
    if any(isinstance(value, bytes) for value in values):
        return literal, "_binary''"
    return literal, "0"


def _ascii(value: str) -> str:
    return f"_ascii'{escape_string(value)}'"


@functools.lru_cache(maxsize=512)
def _numbered(text: str, first: int) -> str:
    around = pieces(text)
    return "".join([f"{piece}wanted.p{first + n}" for n, piece in enumerate(around[:-1])]) + around[-1]


def _slices(rows: Sequence[Sequence[Value]]) -> Iterator[Sequence[Sequence[Value]]]:
    """Rows in slices of about TEXT_CHARS_MAX letters of text and bytes."""
    start = length = 0
    for place, row in enumerate(rows):
        size = sum([len(value) if isinstance(value, str | bytes) else 12 for value in row])
        if place > start and length + size > TEXT_CHARS_MAX // 2:
            yield rows[start:place]
            start, length = place, 0
        length += size
    yield rows[start:]


def in_order(keys: Iterable[Sequence[Value]]) -> list[Row]:
    """Keys once each, ascending: the order in which every writer locks rows."""
    return sorted(set(map(tuple, keys)))
