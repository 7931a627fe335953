"""What Stripe says that no payment's state can carry: disputes, foreign refunds, defects. Kept for operators."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

import msgspec

log = logging.getLogger("tradepost.payments.stripe")
WRITTEN_MAX = 10_000


class NoticeKind(StrEnum):
    """Why somebody has to look."""

    DISPUTE = "dispute"
    REFUND_FAILED = "refund_failed"
    REFUND_FOREIGN = "refund_foreign"
    REST_RELEASED = "rest_released"  # written by releases that captured a part; read from their books
    REJECTED = "rejected"
    ACCESS = "access"


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """One task. The same `key` is the same task; `reference` is Stripe's id, amounts are in Stripe's units."""

    key: str
    kind: NoticeKind
    at_ms: int
    payment_id: str = ""
    reference: str = ""
    amount: int = 0
    currency: str = ""
    detail: str = ""


Notify = Callable[[Notice], None]


def log_notice(notice: Notice) -> None:
    """Say it in the log only."""
    log.error(
        "stripe: %s of %s %s: %s", notice.kind.value, notice.payment_id, notice.reference, notice.detail
    )


class NoticeBook:
    """Notices as lines of a file, synced before the webhook is acknowledged; processes may share the file.

    One line is one write, so lines of several processes do not mix. The same task is written once by a process, as
    long as it is among its last 10,000. The file grows by what goes wrong; people read it and then move it away.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._written: dict[str, None] = {}

    def __call__(self, notice: Notice) -> None:
        """Keep a notice and say it in the log. Raises OSError when it cannot be kept."""
        if notice.key in self._written:
            return
        log_notice(notice)
        line = msgspec.json.encode(notice) + b"\n"
        file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(file, line)
            os.fsync(file)
        finally:
            os.close(file)
        self._written[notice.key] = None
        if len(self._written) > WRITTEN_MAX:
            del self._written[next(iter(self._written))]

    def read(self) -> list[Notice]:
        """Every task once, in the order of the first word about it; a torn last line is left out."""
        try:
            lines = self._path.read_bytes().split(b"\n")[:-1]
        except FileNotFoundError:
            return []
        found: dict[str, Notice] = {}
        for line in lines:
            notice = msgspec.json.decode(line, type=Notice)
            found.setdefault(notice.key, notice)
        return list(found.values())
