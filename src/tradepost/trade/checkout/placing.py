"""The batch that places orders: a few statements for up to 256 checkouts, whatever they hold.

PLACE holds the stock and opens the orders in one commit, where both lie on one shard. OPEN opens orders whose
holds were committed on other shards before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tradepost.events.idempotency import key_reused
from tradepost.kernel.errors import Refusal
from tradepost.kernel.tx import BatchHandler, Row, Tx
from tradepost.trade import inventory, orders, payments
from tradepost.trade.checkout import store
from tradepost.trade.checkout.earlier import decide_earlier
from tradepost.trade.checkout.model import PLACED, Placed, Placement
from tradepost.trade.checkout.placement import refuse_expired, refuse_risk

Answer = Placed | Refusal


def place(tx: Tx, items: Sequence[Placement]) -> list[Answer]:
    """Hold stock and open orders together, first come first served."""
    return _in_rounds(tx, items, _place_distinct)


def open_held(tx: Tx, items: Sequence[Placement]) -> list[Answer]:
    """Open orders whose stock is held already; refuse on a tombstone."""
    return _in_rounds(tx, items, _open_distinct)


PLACE: BatchHandler[Placement, Placed] = BatchHandler(
    name="tradepost.trade.checkout.placing:PLACE",
    handle=place,
    item_type=Placement,
    result_type=Placed,
    rows_of=lambda item: 4 + len(item.hold.demands),
)
OPEN: BatchHandler[Placement, Placed] = BatchHandler(
    name="tradepost.trade.checkout.placing:OPEN",
    handle=open_held,
    item_type=Placement,
    result_type=Placed,
    rows_of=lambda item: 4,
)


def _in_rounds(
    tx: Tx, items: Sequence[Placement], step: Callable[[Tx, Sequence[Placement]], list[Answer | None]]
) -> list[Answer]:
    """Answer repeats inside one batch from the outcome of the first of them; judge others anew.

    `step` answers None for what another round must judge; each round answers one item at least.
    """
    answers: dict[int, Answer] = {}
    waiting = list(range(len(items)))
    while waiting:
        first: dict[tuple[str, str], int] = {}
        twins: list[tuple[int, int]] = []
        distinct: list[int] = []
        for index in waiting:
            names = ((items[index].scope, items[index].key), ("", items[index].checkout_id))
            twin = first.get(names[0], first.get(names[1]))
            if twin is None:
                first.update(dict.fromkeys(names, index))
                distinct.append(index)
            else:
                twins.append((index, twin))
        found = dict(zip(distinct, step(tx, [items[index] for index in distinct]), strict=True))
        for index, twin in twins:
            first_answer = found[twin]
            found[index] = _like_twin(items[index], items[twin], first_answer) if first_answer else None
        answers.update({index: answer for index, answer in found.items() if answer is not None})
        waiting = sorted(index for index, answer in found.items() if answer is None)
    return [answers[index] for index in range(len(items))]


def _like_twin(item: Placement, twin: Placement, answer: Answer) -> Answer | None:
    same_key = (item.scope, item.key) == (twin.scope, twin.key)
    if same_key and item.request_hash != twin.request_hash:
        return None if isinstance(answer, Refusal) else key_reused()
    if isinstance(answer, Refusal):
        return answer if same_key else None
    return Placed(answer.buyer_id, answer.checkout_id, True)


def _place_distinct(tx: Tx, items: Sequence[Placement]) -> list[Answer | None]:
    answers, hasty = _known(tx, items)
    fresh = [index for index, answer in enumerate(answers) if answer is None]
    held = inventory.hold(tx, [items[index].hold for index in fresh]) if fresh else []
    accepted: list[Placement] = []
    unlucky: set[str] = set()
    for index, outcome in zip(fresh, held, strict=True):
        if isinstance(outcome, Refusal):
            answers[index] = outcome
            unlucky.add(items[index].buyer_id)
        else:
            accepted.append(items[index])
    _open(tx, accepted)
    settled: list[Answer | None] = list(_settled(items, answers))
    for index in hasty:
        if items[index].buyer_id in unlucky:  # refused for a checkout that was then not placed
            settled[index] = None
    return settled


def _open_distinct(tx: Tx, items: Sequence[Placement]) -> list[Answer | None]:
    answers, _ = _known(tx, items)
    _open(tx, [item for item, answer in zip(items, answers, strict=True) if answer is None])
    return list(_settled(items, answers))


def _settled(items: Sequence[Placement], answers: Sequence[Answer | None]) -> list[Answer]:
    return [
        answer or Placed(item.buyer_id, item.checkout_id, False)
        for item, answer in zip(items, answers, strict=True)
    ]


def _known(tx: Tx, items: Sequence[Placement]) -> tuple[list[Answer | None], list[int]]:
    """What is decided before stock is touched: replays, reused keys, tombstones, risk, and stored
    value that does not suffice. None goes on.

    Also the places of items that were refused because of others in this batch, which stock may still refuse.
    """
    keys = store.find_keys(tx, [(item.gene, item.scope, item.key) for item in items])
    quoted = [(item.buyer_id, item.checkout_id) for item in items if item.quoted]
    stands = store.find_checkouts(tx, quoted) if quoted else {}
    limited = [item for item in items if item.risk.orders_max and not item.new_buyer]
    since_ms = min((item.at_ms - item.risk.window_ms for item in limited), default=0)
    placed = store.count_since(tx, list({item.buyer_id for item in limited}), since_ms) if limited else {}
    funded = [item.intent for item in items if item.intent is not None and item.intent.stored_minor]
    purse = payments.open_purse(tx, funded) if funded else None
    answers: list[Answer | None] = []
    hasty: list[int] = []
    coming: dict[str, int] = {}
    for index, item in enumerate(items):
        ahead = coming.get(item.buyer_id, 0)
        count = placed.get(item.buyer_id, 0) + ahead
        answer = _decide(item, keys.get((item.scope, item.key)), stands.get(item.checkout_id), count)
        if answer is None and purse is not None and item.intent is not None and item.intent.stored_minor:
            answer = purse.refuse_or_take(item.intent)
        if answer is None:
            coming[item.buyer_id] = ahead + 1
        elif ahead and isinstance(answer, Refusal):
            hasty.append(index)
        answers.append(answer)
    return answers, hasty


def _decide(item: Placement, key: list[str] | None, stands: Row | None, count: int) -> Answer | None:
    return decide_earlier(item, key, stands) or refuse_expired(item) or refuse_risk(item.risk, count)


def _open(tx: Tx, items: Sequence[Placement]) -> None:
    if not items:
        return
    store.insert_checkouts(
        tx,
        [(item.buyer_id, item.checkout_id, PLACED, item.quote_hash, item.at_ms, item.body) for item in items],
    )
    store.insert_keys(
        tx,
        [
            (item.gene, item.scope, item.key, item.request_hash, item.buyer_id, item.checkout_id, item.at_ms)
            for item in items
        ],
    )
    orders.open_orders(tx, [order for item in items for order in item.orders])
    payments.open_intents(tx, [item.intent for item in items if item.intent is not None])
