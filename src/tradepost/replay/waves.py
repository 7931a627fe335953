"""Cut a history into waves: invoices that may happen side by side, because none of them waits for another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tradepost.replay.history import Invoice, LineKind

INVOICES_MAX = 128
SPAN_MS = 4 * 3_600_000
"""The clock stands within a wave: nothing happens more than four hours later than it did."""


def waves(invoices: Iterable[Invoice]) -> Iterator[list[Invoice]]:
    """The invoices in their order, cut before each that has to come after one of the same wave.

    A return comes after everything else of its customer that came before it, and before everything that came after
    it: which purchases it takes back depends on that. Sales of one customer do not depend on each other. At most 128
    invoices and four hours.
    """
    wave: list[Invoice] = []
    bought: set[str] = set()
    returned: set[str] = set()
    for invoice in invoices:
        is_return = invoice.lines[0].kind is LineKind.RETURN
        waits = invoice.customer in returned or (is_return and invoice.customer in bought)
        late = bool(wave) and invoice.at_ms - wave[0].at_ms > SPAN_MS
        if wave and (len(wave) == INVOICES_MAX or late or (waits and invoice.customer)):
            yield wave
            wave, bought, returned = [], set(), set()
        wave.append(invoice)
        (returned if is_return else bought).add(invoice.customer)
    if wave:
        yield wave
