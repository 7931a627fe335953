"""A sheet as one HTML page: no script, no outside file, ready to print."""

from __future__ import annotations

from html import escape

from tradepost.surfaces.paper.sheet import Block, Sheet, Table

CSP = "default-src 'none'; style-src 'unsafe-inline'"
"""What a browser may load for such a page: nothing but its own style."""
_STYLE = """
body{font:15px/1.45 system-ui,sans-serif;color:#1b1f24;max-width:60rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.7rem;margin:0}h2{font-size:1rem;margin:1.6rem 0 .4rem}p{margin:.2rem 0}
.head{display:flex;justify-content:space-between;gap:2rem;flex-wrap:wrap}
.head{border-bottom:2px solid #1b1f24;padding-bottom:1rem}
.sub{color:#57606a}dl{display:grid;grid-template-columns:auto auto;gap:.15rem 1rem;margin:0}
dt{color:#57606a}dd{margin:0}
.blocks{display:flex;gap:3rem;flex-wrap:wrap}.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%}th,td{padding:.35rem .5rem;text-align:left;border-bottom:1px solid #d0d7de}
.n{text-align:right;font-variant-numeric:tabular-nums}.totals{margin-left:auto;width:auto;margin-top:1rem}
.totals tr:last-child{font-weight:700}@media print{body{margin:0;max-width:none}thead{display:table-header-group}}
""".strip()


def to_html(sheet: Sheet) -> bytes:
    """The page in UTF-8."""
    facts = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in sheet.facts)
    totals = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td class="n">{escape(text)}</td></tr>'
        for name, text in sheet.totals
    )
    notes = "".join(f"<p>{escape(note)}</p>" for note in sheet.notes)
    number = next((text for name, text in sheet.facts if name == "Number"), "")
    return (
        f'<!doctype html><html lang="{escape(sheet.language)}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(f'{sheet.title} {number}'.strip())}</title><style>{_STYLE}</style></head><body><main>"
        f'<div class="head"><div><h1>{escape(sheet.title)}</h1><p class="sub">{escape(sheet.subtitle)}</p></div>'
        f"<dl>{facts}</dl></div>"
        f'<div class="blocks">{"".join(_block(block) for block in sheet.blocks)}</div>'
        f"{''.join(_table(table) for table in sheet.tables)}"
        f'<table class="totals"><tbody>{totals}</tbody></table>{notes}</main></body></html>'
    ).encode()


def _block(block: Block) -> str:
    lines = "".join(f"<p>{escape(line)}</p>" for line in block.lines)
    return f"<section><h2>{escape(block.title)}</h2>{lines}</section>"


def _table(table: Table) -> str:
    def cell(tag: str, index: int, text: str) -> str:
        extra = ' class="n"' if index in table.right else ""
        scope = ' scope="col"' if tag == "th" else ""
        return f"<{tag}{scope}{extra}>{escape(text)}</{tag}>"

    head = "".join(cell("th", index, name) for index, name in enumerate(table.columns))
    body = "".join(
        f"<tr>{''.join(cell('td', index, text) for index, text in enumerate(row))}</tr>" for row in table.rows
    )
    return (
        f'<h2>{escape(table.title)}</h2><div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )
