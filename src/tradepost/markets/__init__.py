"""One data file per market, read once."""

from __future__ import annotations

import functools
import tomllib
from importlib import resources

import msgspec

from tradepost.kernel.errors import Kind, Refusal, declare_problems
from tradepost.kernel.market import Market

declare_problems(
    {"market.unknown": (Kind.INVALID, "Unknown market", "Use one of the codes that GET /v1/markets lists.")}
)


@functools.cache
def all_markets() -> dict[str, Market]:
    """Every market by code, from the TOML files beside this module. Raises ValidationError for a bad file."""
    found = {}
    for entry in resources.files(__package__).iterdir():
        if entry.name.endswith(".toml"):
            read = msgspec.convert(tomllib.loads(entry.read_text("utf-8")), Market)
            found[read.code] = read
    return dict(sorted(found.items()))


def market(code: str) -> Market:
    """The market of this code. Raises Refusal `market.unknown`."""
    found = all_markets().get(code)
    if found is None:
        raise Refusal(
            "market.unknown",
            f"There is no market {code[:20]!r}.",
            field="market",
            expected=" or ".join(all_markets()),
        )
    return found
