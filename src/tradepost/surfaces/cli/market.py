"""`tradepost market`: what a country's file says, and whether it is whole."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from tomllib import TOMLDecodeError

import msgspec

from tradepost.kernel.errors import Kind, Refusal, declare_problems
from tradepost.kernel.market import Market, TaxPart
from tradepost.markets import all_markets, market, read_market
from tradepost.surfaces.cli.output import FAILED, print_json, print_table
from tradepost.testing.market_rules import broken_promises

declare_problems(
    {
        "market.file_invalid": (
            Kind.INVALID,
            "Not a market file",
            "Compare it with one that ships with Tradepost; docs/how-to/add-a-market.md explains every key.",
        )
    }
)


def check(*files: Path) -> None:
    """Check market files; every market that ships when none is named. Ends with 1 when one breaks a promise.

    Parameters
    ----------
    files
        TOML files in the form of docs/how-to/add-a-market.md.
    """
    found = [_read(path) for path in files] or list(all_markets().values())
    broken = [(each.code, sentence) for each in found for sentence in broken_promises(each)]
    for code, sentence in broken:
        sys.stdout.write(f"{code}: {sentence}\n")
    sys.stdout.write(f"{len(found)} markets, {len(broken)} promises broken\n")
    if broken:
        sys.exit(FAILED)


def _read(path: Path) -> Market:
    try:
        return read_market(path.read_text("utf-8"))
    except (TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError, ValueError) as error:
        raise Refusal("market.file_invalid", f"{path.name}: {error}") from None


def _percent(bps: int, parts: Sequence[TaxPart]) -> str:
    """A rate in whole basis points, or the taxes of a category one by one."""
    if not parts:
        return f"{bps // 100}.{bps % 100:02d}"
    return " + ".join(f"{part.ppm // 10_000}.{part.ppm % 10_000:04d}" for part in parts)


def show(code: str, *, on: str = "", region: str = "", json: bool = False) -> None:
    """Print a market's taxes by category on a day and in a region.

    Parameters
    ----------
    code
        The market, such as US.
    on
        The day, such as 2020-07-01; the day on which the file was read when left out.
    region
        A region of its list, such as CA.
    json
        Print JSON instead of a table.
    """
    found = market(code)
    try:
        day = date.fromisoformat(on) if on else found.as_of
    except ValueError:
        raise Refusal("market.file_invalid", f"{on[:20]!r} is no day such as 2020-07-01.") from None
    view = found.at(found.at_midnight(day), region) if day else found
    rows = [
        {
            "category": category,
            "percent": _percent(bps, view.tax_parts.get(category, ())),
            "taxes": [
                f"{part.kind} {part.region}{' of the price' if part.of_price else ''}".strip()
                for part in view.tax_parts.get(category, ())
            ],
        }
        for category, bps in view.tax_rates_bps.items()
    ]
    if json:
        print_json({"market": code, "on": str(day), "region": view.region, "rates": rows})
        return
    print_table(
        f"{found.name} {view.region} on {day}, prices {'with' if found.prices_include_tax else 'without'} tax",
        ("category", "percent", "taxes that one rate cannot tell"),
        [(row["category"], row["percent"], ", ".join(row["taxes"])) for row in rows],
    )
    print_table(
        "Who remits (the first that covers a sale)",
        ("scheme", "remitter", "goods", "seller", "up to", "source"),
        [
            (
                scheme.code,
                scheme.remitter,
                scheme.origin,
                scheme.seller,
                f"{scheme.value_max_minor} {scheme.currency or found.currency}"
                if scheme.value_max_minor
                else "",
                scheme.source,
            )
            for scheme in found.schemes
        ],
    )
