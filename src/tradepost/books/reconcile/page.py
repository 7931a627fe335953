"""The report as one page that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape

from tradepost.books.reconcile.model import BREAKS, Break, Reconciliation
from tradepost.kernel.money import to_major

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:1100px;margin:2rem auto;padding:0 1rem;color:#1b1f24}
h1{font-size:1.6rem;margin-bottom:.2rem}h2{margin-top:2rem;font-size:1.15rem}
table{border-collapse:collapse;width:100%}td,th{padding:.35rem .6rem;border-bottom:1px solid #d9dee3;text-align:left}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}.good{color:#116329}.bad{color:#a40e26}
.muted{color:#57606a}code{font-size:.85em}
@media(prefers-color-scheme:dark){body{background:#14171a;color:#e6e8ea}td,th{border-color:#2d333a}.good{color:#56d364}
.bad{color:#ff7b72}.muted{color:#9aa4ae}}
"""
ROWS_MAX = 2_000
"""Breaks shown on the page; the JSON has all."""


def render_page(found: Reconciliation) -> str:
    """The whole page."""
    verdict = (
        '<p class="good">All sides agree.</p>'
        if found.agrees
        else f'<p class="bad">{len(found.breaks)} differences.</p>'
    )
    made = datetime.fromtimestamp(found.made_at_ms // 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
    parts = [
        f"<h1>Reconciliation of {escape(found.day or 'all days')}</h1>",
        f'<p class="muted">made {made}</p>',
        verdict,
        "<h2>What each side says</h2>",
        _sides(found),
        "<h2>Compared</h2>",
        _table(("what", "rows"), [(name.replace("_", " "), f"{n:,}") for name, n in found.counts.items()]),
        "<h2>Differences by age</h2>",
        _table(("age", "differences"), [(name, str(n)) for name, n in found.ages.items()]),
        "<h2>Differences</h2>",
        _breaks(found.breaks),
    ]
    if found.provider_fees:
        fees = [(currency, _money(amount, currency)) for currency, amount in found.provider_fees.items()]
        parts.insert(5, "<h2>Fees of providers</h2>" + _table(("currency", "fees"), fees))
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>Reconciliation {escape(found.day)}</title><style>{_STYLE}</style><body>{''.join(parts)}</body></html>"
    )


def _sides(found: Reconciliation) -> str:
    names = sorted({name for row in found.sides.values() for name in row})
    rows = [
        (currency, *[_money(row.get(name, 0), currency) for name in names])
        for currency, row in found.sides.items()
    ]
    return _table(("currency", *[name.replace("_", " ") for name in names]), rows)


def _breaks(breaks: Sequence[Break]) -> str:
    if not breaks:
        return "<p>None.</p>"
    rows = [
        (
            one.kind + ("" if BREAKS[one.kind].serious else " (note)"),
            one.subject,
            _money(one.amount_minor, one.currency) if one.currency else "",
            one.age,
            one.detail,
            one.proposal,
        )
        for one in breaks[:ROWS_MAX]
    ]
    more = f"<p>and {len(breaks) - ROWS_MAX} more</p>" if len(breaks) > ROWS_MAX else ""
    return _table(("kind", "about", "difference", "age", "what", "proposal"), rows) + more


def _money(amount: int, currency: str) -> str:
    return f"{to_major(amount, currency)} {currency}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    def cell(tag: str, text: str) -> str:
        number = ' class="n"' if text[:1].isdigit() or text[:2].lstrip("-").isdigit() else ""
        return f"<{tag}{number}>{escape(text)}</{tag}>"

    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join(f"<tr>{''.join(cell('td', text) for text in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"
