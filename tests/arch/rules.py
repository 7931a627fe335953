"""The tidy rules: each takes a parsed module and tells where it is broken."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator

from tests.arch.tree import SOURCE, Module, functions, imports

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 50
FORBIDDEN_NAMES = {
    "utils",
    "util",
    "helpers",
    "helper",
    "manager",
    "base",
    "service",
    "services",
    "common",
    "misc",
}
SQL_OF_TABLES = {
    "archive/store.py",
    "infra/storage/moving.py",
    "infra/storage/mysql_text.py",
    "infra/storage/vitess_migrate.py",
}
"""They write statements for many tables: the names come from the code's own tables, never from outside."""
AMBIENT_MODULES = {"random", "uuid", "secrets"}
AMBIENT_CALLS = {
    *(f"time.{name}" for name in ("time", "time_ns", "localtime", "gmtime", "ctime", "strftime")),
    *(f"datetime.{name}" for name in ("now", "utcnow", "today")),
    *("date.today", "os.urandom", "os.getrandom"),
}
AMBIENT_FREE = ("kernel/world.py", "settings/", "testing/", "demo/priced_shop/", "surfaces/cli/", "services/")
"""Where the clock and chance of the machine may be asked: World itself, making a secret at start, tests, terminal."""

EXACT_ROOMS = ("kernel/", "trade/", "markets/")
SQL_START = re.compile(
    r"\s*(SELECT\s|INSERT\s+INTO\s|UPDATE\s+\w+\s+SET\s|DELETE\s+FROM\s|REPLACE\s+INTO\s|WITH\s+\w+\s+AS\s)"
)
SQL_FREE = ("events/", "infra/storage/", "infra/payments/sandbox_shared.py", "testing/")
IGNORE_WITHOUT_CODE = re.compile(r"#\s*type:\s*ignore(?!\[)")

Broken = Iterator[tuple[int, str]]
Rule = Callable[[Module], Broken]


def file_is_short(module: Module) -> Broken:
    """A file has 400 lines at most."""
    lines = len(module.text.splitlines())
    if lines > FILE_LINES_MAX:
        yield lines, f"{lines} lines, {FILE_LINES_MAX} allowed: split it by noun"


def functions_are_short(module: Module) -> Broken:
    """A function has 50 lines at most, not counting decorators and docstring: promises may be as long as they are."""
    for function in functions(module):
        first = function.body[0]
        promise = (first.end_lineno or 0) - first.lineno + 1 if ast.get_docstring(function) else 0
        lines = (function.end_lineno or function.lineno) - function.lineno + 1 - promise
        if lines > FUNCTION_LINES_MAX:
            yield function.lineno, f"{function.name} has {lines} lines, {FUNCTION_LINES_MAX} allowed"


def name_is_a_noun(module: Module) -> Broken:
    """No module is called utils, helpers, manager, base or service."""
    for part in module.name.removesuffix(".py").split("/"):
        if part == "services":  # the command `tradepost services`: the servers that production needs
            continue
        if part in FORBIDDEN_NAMES or part.endswith(("_utils", "_helpers", "_manager", "_service")):
            yield 1, f"the name {part!r} says nothing: name the noun"


def time_and_chance_come_from_world(module: Module) -> Broken:
    """No ambient clock or randomness outside World."""
    if module.name.startswith(AMBIENT_FREE):
        return
    for line, name in imports(module):
        if name.split(".")[0] in AMBIENT_MODULES or name in AMBIENT_CALLS:
            yield line, f"{name} is ambient: ask World"
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute) and ".".join(ast.unparse(node).split(".")[-2:]) in AMBIENT_CALLS:
            yield node.lineno, f"{ast.unparse(node)} is ambient: ask World"


def numbers_are_exact(module: Module) -> Broken:
    """No float literal, float() or true division where money and stock are decided.

    Milliseconds over 1,000 are a timeout in seconds, as asyncio wants it.
    """
    if not module.name.startswith(EXACT_ROOMS):
        return
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, float):
            yield node.lineno, f"float literal {node.value}"
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "float":
            yield node.lineno, "float()"
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) and not _is_seconds(node):
            yield node.lineno, "true division: use // or kernel.money.divide"


def _is_seconds(node: ast.BinOp) -> bool:
    return ast.unparse(node.left).endswith("_ms") and ast.unparse(node.right) == "1000"


def sql_stays_in_store(module: Module) -> Broken:
    """SQL text stands only in store.py, in the events room and in the storage adapters."""
    if module.name.endswith("/store.py") or module.name.startswith(SQL_FREE):
        return
    documented = {id(docstring) for docstring in _docstrings(module)}
    for node in ast.walk(module.tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in documented
            and SQL_START.match(node.value)
        ):
            yield node.lineno, f"SQL outside store.py: {node.value[:40]!r}"


def sql_is_portable(module: Module) -> Broken:
    """No statement that only one of SQLite and MySQL understands."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and SQL_START.match(node.value):
            for word in (" RETURNING ", " ON CONFLICT", " ON DUPLICATE KEY", "REPLACE INTO", " OVER ("):
                if word in f" {node.value} ":
                    yield node.lineno, f"{word.strip()} is not portable"


def sql_holds_no_values(module: Module) -> Broken:
    """What is put into SQL text is a constant of the module, a list of marks or a condition; never a value."""
    if module.name in SQL_OF_TABLES:
        return
    for node in ast.walk(module.tree):
        if not (isinstance(node, ast.JoinedStr) and node.values and isinstance(node.values[0], ast.Constant)):
            continue
        if SQL_START.match(str(node.values[0].value)):
            for part in node.values:
                inside = ast.unparse(part.value) if isinstance(part, ast.FormattedValue) else "where"
                if not (inside.isupper() or inside.startswith("marks(") or inside.endswith("where")):
                    yield node.lineno, f"{inside} is put into SQL text: pass it as a parameter"


def promises_are_written(module: Module) -> Broken:
    """Modules, public classes and public functions carry a docstring."""
    if module.text.strip() and ast.get_docstring(module.tree) is None:
        yield 1, "the module has no docstring"
    yield from _undocumented(module.tree, "")


def _undocumented(parent: ast.AST, path: str) -> Broken:
    for node in ast.iter_child_nodes(parent):
        if not isinstance(
            node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
        ) or node.name.startswith("_"):
            continue
        if ast.get_docstring(node) is None and not _is_named_fact(node):
            yield node.lineno, f"{path}{node.name} has no docstring"
        if isinstance(node, ast.ClassDef):
            yield from _undocumented(node, f"{path}{node.name}.")


def _is_named_fact(node: ast.AST) -> bool:
    """A property of a Protocol without a body says what it is by its name; an overload by its twin."""
    marks = [ast.unparse(mark).rpartition(".")[2] for mark in getattr(node, "decorator_list", [])]
    body = [ast.unparse(statement) for statement in getattr(node, "body", [])]
    return "overload" in marks or ("property" in marks and body == ["..."])


def type_ignores_name_their_error(module: Module) -> Broken:
    """`# type: ignore` names the error it silences."""
    for number, line in enumerate(module.text.splitlines(), 1):
        if IGNORE_WITHOUT_CODE.search(line):
            yield number, "type: ignore without a code"


def structs_stand_alone(module: Module) -> Broken:
    """Structs do not inherit from structs; only events extend Event."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ClassDef):
            parents = [ast.unparse(parent) for parent in node.bases]
            options = [keyword.arg for keyword in node.keywords]
            allowed = ("msgspec.Struct", "Struct", "Event", "Generic", "Protocol")
            if "frozen" in options and any(parent.split("[")[0] not in allowed for parent in parents):
                yield node.lineno, f"{node.name} inherits from {', '.join(parents)}"


def front_doors_only(module: Module) -> Broken:
    """From outside, a capability is imported by its name alone: `tradepost.trade.orders`, never deeper.

    The composition root wires subscriptions and timers, so app/ may also reach react.py and jobs.py.
    """
    own = module.name.split("/")[1] if module.name.startswith("trade/") and module.name.count("/") > 1 else ""
    for line, name in imports(module):
        parts = name.split(".")
        if parts[:2] != ["tradepost", "trade"] or len(parts) < 4 or parts[2] == own:
            continue
        if module.name.startswith("app/") and parts[3] in {"react", "jobs"}:
            continue
        if is_module(".".join(parts[:4])):
            yield line, f"{name} reaches past the front door of {parts[2]}"


def is_module(dotted: str) -> bool:
    """Whether a dotted name is a module of the tree, not a name inside one."""
    path = SOURCE.joinpath(*dotted.split(".")[1:])
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def _docstrings(module: Module) -> Iterator[ast.AST]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            for statement in node.body:
                if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                    yield statement.value


RULES: tuple[Rule, ...] = (
    file_is_short,
    functions_are_short,
    name_is_a_noun,
    time_and_chance_come_from_world,
    numbers_are_exact,
    sql_stays_in_store,
    sql_is_portable,
    sql_holds_no_values,
    promises_are_written,
    type_ignores_name_their_error,
    structs_stand_alone,
    front_doors_only,
)
