"""Write docs/reference from the tables in the code. `--check` writes nothing and fails when a page is stale."""

from __future__ import annotations

import importlib
import pkgutil
import sys
import typing
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import msgspec

import tradepost
from tradepost.kernel.errors import problem_table
from tradepost.kernel.events import event_types
from tradepost.kernel.points import points
from tradepost.kernel.states import state_tables
from tradepost.surfaces.api.problems import status_of

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "reference"
NOTE = (
    "<!-- Written by tools/generate_reference.py from the code: change the code, then run `make docs`. -->\n"
)
PREFIX = "TRADEPOST_"


def import_everything() -> None:
    """Import every module, so that each has declared its codes, events, states and points."""
    for found in pkgutil.walk_packages(tradepost.__path__, "tradepost."):
        if not found.name.endswith("__main__") and ".migrations" not in found.name:
            importlib.import_module(found.name)


def cell(text: object) -> str:
    """Text that fits a table cell."""
    return " ".join(str(text).split()).replace("|", "\\|")


def table(head: tuple[str, ...], rows: Iterator[tuple[object, ...]]) -> str:
    """A Markdown table."""
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    lines += [f"| {' | '.join(cell(value) for value in row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def errors() -> str:
    """The page of problem codes."""
    parts = [
        "# Problem codes\n",
        "Every refusal is an `application/problem+json` document (RFC 9457) whose `code` is one of these. Codes "
        "are stable; wording is not. A refusal changed nothing.\n",
    ]
    rooms: dict[str, list[str]] = {}
    for code in problem_table():
        rooms.setdefault(code.partition(".")[0], []).append(code)
    for room, codes in rooms.items():
        parts.append(f"## {room}\n")
        for code in codes:
            problem = problem_table()[code]
            parts.append(f"### `{code}`\n")
            parts.append(f"{status_of(code, problem)} ({problem.kind.value}). {problem.title}.\n")
            parts.append(f"What to do: {problem.remedy}\n")
    return "\n".join(parts)


def events() -> str:
    """The page of event types."""
    parts = [
        "# Events\n",
        "Facts in the past tense, written in the commit that made them true. They carry ids, states and money "
        "in minor units, no personal data. Consumers ignore fields they do not know.\n",
    ]
    for name, struct in event_types().items():
        parts.append(f"## `{name}`\n\n{cell((struct.__doc__ or '').strip())}\n")
        fields = ((f"`{field.encode_name}`", kind_of(field.type)) for field in msgspec.structs.fields(struct))
        parts.append(table(("field", "type"), fields))
    return "\n".join(parts)


def state_machines() -> str:
    """The page of state diagrams."""
    parts = ["# State machines\n", "What is not an arrow is refused with `state.conflict`.\n"]
    for name, machine in state_tables().items():
        parts.append(f"## {name}\n\n```mermaid\n{machine.mermaid()}\n```\n")
    return "\n".join(parts)


def point_page() -> str:
    """The page of extension points."""
    rows = (
        (f"`{name}`", point.sentence, f"`{point.resolved('default')[1]}`") for name, point in points().items()
    )
    return "\n".join(
        [
            "# Points\n",
            "Places where the platform asks a strategy. The most specific scene that is registered answers; "
            "plugins register through the entry-point group `tradepost.plugins`.\n",
            table(("point", "what is asked", "default"), rows),
        ]
    )


def settings() -> str:
    """The page of settings."""
    module = importlib.import_module("tradepost.settings")
    rows = (
        (f"`{path}`", f"`{PREFIX}{path.upper().replace('.', '__')}`", kind, f"`{default}`", meaning)
        for path, kind, default, meaning in leaves(module.Settings, ())
    )
    return "\n".join(
        [
            "# Settings\n",
            "Defaults, then a TOML file, then the environment; later ones win. An unknown name or an unfitting "
            "value stops the start. `DATA_DIR`, `HOST` and `PORT` are short for the ones under `server`.\n",
            table(("setting", "environment", "type", "default", "meaning"), rows),
        ]
    )


def leaves(struct: type[Any], path: tuple[str, ...]) -> Iterator[tuple[str, str, object, str]]:
    """(path, type, default, meaning) of every setting below a struct."""
    for field in msgspec.structs.fields(struct):
        here = (*path, field.encode_name)
        plain, meta = unwrap(field.type)
        if isinstance(plain, type) and issubclass(plain, msgspec.Struct):
            yield from leaves(plain, here)
            continue
        default = field.default.value if isinstance(field.default, Enum) else field.default
        yield ".".join(here), kind_of(field.type), default, (meta.description if meta else "") or ""


def unwrap(annotation: Any) -> tuple[Any, msgspec.Meta | None]:
    """The plain type and the Meta of an annotation."""
    if typing.get_origin(annotation) is typing.Annotated:
        plain, *notes = typing.get_args(annotation)
        return plain, next((note for note in notes if isinstance(note, msgspec.Meta)), None)
    return annotation, None


def kind_of(annotation: Any) -> str:
    """A type as readers write it, with its bounds."""
    plain, meta = unwrap(annotation)
    if isinstance(plain, type) and issubclass(plain, Enum):
        text = " or ".join(str(member.value) for member in plain)
    elif isinstance(plain, type) and issubclass(plain, msgspec.Struct):
        text = ", ".join(
            f"{field.encode_name}: {kind_of(field.type)}" for field in msgspec.structs.fields(plain)
        )
        text = f"{{{text}}}"
    elif typing.get_origin(plain) in {tuple, list}:
        inner = [kind_of(part) for part in typing.get_args(plain) if part is not Ellipsis]
        text = f"list of {' or '.join(dict.fromkeys(inner))}"
    else:
        text = plain.__name__ if isinstance(plain, type) else str(plain)
    if meta is None or (meta.ge is None and meta.le is None):
        return text
    low = "" if meta.ge is None else f"{meta.ge:,}"
    return f"{text}, {low} to {meta.le:,}" if meta.le is not None else f"{text}, {low} or more"


def cli() -> str:
    """The page of the command line."""
    module = importlib.import_module("tradepost.surfaces.cli.__main__")
    text = module.app.generate_docs(output_format="markdown", heading_level=1)
    return str(text).strip() + "\n"


def api() -> str:
    """The page of HTTP routes, from the OpenAPI document."""
    document = importlib.import_module("tradepost.surfaces.api.openapi").document()
    parts = [
        "# HTTP API\n",
        "A running server shows every route with schemas and examples at `/docs`; the document is at `/openapi.json`. "
        f"{document['info']['description']}\n",
    ]
    tags: dict[str, list[str]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            tags.setdefault(operation["tags"][0], []).append(route(method.upper(), path, operation))
    for tag, routes in tags.items():
        parts += [f"## {tag}\n", *routes]
    return "\n".join(parts)


def route(method: str, path: str, operation: dict[str, Any]) -> str:
    """One route: what it does, what it needs, what it answers."""
    given = [parameter["name"] for parameter in operation.get("parameters", []) if parameter["in"] != "path"]
    lines = [
        f"### `{method} {path}`\n",
        f"{operation['summary'].rstrip('.')}. {operation.get('description', '')}".strip(),
    ]
    if given:
        lines.append(f"\nTakes {', '.join(f'`{name}`' for name in given)}.")
    lines.append("")
    for status, answer in operation["responses"].items():
        codes = "" if status.startswith("2") else f": {answer['description'].rstrip('.')}"
        lines.append(f"- {status}{codes}")
    return "\n".join(lines) + "\n"


def after_sales() -> str:
    """The page of who may do what after the sale, of spans and reasons, by market."""
    module = importlib.import_module("tradepost.trade.aftersales")
    head = ("kind", "step", *module.PARTIES)
    parts = [
        "# After-sales\n",
        "Who may take which step in which state: `cancel`, `cancel_rest` and `request` look at the order's state, all "
        "other steps at the case's. Whoever is not named is refused with `aftersales.not_allowed`. See "
        "[the explanation](../explanation/after-sales.md).\n",
        "## Every market\n",
        table(head, may_rows(module.rows_of(""), module.PARTIES)),
    ]
    for market, policy in sorted(module.all_policies().items()):
        if market and policy.change:
            parts.append(f"## Otherwise in {market}\n")
            changed = {(row.kind, row.step, row.party) for row in policy.change}
            rows = [row for row in module.rows_of(market) if (row.kind, row.step, row.party) in changed]
            parts.append(table(head, may_rows(rows, module.PARTIES)))
    names = [field for field in module.Policy.__struct_fields__ if field != "change"]
    policies = sorted(module.all_policies().items())
    parts.append("## Spans and delivery fees\n")
    parts.append("Milliseconds after which a state ends by itself; an empty market is every other one.\n")
    parts.append(
        table(
            ("market", *names),
            (
                (market or "every other", *(getattr(policy, name) for name in names))
                for market, policy in policies
            ),
        )
    )
    parts.append("## Reasons\n")
    parts.append("Other words are taken too and blame nobody. A claim is always the seller's fault.\n")
    parts.append(
        table(
            ("reason", "seller's fault"),
            ((f"`{r}`", "yes" if fault else "no") for r, fault in module.REASONS.items()),
        )
    )
    parts.append(f"## States of a case\n\n```mermaid\n{module.RETURN_STATES.mermaid()}\n```\n")
    return "\n".join(parts)


def may_rows(rows: list[Any], parties: tuple[str, ...]) -> Iterator[tuple[object, ...]]:
    """One row a kind and step: the states in which each party may take it."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for row in rows:
        found.setdefault((row.kind, row.step), {})[row.party] = ", ".join(row.states)
    for (kind, step), by_party in found.items():
        yield (f"`{kind}`", f"`{step}`", *(by_party.get(party, "") for party in parties))


CLI = "tradepost.surfaces.cli"
COMMANDS = ("serve", "replay", "simulate", "bench", "points", "export", "order", "ledger")

PAGES: dict[str, tuple[tuple[str, ...], Callable[[], str]]] = {
    "errors.md": ((), errors),
    "events.md": ((), events),
    "state-machines.md": ((), state_machines),
    "points.md": ((), point_page),
    "after-sales.md": (("tradepost.trade.aftersales",), after_sales),
    "settings.md": ((), settings),
    "cli.md": (tuple(f"{CLI}.{name}" for name in COMMANDS), cli),
    "api.md": ((), api),
}
"""Page to (the modules that must be there for it, its writer)."""


def pages() -> dict[str, str]:
    """Every page that the present code can fill: name to text."""
    import_everything()
    return {
        name: NOTE + "\n" + write().rstrip() + "\n"
        for name, (needs, write) in PAGES.items()
        if all(exists(module) for module in needs)
    }


def exists(module: str) -> bool:
    """Whether a module is there; one that is there and fails to import raises its own error."""
    folder = Path(tradepost.__path__[0]).joinpath(*module.split(".")[1:])
    return folder.with_suffix(".py").exists() or (folder / "__init__.py").exists()


def main() -> int:
    """Write the pages; with --check only compare. The exit code: 1 when a page was stale in a check."""
    stale = []
    for name, text in pages().items():
        path = FOLDER / name
        if path.exists() and path.read_text("utf-8") == text:
            continue
        stale.append(name)
        if "--check" not in sys.argv:
            FOLDER.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
    print(
        f"{len(stale)} pages {'stale: make docs' if '--check' in sys.argv else 'written'}: {' '.join(stale)}"
    )
    return 1 if stale and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
