"""Documents people read: one description of a sheet, written as an HTML page or a PDF."""

from __future__ import annotations

import importlib

from tradepost.surfaces.paper.invoice_sheet import invoice_sheet
from tradepost.surfaces.paper.page import to_html
from tradepost.surfaces.paper.sheet import Sheet, Table

__all__ = ["Sheet", "Table", "invoice_sheet", "to_html", "to_pdf"]


def to_pdf(sheet: Sheet) -> bytes:
    """The sheet as a PDF on A4; the library that writes it is loaded now. Raises Refusal `paper.too_long`."""
    written: bytes = importlib.import_module("tradepost.surfaces.paper.pdf").write_pdf(sheet)
    return written
