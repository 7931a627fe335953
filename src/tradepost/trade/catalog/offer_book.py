"""OfferBook: the offers buyers ask for, out of memory where it can."""

from __future__ import annotations

from collections.abc import Iterable

from tradepost.kernel.ids import gene_of
from tradepost.kernel.tx import Signal, Storage
from tradepost.stability.signals import FORGET
from tradepost.trade.catalog.api import offer_views
from tradepost.trade.catalog.model import OfferView

OFFERS_MAX = 50_000


class OfferBook:
    """The offers used last, at most 50,000, each forgotten the moment a commit changes it or its seller."""

    def __init__(self, db: Storage) -> None:
        self._db = db
        self._known: dict[str, OfferView] = {}
        self._of_seller: dict[str, set[str]] = {}
        self._loading = 0
        self._stale: set[str] = set()
        db.listen(self._hear)

    def peek(self, offer_ids: Iterable[str]) -> tuple[dict[str, OfferView], list[str]]:
        """(what memory has, ids it lacks)."""
        known = self._known
        found: dict[str, OfferView] = {}
        missing: list[str] = []
        for offer_id in offer_ids:
            view = known.pop(offer_id, None)
            if view is not None:
                known[offer_id] = view  # to the end: the front is what is forgotten first
                found[offer_id] = view
            elif offer_id not in found:
                missing.append(offer_id)
        return found, missing

    async def get(self, offer_ids: Iterable[str]) -> dict[str, OfferView]:
        """The offers that exist, by id. Raises Refusal `id.invalid` for text that is no id."""
        found, missing = self.peek(offer_ids)
        by_shard: dict[int, list[str]] = {}
        for offer_id in missing:
            by_shard.setdefault(self._db.shard_of(gene_of(offer_id)), []).append(offer_id)
        for shard, ids in by_shard.items():
            found |= await self._load(shard, ids)
        return found

    async def _load(self, shard: int, ids: list[str]) -> dict[str, OfferView]:
        self._loading += 1
        try:
            read = await self._db.read(shard, offer_views, ids)
            for view in read.values():
                # What changed while it was read is answered, but not remembered.
                if not self._stale & {view.offer_id, view.seller_id, FORGET}:
                    self._remember(view)
            return read
        finally:
            self._loading -= 1
            if not self._loading:
                self._stale.clear()

    def _remember(self, view: OfferView) -> None:
        self._forget(view.offer_id)
        if len(self._known) >= OFFERS_MAX:
            self._forget(next(iter(self._known)))
        self._known[view.offer_id] = view
        self._of_seller.setdefault(view.seller_id, set()).add(view.offer_id)

    def _forget(self, offer_id: str) -> None:
        view = self._known.pop(offer_id, None)
        if view is not None:
            ids = self._of_seller[view.seller_id]
            ids.discard(offer_id)
            if not ids:
                del self._of_seller[view.seller_id]

    def _hear(self, signal: Signal) -> None:
        if signal.topic == FORGET:
            self._known.clear()
            self._of_seller.clear()
            if self._loading:
                self._stale.add(FORGET)
            return
        if signal.topic not in ("offer", "seller"):
            return
        if self._loading:
            self._stale.add(signal.key)
        if signal.topic == "offer":
            self._forget(signal.key)
            return
        for offer_id in list(self._of_seller.get(signal.key, ())):
            self._forget(offer_id)
