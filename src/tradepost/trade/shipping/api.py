"""What others may do with shipping terms: write, read, take away; all on the seller's shard."""

from __future__ import annotations

from tradepost.kernel.errors import Refusal
from tradepost.kernel.events import record
from tradepost.kernel.tx import Taken, Tx
from tradepost.trade import catalog
from tradepost.trade.shipping import store
from tradepost.trade.shipping.checks import accept_terms
from tradepost.trade.shipping.model import CURRENCIES_MAX, StoredTerms, Terms, TermsChanged


def put_terms(
    tx: Tx, terms: Terms, author: str, at_ms: int, *, by_seller: bool, version: int = 0
) -> StoredTerms:
    """Write a seller's terms of a currency. Quotes made from the commit on are priced by them; older ones stand.

    `version` is the one that was read, 0 takes the row as it is. A seller (`by_seller`) neither adds nor changes what
    the platform pays: it stays as it was. Raises Refusal `shipping.terms_invalid`, `.funder_forbidden`,
    `.too_many_currencies`, `catalog.seller_unknown` or `version.conflict`.
    """
    count = catalog.note_shipping(
        tx, terms.seller_id
    )  # first: writers of one seller wait for each other here
    known = {one.terms.currency: one for one in store.select_terms(tx, terms.seller_id)}
    now = known.get(terms.currency)
    if version and version != (now.version if now else 0):
        raise _conflict(terms, now)
    if now is None and len(known) >= CURRENCIES_MAX:
        raise Refusal(
            "shipping.too_many_currencies",
            f"There are terms in {len(known)} currencies.",
            field="currency",
            expected=f"at most {CURRENCIES_MAX}",
        )
    before = now.terms if now is not None else None
    accepted = accept_terms(terms, before, by_seller=by_seller)
    stored = StoredTerms(
        terms=accepted, version=now.version + 1 if now else 1, author=author, updated_at_ms=at_ms
    )
    if now is None:
        try:
            store.insert_terms(tx, stored)
        except Taken:
            raise _conflict(terms, now) from None
    elif store.update_terms(tx, stored) != 1:
        raise _conflict(terms, now)
    _tell(tx, accepted, count, at_ms, ended=False)
    return stored


def end_terms(tx: Tx, seller_id: str, currency: str, at_ms: int) -> StoredTerms:
    """Take a seller's terms of a currency away: the point `shipping.rates` prices it again.

    Raises Refusal `shipping.terms_unknown`.
    """
    found = find_terms(tx, seller_id, currency)
    count = catalog.note_shipping(tx, seller_id)
    store.delete_terms(tx, seller_id, currency)
    _tell(tx, found.terms, count, at_ms, ended=True)
    return found


def list_terms(tx: Tx, seller_id: str) -> list[StoredTerms]:
    """A seller's terms, one for each currency, in order of currency."""
    return store.select_terms(tx, seller_id)


def find_terms(tx: Tx, seller_id: str, currency: str) -> StoredTerms:
    """A seller's terms of a currency. Raises Refusal `shipping.terms_unknown`."""
    for one in store.select_terms(tx, seller_id):
        if one.terms.currency == currency:
            return one
    raise Refusal(
        "shipping.terms_unknown",
        f"The seller has no terms in {currency[:20]!r}.",
        field="currency",
        extra={"currency": currency[:20]},
    )


def present_terms(tx: Tx, seller_id: str) -> tuple[int, dict[str, Terms]]:
    """How often a seller's terms were written, and the present ones by currency."""
    found = {one.terms.currency: one.terms for one in store.select_terms(tx, seller_id)}
    return catalog.shipping_version(tx, seller_id), found


def _tell(tx: Tx, terms: Terms, count: int, at_ms: int, *, ended: bool) -> None:
    fact = TermsChanged(seller_id=terms.seller_id, currency=terms.currency, ended=ended)
    tx.emit([record(fact, _aggregate(terms.seller_id), count, at_ms, seller_id=terms.seller_id)])


def _aggregate(seller_id: str) -> str:
    """A name of its own for what a seller's terms go through: the seller's id carries the seller's own events."""
    return f"shp_{seller_id.partition('_')[2]}"


def _conflict(terms: Terms, now: StoredTerms | None) -> Refusal:
    version = now.version if now is not None else 0
    return Refusal(
        "version.conflict",
        f"The terms in {terms.currency} are at version {version}.",
        field="version",
        extra={"version": version},
    )
