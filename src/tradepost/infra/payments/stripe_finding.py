"""Which intent belongs to a payment: remembered, searched for, or looked through the list.

Stripe gives intents ids of its own, and a call that was never answered leaves us without one. Its search is a
little behind, its list never is; an idempotency key lasts a day. Together no moment is left in which an intent
that exists is taken for one that does not.
"""

from __future__ import annotations

from collections import OrderedDict

from tradepost.infra.payments.stripe_calls import Rejected, StripeCalls, Unanswered
from tradepost.infra.payments.stripe_shapes import Intent
from tradepost.kernel.ids import time_of
from tradepost.kernel.world import World

REMEMBERED_MAX = 20_000
KEY_TRUSTED_MS = 20 * 3_600_000
"""Stripe keeps a key for at least 24 hours: a payment younger than this is protected by its key alone."""
SEARCH_TRUSTED_MS = 2 * 3_600_000
"""Stripe's index is at most an hour behind: from this age on, what it does not know does not exist."""
LIST_PAGES_MAX = 20
SKEW_S = 300


class Finder:
    """Payment id to intent. Remembers the newest 20,000; looks through at most 2,000 intents of a list."""

    def __init__(self, world: World, calls: StripeCalls) -> None:
        self._world = world
        self._calls = calls
        self._known: OrderedDict[str, str] = OrderedDict()

    def remember(self, intent: Intent) -> Intent:
        """The intent itself, remembered for its payment."""
        self.remember_id(intent.payment_id, intent.id)
        return intent

    def remember_id(self, payment_id: str, intent_id: str) -> None:
        """Which intent a payment has, from a webhook."""
        if payment_id:
            self._known[payment_id] = intent_id
            self._known.move_to_end(payment_id)
            if len(self._known) > REMEMBERED_MAX:
                self._known.popitem(last=False)

    def age_ms(self, payment_id: str) -> int:
        """How long ago a payment was opened."""
        return self._world.now_ms() - time_of(payment_id)

    async def find(self, payment_id: str) -> Intent | None:
        """The payment's intent as it is now, or None when there certainly is none.

        Raises `Unanswered`, also when more intents are too new for the index than are looked through.
        """
        intent_id = self._known.get(payment_id) or await self._searched(payment_id)
        try:
            if intent_id is None and self.age_ms(payment_id) < SEARCH_TRUSTED_MS:
                intent_id = await self._listed(payment_id)
            return self.remember(await self._calls.retrieve(intent_id)) if intent_id else None
        except Rejected as error:  # a question that is refused answers nothing
            raise Unanswered(f"refused: {error}") from error

    async def _searched(self, payment_id: str) -> str | None:
        try:
            return _first(await self._calls.search(payment_id), payment_id)
        except Rejected as error:  # some countries have no search
            if self.age_ms(payment_id) < SEARCH_TRUSTED_MS:
                return None
            raise Unanswered("no search") from error

    async def _listed(self, payment_id: str) -> str | None:
        intents, whole = await self._calls.list_since(time_of(payment_id) // 1_000 - SKEW_S, LIST_PAGES_MAX)
        found = _first(intents, payment_id)
        if found is None and not whole:
            raise Unanswered("more new intents than can be looked through")
        return found


def _first(intents: tuple[Intent, ...] | list[Intent], payment_id: str) -> str | None:
    """The oldest intent of this payment: if two exist, the first was made under the key."""
    own = [intent for intent in intents if intent.payment_id == payment_id]
    return min(own, key=lambda intent: (intent.created, intent.id)).id if own else None
