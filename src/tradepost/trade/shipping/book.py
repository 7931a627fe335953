"""TermsBook: sellers' terms, out of memory; read again only when they were written."""

from __future__ import annotations

from collections.abc import Mapping

from tradepost.kernel.ids import gene_of
from tradepost.kernel.tx import Storage
from tradepost.trade.shipping.api import present_terms
from tradepost.trade.shipping.model import Terms

SELLERS_MAX = 2_000

ByCurrency = Mapping[str, Terms]


class TermsBook:
    """The terms used last, of at most 2,000 sellers.

    Whoever asks says how often a seller's terms were written, as the offer tells: an offer is forgotten the moment
    they are written again, so this book needs no ear of its own. A seller without terms is never asked for.
    """

    def __init__(self, db: Storage) -> None:
        self._db = db
        self._known: dict[str, tuple[int, ByCurrency]] = {}

    def peek(self, versions: Mapping[str, int]) -> tuple[dict[str, ByCurrency], list[str]]:
        """(what memory has that is not older than these versions, sellers it lacks)."""
        found: dict[str, ByCurrency] = {}
        missing: list[str] = []
        for seller_id, version in versions.items():
            entry = self._known.pop(seller_id, None)
            if entry is None:
                missing.append(seller_id)
                continue
            self._known[seller_id] = entry  # to the end: the front is what is forgotten first
            if entry[0] >= version:
                found[seller_id] = entry[1]
            else:
                missing.append(seller_id)
        return found, missing

    async def get(self, versions: Mapping[str, int]) -> dict[str, ByCurrency]:
        """The sellers' terms by currency, one read for each seller that memory lacks. Raises what a read raises."""
        found, missing = self.peek(versions)
        for seller_id in missing:
            shard = self._db.shard_of(gene_of(seller_id))
            version, terms = await self._db.read(shard, present_terms, seller_id)
            self._remember(seller_id, version, terms)
            found[seller_id] = terms
        return found

    def _remember(self, seller_id: str, version: int, terms: ByCurrency) -> None:
        entry = self._known.pop(seller_id, None)
        if entry is not None and entry[0] > version:
            version, terms = entry
        if len(self._known) >= SELLERS_MAX:
            del self._known[next(iter(self._known))]
        self._known[seller_id] = (version, terms)
