"""A bug for a shop under chaos, imported by each of its processes: some charges are taken twice at the provider."""

from __future__ import annotations

import itertools

from tradepost.infra.payments.sandbox_book import Account
from tradepost.infra.payments.sandbox_shared import SharedBook

EVERY_CHARGE = 5

_keep = SharedBook.keep
_kept = itertools.count(1)


def keep(self: SharedBook, account: Account) -> None:
    """Take the money of every fifth payment twice."""
    if account.captured == account.amount and next(_kept) % EVERY_CHARGE == 0:
        account.captured *= 2
    _keep(self, account)


SharedBook.keep = keep  # type: ignore[method-assign]
