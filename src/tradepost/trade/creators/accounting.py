"""What an order's lines earn as it stands now, and which entries that asks of the ledger. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from msgspec.structs import replace

from tradepost.kernel.ids import gene_of
from tradepost.kernel.money import split
from tradepost.trade.aftersales import Swap
from tradepost.trade.creators.attribution import DEFAULT, attribute
from tradepost.trade.creators.model import (
    COMMISSION_STATES,
    ESTIMATED,
    FROZEN,
    SETTLED,
    Commission,
    OrderCommissions,
    Parts,
    Plan,
    Touch,
)
from tradepost.trade.creators.rules import (
    choose_plan,
    estimate,
    is_creator,
    minus,
    release,
    settle,
    shrink,
    shrink_base,
)
from tradepost.trade.creators.store import Version
from tradepost.trade.ledger import Entry, Transaction, TransactionKind
from tradepost.trade.orders import Order, OrderLine, full_progress, share
from tradepost.trade.settlement import TRANSIT

DEPOSITS = "platform:deposits"
BONUSES = "platform:bonuses"
Stand = Callable[[str, Plan], int]
"""How far a creator was under a plan before this order: (creator, plan) -> count of its basis."""


def in_force(versions: Iterable[Version], at_ms: int) -> list[Plan]:
    """The plans that were in force at a moment, whatever was entered or ended after it."""
    return [
        plan
        for plan, from_ms, until_ms in versions
        if from_ms <= at_ms and not (until_ms and until_ms <= at_ms)
    ]


def open_lines(order: Order, versions: Iterable[Version], stand: Stand) -> tuple[Commission, ...]:
    """The commissions of an order's lines under the plans of its moment; lines that nobody earns are left out."""
    plans = in_force(versions, order.placed_at_ms)
    found = []
    for line in order.body.lines:
        if not is_creator(line.creator_id):
            continue
        kind = line.content_id.partition("_")[0]
        tap = Touch(
            creator_id=line.creator_id,
            content_id=line.content_id,
            content_kind=kind,
            at_ms=order.placed_at_ms,
            is_direct=True,
        )
        earned_by = attribute([tap], order.placed_at_ms, order.buyer_id, DEFAULT)
        plan = earned_by and choose_plan(
            plans,
            creator_id=earned_by.creator_id,
            product_id=line.product_id,
            content_kind=kind,
            at_ms=order.placed_at_ms,
        )
        if earned_by and plan:
            found.append(
                estimate(
                    plan,
                    plan.agency,
                    earned_by,
                    order_id=order.order_id,
                    line_no=line.line_no,
                    buyer_id=order.buyer_id,
                    currency=order.currency,
                    base_minor=base_of(line, line.quantity),
                    units=line.quantity,
                    counted=stand(earned_by.creator_id, plan),
                    at_ms=order.placed_at_ms,
                )
            )
    return tuple(found)


def base_of(line: OrderLine, units: int) -> int:
    """What so many units of a line are to the seller: after discounts, without tax."""
    return share(line.total_minor - line.tax_minor, line.quantity, units)


def follow(
    stands: OrderCommissions,
    order: Order,
    given_beside_minor: int,
    disputed: bool,
    now_ms: int,
    stand: Stand,
    swaps: Sequence[Swap] = (),
) -> OrderCommissions:
    """The commissions after what happened to the order: units gone, money given back beside them, time passed.

    `given_beside_minor` was refunded without units coming back: it is spread over what stays sold. Units that were
    swapped for other goods stay sold for what the buyer still pays of them.
    """
    left, swapped = _units_left(order), _swapped(order, swaps)
    beside = _beside(stands.lines, left, swapped, given_beside_minor)
    lines = []
    for line, cut in zip(stands.lines, beside, strict=True):
        units, base = swapped.get(line.line_no, (0, 0))
        lines.append(_follow_line(line, left[line.line_no], cut, units, base))
    stepped = [_step(line, stands.settle_at_ms, disputed, now_ms, stand) for line in lines]
    return replace(stands, lines=tuple(stepped))


def _units_left(order: Order) -> dict[int, int]:
    return {
        line.line_no: line.quantity - done.cancelled - done.returned
        for line, done in zip(order.body.lines, full_progress(order), strict=True)
    }


def _swapped(order: Order, swaps: Sequence[Swap]) -> dict[int, tuple[int, int]]:
    """(units, base) by line of what was given back for other goods and is still paid."""
    sums: dict[int, tuple[int, int]] = {}
    for swap in swaps:
        if swap.kept_minor <= 0:
            continue
        line = order.body.lines[swap.line_no - 1]
        units, base = sums.get(swap.line_no, (0, 0))
        net = swap.kept_minor * (line.total_minor - line.tax_minor) // line.total_minor
        sums[swap.line_no] = (units + swap.quantity, base + net)
    return sums


def _beside(
    lines: Sequence[Commission], left: dict[int, int], swapped: dict[int, tuple[int, int]], minor: int
) -> list[int]:
    weights = [
        line.first_base_minor * left[line.line_no] // max(1, line.first_units)
        + swapped.get(line.line_no, (0, 0))[1]
        for line in lines
    ]
    return split(min(minor, sum(weights)), weights) if lines else []


def _follow_line(line: Commission, units: int, cut: int, swapped_units: int, swapped_base: int) -> Commission:
    if line.is_over:
        return line
    base = max(0, line.first_base_minor * units // max(1, line.first_units) + swapped_base - cut)
    if units + swapped_units < line.units:
        line, _ = shrink(line, units + swapped_units)
    if not line.is_over and base < line.base_minor:
        line, _ = shrink_base(line, base)
    return line


def _step(line: Commission, settle_at_ms: int, disputed: bool, now_ms: int, stand: Stand) -> Commission:
    if line.state == ESTIMATED and disputed:
        return _moved(line, "freeze")
    if line.state == FROZEN and not disputed:
        line = _moved(line, "thaw")
    if line.state == ESTIMATED and settle_at_ms and now_ms >= settle_at_ms:
        line = settle(line)
    if line.state == SETTLED and line.parts.deposit_minor and is_released(line, now_ms):
        line, _ = release(line, stand(line.attribution.creator_id, line.plan))
    return line


def _moved(line: Commission, given: str) -> Commission:
    return replace(line, state=COMMISSION_STATES.next(line.state, given), version=line.version + 1)


def is_released(line: Commission, now_ms: int) -> bool:
    """Whether the period that tiers count over has ended."""
    return bool(line.plan.ends_at_ms) and now_ms >= line.plan.ends_at_ms


def next_look(stands: OrderCommissions, disputed: bool, now_ms: int, again_ms: int) -> int:
    """When time alone will change something: the settlement, the release, or a dispute to be looked at again."""
    if disputed:
        return now_ms + again_ms
    moments = []
    for line in stands.lines:
        if line.state == ESTIMATED and stands.settle_at_ms:
            moments.append(stands.settle_at_ms)
        if not line.is_over and line.parts.deposit_minor and line.plan.ends_at_ms:
            moments.append(line.plan.ends_at_ms)
    return max(now_ms + 1, min(moments)) if moments else 0


def owed_parts(line: Commission) -> Parts:
    """What of a line the ledger holds: nothing before it is settled."""
    return line.parts if line.state == SETTLED else Parts()


def entries_of(line: Commission, change: Parts) -> dict[str, int]:
    """Account to minor units (debit positive) of a change of parts. They sum to zero."""
    sums: dict[str, int] = {}
    for account, amount in (
        (f"seller:{line.seller_id}", change.seller_minor),
        (BONUSES, change.platform_minor),
        (f"creator:{line.attribution.creator_id}", -change.creator_minor),
        (f"creator:{line.agency.agency_id}" if line.agency else DEPOSITS, -change.agency_minor),
        (DEPOSITS, -change.deposit_minor),
    ):
        sums[account] = sums.get(account, 0) + amount
    return sums


def book(
    before: OrderCommissions, after: OrderCommissions, now_ms: int
) -> tuple[OrderCommissions, list[Transaction], dict[str, int]]:
    """The order with what is booked, the transactions that book it, and what each earner is sent now.

    The seller's part stays on the order's books, where its settlement takes it up; the earners' leave for their
    shards through the account in transit.
    """
    sums: dict[str, int] = {}
    booked = dict(before.booked)
    for line in after.lines:
        parts = owed_parts(line)
        change = minus(parts, booked.get(line.line_no, Parts()))
        if change != Parts():
            booked[line.line_no] = parts
            for account, amount in entries_of(line, change).items():
                sums[account] = sums.get(account, 0) + amount
    entries = tuple([Entry(account, amount) for account, amount in sums.items() if amount])
    done = replace(after, booked=booked)
    if not entries:
        return done, [], {}
    sent = {
        account.partition(":")[2]: -amount
        for account, amount in sums.items()
        if amount and account.startswith("creator:")
    }
    name = f"{after.payment_id}.commission.{after.order_id[-11:]}.{after.version}"
    currency = after.lines[0].currency
    postings = [_transaction(name, TransactionKind.COMMISSION, after, currency, entries, now_ms)]
    leaving = tuple(
        entry
        for party_id, amount in sent.items()
        for entry in (Entry(f"creator:{party_id}", amount), Entry(TRANSIT, -amount))
    )
    if leaving:
        postings.append(
            _transaction(f"{name}.leave", TransactionKind.TRANSFER, after, currency, leaving, now_ms)
        )
    return done, postings, sent


def _transaction(
    name: str, kind: str, order: OrderCommissions, currency: str, entries: tuple[Entry, ...], at_ms: int
) -> Transaction:
    return Transaction(
        transaction_id=name,
        gene=gene_of(order.payment_id),
        kind=kind,
        currency=currency,
        entries=entries,
        reference=order.order_id,
        at_ms=at_ms,
    )
