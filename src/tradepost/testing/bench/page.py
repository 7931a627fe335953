"""The page of a run: one file without scripts, fonts or pictures from elsewhere."""

from __future__ import annotations

from html import escape
from importlib import resources

from tradepost.testing.bench.charts import (
    bars_plot,
    goal_bar,
    latency_plot,
    legend,
    line_plot,
    number,
    stacked_bar,
)
from tradepost.testing.bench.goals import GOALS
from tradepost.testing.bench.model import BROKEN, MET, MISSED, REACHED, TOLD, Bench, Figure, Series

MARKS = {REACHED: "reached", MET: "met", MISSED: "missed", TOLD: "no goal", BROKEN: "unexpected answers"}
CURVES = ("place_spread", "place_hot", "place_capture", "whole_checkout", "sold_out", "place_naive")
BUSY_SHARE = 0.15
SERIES_GOALS = {"connections": "place_spread"}
"""Whose goals are drawn into a plot."""


def render_page(bench: Bench) -> str:
    """The whole page as HTML."""
    style = resources.files("tradepost.testing.bench").joinpath("page.css").read_text("utf-8")
    body = [_head(bench), _failures(bench), _goals(bench.figures), _plots(bench), _latencies(bench.figures)]
    body += [_answers(bench.figures), _machine(bench)]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Tradepost bench</title><style>{style}</style></head>"
        f"<body><main>{''.join(body)}</main></body></html>\n"
    )


def _head(bench: Bench) -> str:
    machine = bench.machine
    load = ", ".join(f"{one:.2f}" for one in machine.load_before)
    busy = ""
    others = bench.others_cpu_s / max(bench.driven_s, 0.01)
    if others > BUSY_SHARE or machine.load_before[0] > machine.cores / 2:
        busy = (
            f'<p class="alarm">Other work took {others:.0%} of a core while load was driven (load before: {load} on '
            f"{machine.cores} cores): trust the ratios, not the absolute figures.</p>"
        )
    quick = " quick run," if bench.quick else ""
    return (
        "<header><h1>Tradepost bench</h1>"
        f"<p>{escape(bench.started_at)},{quick} {bench.elapsed_s:.0f} s. {escape(machine.cpu)}, "
        f"{machine.cores} cores shared by server and load generator; "
        f"{number(machine.fsync_per_s)} flushes of 4 KB a second; SQLite {escape(machine.sqlite)}, "
        f"synchronous=FULL, writer in a {escape(machine.writer)}.</p>{busy}</header>"
    )


def _failures(bench: Bench) -> str:
    broken = dict(bench.failures)
    for figure in bench.figures:
        if figure.unexpected:
            told = ", ".join(f"{count:,} x {what}" for what, count in figure.unexpected.items())
            broken[figure.title] = f"unexpected: {told}"
    items = [f"<li><b>{escape(name)}</b>: {escape(why)}</li>" for name, why in broken.items()]
    return f'<section class="alarm"><h2>Broken</h2><ul>{"".join(items)}</ul></section>' if items else ""


def _goals(figures: list[Figure]) -> str:
    rows = []
    for figure in figures:
        goals = ""
        if figure.must:
            sign = "≤" if figure.less else "≥"
            goals = f"{sign} {number(figure.must, figure.unit)}"
            goals += f" · {number(figure.reach, figure.unit)}" if figure.reach else ""
        spread = f"{number(figure.low)} to {number(figure.high)}" if figure.low != figure.high else ""
        rows.append(
            f'<tr><th scope="row">{escape(figure.title)}<small>{escape(figure.note)}</small></th>'
            f'<td class="figure">{number(figure.value, figure.unit)}<small>{spread}</small></td>'
            f'<td class="wide">{goal_bar(figure)}</td><td class="goal">{goals}</td>'
            f'<td><span class="mark {figure.verdict}">{MARKS[figure.verdict]}</span></td></tr>'
        )
    return (
        "<section><h2>Figures and goals</h2>"
        '<p class="key"><i class="must"></i> must be <i class="reach"></i> to reach '
        '<i class="spread"></i> lowest to highest round</p><table><thead><tr><th>figure</th><th>median</th>'
        f"<th></th><th>must · reach</th><th></th></tr></thead><tbody>{''.join(rows)}</tbody></table></section>"
    )


def _plots(bench: Bench) -> str:
    cards = []
    by_name = {figure.name: figure for figure in bench.figures}
    curves = {
        by_name[name].title: latency
        for name in CURVES
        if name in by_name and (latency := by_name[name].latency) and latency.count
    }
    if curves:
        cards.append(_card("Latency by percentile, 256 connections", latency_plot(curves), list(curves)))
    for series in bench.series:
        cards.append(_series_card(series))
    return f'<section><h2>Plots</h2><div class="cards">{"".join(cards)}</div></section>' if cards else ""


def _series_card(series: Series) -> str:
    names = list(series.lines)
    if len(series.under) == 1:
        whole = sum(line[0] for line in series.lines.values())
        title = f"{series.title}: {number(whole, series.unit)}"
        return _card(
            title, stacked_bar(series), [f"{n} {number(series.lines[n][0])}" for n in names], "broad"
        )
    if series.name == "writers":
        return _card(series.title, bars_plot(series), names)
    goal = GOALS.get(SERIES_GOALS.get(series.name, ""))
    goals = [("must", goal.must), ("reach", goal.reach)] if goal else []
    shown = f"{series.title}, {series.unit}"
    return _card(shown, line_plot(series, goals), names if len(names) > 1 else [])


def _card(title: str, plot: str, names: list[str], kind: str = "") -> str:
    shown = legend(names) if names else ""
    return f'<figure class="card {kind}"><figcaption>{escape(title)}</figcaption>{plot}{shown}</figure>'


def _latencies(figures: list[Figure]) -> str:
    rows = []
    for figure in figures:
        if figure.latency is None:
            continue
        one = figure.latency
        times = (one.p50_us, one.p90_us, one.p99_us, one.p999_us, one.max_us)
        cells = "".join(f"<td>{number(us / 1000)}</td>" for us in times)
        details = figure.details
        shares = [
            details.get(name) for name in ("server_cpu_share", "generator_cpu_share", "others_cpu_share")
        ]
        cells += (
            f"<td>{number(details['server_cpu_us_each'])}</td>"
            if "server_cpu_us_each" in details
            else "<td></td>"
        )
        cells += "".join("<td></td>" if share is None else f"<td>{share:.0%}</td>" for share in shares)
        rows.append(f'<tr><th scope="row">{escape(figure.title)}</th><td>{one.count:,}</td>{cells}</tr>')
    if not rows:
        return ""
    heads = ("count", "p50", "p90", "p99", "p99.9", "max", "CPU us each", "server", "generator", "others")
    return (
        "<section><h2>Latency and CPU</h2><p>Milliseconds, of the round with the median rate. CPU is of one core."
        ' A closed loop: with 256 connections the median is 256 over the rate.</p><div class="scroll">'
        f'<table class="numbers"><thead><tr><th>figure</th>{"".join(f"<th>{h}</th>" for h in heads)}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div></section>"
    )


def _answers(figures: list[Figure]) -> str:
    rows = [
        f'<tr><th scope="row">{escape(figure.title)}</th><td class="left">'
        + ", ".join(f"{escape(what)} × {count:,}" for what, count in sorted(figure.answers.items()))
        + "</td></tr>"
        for figure in figures
        if figure.answers
    ]
    if not rows:
        return ""
    return f'<section><h2>Answers</h2><table class="numbers"><tbody>{"".join(rows)}</tbody></table></section>'


def _machine(bench: Bench) -> str:
    machine = bench.machine
    driven = max(bench.driven_s, 0.01)
    facts = {
        "CPU": f"{machine.cpu}, {machine.cores} cores",
        "memory": f"{machine.memory_mb:,} MB",
        "kernel": machine.kernel,
        "Python": machine.python,
        "SQLite": f"{machine.sqlite}, WAL, synchronous=FULL",
        "writer": machine.writer,
        "flushes a second (4 KB, fdatasync)": number(machine.fsync_per_s),
        "load before the run": ", ".join(f"{one:.2f}" for one in machine.load_before),
        "load generator": machine.load_generator,
        "load generator CPU": f"{bench.generator_cpu_s:.1f} s, {bench.generator_cpu_s / driven:.0%} of one core",
        "server CPU": f"{bench.server_cpu_s:.1f} s, {bench.server_cpu_s / driven:.0%} of one core",
        "others' CPU": f"{bench.others_cpu_s:.1f} s, {bench.others_cpu_s / driven:.0%} of one core",
        "driven": f"{driven:.1f} s of {bench.elapsed_s:.1f} s",
        "Tradepost": bench.version,
    }
    rows = "".join(
        f'<tr><th scope="row">{escape(k)}</th><td class="left">{escape(v)}</td></tr>'
        for k, v in facts.items()
    )
    return f'<section><h2>Machine</h2><table class="numbers"><tbody>{rows}</tbody></table></section>'
