"""One data file per market, read when it is first asked for."""

from __future__ import annotations

import functools
import tomllib
from importlib import resources

import msgspec

from tradepost.kernel.errors import Kind, Refusal, declare_problems
from tradepost.kernel.market import Market, prepared

declare_problems(
    {"market.unknown": (Kind.INVALID, "Unknown market", "Use one of the codes that GET /v1/markets lists.")}
)


def read_market(text: str) -> Market:
    """A market from the text of its file. Raises TOMLDecodeError, ValidationError or ValueError for a bad one."""
    return prepared(msgspec.convert(tomllib.loads(text), Market))


@functools.cache
def codes() -> tuple[str, ...]:
    """The codes of every market in order: the names of the files beside this module."""
    names = (entry.name for entry in resources.files(__package__).iterdir())
    return tuple(sorted(name[:-5].upper() for name in names if name.endswith(".toml")))


@functools.cache
def _known() -> frozenset[str]:
    return frozenset(codes())


@functools.cache
def _read(code: str) -> Market:
    return read_market(resources.files(__package__).joinpath(f"{code.lower()}.toml").read_text("utf-8"))


def all_markets() -> dict[str, Market]:
    """Every market by code, in order. Raises ValidationError for a bad file."""
    return {code: _read(code) for code in codes()}


def market(code: str) -> Market:
    """The market of this code, with the rates of the day its file was read. Raises Refusal `market.unknown`."""
    if code not in _known():
        raise Refusal(
            "market.unknown",
            f"There is no market {code[:20]!r}.",
            field="market",
            expected=" or ".join(codes()),
        )
    return _read(code)
