"""A sheet as a PDF. This module is loaded with the first document: a shop that prints none pays nothing for it."""

from __future__ import annotations

import io
from typing import Any
from xml.sax.saxutils import escape

from reportlab.lib.colors import HexColor
from reportlab.lib.enums import TA_LEFT, TA_RIGHT
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.platypus import Paragraph, SimpleDocTemplate, Spacer
from reportlab.platypus import Table as Grid

from tradepost.kernel.errors import Refusal
from tradepost.surfaces.paper.letters import CJK, LATIN, ShapedText, is_shaped, is_wide, load_fonts
from tradepost.surfaces.paper.sheet import ROWS_MAX, Sheet, Table

_GREY = "#57606a"


def write_pdf(sheet: Sheet) -> bytes:
    """The document on A4. Raises Refusal `paper.too_long` beyond 20,000 rows.

    Which letters it has is told in `letters`; the HTML page has them all.
    """
    if sum(len(table.rows) for table in sheet.tables) > ROWS_MAX:
        raise Refusal("paper.too_long", f"The document has more than {ROWS_MAX} rows.")

    written = io.BytesIO()
    template = SimpleDocTemplate(
        written,
        pagesize=A4,
        leftMargin=15 * mm,
        rightMargin=15 * mm,
        topMargin=15 * mm,
        bottomMargin=15 * mm,
        title=f"{sheet.title} {sheet.facts[0][1] if sheet.facts else ''}".strip(),
        author=sheet.subtitle,
        invariant=1,
    )
    template.build(_story(sheet, template.width))
    return written.getvalue()


def _story(sheet: Sheet, width: float) -> list[Any]:
    load_fonts()
    story: list[Any] = [
        _words(sheet.title, 18, bold=True),
        _words(sheet.subtitle, 10, grey=True),
        Spacer(1, 8),
    ]
    story.append(
        _grid([[_words(name, 9, grey=True), _words(text, 9)] for name, text in sheet.facts], [90, 200])
    )
    if sheet.blocks:
        cells = [
            [
                _words(block.title, 9, bold=True),
                *(_words(line, 9) for line in block.lines),
            ]
            for block in sheet.blocks
        ]
        story += [Spacer(1, 10), _grid([cells], [width / len(cells)] * len(cells))]
    for table in sheet.tables:
        story += [Spacer(1, 12), _words(table.title, 10, bold=True), Spacer(1, 3), _table(table, width)]
    totals = [
        [_words(name, 9, bold=last), _words(text, 9, bold=last, right=True)]
        for index, (name, text) in enumerate(sheet.totals)
        for last in [index == len(sheet.totals) - 1]
    ]
    if totals:
        story += [Spacer(1, 10), _grid(totals, [130, 110], align="RIGHT")]
    return story + [_words(note, 8, grey=True) for note in sheet.notes]


def _words(text: str, size: int, *, bold: bool = False, grey: bool = False, right: bool = False) -> Any:
    color = HexColor(_GREY if grey else "#1b1f24")
    if is_shaped(text):
        return ShapedText(text, size, bold=bold, color=color, right=right)
    wide = is_wide(text)
    style = ParagraphStyle(
        "words",
        fontName=CJK if wide else f"{LATIN}-Bold" if bold else LATIN,
        fontSize=size,
        leading=size * 1.3,
        alignment=TA_RIGHT if right else TA_LEFT,
        textColor=color,
        wordWrap="CJK" if wide else None,
    )
    return Paragraph(escape(text), style)


def _grid(rows: list[list[Any]], widths: list[float], align: str = "LEFT") -> Any:

    style = [
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("LEFTPADDING", (0, 0), (-1, -1), 0),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 1),
    ]
    return Grid(rows, colWidths=widths, style=style, hAlign=align)


def _table(table: Table, width: float) -> Any:

    def cells(row: tuple[str, ...], *, bold: bool = False) -> list[Any]:
        return [_words(text, 7, bold=bold, right=index in table.right) for index, text in enumerate(row)]

    line = HexColor("#d0d7de")
    style = [
        ("LINEBELOW", (0, 0), (-1, -1), 0.5, line),
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("LEFTPADDING", (0, 0), (-1, -1), 2),
        ("RIGHTPADDING", (0, 0), (-1, -1), 2),
    ]
    rows = [cells(table.columns, bold=True), *(cells(row) for row in table.rows)]
    return Grid(rows, colWidths=_widths(table, width), repeatRows=1, style=style)


def _widths(table: Table, width: float) -> list[float]:
    """Columns as wide as what is in them, within the sheet; the text columns give way first."""
    longest = [
        min(max(len(name), *(len(row[index]) for row in table.rows[:500]), 3), 40)
        if table.rows
        else len(name)
        for index, name in enumerate(table.columns)
    ]
    total = sum(longest)
    return [width * count / total for count in longest]
