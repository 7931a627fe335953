"""Reading cases, running them one by one, and comparing what came out with what another engine says."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import msgspec

from tradepost.kernel.errors import Refusal
from tradepost.testing.conformance.model import Unsupported
from tradepost.testing.conformance.switches import asks_exact, known_policy

__all__ = ["CASES_MAX", "WHY_MAX", "Verdict", "compare", "read_cases", "run_case", "summary", "verdict_of"]

CASES_MAX = 100_000
"""Cases of one run; beyond it the run is refused."""

WHY_MAX = 300
"""Characters of a reason; a longer one is cut."""
_DIGITS_MAX = 1000
_HOME = "tradepost.testing.conformance"
_RUNNERS: Mapping[str, tuple[str, str]] = {
    "order": (f"{_HOME}.orders", "run_order"),
    "promotion_amount": (f"{_HOME}.promotions", "run_promotion_amount"),
    "refund": (f"{_HOME}.refunds", "run_refund"),
    "invoice_totals": (f"{_HOME}.invoices", "run_invoice"),
    "allocate": (f"{_HOME}.amounts", "split_amount"),
    "tax_line": (f"{_HOME}.amounts", "tax_of_line"),
    "price_restated_for_destination": (f"{_HOME}.amounts", "restated_price"),
    "to_psp_minor": (f"{_HOME}.amounts", "provider_units"),
    "convert": (f"{_HOME}.amounts", "converted"),
}
"""Every kind of case, and who runs it; imported when first asked for."""

Runner = Callable[[Mapping[str, Any], Mapping[str, Any]], dict[str, Any]]


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What one case came to: same, different (with the keys at fault), unsupported, failed or unjudged."""

    case_id: str
    kind: str
    portability: str
    result: str
    why: str = ""


def read_cases(path: Path) -> Iterator[dict[str, Any]]:
    """The cases of a file: its top-level key `vectors`, the file itself when it is a list, or one case a line.

    Numbers are read exactly, however long. Raises Refusal `conformance.file_invalid` for anything else.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        found = _cases_in(text)
    except OSError as error:
        raise Refusal("conformance.file_invalid", f"{path.name} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise Refusal("conformance.file_invalid", f"{path.name} is no JSON: {error}") from None
    if not isinstance(found, list) or len(found) > CASES_MAX:
        raise Refusal(
            "conformance.file_invalid", f"{path.name} has no list of cases, or more than {CASES_MAX}."
        )
    yield from found


def _cases_in(text: str) -> Any:
    try:
        read = _decode(text)
    except json.JSONDecodeError:
        lines = [line for line in text.splitlines() if line.strip()]
        if len(lines) < 2:
            raise
        return [_decode(line) for line in lines]
    if isinstance(read, dict):
        return [read] if "kind" in read else read.get("vectors")
    return read


def _decode(text: str) -> Any:
    return json.loads(text, parse_float=Decimal, parse_int=_whole)


def _whole(digits: str) -> int | Decimal:
    """An integer; one of more digits than Python reads at once stays a decimal, and its case alone breaks."""
    return int(digits) if len(digits) <= _DIGITS_MAX else Decimal(digits)


def run_case(case: Any) -> dict[str, Any]:
    """One line of output: what our engine says to a case, or why it says nothing. Never raises.

    A case is data from outside: whatever it breaks, it breaks for itself alone.
    """
    case_id = case.get("id") if isinstance(case, dict) else None
    try:
        if not isinstance(case, dict) or not isinstance(case.get("input"), dict):
            raise Unsupported("no case: an object with id, kind and input is one")
        policy = case.get("policy") or {}
        if not isinstance(policy, dict):
            raise Unsupported(f"a policy that is no object: {str(policy)[:60]}")
        known_policy(policy)
        runner = _runner(str(case.get("kind")))
        if asks_exact(policy):
            return {"id": case_id, "actual": _exactly(runner, case["input"], policy)}
        return {"id": case_id, "actual": runner(case["input"], policy)}
    except Unsupported as missing:
        return {"id": case_id, "unsupported": str(missing)}
    except Refusal as refusal:
        return {"id": case_id, "unsupported": f"refused: {refusal.code}: {refusal.detail}"}
    except KeyError as error:
        return {
            "id": case_id,
            "unsupported": f"failed: KeyError: {error} is missing, or not one of those known",
        }
    except Exception as error:
        return {"id": case_id, "unsupported": f"failed: {type(error).__name__}: {error}"[:WHY_MAX]}


def _exactly(runner: Runner, given: Mapping[str, Any], policy: Mapping[str, Any]) -> dict[str, Any]:
    """The answer where rounding up and down give the same; an amount that needs rounding is not ours to invent."""
    up, down = (runner(given, {**policy, "rounding": way}) for way in ("up", "down"))
    if up != down:
        raise Unsupported("exact amounts that are no whole minor units")
    return up


def _runner(kind: str) -> Runner:
    home = _RUNNERS.get(kind)
    if home is None:
        raise Unsupported(f"kind {kind!r}")
    found: Runner = getattr(importlib.import_module(home[0]), home[1])
    return found


def compare(expected: Any, actual: Any, path: str = "") -> list[str]:
    """Where `actual` differs, as sentences; keys that nobody expects are no difference.

    Decimal strings are compared as numbers, so "21%" is "21.0%". `parts_any_order` is compared with `parts`.
    """
    if isinstance(expected, Mapping):
        if not isinstance(actual, Mapping):
            return [f"{path or 'answer'}: {actual!r}, {expected!r} expected"]
        found = []
        for key, value in expected.items():
            where = f"{path}.{key}" if path else str(key)
            if key == "parts_any_order":
                if not isinstance(value, list) or sorted(map(str, value)) != sorted(
                    map(str, actual.get("parts") or ())
                ):
                    found.append(f"{where}: {actual.get('parts')!r}, {value!r} in any order expected")
            elif key not in actual:
                found.append(f"{where}: missing, {value!r} expected")
            else:
                found += compare(value, actual[key], where)
        return found
    if isinstance(expected, list):
        if not isinstance(actual, Sequence) or isinstance(actual, str) or len(actual) != len(expected):
            return [f"{path}: {actual!r}, {expected!r} expected"]
        pairs = enumerate(zip(expected, actual, strict=True))
        return [line for index, (one, other) in pairs for line in compare(one, other, f"{path}[{index}]")]
    return [] if _equal(expected, actual) else [f"{path}: {actual!r}, {expected!r} expected"]


def _equal(expected: Any, actual: Any) -> bool:
    if expected == actual:
        return True
    if isinstance(expected, bool) or isinstance(actual, bool) or None in (expected, actual):
        return False
    try:
        return _decimal(expected) == _decimal(actual)
    except InvalidOperation:
        return False


def _decimal(value: Any) -> Decimal:
    return Decimal(str(value).strip().removesuffix("%").strip())


def verdict_of(case: Any, answer: Mapping[str, Any]) -> Verdict:
    """Judge one answer by the case's `expected`; a case without it cannot be judged."""
    known = case if isinstance(case, dict) else {}
    why = str(answer.get("unsupported", ""))
    if why:
        result = "failed" if why.startswith("failed: ") else "unsupported"
    elif known.get("expected") is None:
        result = "unjudged"
    else:
        lines = compare(known["expected"], answer["actual"])
        result, why = ("different" if lines else "same"), "; ".join(lines)
    return Verdict(
        case_id=str(known.get("id")),
        kind=str(known.get("kind")),
        portability=str(known.get("portability", "")),
        result=result,
        why=why,
    )


def summary(verdicts: Sequence[Verdict]) -> list[tuple[str, str, dict[str, int]]]:
    """(kind, portability, cases by result), in order of kind."""
    found: dict[tuple[str, str], dict[str, int]] = {}
    for verdict in verdicts:
        counts = found.setdefault((verdict.kind, verdict.portability), {})
        counts[verdict.result] = counts.get(verdict.result, 0) + 1
    return [(kind, portability, counts) for (kind, portability), counts in sorted(found.items())]
