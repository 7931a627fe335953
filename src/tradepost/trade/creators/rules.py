"""What a line earns: which plan, how much, and how that follows refunds, tiers and time. Pure.

Every part is a function of the base alone, so the parts of a refund are the differences of two bases: whatever the
order of the refunds, everything given back leaves nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec.structs import replace

from tradepost.kernel.errors import Refusal
from tradepost.kernel.ids import check_id
from tradepost.trade.creators.model import (
    BONUSES_MAX,
    COMMISSION_STATES,
    CREATORS_MAX,
    ESTIMATED,
    PRODUCTS_MAX,
    RATE_MAX_BPS,
    SETTLED,
    TIERS_MAX,
    WHOLE_BPS,
    Agency,
    Attribution,
    Basis,
    Bonus,
    Commission,
    Parts,
    Plan,
)


def choose_plan(
    plans: Iterable[Plan], *, creator_id: str, product_id: str, content_kind: str, at_ms: int
) -> Plan | None:
    """The plan that pays this creator for this product now.

    A targeted plan goes before an open one, one that names the product before one for all, then the higher rate,
    then the older id: the same plans in any order give the same answer.
    """
    fitting = [plan for plan in plans if _fits(plan, creator_id, product_id, content_kind, at_ms)]
    return min(
        fitting,
        key=lambda plan: (
            not plan.creators,
            not plan.products,
            -top_rate(plan),
            plan.plan_id,
            -plan.version,
        ),
        default=None,
    )


def _fits(plan: Plan, creator_id: str, product_id: str, content_kind: str, at_ms: int) -> bool:
    return (
        plan.starts_at_ms <= at_ms
        and not (plan.ends_at_ms and at_ms >= plan.ends_at_ms)
        and (not plan.creators or creator_id in plan.creators)
        and (not plan.products or product_id in plan.products)
        and (not plan.content_kinds or content_kind in plan.content_kinds)
    )


def top_rate(plan: Plan) -> int:
    """The highest rate the plan may come to: what is set aside from the seller."""
    return max([plan.rate_bps, *(tier.rate_bps for tier in plan.tiers)])


def tier_rate(plan: Plan, counted: int) -> int:
    """The rate once so much of the plan's basis is counted."""
    rate = plan.rate_bps
    for tier in plan.tiers:
        if counted >= tier.reached:
            rate = tier.rate_bps
    return rate


def parts_of(plan: Plan, agency: Agency | None, base_minor: int, rate_bps: int, at_ms: int) -> Parts:
    """The commission of a base at a rate, rounded down to whole minor units and told apart.

    Nobody earns a fraction: what rounding leaves stays with who pays. The agency's share comes out of the
    creator's, bonuses as well. A bonus counts when its window holds `at_ms`, the order's moment.
    """
    base = max(base_minor, 0)
    earned = base * rate_bps // WHOLE_BPS
    deposit = base * top_rate(plan) // WHOLE_BPS - earned
    seller, platform = earned + deposit, 0
    for bonus in plan.bonuses:
        if _is_open(bonus, at_ms):
            amount = base * bonus.rate_bps // WHOLE_BPS
            amount = min(amount, bonus.cap_minor or amount)
            by_seller = amount * bonus.seller_share_bps // WHOLE_BPS
            earned, seller, platform = earned + amount, seller + by_seller, platform + amount - by_seller
    cut = earned * agency.share_bps // WHOLE_BPS if agency is not None else 0
    return Parts(
        creator_minor=earned - cut,
        agency_minor=cut,
        deposit_minor=deposit,
        seller_minor=seller,
        platform_minor=platform,
    )


def _is_open(bonus: Bonus, at_ms: int) -> bool:
    return bonus.starts_at_ms <= at_ms and not (bonus.ends_at_ms and at_ms >= bonus.ends_at_ms)


def estimate(
    plan: Plan,
    agency: Agency | None,
    attribution: Attribution,
    *,
    order_id: str,
    line_no: int,
    buyer_id: str,
    currency: str,
    base_minor: int,
    units: int,
    counted: int,
    at_ms: int,
) -> Commission:
    """What a line just bought will earn if nothing comes back; `counted` is the creator's stand before it."""
    rate = tier_rate(plan, counted)
    return Commission(
        order_id=order_id,
        line_no=line_no,
        seller_id=plan.seller_id,
        buyer_id=buyer_id,
        currency=currency,
        state=ESTIMATED,
        version=1,
        plan=plan,
        agency=agency,
        attribution=attribution,
        base_minor=base_minor,
        units=units,
        rate_bps=rate,
        parts=parts_of(plan, agency, base_minor, rate, at_ms),
        at_ms=at_ms,
        first_base_minor=base_minor,
        first_units=units,
    )


def shrink(commission: Commission, units_left: int) -> tuple[Commission, Parts]:
    """After units came back or were cancelled: the commission of what stays sold, and what is taken back.

    The base falls in proportion to the units. Nothing left cancels an estimate and claws a settled one back.
    Raises Refusal `state.conflict` for one that has ended.
    """
    left = max(0, min(units_left, commission.units))
    base = commission.first_base_minor * left // commission.first_units if commission.first_units else 0
    return _rebase(commission, base, left)


def shrink_base(commission: Commission, base_minor: int) -> tuple[Commission, Parts]:
    """After money was given back without goods: the same for a base told by the refund."""
    return _rebase(commission, max(0, min(base_minor, commission.base_minor)), commission.units)


def _rebase(commission: Commission, base: int, units: int) -> tuple[Commission, Parts]:
    parts = parts_of(commission.plan, commission.agency, base, commission.rate_bps, commission.at_ms)
    if commission.state == SETTLED and not commission.parts.deposit_minor:
        parts = _without_deposit(parts)
    event = "shrink"
    if not base or not units:
        parts = Parts()
        event = "claw back" if commission.state == SETTLED else "cancel"
    moved = replace(
        commission,
        state=COMMISSION_STATES.next(commission.state, event),
        version=commission.version + 1,
        base_minor=base if units else 0,
        units=units,
        parts=parts,
    )
    return moved, minus(commission.parts, parts)


def settle(commission: Commission) -> Commission:
    """What is earned is earned: the money moves now. Raises Refusal `state.conflict`."""
    return replace(
        commission,
        state=COMMISSION_STATES.next(commission.state, "settle"),
        version=commission.version + 1,
    )


def release(commission: Commission, counted: int) -> tuple[Commission, Parts]:
    """When the tier's period has ended: the final rate, and the parts that change by it.

    The deposit goes to the creator as far as the tier was reached, and back to the seller otherwise; of what
    is returned, `deposit_minor` is below zero and `seller_minor` too where the seller gets money back.
    """
    rate = max(commission.rate_bps, tier_rate(commission.plan, counted))
    parts = parts_of(commission.plan, commission.agency, commission.base_minor, rate, commission.at_ms)
    final = _without_deposit(parts)
    return replace(commission, rate_bps=rate, parts=final, version=commission.version + 1), minus(
        final, commission.parts
    )


def _without_deposit(parts: Parts) -> Parts:
    return replace(parts, deposit_minor=0, seller_minor=parts.seller_minor - parts.deposit_minor)


def minus(left: Parts, right: Parts) -> Parts:
    """Part by part."""
    return Parts(
        creator_minor=left.creator_minor - right.creator_minor,
        agency_minor=left.agency_minor - right.agency_minor,
        deposit_minor=left.deposit_minor - right.deposit_minor,
        seller_minor=left.seller_minor - right.seller_minor,
        platform_minor=left.platform_minor - right.platform_minor,
    )


def counted_for(basis: Basis, commissions: Sequence[Commission]) -> int:
    """How far a creator has come under a plan: orders or goods that stay sold."""
    standing = [one for one in commissions if not one.is_over]
    if basis is Basis.ORDERS:
        return len({one.order_id for one in standing})
    return sum(one.base_minor for one in standing)


def check_plan(plan: Plan) -> None:
    """Raise Refusal `creators.plan_invalid` naming the field, for a plan that could not pay soundly."""
    bounds: Mapping[str, tuple[int, int]] = {
        "tiers": (len(plan.tiers), TIERS_MAX),
        "bonuses": (len(plan.bonuses), BONUSES_MAX),
        "creators": (len(plan.creators), CREATORS_MAX),
        "products": (len(plan.products), PRODUCTS_MAX),
    }
    for field, (count, most) in bounds.items():
        if count > most:
            raise _invalid(field, f"{count} {field}", f"at most {most}")
    for field, rate in _rates(plan):
        if not 0 <= rate <= RATE_MAX_BPS:
            raise _invalid(field, f"a rate of {rate}", f"0 to {RATE_MAX_BPS} basis points")
    reached = [tier.reached for tier in plan.tiers]
    if any(count <= 0 for count in reached) or sorted(set(reached)) != reached:
        raise _invalid("tiers", "Tiers must rise.", "`reached` above zero and rising")
    rates = [plan.rate_bps, *(tier.rate_bps for tier in plan.tiers)]
    if sorted(rates) != rates:
        raise _invalid("tiers", "A higher tier pays less.", "rates that do not fall")
    if sum(bonus.rate_bps for bonus in plan.bonuses) + top_rate(plan) > WHOLE_BPS:
        raise _invalid("bonuses", "Rates and bonuses are more than the goods.", "at most 10000 together")
    _check_payers(plan)
    if plan.tiers and not plan.ends_at_ms:
        raise _invalid("ends_at_ms", "A plan with tiers has no end.", "a moment: the deposit goes back then")
    if plan.ends_at_ms and plan.ends_at_ms <= plan.starts_at_ms:
        raise _invalid("ends_at_ms", "It ends before it starts.", "a later moment than starts_at_ms")


def _check_payers(plan: Plan) -> None:
    """A plan is its seller's: it spends the seller's money, and what it gives an agency is a part of the creator's."""
    for index, bonus in enumerate(plan.bonuses):
        if bonus.cap_minor < 0:
            raise _invalid(f"bonuses[{index}].cap_minor", "A cap below zero.", "0 for none, or more")
    agency = plan.agency
    if agency is None:
        return
    if not 0 <= agency.share_bps <= WHOLE_BPS:
        raise _invalid("agency.share_bps", f"a share of {agency.share_bps}", f"0 to {WHOLE_BPS} basis points")
    if not is_creator(agency.agency_id):
        raise _invalid("agency.agency_id", f"{agency.agency_id[:60]!r} is no creator.", "the id of a creator")


def is_creator(identifier: str) -> bool:
    """Whether this is a well-formed creator id. What a client sends on a line may be anything."""
    try:
        check_id(identifier, "creator")
    except Refusal:
        return False
    return True


def check_bonuses(plan: Plan, *, by_seller: bool) -> None:
    """Raise Refusal `creators.plan_invalid` when a seller's plan would spend the platform's money."""
    for index, bonus in enumerate(plan.bonuses):
        if by_seller and bonus.seller_share_bps != WHOLE_BPS:
            raise _invalid(
                f"bonuses[{index}].seller_share_bps",
                "Only an operator may let the platform pay.",
                f"{WHOLE_BPS}: the seller pays all of it",
            )


def _rates(plan: Plan) -> Iterable[tuple[str, int]]:
    yield "rate_bps", plan.rate_bps
    for index, tier in enumerate(plan.tiers):
        yield f"tiers[{index}].rate_bps", tier.rate_bps
    for index, bonus in enumerate(plan.bonuses):
        yield f"bonuses[{index}].rate_bps", bonus.rate_bps
        yield f"bonuses[{index}].seller_share_bps", bonus.seller_share_bps * RATE_MAX_BPS // WHOLE_BPS


def _invalid(field: str, detail: str, expected: str) -> Refusal:
    return Refusal("creators.plan_invalid", detail, field=field, expected=expected)
