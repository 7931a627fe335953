"""Plots as SVG text: bars against goals, lines over steps, latency curves, one stacked bar. No script, no file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

from tradepost.testing.bench.model import Figure, Series
from tradepost.testing.histogram import Latency

WIDTH, HEIGHT = 560, 300
LEFT, RIGHT, TOP, BOTTOM = 64, 20, 20, 46
_PERCENTILES = (0, 50, 90, 99, 99.9, 99.99)


def number(value: float, unit: str = "") -> str:
    """A value for people: 12,345/s, 1.24 ms, 0.97 x."""
    size = abs(value)
    digits = 0 if size >= 100 or value == int(value) else 1 if size >= 10 else 2
    text = f"{value:,.{digits}f}"
    return f"{text}{unit}" if unit.startswith("/") else f"{text} {unit}".rstrip()


def goal_bar(figure: Figure) -> str:
    """A bar with the goals as marks across it; empty for a figure without a goal."""
    if not figure.must:
        return ""
    longest = max(figure.value, figure.high, figure.must, figure.reach) * 1.06
    at = [round(300 * value / longest, 1) for value in (figure.value, figure.must, figure.reach)]
    spread = [round(300 * value / longest, 1) for value in (figure.low, figure.high)]
    reach = f'<line class="reach" x1="{at[2]}" x2="{at[2]}" y1="1" y2="21"/>' if figure.reach else ""
    return (
        '<svg class="bar" viewBox="0 0 300 22" role="img" preserveAspectRatio="none">'
        f'<rect class="track" width="300" height="12" y="5" rx="3"/>'
        f'<rect class="fill {figure.verdict}" width="{at[0]}" height="12" y="5" rx="3"/>'
        f'<line class="spread" x1="{spread[0]}" x2="{spread[1]}" y1="11" y2="11"/>'
        f'<line class="must" x1="{at[1]}" x2="{at[1]}" y1="1" y2="21"/>{reach}</svg>'
    )


def line_plot(series: Series, goals: Sequence[tuple[str, float]] = ()) -> str:
    """Lines over evenly placed steps, from zero, each point with its value; goals as dashed lines across."""
    values = [value for line in series.lines.values() for value in line] + [value for _, value in goals]
    top, ticks = _scale(max(values, default=1))
    steps = max(len(series.under) - 1, 1)

    def place(index: int, value: float) -> tuple[float, float]:
        across = LEFT + (WIDTH - LEFT - RIGHT) * (0.06 + 0.88 * index / steps)
        return across, HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / top

    parts = _grid(ticks, top, series.unit)
    parts += [
        _text(place(index, 0)[0], HEIGHT - BOTTOM + 18, label) for index, label in enumerate(series.under)
    ]
    for index, (name, goal) in enumerate(goals):
        y = place(0, goal)[1]
        kind = ("must", "reach")[min(index, 1)]
        parts.append(f'<line class="{kind}" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(_text(WIDTH - RIGHT, y - 4, f"{name} {number(goal)}", "end small"))
    for color, line in enumerate(series.lines.values()):
        points = [place(index, value) for index, value in enumerate(line)]
        joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline class="line c{color}" points="{joined}"/>')
        for (x, y), value in zip(points, line, strict=True):
            parts.append(f'<circle class="dot c{color}" cx="{x:.1f}" cy="{y:.1f}" r="4"/>')
            parts.append(_text(x, y - 10, number(value), "value"))
    return _svg(parts)


def bars_plot(series: Series) -> str:
    """Bars side by side for each step."""
    top, ticks = _scale(max((value for line in series.lines.values() for value in line), default=1) * 1.08)
    parts = _grid(ticks, top, series.unit)
    room = (WIDTH - LEFT - RIGHT) / max(len(series.under), 1)
    each = room * 0.7 / max(len(series.lines), 1)
    for step, label in enumerate(series.under):
        start = LEFT + room * step + room * 0.15
        parts.append(_text(start + room * 0.35, HEIGHT - BOTTOM + 18, label))
        for color, line in enumerate(series.lines.values()):
            tall = (HEIGHT - TOP - BOTTOM) * line[step] / top
            x, y = start + each * color, HEIGHT - BOTTOM - tall
            shape = f'x="{x + 3:.1f}" y="{y:.1f}" width="{each - 6:.1f}" height="{tall:.1f}" rx="3"'
            parts.append(f'<rect class="area c{color}" {shape}/>')
            parts.append(_text(x + each / 2, y - 6, number(line[step]), "value"))
    return _svg(parts)


def latency_plot(found: Mapping[str, Latency]) -> str:
    """Latency over percentile, both on scales that show the tail: 90, 99, 99.9 % stand equally far apart."""
    highest = max((latency.max_us for latency in found.values()), default=1) / 1000
    lowest = max(min((latency.p50_us for latency in found.values()), default=1) / 2000, 0.01)
    low, high = math.floor(math.log10(lowest)), math.ceil(math.log10(max(highest, lowest * 10)))

    def across(percentile: float) -> float:
        nines = min(-math.log10(max(1 - percentile / 100, 1e-4)), 4)
        return LEFT + (WIDTH - LEFT - RIGHT) * (0.03 + 0.92 * nines / 4)

    def up(milliseconds: float) -> float:
        share = (math.log10(max(milliseconds, 10**low)) - low) / (high - low)
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * min(share, 1)

    parts = [f'<g class="grid">{_lines([up(10**power) for power in range(low, high + 1)])}</g>']
    parts += [
        _text(LEFT - 8, up(10**power) + 4, _milliseconds(10.0**power), "end")
        for power in range(low, high + 1)
    ]
    parts += [_text(across(one), HEIGHT - BOTTOM + 18, f"{one:g} %") for one in _PERCENTILES]
    for color, latency in enumerate(found.values()):
        points = [
            (across(percentile), up(us / 1000)) for percentile, us in latency.curve if percentile <= 99.99
        ]
        joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline class="line c{color}" points="{joined}"/>')
    return _svg(parts)


def _milliseconds(value: float) -> str:
    return f"{value / 1000:g} s" if value >= 1000 else f"{value:g} ms"


def stacked_bar(series: Series) -> str:
    """One bar, its parts in proportion."""
    whole = sum(line[0] for line in series.lines.values()) or 1
    parts, x = [], 0.0
    for color, line in enumerate(series.lines.values()):
        wide = 1000 * max(line[0], 0) / whole
        parts.append(
            f'<rect class="area c{color}" x="{x:.1f}" y="0" width="{max(wide - 2, 0):.1f}" height="56" rx="3"/>'
        )
        if wide > 60:
            parts.append(
                f'<text class="inside" x="{x + wide / 2:.1f}" y="35" text-anchor="middle">{number(line[0])}</text>'
            )
        x += wide
    return f'<svg class="stack" viewBox="0 0 1000 56" role="img">{"".join(parts)}</svg>'


def legend(names: Sequence[str]) -> str:
    """Which colour is what."""
    items = [f'<li><i class="c{color}"></i>{escape(name)}</li>' for color, name in enumerate(names)]
    return f'<ul class="legend">{"".join(items)}</ul>'


def _svg(parts: Sequence[str]) -> str:
    return f'<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{"".join(parts)}</svg>'


def _scale(highest: float) -> tuple[float, list[float]]:
    """A round top of the axis and the ticks below it."""
    power = 10.0 ** math.floor(math.log10(max(highest, 1e-9)))
    step = next(one * power for one in (0.2, 0.25, 0.5, 1, 2) if one * power * 6 >= highest)
    count = max(math.ceil(highest / step), 1)
    return step * count, [step * index for index in range(count + 1)]


def _grid(ticks: Sequence[float], top: float, unit: str) -> list[str]:
    heights = [HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * tick / top for tick in ticks]
    labels = [_text(LEFT - 8, y + 4, number(tick), "end") for tick, y in zip(ticks, heights, strict=True)]
    return [f'<g class="grid">{_lines(heights)}</g>', *labels, _text(LEFT - 8, TOP - 8, unit, "end small")]


def _lines(heights: Sequence[float]) -> str:
    return "".join(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>' for y in heights)


def _text(x: float, y: float, text: str, kind: str = "") -> str:
    anchor = "end" if kind.startswith("end") else "middle"
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
