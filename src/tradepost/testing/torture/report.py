"""What a torture found: checks that held or did not, as a table or as JSON."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import msgspec
from rich.console import Console
from rich.table import Table

SHOWN_MAX = 5


class Check(msgspec.Struct, kw_only=True):
    """One thing that was looked at `looked_at` times; `broken` tells each time it did not hold."""

    name: str
    looked_at: int = 0
    broken: list[str] = msgspec.field(default_factory=list)


class Report(msgspec.Struct, kw_only=True):
    """One run. `facts` are figures that say how hard it was; they are not judged."""

    torture: str
    facts: dict[str, int | str | dict[str, int]] = msgspec.field(default_factory=dict)
    checks: dict[str, Check] = msgspec.field(default_factory=dict)

    def look(self, name: str, broken: Sequence[str] = (), *, count: int = 1) -> None:
        """Note that something was looked at `count` times, and what did not hold."""
        check = self.checks.setdefault(name, Check(name=name))
        check.looked_at += count
        check.broken += broken

    def add(self, name: str, count: int = 1) -> None:
        """Count a fact."""
        known = self.facts.get(name, 0)
        self.facts[name] = (known if isinstance(known, int) else 0) + count

    @property
    def held(self) -> bool:
        """Whether every check held, each of them looked at."""
        return all(check.looked_at and not check.broken for check in self.checks.values())

    def complaints(self) -> list[str]:
        """What did not hold, a few of each."""
        return [
            f"{check.name}: {text}" for check in self.checks.values() for text in check.broken[:SHOWN_MAX]
        ]


def _figure(value: int | str | dict[str, int]) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {count:,}" for key, count in value.items())
    return f"{value:,}" if isinstance(value, int) else value


def show(report: Report, *, as_json: bool) -> int:
    """Print a report; the exit code: 0 when everything held, else 1."""
    if as_json:
        encoded = msgspec.json.encode({"held": report.held, "report": report})
        sys.stdout.write(msgspec.json.format(encoded, indent=2).decode() + "\n")
        return 0 if report.held else 1
    console = Console()
    facts = Table("what", "figure", title=report.torture, title_justify="left")
    for name, value in report.facts.items():
        facts.add_row(name, _figure(value))
    checks = Table("must hold", "looked at", "broken")
    for check in report.checks.values():
        checks.add_row(
            check.name, f"{check.looked_at:,}", f"[red]{len(check.broken)}[/]" if check.broken else "0"
        )
    console.print(facts, checks)
    for text in report.complaints():
        console.print(f"[red]{text}[/]", highlight=False)
    console.print("[green]everything held[/]" if report.held else "[bold red]BROKEN[/]")
    return 0 if report.held else 1
