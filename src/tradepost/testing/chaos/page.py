"""The page of a run: a picture for each fault of what users were answered, second by second; one file, no scripts."""

from __future__ import annotations

from html import escape
from importlib import resources
from pathlib import Path

import msgspec

from tradepost.testing.chaos.model import Run, Trial
from tradepost.testing.chaos.timeline import BIN_MS, Bins

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 560, 200, 42, 42, 14, 26
BARS_MAX = 90
KINDS = ("done", "refused", "away", "broken")
LEGEND = (
    ("done", "done"),
    ("refused", "refused for a reason"),
    ("away", "come again (429, 503)"),
    ("broken", "no answer, or one that breaks the rules"),
    ("wait", "longest wait"),
    ("fault", "while the fault lasts"),
)
SHOWN_ANSWERS = 4


def write_page(run: Run, out: Path) -> None:
    """Write chaos.json and chaos.html into a folder."""
    out.mkdir(parents=True, exist_ok=True)
    encoded = msgspec.json.encode({"held": run.held, "run": run})
    (out / "chaos.json").write_bytes(msgspec.json.format(encoded, indent=1))
    (out / "chaos.html").write_text(render_page(run), "utf-8")


def render_page(run: Run) -> str:
    """The whole page as HTML."""
    style = resources.files("tradepost.testing.bench").joinpath("page.css").read_text("utf-8")
    style += resources.files("tradepost.testing.chaos").joinpath("page.css").read_text("utf-8")
    verdict = "everything held" if run.held else "something that must hold did not"
    facts = (
        f"{run.started_at}, {run.elapsed_s:.0f} s, seed {run.seed}, {run.rate:g} actions a second; "
        f"a fault lasts {run.seconds:g} s; the disk that fills: {run.disk}. Result: {verdict}."
    )
    legend = "".join(f'<li><i class="{kind}"></i>{escape(words)}</li>' for kind, words in LEGEND)
    cards = "".join(_card(trial) for trial in run.trials)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Tradepost chaos</title><style>{style}</style></head><body><main>"
        f"<header><h1>Tradepost chaos</h1><p>{escape(facts)}</p></header>{_table(run)}"
        f'<section><h2>What users saw</h2><ul class="legend">{legend}</ul><div class="cards">{cards}</div></section>'
        "</main></body></html>\n"
    )


def answers_of(trial: Trial) -> str:
    """The most frequent answers from the fault's begin until all was as usual."""
    named = [f"{name} x{count}" for name, count in list(trial.seen.items())[:SHOWN_ANSWERS]]
    more = len(trial.seen) - len(named)
    return ", ".join([*named, *([f"{more} more"] if more > 0 else [])])


def shown_s(ms: int | None) -> str:
    """Milliseconds as seconds for people."""
    return "not in time" if ms is None else f"{ms / 1000:.1f} s"


def _table(run: Run) -> str:
    head = (
        "fault",
        "users saw meanwhile",
        "worst wait",
        "trouble for",
        "as usual after its end",
        "settled",
        "held",
    )
    rows = []
    for trial in run.trials:
        mark = '<span class="mark reach">yes</span>' if trial.held else '<span class="mark broken">no</span>'
        cells = (shown_s(trial.worst_ms), shown_s(trial.trouble_ms), shown_s(trial.back_ms))
        told = "".join(f"<td>{cell}</td>" for cell in (*cells, shown_s(trial.settled_ms)))
        rows.append(
            f"<tr><th>{escape(trial.name)}<small>{escape(trial.sentence)}; shop on {trial.storage}</small></th>"
            f'<td class="left">{escape(answers_of(trial))}</td>{told}<td>{mark}</td></tr>'
        )
    columns = "".join(f'<th class="{"left" if name == head[1] else ""}">{name}</th>' for name in head)
    return (
        f'<div class="scroll"><table class="numbers"><thead><tr>{columns}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _card(trial: Trial) -> str:
    wrong = "".join(f"<li>{escape(text)}</li>" for text in trial.complaints())
    return (
        f'<figure class="card"><figcaption>{escape(trial.name)}</figcaption>{_strip(trial)}'
        f"{f'<ul class=wrong>{wrong}</ul>' if wrong else ''}</figure>"
    )


def _strip(trial: Trial) -> str:
    """Stacked bars of answers a second over time, the longest wait as a line, the fault as a band."""
    bins, bar_ms = _merged(trial.bins)
    count = max(len(bins.done), 1)
    highest = max((sum(at) for at in _stacks(bins)), default=0) or 1
    longest_ms = max(bins.worst_ms, default=0) or 1
    step = (WIDTH - LEFT - RIGHT) / count
    floor, tall = HEIGHT - BOTTOM, HEIGHT - TOP - BOTTOM

    def across(ms: int) -> float:
        return LEFT + step * ms / bar_ms

    band = max(across(trial.to_ms) - across(trial.from_ms), 1)
    parts = [
        f'<rect class="fault" x="{across(trial.from_ms):.1f}" y="{TOP}" width="{band:.1f}" height="{tall}"/>'
    ]
    for place, stack in enumerate(_stacks(bins)):
        y = float(floor)
        for kind, number in zip(KINDS, stack, strict=True):
            high = tall * number / highest
            y -= high
            if number:
                parts.append(
                    f'<rect class="{kind}" x="{LEFT + step * place:.1f}" y="{y:.1f}" width="{max(step - 0.6, 0.4):.1f}"'
                    f' height="{high:.1f}"/>'
                )
    points = " ".join(
        f"{LEFT + step * (place + 0.5):.1f},{floor - tall * ms / longest_ms:.1f}"
        for place, ms in enumerate(bins.worst_ms)
    )
    parts.append(f'<polyline class="wait" points="{points}"/>')
    if trial.back_ms is not None:
        x = across(trial.to_ms + trial.back_ms)
        parts.append(f'<line class="back" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{floor}"/>')
    parts += _scales(count, bar_ms, highest, longest_ms, step)
    return f'<svg class="strip" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{"".join(parts)}</svg>'


def _merged(bins: Bins) -> tuple[Bins, int]:
    """So many bins in one bar that few enough bars are left; the length of a bar in ms."""
    each = -(-len(bins.done) // BARS_MAX) or 1
    starts = range(0, len(bins.done), each)
    sums = {name: [sum(getattr(bins, name)[at : at + each]) for at in starts] for name in KINDS}
    longest = [max(bins.worst_ms[at : at + each]) for at in starts]
    return Bins(**sums, worst_ms=longest), each * BIN_MS


def _scales(count: int, bar_ms: int, highest: int, longest_ms: int, step: float) -> list[str]:
    per_s = highest * 1000 // bar_ms
    parts = [
        f'<text x="{LEFT - 6}" y="{TOP + 10}" text-anchor="end">{per_s}/s</text>',
        f'<text x="{WIDTH - RIGHT + 6}" y="{TOP + 10}">{shown_s(longest_ms)}</text>',
    ]
    whole_s = count * bar_ms // 1000
    every = max(1, whole_s // 8)
    for second in range(0, whole_s + 1, every):
        x = LEFT + step * second * 1000 / bar_ms
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - 8}" text-anchor="middle">{second} s</text>')
    return parts


def _stacks(bins: Bins) -> list[tuple[int, ...]]:
    return list(zip(bins.done, bins.refused, bins.away, bins.broken, strict=True))
