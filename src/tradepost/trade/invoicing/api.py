"""What others may call: issue, find and list documents; enter a seller's legal party."""

from __future__ import annotations

from collections.abc import Sequence

from tradepost.kernel.errors import Refusal
from tradepost.kernel.market import Market
from tradepost.kernel.tx import Tx
from tradepost.trade.invoicing import rules, store
from tradepost.trade.invoicing.model import Draft, Invoice, LegalParty
from tradepost.trade.orders import Order
from tradepost.trade.payments import Given, Refund


def issue_invoice(
    tx: Tx, order: Order, market: Market, invoice_id: str, seller_name: str, at_ms: int
) -> Invoice:
    """The invoice of an order, made now or the one that was made before. `tx` is on the seller's shard.

    Raises Refusal `invoicing.not_due`.
    """
    known = store.by_source(tx, order.seller_id, f"{order.order_id}.sale")
    if known is not None:
        return known
    seller = legal_party(tx, order.seller_id, seller_name, market)
    return _write(tx, rules.draft_invoice(order, seller, market, invoice_id, at_ms))


def issue_credits(
    tx: Tx, order: Order, market: Market, given: Given, invoice_ids: Sequence[str], at_ms: int
) -> list[Invoice]:
    """The credit notes of refunds that have none yet: none before the invoice. `tx` is on the seller's shard.

    What was cancelled is credited as far as the invoice holds it: one that was made after the cancellation does not.
    """
    issued = store.of_order(tx, order.seller_id, order.order_id)
    sale = next((one for one in issued if one.source == f"{order.order_id}.sale"), None)
    if sale is None:
        return []
    notes = [one for one in issued if one.credits == sale.number]
    known, first = {one.source for one in notes}, len(notes)
    of_cancelled = {_source(refund) for refund in given.cancelled}
    excess = sale.gross_minor - given.ordered_minor
    excess -= sum(one.gross_minor for one in notes if one.source in of_cancelled)
    made_refunds = sorted((*given.cancelled, *given.beside), key=lambda one: one.requested_at_ms)
    for refund, invoice_id in zip(made_refunds, invoice_ids, strict=True):
        source, amount = _source(refund), refund.amount_minor
        if source in known:
            continue
        if source in of_cancelled:
            amount = min(amount, max(0, excess))
            excess -= amount
        draft = rules.draft_credit(
            sale,
            notes,
            amount,
            invoice_id=invoice_id,
            source=source,
            reason=refund.reason,
            market=market,
            at_ms=at_ms,
        )
        if draft is not None:
            notes.append(_write(tx, draft))
    return notes[first:]


def _source(refund: Refund) -> str:
    return f"{refund.refund_id}.credit"


def _write(tx: Tx, draft: Draft) -> Invoice:
    count = store.draw_number(tx, draft.document.seller_id, draft.series)
    invoice = rules.numbered(draft, count)
    store.insert(tx, invoice, draft.series, count)
    return invoice


def legal_party(tx: Tx, seller_id: str, seller_name: str, market: Market) -> LegalParty:
    """Who the seller is on paper; until it is entered, the shop's name in the market's country."""
    party, _ = store.find_party(tx, seller_id)
    return party or LegalParty(name=seller_name or seller_id, country=market.code[:2])


def find_legal_party(tx: Tx, seller_id: str) -> LegalParty | None:
    """What the seller entered, None before that."""
    return store.find_party(tx, seller_id)[0]


def enter_legal_party(tx: Tx, seller_id: str, party: LegalParty) -> LegalParty:
    """Enter or replace it; documents issued before keep theirs. Raises Refusal `invoicing.party_invalid`."""
    checked = rules.check_party(party)
    known, version = store.find_party(tx, seller_id)
    if known != checked:
        store.put_party(tx, seller_id, checked, version)
    return checked


def find_invoice(tx: Tx, invoice_id: str) -> Invoice:
    """A document. Raises Refusal `invoicing.not_found`."""
    found = store.by_id(tx, invoice_id)
    if found is None:
        raise not_found(invoice_id)
    return found


def not_found(invoice_id: str) -> Refusal:
    """The refusal of a document that is unknown or not yours: the two cannot be told apart."""
    return Refusal("invoicing.not_found", f"There is no invoice {invoice_id[:60]!r}.", field="invoice_id")


def invoices_of_order(tx: Tx, seller_id: str, order_id: str) -> list[Invoice]:
    """The invoice and credit notes of an order, in the order they were issued."""
    return store.of_order(tx, seller_id, order_id)


def invoices_of_seller(
    tx: Tx, seller_id: str, series: str, after: int, limit: int
) -> list[tuple[int, Invoice]]:
    """(number, document) of one of a seller's series behind a number, in order."""
    return store.of_seller(tx, seller_id, series, after, limit)
