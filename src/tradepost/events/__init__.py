"""The events room: what follows from a commit is delivered at least once, in order per aggregate."""

from tradepost.events.backlog import Backlog, has_passed, probe, read_backlog
from tradepost.events.bus import Bus, DirectBus, Moment, Reminder
from tradepost.events.idempotency import Kept
from tradepost.events.jobs import Kept as Retention
from tradepost.events.letters import dead_letters, replay_dead_letter
from tradepost.events.model import Retry
from tradepost.events.outbox import Outbox, OutboxAlarm, read_outbox
from tradepost.events.runtime import Runtime
from tradepost.events.store import Delivery
from tradepost.events.stream import StreamPage, aggregate_log, read_stream, stream_page

__all__ = [
    "Backlog",
    "Bus",
    "Delivery",
    "DirectBus",
    "Kept",
    "Moment",
    "Outbox",
    "OutboxAlarm",
    "Reminder",
    "Retention",
    "Retry",
    "Runtime",
    "StreamPage",
    "aggregate_log",
    "dead_letters",
    "has_passed",
    "probe",
    "read_backlog",
    "read_outbox",
    "read_stream",
    "replay_dead_letter",
    "stream_page",
]
