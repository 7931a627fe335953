"""Transaction functions and queries on parties. Each runs on the shard of the party's own gene."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from tradepost.kernel.errors import Refusal
from tradepost.kernel.events import record
from tradepost.kernel.tx import Taken, Tx
from tradepost.trade.parties import rules, store
from tradepost.trade.parties.model import (
    SELLER_STATES,
    Buyer,
    Member,
    Role,
    Seller,
    SellerFeeChanged,
    SellerOpened,
    SellerStateChanged,
)

MEMBER_ROLES = (Role.CREATOR, Role.STOREFRONT, Role.OPERATOR)


def _exists(identifier: str) -> Refusal:
    return Refusal("parties.exists", f"{identifier} exists already.", extra={"id": identifier})


def create_buyer(tx: Tx, buyer_id: str, at_ms: int, *, name: str = "", email: str = "") -> Buyer:
    """Enter a buyer. Name and address may be empty.

    Raises Refusal `parties.name_invalid`, `parties.email_invalid` or `parties.exists`.
    """
    buyer = Buyer(
        buyer_id=buyer_id,
        name=rules.accept_name(name) if name else "",
        email=rules.accept_email(email),
        created_at_ms=at_ms,
    )
    try:
        store.insert_buyer(tx, buyer)
    except Taken:
        raise _exists(buyer_id) from None
    return buyer


def buyer_views(tx: Tx, buyer_ids: Iterable[str]) -> dict[str, Buyer]:
    """The buyers found, by id."""
    return {buyer.buyer_id: buyer for buyer in store.select_buyers(tx, buyer_ids)}


def create_member(tx: Tx, party_id: str, role: str, at_ms: int, *, name: str) -> Member:
    """Enter a creator, a storefront or an operator.

    Raises Refusal `parties.role_invalid`, `parties.name_invalid` or `parties.exists`.
    """
    member = Member(
        party_id=party_id,
        role=rules.accept_role(role, MEMBER_ROLES),
        name=rules.accept_name(name),
        created_at_ms=at_ms,
    )
    try:
        store.insert_member(tx, member)
    except Taken:
        raise _exists(party_id) from None
    return member


def member_views(tx: Tx, party_ids: Iterable[str]) -> dict[str, Member]:
    """The creators, storefronts and operators found, by id."""
    return {member.party_id: member for member in store.select_members(tx, party_ids)}


def open_seller(
    tx: Tx, seller_id: str, at_ms: int, *, name: str, fee_bps: int, active: bool = False
) -> Seller:
    """Enter a seller, PENDING until activated (or ACTIVE at once). Emits `seller.opened.v1`.

    Raises Refusal `parties.name_invalid`, `parties.fee_invalid` or `parties.exists`.
    """
    seller = Seller(
        seller_id=seller_id,
        name=rules.accept_name(name),
        state=SELLER_STATES.next(SELLER_STATES.initial, "activate") if active else SELLER_STATES.initial,
        fee_bps=rules.accept_fee(fee_bps),
        created_at_ms=at_ms,
    )
    try:
        store.insert_seller(tx, seller)
    except Taken:
        raise _exists(seller_id) from None
    fact = SellerOpened(seller_id=seller_id, state=seller.state, fee_bps=seller.fee_bps)
    tx.emit([record(fact, seller_id, 1, at_ms, seller_id=seller_id)])
    tx.signal("seller", seller_id)
    return seller


def seller_views(tx: Tx, seller_ids: Iterable[str]) -> dict[str, Seller]:
    """The sellers found, by id."""
    return {seller.seller_id: seller for seller in store.select_sellers(tx, seller_ids)}


def list_sellers(tx: Tx, after: str = "", limit: int = 100) -> list[Seller]:
    """One shard's sellers after an id, in order of id: for operators."""
    return store.select_sellers_after(tx, after, limit)


def move_seller(
    tx: Tx, seller_id: str, given: str, at_ms: int, *, reason: str = "", version: int = 0
) -> Seller:
    """Activate, suspend, reinstate or close a seller. Emits `seller.state_changed.v1`.

    `version` 0 takes the row as it is. Raises Refusal `parties.unknown`, `parties.reason_required`,
    `state.conflict` or `version.conflict`.
    """
    seller = _seller_at(tx, seller_id, version)
    following = SELLER_STATES.next(seller.state, given)
    moved = msgspec.structs.replace(
        seller, state=following, reason=rules.accept_reason(given, reason), version=seller.version + 1
    )
    _write_seller(tx, moved)
    fact = SellerStateChanged(
        seller_id=seller_id, state=moved.state, reason=moved.reason, fee_bps=moved.fee_bps
    )
    tx.emit([record(fact, seller_id, moved.version, at_ms, seller_id=seller_id)])
    return moved


def set_fee(tx: Tx, seller_id: str, fee_bps: int, at_ms: int, *, version: int = 0) -> Seller:
    """Change the platform's share of later sales. Emits `seller.fee_changed.v1`; the same fee changes nothing.

    Raises Refusal `parties.unknown`, `parties.fee_invalid` or `version.conflict`.
    """
    seller = _seller_at(tx, seller_id, version)
    if seller.fee_bps == rules.accept_fee(fee_bps):
        return seller
    changed = msgspec.structs.replace(seller, fee_bps=fee_bps, version=seller.version + 1)
    _write_seller(tx, changed)
    fact = SellerFeeChanged(seller_id=seller_id, state=changed.state, fee_bps=fee_bps)
    tx.emit([record(fact, seller_id, changed.version, at_ms, seller_id=seller_id)])
    return changed


def _seller_at(tx: Tx, seller_id: str, version: int) -> Seller:
    found = store.select_sellers(tx, [seller_id])
    if not found:
        raise Refusal("parties.unknown", f"There is no seller {seller_id}.", field="seller_id")
    if version and found[0].version != version:
        raise _version_conflict(seller_id, found[0].version)
    return found[0]


def _write_seller(tx: Tx, seller: Seller) -> None:
    if not store.update_seller(tx, seller):
        raise _version_conflict(seller.seller_id, seller.version)
    tx.signal("seller", seller.seller_id)


def _version_conflict(seller_id: str, version: int) -> Refusal:
    return Refusal(
        "version.conflict",
        f"Seller {seller_id} was changed meanwhile.",
        field="version",
        extra={"version": version},
    )
