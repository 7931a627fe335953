"""The dead-letter topic of the shop's broker, for commands: what it holds, sent again or taken off."""

from __future__ import annotations

from tradepost.app.messaging import broker_of
from tradepost.infra.messaging import rocketmq_letters
from tradepost.infra.messaging.rocketmq_letters import Unread
from tradepost.settings import Settings

__all__ = ["Unread", "discard_unread", "replay_unread", "unread_letters"]


async def unread_letters(settings: Settings, limit: int) -> list[Unread]:
    """Messages nobody could read, at most `limit`. Raises Refusal `settings.invalid` and `messaging.*`."""
    endpoint, names = broker_of(settings)
    return await rocketmq_letters.unread_letters(endpoint, names, limit)


async def replay_unread(settings: Settings, letter_id: str = "") -> list[Unread]:
    """Send those that can be read now to everybody again, or the one of this id; those sent. Raises as above."""
    endpoint, names = broker_of(settings)
    return await rocketmq_letters.replay_unread(endpoint, names, letter_id)


async def discard_unread(settings: Settings, letter_id: str) -> list[Unread]:
    """Take one off for good. Raises as above, and `events.dead_letter_unknown`."""
    endpoint, names = broker_of(settings)
    return await rocketmq_letters.discard_unread(endpoint, letter_id, names)
