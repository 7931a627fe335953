"""Settlement as it is asked for and shown: no answer tells more of an account number than its last letters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta

from tradepost.kernel.money import Money
from tradepost.surfaces.api.words import Version, money
from tradepost.trade.settlement import Line, Payout, PayoutAccount, Revalued, Statement

Market = Annotated[str, Meta(pattern="^[A-Z]{2}$")]
Currency = Annotated[str, Meta(pattern="^[A-Z]{3}$")]
Paid = TypeVar("Paid", Payout, PayoutAccount)


class StatementPage(msgspec.Struct, frozen=True, kw_only=True):
    """A statement with a page of its lines; its components are the sums of all of them."""

    statement: Statement
    lines: tuple[Line, ...]
    next_cursor: str = ""


class NewDestination(msgspec.Struct, frozen=True, kw_only=True):
    """Where to pay to. `version` is that of the account it replaces, 0 where none stands."""

    holder: Annotated[str, Meta(min_length=1, max_length=140)]
    account: Annotated[str, Meta(min_length=4, max_length=48)]
    bank_code: Annotated[str, Meta(max_length=20)] = ""
    version: Version = 0


class NewAdjustment(msgspec.Struct, frozen=True, kw_only=True):
    """Money between a seller and the platform; above zero the seller is owed more."""

    kind: Literal[
        "chargeback",
        "logistics_reimbursement",
        "penalty",
        "platform_compensation",
        "sample_shipping",
        "collection",
        "write_off",
        "correction",
    ]
    market: Market
    currency: Currency
    amount_minor: Annotated[int, Meta(ge=-(10**15), le=10**15)]
    note: Annotated[str, Meta(max_length=150)] = ""


class BankWord(msgspec.Struct, frozen=True, kw_only=True):
    """What a bank said about a payout's attempt, told by an operator. `attempt` 0 is the present one."""

    status: Literal["paid", "refused", "failed", "returned"]
    reason: Annotated[str, Meta(max_length=200)] = ""
    attempt: Annotated[int, Meta(ge=0, le=100)] = 0


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """Which timers ran."""

    ran: tuple[str, ...]


class RevaluedPair(msgspec.Struct, frozen=True, kw_only=True):
    """What is open of a pair on one shard: `owed` to sellers in their currency, `held` for it in the buyers'.

    `difference` is what was posted: above zero a loss. `outcome` is posted, unchanged, done (today already) or no_rate.
    """

    shard: int
    owed: Money
    held: Money
    difference: Money
    outcome: Literal["posted", "unchanged", "done", "no_rate"]


class Revaluation(msgspec.Struct, frozen=True, kw_only=True):
    """Every pair that is open, shard by shard."""

    items: tuple[RevaluedPair, ...]


def view_revalued(found: Sequence[Revalued]) -> Revaluation:
    """Revalued balances as shown."""
    return Revaluation(
        items=tuple(
            [
                RevaluedPair(
                    shard=one.shard,
                    owed=money(one.owed_minor, one.sold),
                    held=money(one.held_minor, one.paid),
                    difference=money(one.difference_minor, one.paid),
                    outcome=one.outcome,
                )
                for one in found
            ]
        )
    )


def masked(item: Paid) -> Paid:
    """The same with no more of its account number than the last letters; kept answers hold no more either."""
    account = f"****{item.destination.account[-4:]}"
    return msgspec.structs.replace(
        item, destination=msgspec.structs.replace(item.destination, account=account)
    )
