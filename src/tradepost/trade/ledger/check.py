"""The proof of the ledger: every row balances, nothing pending is resolved twice; facts to compare with payments."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from tradepost.kernel.tx import Tx
from tradepost.trade.ledger import rules, store
from tradepost.trade.ledger.model import GUARDED, PENDING, POSTED, Balance, Transaction, TransactionKind
from tradepost.trade.ledger.seals import rules as sealing
from tradepost.trade.ledger.seals import store as seal_store


class LedgerFinding(msgspec.Struct, frozen=True):
    """One thing that is not as it must be."""

    kind: str
    transaction_id: str
    detail: str


class LedgerReport(msgspec.Struct, frozen=True):
    """What a check saw on one shard or several.

    `kinds` is (kind, currency) to the debits of its posted rows, `captured` and `refunded` are payment id to
    what went through the provider: all minor units. Sums of `balances` per currency are zero when balanced.
    """

    transactions: int
    balances: dict[tuple[str, str], Balance]
    kinds: dict[tuple[str, str], int]
    captured: dict[str, int]
    refunded: dict[str, int]
    findings: tuple[LedgerFinding, ...]

    @property
    def balanced(self) -> bool:
        """Whether nothing was found and every currency sums to zero."""
        sums: dict[str, int] = {}
        for balance in self.balances.values():
            sums[balance.currency] = sums.get(balance.currency, 0) + balance.posted_minor
        return not self.findings and not any(sums.values())


class _Sums:
    """What a pass over the journal adds up."""

    def __init__(self) -> None:
        self.count = 0
        self.kinds: dict[tuple[str, str], int] = {}
        self.captured: dict[str, int] = {}
        self.refunded: dict[str, int] = {}
        self.opened: dict[rules.Key, int] = {}
        self.resolved: dict[rules.Key, int] = {}
        self.findings: list[LedgerFinding] = []
        self.tallies: dict[sealing.Key, list[int]] = {}

    def add(self, t: Transaction) -> Transaction:
        """Take in one row and pass it on."""
        self.count += 1
        tally = self.tallies.setdefault(sealing.key_of(t), [0, 0])
        tally[0] += 1
        tally[1] += sealing.hash_row(t)
        fault = rules.find_fault(t)
        if fault is not None:
            self.findings.append(LedgerFinding(fault.code, t.transaction_id, fault.detail))
        if t.state == PENDING:
            self.opened[(t.gene, t.transaction_id)] = t.amount_minor
        elif t.pending_id:
            key = (t.gene, t.pending_id)
            self.resolved[key] = self.resolved.get(key, 0) + t.amount_minor
        if t.state == POSTED:
            self._add_posted(t)
        return t

    def _add_posted(self, t: Transaction) -> None:
        pair = (t.kind, t.currency)
        self.kinds[pair] = self.kinds.get(pair, 0) + t.amount_minor
        if t.kind == TransactionKind.CAPTURE:
            self.captured[t.reference] = self.captured.get(t.reference, 0) + rules.amount_on(t, "provider")
        elif t.kind == TransactionKind.REFUND:
            self.refunded[t.reference] = self.refunded.get(t.reference, 0) - rules.amount_on(t, "provider")


def check_ledger(tx: Tx) -> LedgerReport:
    """Read the whole journal of this shard once and prove it.

    Finds rows that do not balance or have an impossible state or account (`ledger.*`), `pending` sums that
    disagree with the rows that resolve them, `refund` above what was captured for the same reference, `seal` where
    a closed day is not what it was, and `floor` where a guarded account is not what its row says or below zero.
    """
    sums = _Sums()
    balances = rules.balances(sums.add(t) for t in store.scan(tx))
    found = sums.findings + _check_pending(tx, sums)
    for reference, refunded in sorted(sums.refunded.items()):
        captured = sums.captured.get(reference, 0)
        if refunded > captured:
            found.append(LedgerFinding("refund", reference, f"refunded {refunded}, captured {captured}"))
    found += _check_seals(tx, sums) + _check_floors(tx, balances)
    return LedgerReport(sums.count, balances, sums.kinds, sums.captured, sums.refunded, tuple(found))


def _check_seals(tx: Tx, sums: _Sums) -> list[LedgerFinding]:
    tallies = {key: sealing.Tally(n, total % sealing.MODULUS) for key, (n, total) in sums.tallies.items()}
    breaks = sealing.find_breaks(seal_store.all_seals(tx), tallies, seal_store.departed(tx))
    return [LedgerFinding("seal", name, detail) for name, detail in breaks]


def _check_floors(tx: Tx, balances: dict[tuple[str, str], Balance]) -> list[LedgerFinding]:
    kept = store.floors(tx)
    owed = {key: -b.posted_minor for key, b in balances.items() if key[0].startswith(GUARDED)}
    return [
        LedgerFinding("floor", account, f"journal {owed.get((account, currency), 0)} {currency}, kept {held}")
        for (account, currency), held in sorted({**dict.fromkeys(owed, 0), **kept}.items())
        if held != owed.get((account, currency), 0) or held < 0
    ]


def _check_pending(tx: Tx, sums: _Sums) -> list[LedgerFinding]:
    kept = {(p.gene, p.transaction_id): p for p in store.all_pending(tx)}
    found: list[LedgerFinding] = []
    for key in sorted(kept.keys() | sums.opened.keys() | sums.resolved.keys()):
        pending = kept.get(key)
        amount, resolved = sums.opened.get(key), sums.resolved.get(key, 0)
        if (
            pending is None
            or amount is None
            or (pending.amount_minor, pending.resolved_minor)
            != (
                amount,
                resolved,
            )
        ):
            found.append(LedgerFinding("pending", key[1], f"journal {amount}/{resolved}, kept {pending}"))
        elif resolved > amount:
            found.append(LedgerFinding("pending", key[1], f"{resolved} resolved of {amount}"))
    return found


def merge_reports(reports: Iterable[LedgerReport]) -> LedgerReport:
    """One report of several shards."""
    parts = list(reports)
    balances: dict[tuple[str, str], Balance] = {}
    for part in parts:
        for key, balance in part.balances.items():
            old = balances.get(key, Balance(*key, 0, 0))
            balances[key] = Balance(
                *key,
                old.posted_minor + balance.posted_minor,
                old.pending_minor + balance.pending_minor,
            )
    kinds: dict[tuple[str, str], int] = {}
    captured: dict[str, int] = {}
    refunded: dict[str, int] = {}
    for part in parts:
        for pair, amount in part.kinds.items():
            kinds[pair] = kinds.get(pair, 0) + amount
        for target, source in ((captured, part.captured), (refunded, part.refunded)):
            for reference, amount in source.items():
                target[reference] = target.get(reference, 0) + amount
    findings = tuple(finding for part in parts for finding in part.findings)
    count = sum(part.transactions for part in parts)
    return LedgerReport(count, balances, kinds, captured, refunded, findings)
