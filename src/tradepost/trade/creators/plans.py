"""A seller's plans: entered, replaced by a next version, ended. What was in force at a moment stays known."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from tradepost.kernel.errors import Refusal
from tradepost.kernel.tx import Tx
from tradepost.trade.creators import store
from tradepost.trade.creators.model import Plan
from tradepost.trade.creators.rules import check_bonuses, check_plan


def enter_plan(tx: Tx, plan: Plan, at_ms: int, *, by_seller: bool = False) -> Plan:
    """A new plan, in force from this moment; a seller's own may not spend the platform's money.

    Raises Refusal `creators.plan_invalid`, `creators.too_many_plans`.
    """
    first = replace(plan, version=1)
    check_plan(first)
    check_bonuses(first, by_seller=by_seller)
    if len(store.versions_of(tx, plan.seller_id)) >= store.PLANS_MAX:
        raise Refusal(
            "creators.too_many_plans",
            f"A seller has at most {store.PLANS_MAX} versions of plans.",
            expected="fewer plans",
        )
    store.insert_version(tx, first, at_ms)
    return first


def change_plan(tx: Tx, plan: Plan, at_ms: int, *, by_seller: bool = False) -> Plan:
    """The next version, in force from this moment; `plan.version` is the one it replaces.

    Orders placed before stay under the version of their day. Raises Refusal `creators.plan_unknown`,
    `creators.plan_invalid`, `version.conflict`.
    """
    stands = present(tx, plan.seller_id, plan.plan_id)
    if plan.version != stands.version:
        raise Refusal("version.conflict", f"Plan {plan.plan_id} is at version {stands.version}.")
    following = replace(plan, version=stands.version + 1)
    check_plan(following)
    check_bonuses(following, by_seller=by_seller)
    store.end_version(tx, stands, at_ms)
    store.insert_version(tx, following, at_ms)
    return following


def end_plan(tx: Tx, seller_id: str, plan_id: str, at_ms: int) -> Plan:
    """No order from this moment on is under it. Raises Refusal `creators.plan_unknown`."""
    stands = present(tx, seller_id, plan_id)
    store.end_version(tx, stands, at_ms)
    return stands


def present(tx: Tx, seller_id: str, plan_id: str) -> Plan:
    """The version in force. Raises Refusal `creators.plan_unknown`."""
    for plan, _, until_ms in store.versions_of(tx, seller_id):
        if plan.plan_id == plan_id and not until_ms:
            return plan
    raise Refusal("creators.plan_unknown", f"There is no plan {plan_id[:60]!r} in force.", field="plan_id")


def list_plans(tx: Tx, seller_id: str) -> Sequence[Plan]:
    """A seller's plans in force, newest first."""
    return [plan for plan, _, until_ms in store.versions_of(tx, seller_id) if not until_ms]
