"""Prices of lists remembered until something about them begins or ends: a page costs a look, not a pricing each."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

from tradepost.trade.catalog import OfferView

Kept = TypeVar("Kept")
ENTRIES_MAX = 5_000
"""Prices that are kept; beyond them the one kept longest is forgotten and worked out again when it is asked for."""


class Remembered(Generic[Kept]):
    """What was worked out for an offer under a question, from one moment to the next at which it may differ.

    The question holds all that decides beside the offer: market, scene, campaigns in force, what is known of the
    buyer. An offer that was written again is another one, whatever its id.
    """

    def __init__(self, entries_max: int = ENTRIES_MAX) -> None:
        self._entries: dict[Hashable, tuple[OfferView, int, int, Kept]] = {}
        self._entries_max = entries_max

    def __len__(self) -> int:
        """Prices kept now."""
        return len(self._entries)

    def find(self, offer: OfferView, question: Hashable, at_ms: int) -> Kept | None:
        """What is known of this very offer at a moment; None when nothing is."""
        entry = self._entries.get((offer.offer_id, question))
        if entry is None:
            return None
        known, from_ms, until_ms, kept = entry
        holds = from_ms <= at_ms and (not until_ms or at_ms < until_ms)
        return kept if holds and known == offer else None

    def keep(self, offer: OfferView, question: Hashable, from_ms: int, until_ms: int, what: Kept) -> None:
        """Remember it from a moment until just before another (0: without end)."""
        self._entries.pop((offer.offer_id, question), None)
        self._entries[(offer.offer_id, question)] = (offer, from_ms, until_ms, what)
        if len(self._entries) > self._entries_max:
            del self._entries[next(iter(self._entries))]
