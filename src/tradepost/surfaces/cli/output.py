"""What commands print, and how they end: 0 done, 1 a check failed, 2 bad usage, 3 refused, 4 interrupted,
5 a defect of ours."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NoReturn

import msgspec
from rich.console import Console
from rich.table import Table

from tradepost.kernel.errors import Kind, Refusal, declare_problems

FAILED = 1
REFUSED = 3
INTERRUPTED = 4
DEFECT = 5

declare_problems(
    {
        "system.refused": (
            Kind.INTERNAL,
            "The system or a file said no",
            "Check that the path exists, may be used by you, and is the file you mean.",
        )
    }
)

console = Console()
errors = Console(stderr=True)


def print_json(data: Any) -> None:
    """One JSON document on standard output."""
    text = msgspec.json.format(msgspec.json.encode(data), indent=2).decode()
    sys.stdout.write(text + "\n")


def moment(at_ms: int) -> str:
    """A moment for people, in UTC."""
    return datetime.fromtimestamp(at_ms // 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table for people."""
    table = Table(*columns, title=title, title_justify="left")
    for row in rows:
        table.add_row(*[str(cell) for cell in row])
    console.print(table)


def print_facts(title: str, facts: Mapping[str, object]) -> None:
    """Names and values for people, one a line."""
    print_table(title, ("what", "value"), facts.items())


def stop(refusal: Refusal) -> NoReturn:
    """Say why, name the code and the remedy, and end with 3."""
    errors.print(f"[bold red]{refusal.code}[/]: {refusal.detail}", highlight=False)
    if refusal.expected:
        errors.print(f"expected: {refusal.expected}", highlight=False, markup=False)
    errors.print(refusal.problem.remedy, style="dim", highlight=False, markup=False)
    raise SystemExit(REFUSED)
