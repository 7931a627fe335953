"""A statement as one page that needs nothing else: what a seller files and an accountant reads."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from tradepost.kernel.money import to_major
from tradepost.trade.settlement import Component, Line, Statement

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:1200px;margin:2rem auto;padding:0 1rem;color:#1b1f24}
h1{font-size:1.5rem;margin:0}table{border-collapse:collapse;width:100%;margin-top:1.2rem}
td,th{padding:.3rem .5rem;border-bottom:1px solid #d9dee3;text-align:left;white-space:nowrap}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}tfoot td{font-weight:600;border-top:2px solid #1b1f24}
.wide{overflow-x:auto}.muted{color:#57606a}dl{display:grid;grid-template-columns:max-content auto;gap:.1rem 1rem}
dd{margin:0;font-variant-numeric:tabular-nums;text-align:right;max-width:12rem}
@media print{body{max-width:none;margin:0;font-size:11px}}
"""


def render_statement(statement: Statement, lines: Sequence[Line]) -> str:
    """The page. Columns are the components that occur; the last row is their sums."""
    used = [name for name in Component if any(line.components.get(name) for line in lines)]

    def money(amount: int) -> str:
        return to_major(amount, statement.currency)

    head = "".join(f'<th class="n">{name.replace("_", " ")}</th>' for name in used)
    body = "".join(
        f"<tr><td>{escape(line.order_id or line.line_id)}</td><td>{escape(line.note or line.kind)}</td>"
        + "".join(
            f'<td class="n">{_cell(line.components.get(name, 0), statement.currency)}</td>' for name in used
        )
        + f'<td class="n">{money(line.amount_minor)}</td></tr>'
        for line in lines
    )
    foot = "".join(
        f'<td class="n">{money(sum(line.components.get(name, 0) for line in lines))}</td>' for name in used
    )
    facts = (
        ("Opening balance", statement.opening_minor),
        ("Movements", statement.amount_minor),
        ("Closing balance", statement.closing_minor),
    )
    sums = "".join(f"<dt>{name}</dt><dd>{money(amount)} {statement.currency}</dd>" for name, amount in facts)
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>Statement {statement.date}</title><style>{_STYLE}</style><body>"
        f"<h1>Statement of {statement.date}</h1>"
        f'<p class="muted">{escape(statement.party_id)}, {statement.market}, {statement.lines} lines</p>'
        f'<dl>{sums}</dl><div class="wide"><table><thead><tr><th>order</th><th>what</th>{head}'
        f'<th class="n">amount</th></tr></thead><tbody>{body}</tbody><tfoot><tr><td>Sum</td><td></td>{foot}'
        f'<td class="n">{money(statement.amount_minor)}</td></tr></tfoot></table></div></body></html>'
    )


def _cell(amount: int, currency: str) -> str:
    return to_major(amount, currency) if amount else ""
