"""Typed refusals: one stable code for one reason, declared in a table beside the rule that raises it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import msgspec

Detail = str | int | list[str] | list[int] | None
"""What an extra member of a problem document may be."""


class Kind(StrEnum):
    """What sort of answer a refusal is; surfaces map it to a status."""

    INVALID = "invalid"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    UNPROCESSABLE = "unprocessable"
    TOO_LARGE = "too_large"
    LIMITED = "limited"
    OVERLOADED = "overloaded"
    INTERNAL = "internal"


class Problem(msgspec.Struct, frozen=True):
    """One row of the code table: what happened (title) and what the caller can do about it (remedy)."""

    kind: Kind
    title: str
    remedy: str


_PROBLEMS: dict[str, Problem] = {}


def declare_problems(rows: Mapping[str, tuple[Kind, str, str]]) -> None:
    """Add codes to the table. Raises ValueError when a code is declared twice with another meaning."""
    for code, row in rows.items():
        problem = Problem(*row)
        if _PROBLEMS.setdefault(code, problem) != problem:
            raise ValueError(f"problem code {code} is declared twice")


def problem_table() -> dict[str, Problem]:
    """Every declared code, in order of code: the source of the reference pages."""
    return dict(sorted(_PROBLEMS.items()))


class Refusal(Exception):
    """A rule said no, and nothing was changed.

    `code` names a declared problem, `detail` says it for this case, `field` is the path of the input at fault,
    `expected` what would be right, `extra` further typed members of the problem document.
    """

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        field: str = "",
        expected: str = "",
        extra: Mapping[str, Detail] | None = None,
    ) -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail
        self.field = field
        self.expected = expected
        self.extra: dict[str, Detail] = dict(extra or {})

    @property
    def problem(self) -> Problem:
        """The declared row of this code; an undeclared code is a bug and raises KeyError."""
        return _PROBLEMS[self.code]

    def __reduce__(self) -> tuple[object, ...]:
        """Travel between processes with every member."""
        return _rebuild, (self.code, self.detail, self.field, self.expected, self.extra)

    def __eq__(self, other: object) -> bool:
        """Equal when code, field and members agree; wording is not compared."""
        if not isinstance(other, Refusal):
            return NotImplemented
        return (self.code, self.field, self.extra) == (other.code, other.field, other.extra)

    def __hash__(self) -> int:
        """Hash of the code and field."""
        return hash((self.code, self.field))


def _rebuild(code: str, detail: str, field: str, expected: str, extra: dict[str, Detail]) -> Refusal:
    return Refusal(code, detail, field=field, expected=expected, extra=extra)


declare_problems(
    {
        "money.currency_unknown": (
            Kind.INVALID,
            "Unknown currency",
            "Use an ISO 4217 code in capitals.",
        ),
        "money.currency_mixed": (
            Kind.UNPROCESSABLE,
            "Two currencies in one sum",
            "Send amounts of one currency; nothing is converted silently.",
        ),
        "money.price_invalid": (
            Kind.INVALID,
            "Price cannot be kept exactly",
            "Send a decimal string with fewer digits.",
        ),
        "money.step_invalid": (
            Kind.INVALID,
            "Amount between two steps",
            "Round the amount to the step first, and book the difference.",
        ),
        "money.weights_invalid": (Kind.INVALID, "Split without weights", "Give weights of zero or more."),
        "id.invalid": (Kind.INVALID, "Not an id of this kind", "Copy the id as the API returned it."),
        "state.conflict": (
            Kind.CONFLICT,
            "Not possible in the present state",
            "Read the resource again: `state` is where it is, `allowed` what it accepts now.",
        ),
        "storage.overloaded": (
            Kind.OVERLOADED,
            "The write queue is full",
            "Repeat the same request after Retry-After seconds; nothing was changed.",
        ),
        "storage.unavailable": (
            Kind.OVERLOADED,
            "The database cannot commit now",
            "Repeat the same request; its idempotency key keeps it single. Operators: see the disk and the log.",
        ),
        "version.conflict": (
            Kind.CONFLICT,
            "Changed by somebody else meanwhile",
            "Read the resource again and repeat with its new version.",
        ),
        "input.invalid": (Kind.INVALID, "The request does not fit the schema", "Correct the named field."),
        "internal": (Kind.INTERNAL, "A defect on our side", "Report the trace id; repeat with the same key."),
    }
)
