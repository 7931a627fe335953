"""The metrics of several processes as one answer: each keeps its own numbers, told apart by a `worker` label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tradepost.telemetry.metrics import PREFIX, Family, declare_metrics, metric_table

UP = "worker_up"
STARTS = "worker_starts"

declare_metrics(
    [
        Family(UP, "gauge", "Whether a process of this installation answered the scrape.", ("worker",)),
        Family(
            STARTS, "gauge", "How often the place of a process was filled; grows when it dies.", ("worker",)
        ),
    ]
)


def merge(parts: Sequence[tuple[str, bytes]], starts: Mapping[str, int], silent: Sequence[str] = ()) -> bytes:
    """One text out of those of several workers. What is a fact of the installation is taken from the first alone.

    `silent` names the workers that did not answer.
    """
    shared = {family.exposed for family in metric_table().values() if family.shared}
    heads: dict[str, list[str]] = {}
    samples: dict[str, list[str]] = {}
    for at, (worker, text) in enumerate(parts):
        name = ""
        for line in text.decode("utf-8", "replace").splitlines():
            if line.startswith("# "):
                name = line.split(" ", 3)[2]
                known = heads.setdefault(name, [])
                if len(known) < 2:
                    known.append(line)
            elif line and name not in shared:
                samples.setdefault(name, []).append(_labelled(line, worker))
            elif line and at == 0:
                samples.setdefault(name, []).append(line)
    lines = [line for name, found in samples.items() for line in (*heads[name], *found)]
    lines += _gauge(UP, {worker: 1 for worker, _ in parts} | dict.fromkeys(silent, 0))
    lines += _gauge(STARTS, starts)
    return ("\n".join(lines) + "\n").encode()


def _labelled(line: str, worker: str) -> str:
    """A sample with one label more. A name never holds a brace or blank, so the first of them ends it."""
    brace, blank = line.find("{"), line.find(" ")
    if 0 < brace < blank:
        return f'{line[:brace]}{{worker="{worker}",{line[brace + 1 :]}'
    return f'{line[:blank]}{{worker="{worker}"}}{line[blank:]}'


def _gauge(name: str, numbers: Mapping[str, int]) -> list[str]:
    family = metric_table()[name]
    return [
        f"# HELP {PREFIX}{name} {family.sentence}",
        f"# TYPE {PREFIX}{name} gauge",
        *(f'{PREFIX}{name}{{worker="{worker}"}} {value}' for worker, value in sorted(numbers.items())),
    ]
