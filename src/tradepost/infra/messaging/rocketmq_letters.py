"""The dead-letter topic: messages that nobody could read. Events that failed are dead letters of the database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import msgspec

from tradepost.events import envelope
from tradepost.infra.messaging.rocketmq import linked
from tradepost.infra.messaging.rocketmq_link import Endpoint
from tradepost.infra.messaging.rocketmq_member import Arrived, Member
from tradepost.infra.messaging.rocketmq_reader import Weather
from tradepost.infra.messaging.rocketmq_sending import ERROR_PROPERTY, GROUP_PROPERTY, Sender
from tradepost.infra.messaging.topics import Names
from tradepost.kernel.errors import Refusal
from tradepost.kernel.world import SystemWorld

LETTERS_MAX = 1_000
LOOK_S = 2


class Unread(msgspec.Struct, frozen=True):
    """One message of the dead-letter topic: which subscription could not read it, why, and what it says."""

    letter_id: str
    subscription: str
    type: str
    error: str
    body: bytes


Answer = Callable[[Unread, Sender], Awaitable[bool]]


async def unread_letters(endpoint: Endpoint, names: Names | None = None, limit: int = 200) -> list[Unread]:
    """The messages on the dead-letter topic, at most `limit`; they stay there and are out of sight for 10 s.

    Raises Refusal `messaging.unavailable`.
    """

    async def keep(_letter: Unread, _sender: Sender) -> bool:
        return False

    return await _visit(endpoint, names or Names(), limit, keep)


async def replay_unread(endpoint: Endpoint, names: Names | None = None, letter_id: str = "") -> list[Unread]:
    """Send messages that can be read now to the events topic again; those sent. An empty id means all of them.

    Every subscription gets them; those that had consumed the event know it. Raises Refusal `messaging.unavailable`,
    and `events.dead_letter_unknown` when there is no such letter or it cannot be read yet.
    """
    sent: list[Unread] = []

    async def send(letter: Unread, sender: Sender) -> bool:
        if letter_id and letter.letter_id != letter_id:
            return False
        try:
            events = envelope.unwrap(letter.body)
        except ValueError:
            return False
        for shard, row in events:
            await sender.resend(shard, *envelope.wrap(shard, [row]), row.type)
        sent.append(letter)
        return True

    await _visit(endpoint, names or Names(), LETTERS_MAX, send)
    return _some(sent, letter_id)


async def discard_unread(endpoint: Endpoint, letter_id: str, names: Names | None = None) -> list[Unread]:
    """Take one message off the dead-letter topic for good. Raises as `replay_unread` does."""
    gone: list[Unread] = []

    async def drop(letter: Unread, _sender: Sender) -> bool:
        if letter.letter_id == letter_id:
            gone.append(letter)
        return letter.letter_id == letter_id

    await _visit(endpoint, names or Names(), LETTERS_MAX, drop)
    return _some(gone, letter_id)


def _some(found: list[Unread], letter_id: str) -> list[Unread]:
    if letter_id and not found:
        raise Refusal(
            "events.dead_letter_unknown",
            f"The dead-letter topic has no message {letter_id} that could be dealt with.",
            field="letter_id",
        )
    return found


async def _visit(endpoint: Endpoint, names: Names, limit: int, answer: Answer) -> list[Unread]:
    """Show every letter once to `answer`, which says whether it may go."""
    world = SystemWorld()
    async with linked(endpoint, world) as link:
        sender = Sender(lambda: link, names, Weather(world.now_ms))
        member = Member(link, names.letters, names.reading_letters, (), is_ordered=False, poll_s=LOOK_S)
        seen: dict[str, Unread] = {}
        try:
            await member.join()
            async for page in _pages(member):
                done: list[Arrived] = []
                for arrived in page:
                    letter = _letter(arrived)
                    if letter.letter_id not in seen and len(seen) < limit:
                        seen[letter.letter_id] = letter
                        if await answer(letter, sender):
                            done.append(arrived)
                if done:
                    await member.acknowledge(done)
                if len(seen) >= limit:
                    break
        finally:
            await member.leave()
        return list(seen.values())


async def _pages(member: Member) -> AsyncIterator[Sequence[Arrived]]:
    """Pages until the broker shows nothing for two seconds."""
    while page := await member.receive(member.brokers[0], ""):
        yield page


def _letter(arrived: Arrived) -> Unread:
    said = arrived.properties
    return Unread(
        arrived.message_id,
        said.get(GROUP_PROPERTY, ""),
        arrived.tag,
        said.get(ERROR_PROPERTY, ""),
        arrived.body,
    )
