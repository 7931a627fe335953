"""`tradepost conformance`: other engines' calculation cases, run through ours."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tradepost.kernel.errors import Kind, declare_problems
from tradepost.surfaces.cli.output import FAILED, errors
from tradepost.testing.conformance.running import Verdict, read_cases, run_case, summary, verdict_of

declare_problems(
    {
        "conformance.file_invalid": (
            Kind.INVALID,
            "Not a file of cases",
            "Give JSON with a list of cases, alone or under the key `vectors`.",
        )
    }
)

_RESULTS = ("same", "different", "unsupported", "failed", "unjudged")


def conformance(*files: Path, check: bool = False) -> None:
    """Run calculation cases through the production calculators; print one JSON line for each.

    A line is {"id", "actual"} or {"id", "unsupported"}. A case's `policy` sets the engine's switches; what the
    engine does not have is unsupported, never a guess. A case that breaks stops no other.

    Parameters
    ----------
    files
        Files of cases, as described in docs/reference/conformance.md.
    check
        Compare with each case's `expected` (its keys only) and end with 1 when one differs or failed; a table goes
        to standard error.
    """
    verdicts: list[Verdict] = []
    for path in files:
        for case in read_cases(path):
            answer = run_case(case)
            sys.stdout.write(json.dumps(answer, default=str) + "\n")
            if check:
                verdicts.append(verdict_of(case, answer))
    sys.stdout.flush()
    if not check:
        return
    _report(verdicts)
    if any(verdict.result in ("different", "failed") for verdict in verdicts):
        sys.exit(FAILED)


def _report(verdicts: list[Verdict]) -> None:
    from rich.table import Table

    for verdict in verdicts:
        if verdict.result in ("different", "failed", "unsupported"):
            errors.print(f"{verdict.case_id}: {verdict.result}: {verdict.why}", markup=False, highlight=False)
    table = Table(title=f"{len(verdicts)} cases")
    for heading in ("kind", "portability", *_RESULTS):
        table.add_column(heading)
    for kind, portability, counts in summary(verdicts):
        table.add_row(kind, portability, *(str(counts.get(result, 0)) for result in _RESULTS))
    errors.print(table)
