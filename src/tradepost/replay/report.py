"""What a replay counts, and the facts it is checked against."""

from __future__ import annotations

import msgspec


class Report(msgspec.Struct, kw_only=True):
    """The outcome of a replay. Amounts are minor units of the file's currency, counts are lines or pieces.

    Every line read is in exactly one of order_lines, return_lines, write_off_lines, adjustment_lines and
    rejected_lines. A return line is accepted, accepted in part or refused.
    """

    file: str = ""
    currency: str = "GBP"
    lines_read: int = 0
    invoices: int = 0
    orders: int = 0
    order_lines: int = 0
    units_sold: int = 0
    gross_minor: int = 0
    free_lines: int = 0
    return_lines: int = 0
    returns_accepted: int = 0
    returns_partial: int = 0
    returns_refused: int = 0
    returns_refused_reasons: dict[str, int] = msgspec.field(default_factory=dict)
    units_returned: int = 0
    refund_minor: int = 0
    write_off_lines: int = 0
    units_written_off: int = 0
    adjustment_lines: int = 0
    adjustment_minor: int = 0
    rejected_lines: int = 0
    rejected_reasons: dict[str, int] = msgspec.field(default_factory=dict)
    expected_gross_minor: int = 0
    captured_minor: int = 0
    ledger_captured_minor: int = 0
    ledger_refunded_minor: int = 0
    orders_completed: int = 0
    ledger_balanced: bool = False
    stock_conserved: bool = False
    findings: list[str] = msgspec.field(default_factory=list)
    elapsed_s: float = 0
    orders_per_s: float = 0
    lines_per_s: float = 0

    @property
    def accounted(self) -> bool:
        """Whether every line read ended somewhere."""
        ended = self.order_lines + self.return_lines + self.write_off_lines + self.adjustment_lines
        return ended + self.rejected_lines == self.lines_read

    @property
    def reconciled(self) -> bool:
        """Whether gross, captured and ledger agree to the penny, stock is conserved and no line is lost."""
        return (
            self.accounted
            and self.gross_minor
            == self.expected_gross_minor
            == self.captured_minor
            == self.ledger_captured_minor
            and self.refund_minor == self.ledger_refunded_minor
            and self.ledger_balanced
            and self.stock_conserved
            and self.orders_completed == self.orders
            and not self.findings
        )

    def reject(self, reason: str, lines: int = 1) -> None:
        """Count lines that could not be applied."""
        self.rejected_lines += lines
        self.rejected_reasons[reason] = self.rejected_reasons.get(reason, 0) + lines

    def refuse_return(self, reason: str) -> None:
        """Count a return line of which nothing was accepted."""
        self.returns_refused += 1
        self.returns_refused_reasons[reason] = self.returns_refused_reasons.get(reason, 0) + 1
