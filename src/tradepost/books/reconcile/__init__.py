"""Reconciliation: orders, payments, provider reports, ledger, settlement, statements and payouts say the same, or the
difference has a type, an age and a proposal."""

from tradepost.books.reconcile.gather import gather
from tradepost.books.reconcile.model import (
    BREAKS,
    Break,
    BreakKind,
    Gathered,
    Reconciliation,
    ReportRow,
    Window,
)
from tradepost.books.reconcile.page import render_page
from tradepost.books.reconcile.reports import read_report
from tradepost.books.reconcile.rules import reconcile

__all__ = [
    "BREAKS",
    "Break",
    "BreakKind",
    "Gathered",
    "Reconciliation",
    "ReportRow",
    "Window",
    "gather",
    "read_report",
    "reconcile",
    "render_page",
]
