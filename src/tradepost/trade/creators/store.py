"""The only SQL of creators."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tradepost.kernel.errors import Refusal
from tradepost.kernel.ids import gene_of
from tradepost.kernel.tx import Row, Tx, Value, marks
from tradepost.trade.creators.model import Earning, Expected, OrderCommissions, Plan

PLANS_MAX = 1_000
"""Versions of plans of one seller that are looked at; the oldest ones beyond are as if they had ended."""
_plan = msgspec.json.Decoder(Plan).decode
_order = msgspec.json.Decoder(OrderCommissions).decode
_encode = msgspec.json.Encoder().encode
_EARNING = (
    "creator_id, order_id, line_no, version, plan_id, state, currency, base_minor, amount_minor, at_ms,"
    " settle_at_ms, content_id, seller_id"
)
Version = tuple[Plan, int, int]
"""(plan, in force from, until; 0 is still)."""


def versions_of(tx: Tx, seller_id: str) -> list[Version]:
    """Every version of a seller's plans, newest first."""
    rows = tx.query(
        "SELECT body, from_ms, until_ms FROM commission_plans WHERE gene = ? AND seller_id = ?"
        " ORDER BY plan_id DESC, version DESC LIMIT ?",
        (gene_of(seller_id), seller_id, PLANS_MAX),
    )
    return [(_plan(row[0]), row[1], row[2]) for row in rows]


def insert_version(tx: Tx, plan: Plan, from_ms: int) -> None:
    """Raises Taken when the version is there."""
    tx.execute(
        "INSERT INTO commission_plans (gene, seller_id, plan_id, version, from_ms, until_ms, body)"
        " VALUES (?,?,?,?,?,0,?)",
        (gene_of(plan.seller_id), plan.seller_id, plan.plan_id, plan.version, from_ms, _encode(plan)),
    )


def end_version(tx: Tx, plan: Plan, until_ms: int) -> None:
    """Let a version end. Raises Refusal `version.conflict` when it has."""
    ended = tx.execute(
        "UPDATE commission_plans SET until_ms = ? WHERE gene = ? AND seller_id = ? AND plan_id = ? AND version = ?"
        " AND until_ms = 0",
        (until_ms, gene_of(plan.seller_id), plan.seller_id, plan.plan_id, plan.version),
    )
    if not ended:
        raise Refusal("version.conflict", f"Plan {plan.plan_id} was changed meanwhile.")


def find_orders(tx: Tx, order_ids: Sequence[str]) -> dict[str, OrderCommissions]:
    """What stands of these orders; those without a creator are left out."""
    keys = [(gene_of(order_id), order_id) for order_id in order_ids]
    rows = tx.query_keys(
        "SELECT body, version, next_at_ms, settle_at_ms, touches FROM commissions WHERE {keys}",
        ("gene", "order_id"),
        keys,
    )
    found = [
        msgspec.structs.replace(
            _order(row[0]), version=row[1], next_at_ms=row[2], settle_at_ms=row[3], touches=row[4]
        )
        for row in rows
    ]
    return {one.order_id: one for one in found}


def insert_orders(tx: Tx, fresh: Sequence[OrderCommissions]) -> None:
    """Begin; the caller has looked that they are not there."""
    tx.execute_many(
        "INSERT INTO commissions (gene, order_id, version, touches, next_at_ms, settle_at_ms, body)"
        " VALUES (?,?,?,0,?,?,?)",
        [
            (gene_of(one.order_id), one.order_id, one.version, one.next_at_ms, one.settle_at_ms, _encode(one))
            for one in fresh
        ],
    )


def update_orders(tx: Tx, changed: Sequence[tuple[OrderCommissions, OrderCommissions]]) -> None:
    """(as read, after). Raises Refusal `version.conflict` when one was written or touched meanwhile."""
    matched = tx.execute_many(
        "UPDATE commissions SET version = ?, touches = ?, next_at_ms = ?, settle_at_ms = ?, body = ?"
        " WHERE gene = ? AND order_id = ? AND version = ? AND touches = ?",
        [
            (
                one.version,
                one.touches,
                one.next_at_ms,
                one.settle_at_ms,
                _encode(one),
                gene_of(one.order_id),
                one.order_id,
                before.version,
                before.touches,
            )
            for before, one in changed
        ],
    )
    if matched != len(changed):
        raise Refusal("version.conflict", "Commissions were changed meanwhile.")


def due(tx: Tx, now_ms: int, limit: int) -> list[str]:
    """Orders that are to be looked at, longest waiting first."""
    rows = tx.query(
        "SELECT order_id FROM commissions WHERE next_at_ms > 0 AND next_at_ms <= ? ORDER BY next_at_ms LIMIT ?",
        (now_ms, limit),
    )
    return [row[0] for row in rows]


def put_earnings(tx: Tx, wanted: Sequence[Earning]) -> None:
    """Write the newest of each line; an older one than stands changes nothing."""
    newest: dict[tuple[str, str, int], Earning] = {}
    for one in wanted:
        key = (one.creator_id, one.order_id, one.line_no)
        if key not in newest or newest[key].version < one.version:
            newest[key] = one
    keys = [(gene_of(key[0]), *key) for key in newest]
    rows = tx.query_keys(
        "SELECT creator_id, order_id, line_no, version FROM creator_commissions WHERE {keys}",
        ("gene", "creator_id", "order_id", "line_no"),
        keys,
        lock=True,
    )
    known = {(row[0], row[1], row[2]): row[3] for row in rows}
    tx.execute_many(
        f"INSERT INTO creator_commissions (gene, {_EARNING}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
        [
            (gene_of(one.creator_id), *msgspec.structs.astuple(one))
            for key, one in newest.items()
            if key not in known
        ],
    )
    tx.execute_many(
        "UPDATE creator_commissions SET version = ?, state = ?, base_minor = ?, amount_minor = ?, settle_at_ms = ?"
        " WHERE gene = ? AND creator_id = ? AND order_id = ? AND line_no = ?",
        [
            (
                one.version,
                one.state,
                one.base_minor,
                one.amount_minor,
                one.settle_at_ms,
                gene_of(one.creator_id),
                *key,
            )
            for key, one in newest.items()
            if known.get(key, one.version) < one.version
        ],
    )


def earnings_of(
    tx: Tx, creator_id: str, before: tuple[str, int], limit: int, states: Sequence[str] = ()
) -> list[Earning]:
    """A creator's lines, newest order first, behind (order id, line number); an empty id begins.

    With `states` only those in one of them.
    """
    sql = f"SELECT {_EARNING} FROM creator_commissions WHERE gene = ? AND creator_id = ?"
    params: list[Value] = [gene_of(creator_id), creator_id]
    if states:
        sql += f" AND state IN ({marks(len(states))})"
        params += states
    if before[0]:
        sql += " AND (order_id < ? OR (order_id = ? AND line_no > ?))"
        params += [before[0], before[0], before[1]]
    rows = tx.query(sql + " ORDER BY order_id DESC, line_no LIMIT ?", [*params, limit])
    return [_earning(row) for row in rows]


def sum_earnings(tx: Tx, creator_id: str, states: Sequence[str]) -> list[Expected]:
    """The sums of a creator's lines in these states, by currency."""
    rows = tx.query(
        "SELECT currency, COUNT(*), SUM(amount_minor) FROM creator_commissions"
        f" WHERE gene = ? AND creator_id = ? AND state IN ({marks(len(states))})"
        " GROUP BY currency ORDER BY currency",
        [gene_of(creator_id), creator_id, *states],
    )
    return [Expected(currency=row[0], lines=int(row[1]), amount_minor=int(row[2])) for row in rows]


def _earning(row: Row) -> Earning:
    return Earning(**dict(zip(Earning.__struct_fields__, row, strict=True)))


def stand(tx: Tx, creator_id: str, plan_id: str, before_ms: int) -> tuple[int, int]:
    """(orders, goods) that stay sold of a creator under a plan, of those placed before a moment."""
    rows = tx.query(
        "SELECT COUNT(DISTINCT order_id), COALESCE(SUM(base_minor), 0) FROM creator_commissions"
        " WHERE gene = ? AND creator_id = ? AND plan_id = ? AND at_ms < ? AND base_minor > 0",
        (gene_of(creator_id), creator_id, plan_id, before_ms),
    )
    return rows[0][0], int(rows[0][1])
