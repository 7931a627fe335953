"""The page of a replay: what baskets cost then and now, day by day, as a table and as bars. No script."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape

from tradepost.kernel.money import to_major
from tradepost.trade.checkout import Comparison, Sums
from tradepost.trade.promotion import Campaign

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 880, 280, 90, 40, 16
DAYS_DRAWN = 62
_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:58rem;padding:0 1rem;color:#1d2430;background:#fff}
h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:2rem}
table{border-collapse:collapse;width:100%}th,td{padding:.3rem .6rem;border-bottom:1px solid #dfe3ea;text-align:right}
th:first-child,td:first-child{text-align:left}svg{width:100%;height:auto}
svg text{font:11px system-ui,sans-serif;fill:#4a5566}
.was{fill:#9aa7bd}.now{fill:#2f6fde}.grid{stroke:#dfe3ea}.less{color:#b3261e}.more{color:#1b7f4b}
"""


def page_of(found: Comparison, drafts: Iterable[Campaign]) -> str:
    """The whole document."""
    names = ", ".join(draft.title or draft.campaign_id for draft in drafts)
    title = f"With {names}" if names else "By the rules of their day"
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{found.baskets:,} baskets of {found.orders:,} orders priced again; {found.equal:,} cost the same to the"
        f" cent{_unpriced(found)}.</p>",
    ]
    for currency, days in sorted(found.by_day.items()):
        parts.append(f"<h2>{escape(currency)} by day</h2>")
        parts.append(_bars(days, currency))
        parts.append(_table(days, currency, found.by_currency[currency]))
    for title, table in (("Who pays", found.by_funder), ("By campaign", found.by_campaign)):
        for currency, rows in sorted(table.items()):
            if rows:
                parts.append(f"<h2>{title}, {escape(currency)}</h2>{_names(rows, currency)}")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>Orders priced again</title><style>{_STYLE}</style></head><body>{''.join(parts)}</body></html>"
    )


def _unpriced(found: Comparison) -> str:
    left = ", ".join(f"{count} not priced ({escape(why)})" for why, count in sorted(found.unknown.items()))
    return f"; {left}" if left else ""


def _bars(days: Mapping[str, Sums], currency: str) -> str:
    """Two bars a day: what was discounted, and what would be; the last 62 days."""
    shown = sorted(days.items())[-DAYS_DRAWN:]
    pairs = [(day, sums.discount_was_minor, sums.discount_now_minor) for day, sums in shown]
    top = max([1, *[max(was, now) for _, was, now in pairs]])
    room = (WIDTH - LEFT) / len(pairs)
    floor = HEIGHT - BOTTOM
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="Discounts by day, then and now">',
        *[_grid_line(top * step // 4, top, currency) for step in range(5)],
    ]
    each = max(1, len(pairs) // 10)
    for place, (day, was, now) in enumerate(pairs):
        start = LEFT + room * place
        for offset, kind, minor in ((0.12, "was", was), (0.5, "now", now)):
            tall = (floor - TOP) * minor / top
            x, y = start + room * offset, floor - tall
            label = f"{day} {kind} {to_major(minor, currency)}"
            parts.append(
                f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{room * 0.36:.1f}" height="{tall:.1f}">'
                f"<title>{label}</title></rect>"
            )
        if place % each == 0:
            parts.append(f'<text x="{start:.1f}" y="{floor + 18}">{day}</text>')
    parts.append(f'<text x="{LEFT}" y="{HEIGHT - 4}">discounts: grey then, blue now</text></svg>')
    return "".join(parts)


def _grid_line(minor: int, top: int, currency: str) -> str:
    y = HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * minor / top
    return (
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{to_major(minor, currency)}</text>'
    )


def _table(days: Mapping[str, Sums], currency: str, whole: Sums) -> str:
    head = "<tr><th>day</th><th>baskets</th><th>changed</th><th>was</th><th>now</th><th>difference</th></tr>"
    rows = [_row(day, sums, currency) for day, sums in sorted(days.items())]
    return f"<table>{head}{''.join(rows)}{_row('all', whole, currency)}</table>"


def _row(name: str, sums: Sums, currency: str) -> str:
    difference = sums.now_minor - sums.was_minor
    kind = "less" if difference < 0 else "more" if difference else ""
    cells = (
        f"{sums.baskets:,}",
        f"{sums.changed:,}",
        to_major(sums.was_minor, currency),
        to_major(sums.now_minor, currency),
    )
    return (
        f"<tr><td>{escape(name)}</td>{''.join(f'<td>{cell}</td>' for cell in cells)}"
        f'<td class="{kind}">{to_major(difference, currency)}</td></tr>'
    )


def _names(rows: Mapping[str, tuple[int, int]], currency: str) -> str:
    body = "".join(
        f"<tr><td>{escape(name or 'other')}</td><td>{to_major(was, currency)}</td>"
        f"<td>{to_major(now, currency)}</td></tr>"
        for name, (was, now) in sorted(rows.items())
    )
    return f"<table><tr><th>name</th><th>was</th><th>now</th></tr>{body}</table>"
