"""One payment out of two tenders: a part from the buyer's stored value, the rest through the provider. Pure.

A payment counts in totals. The provider counts what it was asked for; `lift` tells its word in totals, and
`asked_minor` and `card_ahead` tell a total in its. Of an order the stored part pays the first minor units that are
kept, so what is not taken, or is given back, comes off the provider's part first.
"""

from __future__ import annotations

from msgspec.structs import replace

from tradepost.kernel.errors import Refusal
from tradepost.kernel.money import split
from tradepost.trade.payments import refund_rules
from tradepost.trade.payments.funding import Side, Stored, side_of, with_side
from tradepost.trade.payments.model import NewIntent, Payment, Share
from tradepost.trade.payments.port import ProviderFact
from tradepost.trade.payments.stored.value import PROVIDER

ACCOUNT = f"provider:{PROVIDER}"
"""Where money lies that left a buyer's stored value and is not captured yet, or not given back yet."""
ENDED = ("CAPTURED", "VOIDED")
NOTHING = Stored(0)


def share_stored(intent: NewIntent, stored_minor: int) -> NewIntent:
    """The intent of which stored value pays so much, of each portion in proportion; odd cents as `split` has them."""
    parts = split(stored_minor, [portion.amount_minor for portion in intent.portions])
    portions = [replace(p, stored_minor=part) for p, part in zip(intent.portions, parts, strict=True)]
    return replace(intent, stored_minor=stored_minor, portions=tuple(portions))


def held_minor(intent: NewIntent) -> int:
    """What stored value pays beside the provider; nothing where it is the provider itself."""
    return 0 if intent.provider == PROVIDER else intent.stored_minor


def open_sides(intent: NewIntent) -> tuple[Side, ...]:
    """What stands beside the shares of a new payment: who funds them, and which part is held of stored value."""
    shared = held_minor(intent) > 0
    return tuple(
        [
            Side(p.order_id, p.funded, stored=Stored(p.stored_minor) if shared else None)
            for p in intent.portions
            if p.funded or shared
        ]
    )


def is_split(payment: Payment) -> bool:
    """Whether stored value pays a part of it, or did until that came back."""
    return any([side.stored is not None for side in payment.sides])


def stored_of(payment: Payment, order_id: str) -> Stored:
    """What stored value has to do with an order's share; nothing where it has not."""
    side = side_of(payment.sides, order_id) if payment.sides else None
    return side.stored if side is not None and side.stored is not None else NOTHING


def with_stored(payment: Payment, order_id: str, stored: Stored) -> Payment:
    """The payment with another word about the stored part of one share that has one."""
    side = side_of(payment.sides, order_id) or Side(order_id)
    return replace(payment, sides=with_side(payment.sides, replace(side, stored=stored)))


def whole_of(payment: Payment, share: Share) -> int:
    """Minor units of a share that may ever be taken: all of it, less the stored part that came back untaken."""
    return share.amount - stored_of(payment, share.order_id).released


def asked_minor(payment: Payment) -> int:
    """Minor units that the provider is asked for."""
    if not payment.sides:
        return payment.amount_minor
    return payment.amount_minor - sum([side.stored.part for side in payment.sides if side.stored is not None])


def card_of(stored: Stored, taken: int) -> int:
    """The provider's part of the first `taken` minor units of a share."""
    return max(0, taken - stored.held)


def card_taken(payment: Payment) -> int:
    """What the provider took of a payment so far."""
    return sum([card_of(stored_of(payment, share.order_id), share.captured) for share in payment.body.shares])


def card_ahead(payment: Payment, amount: int) -> int:
    """The provider's part of the next `amount` minor units that are planned to be taken."""
    end, position, card = payment.captured_minor + amount, 0, 0
    places: dict[str, int] = {}
    for take in payment.body.plan:
        part = min(take.amount, end - position)
        if part <= 0:
            break
        card += _step(payment, take.order_id, places, part)
        position += part
    return card - card_taken(payment)


def _step(payment: Payment, order_id: str, places: dict[str, int], part: int) -> int:
    """The provider's part of a step of one share, which `places` then counts."""
    stored, before = stored_of(payment, order_id), places.get(order_id, 0)
    places[order_id] = before + part
    return card_of(stored, before + part) - card_of(stored, before)


def lift(payment: Payment, fact: ProviderFact) -> ProviderFact:
    """The provider's word in totals of the payment; any other payment's as it is.

    What is planned and costs the provider nothing counts as taken as soon as all before it is. Raises Refusal
    `payments.fact_mismatch` for an amount that was never asked for.
    """
    if not is_split(payment):
        return fact
    asked = asked_minor(payment)
    if fact.authorized_minor not in (0, asked) or not 0 <= fact.captured_minor <= fact.authorized_minor:
        raise Refusal(
            "payments.fact_mismatch",
            f"{payment.provider} reports {fact.captured_minor} of {fact.authorized_minor} {fact.currency} "
            f"for {payment.payment_id}, of which it was asked for {asked} {payment.currency}.",
            extra={"payment_id": payment.payment_id},
        )
    taken = _total_of(payment, max(fact.captured_minor, card_taken(payment)))
    authorized = payment.amount_minor if fact.authorized_minor else payment.authorized_minor
    return replace(fact, authorized_minor=authorized, captured_minor=min(taken, authorized))


def _total_of(payment: Payment, card: int) -> int:
    """How much of the payment is taken once the provider has taken `card`: the plan in its order, then the rest."""
    body, places, total, left = payment.body, dict[str, int](), 0, card
    if body.once and not card and _is_card_planned(payment):
        return payment.captured_minor  # a part taken now would make the provider's one capture one of many
    for take in body.plan:
        need = _step(payment, take.order_id, places, take.amount)
        if need > left:
            return max(payment.captured_minor, total + (take.amount - need + left if left else 0))
        total, left = total + take.amount, left - need
    for share in body.shares if left else ():
        part = whole_of(payment, share) - places.get(share.order_id, 0)
        need = _step(payment, share.order_id, places, part)
        if need > left:
            return total + (part - need + left if left else 0)
        total, left = total + part, left - need
    return max(payment.captured_minor, total)


def _is_card_planned(payment: Payment) -> bool:
    places: dict[str, int] = {}
    return any([_step(payment, take.order_id, places, take.amount) for take in payment.body.plan])


def release(payment: Payment) -> tuple[Payment, int]:
    """An ended payment without the stored parts that were not taken, and what goes back to the buyer of them."""
    if payment.state not in ENDED or not payment.sides:
        return payment, 0
    total = 0
    for share in payment.body.shares:
        stored = stored_of(payment, share.order_id)
        left = stored.held - min(stored.held, share.captured)
        if left:
            total += left
            payment = with_stored(payment, share.order_id, replace(stored, released=stored.released + left))
    return payment, total


def card_free(payment: Payment, share: Share) -> int:
    """What the provider took of a share and neither we nor the buyer's bank gave back, or are about to."""
    return max(0, refund_rules.available_minor(share) - _stored_free(payment, share))


def _stored_free(payment: Payment, share: Share) -> int:
    stored = stored_of(payment, share.order_id)
    return min(share.captured, stored.held) - stored.back


def stored_part(payment: Payment, share: Share, amount: int) -> int:
    """What of giving back `amount` now goes to stored value: the provider's part of the share goes back first."""
    if not payment.sides:
        return 0
    return max(0, min(_stored_free(payment, share), amount - card_free(payment, share)))


def note_back(payment: Payment, order_id: str, minor: int, given: int = 0) -> Payment:
    """The payment that counts `minor` more of a share's stored part as asked back, `given` of it as given."""
    stored = stored_of(payment, order_id)
    changed = replace(stored, back=stored.back + minor, given=stored.given + given)
    return with_stored(payment, order_id, changed) if minor or given else payment
