"""The SQL of payouts and of where they go."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from tradepost.kernel.errors import Refusal
from tradepost.kernel.ids import gene_of
from tradepost.kernel.tx import Row, Tx
from tradepost.trade.settlement.model import Destination, Payout, PayoutAccount

PAGE_ROWS = 2_000
_PAYOUT = (
    "payout_id, party_id, market, currency, amount_minor, state, attempts, next_at_ms, bank, error, version,"
    " requested_at_ms, day, body"
)
_encode = msgspec.json.Encoder().encode
_destination = msgspec.json.Decoder(Destination).decode


def find_payout_account(tx: Tx, party_id: str) -> PayoutAccount | None:
    """Where a party's money goes."""
    rows = tx.query(
        "SELECT party_id, blocked, version, body FROM payout_accounts WHERE gene = ? AND party_id = ?",
        (gene_of(party_id), party_id),
    )
    return (
        PayoutAccount(
            party_id=rows[0][0],
            blocked=bool(rows[0][1]),
            version=rows[0][2],
            destination=_destination(rows[0][3]),
        )
        if rows
        else None
    )


def put_payout_account(tx: Tx, account: PayoutAccount) -> None:
    """Enter or replace. Raises Refusal `version.conflict` when somebody else did meanwhile."""
    gene, body = gene_of(account.party_id), _encode(account.destination)
    if account.version == 1:
        tx.execute(
            "INSERT INTO payout_accounts (gene, party_id, blocked, version, body) VALUES (?,?,?,1,?)",
            (gene, account.party_id, int(account.blocked), body),
        )
        return
    done = tx.execute(
        "UPDATE payout_accounts SET blocked = ?, version = ?, body = ? WHERE gene = ? AND party_id = ? AND version = ?",
        (int(account.blocked), account.version, body, gene, account.party_id, account.version - 1),
    )
    if not done:
        raise Refusal("version.conflict", "The account was changed meanwhile.")


def _payout(row: Row) -> Payout:
    return Payout(
        payout_id=row[0],
        party_id=row[1],
        market=row[2],
        currency=row[3],
        amount_minor=row[4],
        state=row[5],
        attempts=row[6],
        next_at_ms=row[7],
        bank=row[8],
        error=row[9],
        version=row[10],
        requested_at_ms=row[11],
        day=row[12],
        destination=_destination(row[13]),
    )


def insert_payouts(tx: Tx, payouts: Sequence[Payout]) -> None:
    """New rows in one statement."""
    tx.execute_many(
        f"INSERT INTO payouts (gene, {_PAYOUT}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
        [
            (
                *(
                    gene_of(p.payout_id),
                    p.payout_id,
                    p.party_id,
                    p.market,
                    p.currency,
                    p.amount_minor,
                    p.state,
                ),
                *(p.attempts, p.next_at_ms, p.bank, p.error, p.version, p.requested_at_ms, p.day),
                _encode(p.destination),
            )
            for p in payouts
        ],
    )


def find_payout(tx: Tx, payout_id: str) -> Payout:
    """One payout, locked. Raises Refusal `settlement.payout_not_found`."""
    rows = tx.query_keys(
        f"SELECT {_PAYOUT} FROM payouts WHERE {{keys}}",
        ("gene", "payout_id"),
        [(gene_of(payout_id), payout_id)],
        lock=True,
    )
    if not rows:
        raise Refusal(
            "settlement.payout_not_found", f"There is no payout {payout_id[:60]!r}.", field="payout_id"
        )
    return _payout(rows[0])


def save_payout(tx: Tx, before: Payout, after: Payout) -> None:
    """Write a payout back. Raises Refusal `version.conflict` when it moved meanwhile."""
    done = tx.execute(
        "UPDATE payouts SET state = ?, attempts = ?, next_at_ms = ?, bank = ?, error = ?, version = ?"
        " WHERE gene = ? AND payout_id = ? AND state = ? AND attempts = ?",
        (
            *(after.state, after.attempts, after.next_at_ms, after.bank, after.error[:200], after.version),
            *(gene_of(after.payout_id), after.payout_id, before.state, before.attempts),
        ),
    )
    if not done:
        raise Refusal("version.conflict", "The payout was changed meanwhile.")


def due_payouts(tx: Tx, now_ms: int, limit: int) -> list[str]:
    """Payouts whose bank has to be called or asked, longest first."""
    rows = tx.query(
        "SELECT payout_id FROM payouts WHERE next_at_ms > 0 AND next_at_ms <= ? ORDER BY next_at_ms LIMIT ?",
        (now_ms, limit),
    )
    return [row[0] for row in rows]


def postpone_payout(tx: Tx, payout_id: str, now_ms: int, until_ms: int) -> None:
    """Look at a payout that is due again later; one that is not due any more is left alone."""
    tx.execute(
        "UPDATE payouts SET next_at_ms = ? WHERE gene = ? AND payout_id = ? AND next_at_ms > 0 AND next_at_ms <= ?",
        (until_ms, gene_of(payout_id), payout_id, now_ms),
    )


def payouts_of(tx: Tx, party_id: str, before: str, limit: int) -> list[Payout]:
    """A party's payouts, newest first; `before` is the last id of the page before."""
    rows = tx.query(
        f"SELECT {_PAYOUT} FROM payouts WHERE gene = ? AND party_id = ? AND payout_id < ?"
        " ORDER BY payout_id DESC LIMIT ?",
        (gene_of(party_id), party_id, before or "~", limit),
    )
    return [_payout(row) for row in rows]


def all_payouts(tx: Tx) -> Iterator[Payout]:
    """Every payout of this shard in order of its key."""
    gene, after = -1, ""
    while True:
        rows = tx.query(
            f"SELECT gene, {_PAYOUT} FROM payouts WHERE gene >= ? AND (gene > ? OR payout_id > ?)"
            " ORDER BY gene, payout_id LIMIT ?",
            (gene, gene, after, PAGE_ROWS),
        )
        yield from (_payout(row[1:]) for row in rows)
        if len(rows) < PAGE_ROWS:
            return
        gene, after = rows[-1][0], rows[-1][1]
