"""The source tree as the tidy tests see it: parsed modules, rooms and capabilities."""

from __future__ import annotations

import ast
import importlib
import pkgutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import tradepost

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "tradepost"
TRADE = SOURCE / "trade"


class Module(NamedTuple):
    """One parsed file. `name` is its place below `tradepost`, such as `trade/orders/rules.py`."""

    name: str
    text: str
    tree: ast.Module

    @property
    def dotted(self) -> str:
        """The import name."""
        parts = ["tradepost", *self.name.removesuffix(".py").split("/")]
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def parse(name: str, text: str) -> Module:
    """A module from its text."""
    return Module(name, text, ast.parse(text))


@cache
def modules() -> tuple[Module, ...]:
    """Every Python file of the package, but for the migrations that Alembic wrote."""
    found = sorted(path for path in SOURCE.rglob("*.py") if not {"__pycache__", "versions"} & set(path.parts))
    return tuple(parse(path.relative_to(SOURCE).as_posix(), path.read_text("utf-8")) for path in found)


def in_rooms(*rooms: str) -> Iterator[Module]:
    """The modules of these rooms."""
    return (module for module in modules() if module.name.startswith(tuple(f"{room}/" for room in rooms)))


def capabilities() -> list[Path]:
    """The folders of the capabilities under trade."""
    return sorted(path.parent for path in TRADE.glob("*/__init__.py"))


@cache
def import_everything() -> tuple[str, ...]:
    """Import every module of the package, so that its tables are filled; their names."""
    names = [found.name for found in pkgutil.walk_packages(tradepost.__path__, "tradepost.")]
    taken = [name for name in names if not name.endswith("__main__") and ".migrations" not in name]
    for name in taken:
        importlib.import_module(name)
    return tuple(taken)


def functions(module: Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function of a module, methods and inner ones too."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def imports(module: Module) -> Iterator[tuple[int, str]]:
    """(line, module) of every import, absolute."""
    package = (
        module.dotted.split(".") if module.name.endswith("__init__.py") else module.dotted.split(".")[:-1]
    )
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            start = ".".join([*base, *([node.module] if node.module else [])])
            yield node.lineno, start
            yield from ((node.lineno, f"{start}.{name.name}") for name in node.names)
