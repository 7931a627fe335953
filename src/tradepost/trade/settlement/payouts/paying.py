"""A payout's story: commit that the bank is called, call it, commit what it said; asked again until it is decided."""

from __future__ import annotations

import asyncio
import logging

from msgspec.structs import replace

from tradepost.kernel.errors import Refusal
from tradepost.kernel.events import Event, record
from tradepost.kernel.ids import PREFIXES, gene_of
from tradepost.kernel.tx import Storage, Tx
from tradepost.kernel.world import World
from tradepost.markets import market
from tradepost.trade import ledger
from tradepost.trade.ledger import Entry, Transaction, TransactionKind
from tradepost.trade.settlement import arriving, rules
from tradepost.trade.settlement import store as lines
from tradepost.trade.settlement.model import (
    BANK_CLEARING,
    PAYOUT_STATES,
    Component,
    Destination,
    LineKind,
    Payout,
    PayoutAccount,
    PayoutFailed,
    PayoutPaid,
)
from tradepost.trade.settlement.payouts import store
from tradepost.trade.settlement.payouts.port import BankFact, BankStatus, PayoutBank, PayoutCall

CALL_TIMEOUT_S = 10
log = logging.getLogger("tradepost.settlement")
_INPUTS = {
    BankStatus.PAID: "pay",
    BankStatus.REFUSED: "refuse",
    BankStatus.FAILED: "fail",
    BankStatus.RETURNED: "return",
}


async def run_payout(db: Storage, world: World, bank: PayoutBank, payout_id: str) -> None:
    """Call the bank for a payout that is due; safe to repeat. Without an answer it is asked later."""
    shard = db.shard_of(gene_of(payout_id))
    begun = await db.transact(shard, begin_call, payout_id, bank.name, world.now_ms())
    if begun is None:
        return
    payout, repeated = begun
    call = PayoutCall(
        key=f"{payout.payout_id}.{payout.attempts}",
        payout_id=payout.payout_id,
        attempt=payout.attempts,
        amount_minor=payout.amount_minor,
        currency=payout.currency,
        destination=payout.destination,
    )
    try:
        async with asyncio.timeout(CALL_TIMEOUT_S):
            fact = await bank.ask(call) if repeated else None
            if fact is None:
                fact = await bank.send(call)
    except (OSError, TimeoutError):
        return  # the row says when to ask: an unanswered call is never made anew under another key
    await db.transact(shard, hear_bank, fact, world.now_ms())


def begin_call(tx: Tx, payout_id: str, bank: str, now_ms: int) -> tuple[Payout, bool] | None:
    """The payout with its attempt under way, and whether an earlier call of it may have been heard already.

    None when nothing is to be called: it is not due, or another bank was called and has not said what became of it.
    """
    payout = store.find_payout(tx, payout_id)
    if not 0 < payout.next_at_ms <= now_ms:
        return None
    repeated = payout.state == "SENT"
    if repeated and payout.bank != bank:
        log.warning(
            "%s was sent to bank %s and is not sent by %s: tell what became of it",
            payout_id,
            payout.bank,
            bank,
        )
        store.save_payout(tx, payout, replace(payout, next_at_ms=rules.ask_at(rules.ATTEMPTS_MAX, now_ms)))
        return None
    state = PAYOUT_STATES.next(payout.state, "send")
    attempts = payout.attempts if repeated else payout.attempts + 1
    begun = replace(
        payout, state=state, attempts=attempts, bank=bank, next_at_ms=rules.ask_at(attempts, now_ms)
    )
    store.save_payout(tx, payout, begun)
    return begun, repeated


def hear_bank(tx: Tx, fact: BankFact, now_ms: int) -> Payout:
    """The bank's word about a payout; old news and repetitions change nothing. Raises `settlement.payout_not_found`."""
    payout = store.find_payout(tx, fact.payout_id)
    given = _INPUTS.get(fact.status)
    if given == "return" and payout.state == "SENT":
        given = "fail"  # paid and returned before we asked: it never stood as paid here
    if given is None or fact.attempt != payout.attempts or not PAYOUT_STATES.accepts(payout.state, given):
        return payout
    if given == "refuse" and payout.attempts >= rules.ATTEMPTS_MAX:
        given = "fail"
    after = replace(
        payout, state=PAYOUT_STATES.next(payout.state, given), next_at_ms=0, error=fact.reason[:200]
    )
    if given == "refuse":
        after = replace(after, next_at_ms=rules.retry_at(after.attempts, now_ms))
    elif given == "pay":
        after = _tell(tx, after, _paid(after), now_ms)
        ledger.append(tx, [_leave_bank(after, now_ms)])
    else:
        after = _give_back(tx, payout, after, now_ms)
    store.save_payout(tx, payout, after)
    return after


def _tell(tx: Tx, payout: Payout, fact: Event, at_ms: int) -> Payout:
    told = replace(payout, version=payout.version + 1)
    seller = payout.party_id if payout.party_id.startswith(PREFIXES["seller"] + "_") else ""
    tx.emit([record(fact, payout.payout_id, told.version, at_ms, seller_id=seller)])
    return told


def _paid(payout: Payout) -> PayoutPaid:
    return PayoutPaid(
        payout_id=payout.payout_id,
        party_id=payout.party_id,
        amount_minor=payout.amount_minor,
        currency=payout.currency,
    )


def _leave_bank(payout: Payout, at_ms: int) -> Transaction:
    return Transaction(
        transaction_id=f"{payout.payout_id}.paid",
        gene=gene_of(payout.payout_id),
        kind=TransactionKind.PAYOUT,
        currency=payout.currency,
        entries=(
            Entry(BANK_CLEARING, payout.amount_minor),
            Entry(f"bank:{payout.bank}", -payout.amount_minor),
        ),
        reference=payout.payout_id,
        at_ms=at_ms,
    )


def _give_back(tx: Tx, before: Payout, after: Payout, at_ms: int) -> Payout:
    """The amount stands on the balance again, and nothing more is sent to that account until it is replaced."""
    line = arriving.own_line(
        (after.party_id, after.market, after.currency),
        f"{after.payout_id}.back",
        rules.day_of(market(after.market), at_ms),
        at_ms,
        LineKind.PAYOUT_BACK,
        Component.PAYOUT,
        after.amount_minor,
    )
    came_from = f"bank:{before.bank}" if before.state == "PAID" else BANK_CLEARING
    arriving.enter(tx, [line], [arriving.own_posting(line, TransactionKind.PAYOUT, came_from)])
    account = store.find_payout_account(tx, after.party_id)
    if account is not None and account.destination == after.destination:
        store.put_payout_account(tx, replace(account, blocked=True, version=account.version + 1))
    fact = PayoutFailed(
        payout_id=after.payout_id,
        party_id=after.party_id,
        amount_minor=after.amount_minor,
        currency=after.currency,
        reason=after.error,
    )
    return _tell(tx, after, fact, at_ms)


def set_destination(tx: Tx, party_id: str, wanted: Destination, version: int, at_ms: int) -> PayoutAccount:
    """Enter where a party's money goes, or replace it; `version` is the one that stands, 0 where none does.

    Raises Refusal `settlement.destination_invalid`, `version.conflict`.
    """
    destination = rules.check_destination(wanted)
    known = store.find_payout_account(tx, party_id)
    stands = known.version if known is not None else 0
    if version != stands:
        raise Refusal("version.conflict", f"The account is at version {stands}.", extra={"version": stands})
    entered = PayoutAccount(party_id=party_id, blocked=False, version=stands + 1, destination=destination)
    store.put_payout_account(tx, entered)
    lines.wake_accounts(tx, party_id, at_ms)  # what waited for a destination goes out now
    return entered
