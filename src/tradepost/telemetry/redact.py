"""What may stand in a log: never a token, an address, a mail address, or a value that somebody sent us.

Refusals are told by their code, exceptions by their type and place. Their messages stay out, except those of the
system and the database, which operators need; in those everything quoted is masked, because databases quote values.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable
from pathlib import PurePath
from types import TracebackType

from tradepost.kernel.errors import Refusal

MASK = "[hidden]"
TEXT_LETTERS_MAX = 2_000
FRAMES_MAX = 30
CAUSES_MAX = 5

_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"""(?i)\b(bearer|basic)\s+[^\s,;"']+"""), rf"\1 {MASK}"),
    (
        re.compile(
            r"""(?i)\b([\w-]*(?:authorization|api[_-]?key|secret|password|passwd|token|signature|cookie))
                (\s*[=:]\s*)[^\s,;&]+""",
            re.VERBOSE,
        ),
        rf"\1\2{MASK}",
    ),
    (re.compile(r"\b(?:tp|sk|rk|pk|whsec|gst|ghp|xox[a-z])_[A-Za-z0-9_\-+/=]{4,}"), MASK),
    (re.compile(r"\beyJ[\w-]{5,}\.[\w-]+\.?[\w-]*"), MASK),
    (re.compile(r"\bv\d\.[\w-]{16,}\.[\w-]{16,}"), MASK),
    (re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)[^/\s@:]+:[^/\s@]*@"), rf"\1{MASK}@"),
    (re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"), MASK),
    (re.compile(r"(?<![\w])\+\d[\d ()-]{7,}\d"), MASK),
)
_QUOTED = re.compile(r"""(?<!\w)'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|`[^`]*`""")
_CARD = re.compile(r"(?<![\w.-])\d(?:[ -]?\d){12,18}(?![\w-])")
_TOLD = re.compile(r"\b((?:\w+\.)*[A-Z]\w*(?:Error|Exception|Refusal|Warning|Lost|Taken|Overtaken|Unavailable))"
                   r"(?:: ?|\()(.*)", re.DOTALL)  # fmt: skip

KEPT_MESSAGES = frozenset(
    {
        "OperationalError",
        "IntegrityError",
        "InternalError",
        "InterfaceError",
        "DatabaseError",
        "ProgrammingError",
        "TransactionLost",
        "LeaseLost",
        "Overtaken",
        "CentreUnavailable",
        "TimeoutError",
        "OSError",
        *(name for name, kind in vars(__import__("builtins")).items()
          if isinstance(kind, type) and issubclass(kind, OSError)),
    }
)  # fmt: skip
"""Exceptions whose message comes from the system, the database or our own words about them."""


def clean(text: str) -> str:
    """A text fit for the log: masked, what stands in quotes hidden, and no message of an unknown exception."""
    found = _TOLD.search(text)
    if found is not None and found[1].rpartition(".")[2] not in KEPT_MESSAGES:
        text = text[: found.end(1)]
    return mask(_QUOTED.sub(f"'{MASK}'", text[: 2 * TEXT_LETTERS_MAX]))


def mask(text: str) -> str:
    """A text at most 2,000 letters long without secrets, mail addresses and card numbers; quotes stay."""
    for pattern, instead in _PATTERNS:
        text = pattern.sub(instead, text)
    text = _CARD.sub(lambda found: MASK if _is_card(found[0]) else found[0], text)
    return text if len(text) <= TEXT_LETTERS_MAX else text[:TEXT_LETTERS_MAX] + "..."


def _is_card(text: str) -> bool:
    """Whether the digits pass the check of ISO/IEC 7812, as card numbers do and one in ten other numbers."""
    digits = [int(letter) for letter in reversed(text) if letter.isdigit()]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[1::2]]
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0


def tell(error: BaseException) -> str:
    """An exception in words fit for the log: a refusal's code, or the type and, where it may be told, the message."""
    name = type(error).__name__
    if isinstance(error, Refusal):
        return f"Refusal {error.code}"
    if isinstance(error, OSError) and error.strerror:
        return f"{name}: {error.strerror}"
    text = str(error)
    return f"{name}: {clean(text)}" if name in KEPT_MESSAGES and text else name


def frames(trace: TracebackType | None) -> list[str]:
    """Where it happened, innermost last: file, line and function; no source text and no values."""
    found = traceback.extract_tb(trace, limit=-FRAMES_MAX)
    return [f"{_short(frame.filename)}:{frame.lineno} {frame.name}" for frame in found]


def _short(path: str) -> str:
    return "/".join(PurePath(path).parts[-3:])


def describe(error: BaseException) -> list[dict[str, object]]:
    """An exception and what caused it, outermost first."""
    chain: list[dict[str, object]] = []
    found: BaseException | None = error
    while found is not None and len(chain) < CAUSES_MAX:
        chain.append({"error": tell(found), "at": frames(found.__traceback__)})
        found = found.__cause__ or (None if found.__suppress_context__ else found.__context__)
    return chain


def clean_value(value: object) -> object:
    """An argument of a log call, made fit: numbers as they are, exceptions told, everything else cleaned as text."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, BaseException):
        places = frames(value.__traceback__) if tell(value) == type(value).__name__ else []
        return tell(value) + (f" at {places[-1]}" if places else "")
    return _Cleaned(value)


class _Cleaned:
    """A value that is cleaned when it is formatted, whether by %s or by %r."""

    def __init__(self, value: object) -> None:
        self._value = value

    def __str__(self) -> str:
        return clean(str(self._value))

    def __repr__(self) -> str:
        text: Callable[[object], str] = str if isinstance(self._value, str) else repr
        return clean(text(self._value))
