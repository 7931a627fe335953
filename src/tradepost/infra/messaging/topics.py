"""What the broker has to have: every topic and consumer group, declared here and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

import msgspec

PREFIX = "tradepost"
QUEUES = 8
RETRIES_MAX = 1_000_000


class Kind(StrEnum):
    """What a topic promises: FIFO within a message group, delivery at a moment, or neither."""

    FIFO = "FIFO"
    DELAY = "DELAY"
    NORMAL = "NORMAL"


class Topic(msgspec.Struct, frozen=True):
    """One topic. More queues let more pages of one group be worked on side by side."""

    name: str
    kind: Kind
    queues: int


class Group(msgspec.Struct, frozen=True):
    """One consumer group; `is_ordered` for those that read a FIFO topic.

    The broker would move a message to its own dead-letter queue after `retries_max`: a number that a long outage of
    the database does not reach, because here a message is only ever repeated while nothing can be committed.
    """

    name: str
    is_ordered: bool
    retries_max: int = RETRIES_MAX


SUBSCRIPTIONS = (
    "aftersales.disputes",
    "aftersales.new_goods",
    "aftersales.refunds",
    "catalog.sellers",
    "checkout.limits",
    "creators.earnings",
    "creators.orders",
    "fulfilment.orders",
    "inventory.put_back",
    "inventory.release",
    "inventory.reserve",
    "inventory.ship",
    "invoicing.refunds",
    "invoicing.supply",
    "orders.packages",
    "orders.payments",
    "orders.seller_view",
    "payments.orders",
    "payments.packages",
    "payments.refund",
    "payments.stored_value",
    "settlement.arrive",
    "settlement.orders",
)
"""Every consumer and task of the shop; a test keeps the list in step with the rooms."""


class Names(msgspec.Struct, frozen=True):
    """The names of one shop on a broker: another prefix keeps a second shop on the same broker apart."""

    prefix: str = PREFIX

    @property
    def events(self) -> str:
        """Every event, FIFO by lane."""
        return f"{self.prefix}-events"

    @property
    def reminders(self) -> str:
        """Due moments, delivered when they come."""
        return f"{self.prefix}-reminders"

    @property
    def letters(self) -> str:
        """Messages that nobody could read: the dead-letter topic."""
        return f"{self.prefix}-dead-letters"

    def group(self, subscription: str) -> str:
        """The consumer group of a subscription; a broker allows no dots in it."""
        return f"{self.prefix}-{subscription.replace('.', '-')}"

    @property
    def reminding(self) -> str:
        """The group that hears reminders."""
        return f"{self.prefix}-reminders"

    @property
    def reading_letters(self) -> str:
        """The group an operator reads dead letters with."""
        return f"{self.prefix}-dead-letters"


def topics(names: Names | None = None) -> list[Topic]:
    """Every topic of a shop."""
    names = names or Names()
    return [
        Topic(names.events, Kind.FIFO, QUEUES),
        Topic(names.reminders, Kind.DELAY, 4),
        Topic(names.letters, Kind.NORMAL, 1),
    ]


def groups(names: Names | None = None, subscriptions: Iterable[str] = SUBSCRIPTIONS) -> list[Group]:
    """Every consumer group of a shop."""
    names = names or Names()
    return [
        *(Group(names.group(subscription), is_ordered=True) for subscription in subscriptions),
        Group(names.reminding, is_ordered=False),
        Group(names.reading_letters, is_ordered=False),
    ]


def as_options(names: Names | None = None, subscriptions: Iterable[str] = SUBSCRIPTIONS) -> dict[str, str]:
    """The same in words, as `tradepost services` takes them: `NAME=KIND/QUEUES` and `NAME=fifo|plain/RETRIES`."""
    return {
        "topics": " ".join(f"{topic.name}={topic.kind}/{topic.queues}" for topic in topics(names)),
        "groups": " ".join(
            f"{group.name}={'fifo' if group.is_ordered else 'plain'}/{group.retries_max}"
            for group in groups(names, subscriptions)
        ),
    }
