"""Words of the events room: the retry rule, what ends a pass, and the refusals an operator meets."""

from __future__ import annotations

import msgspec

from tradepost.kernel.errors import Kind, Refusal, declare_problems

declare_problems(
    {
        "events.dead_letter_unknown": (
            Kind.NOT_FOUND,
            "No such dead letter",
            "List the dead letters again; this one was replayed or never existed.",
        ),
    }
)


class Retry(msgspec.Struct, frozen=True, kw_only=True):
    """How often and how late a failed delivery is tried again, in milliseconds of the World's clock."""

    attempts_max: int = 8
    first_ms: int = 500
    factor: int = 3
    longest_ms: int = 900_000

    def delay_ms(self, attempts: int, chance16: int) -> int:
        """The wait after so many failed attempts: exponential, the upper half of it drawn from 16 random bits."""
        full = min(self.longest_ms, self.first_ms * int(self.factor ** (attempts - 1)))
        return full // 2 + (full // 2 * chance16 >> 16)


class LeaseLost(Exception):
    """Another process relays this shard now."""


class Overtaken(Exception):
    """Another process has consumed the same events meanwhile: look again at what is left to do."""


def is_storage_trouble(error: BaseException) -> bool:
    """Whether the database could not take the work, so that the event itself is not to blame."""
    return isinstance(error, Overtaken) or (isinstance(error, Refusal) and error.code.startswith("storage."))
