"""The only SQL of parties."""

from __future__ import annotations

from collections.abc import Iterable

from tradepost.kernel.ids import gene_for, gene_of
from tradepost.kernel.tx import Row, Tx
from tradepost.trade.parties.model import ApiKey, Buyer, Member, Seller

_SELLER = "SELECT seller_id, name, state, reason, fee_bps, created_at_ms, version FROM sellers"
_KEY = (
    "SELECT key_id, token_hash, party_id, party_role, scopes, created_at_ms, expires_at_ms, revoked_at_ms, replaced_by"
    " FROM api_keys"
)


def _by_gene(ids: Iterable[str]) -> dict[int, list[str]]:
    groups: dict[int, list[str]] = {}
    for identifier in dict.fromkeys(ids):
        groups.setdefault(gene_of(identifier), []).append(identifier)
    return groups


def insert_buyer(tx: Tx, buyer: Buyer) -> None:
    """Add a buyer. Raises Taken when the id is there."""
    tx.execute(
        "INSERT INTO buyers (gene, buyer_id, name, email, created_at_ms, version) VALUES (?,?,?,?,?,?)",
        (
            gene_of(buyer.buyer_id),
            buyer.buyer_id,
            buyer.name,
            buyer.email,
            buyer.created_at_ms,
            buyer.version,
        ),
    )


def select_buyers(tx: Tx, buyer_ids: Iterable[str]) -> list[Buyer]:
    """The buyers with these ids; one statement per gene."""
    rows: list[Row] = []
    for gene, ids in _by_gene(buyer_ids).items():
        rows += tx.query_in(
            "SELECT buyer_id, name, email, created_at_ms, version FROM buyers"
            " WHERE gene = ? AND buyer_id IN ({in})",
            ids,
            (gene,),
        )
    return [
        Buyer(buyer_id=row[0], name=row[1], email=row[2], created_at_ms=row[3], version=row[4])
        for row in rows
    ]


def insert_seller(tx: Tx, seller: Seller) -> None:
    """Add a seller. Raises Taken when the id is there."""
    tx.execute(
        "INSERT INTO sellers (gene, seller_id, name, state, reason, fee_bps, created_at_ms, version)"
        " VALUES (?,?,?,?,?,?,?,?)",
        (
            gene_of(seller.seller_id),
            seller.seller_id,
            seller.name,
            seller.state,
            seller.reason,
            seller.fee_bps,
            seller.created_at_ms,
            seller.version,
        ),
    )


def update_seller(tx: Tx, seller: Seller) -> bool:
    """Write a seller whose version counts one more than the row's; whether the row still was there."""
    matched = tx.execute(
        "UPDATE sellers SET name = ?, state = ?, reason = ?, fee_bps = ?, version = ?"
        " WHERE gene = ? AND seller_id = ? AND version = ?",
        (
            seller.name,
            seller.state,
            seller.reason,
            seller.fee_bps,
            seller.version,
            gene_of(seller.seller_id),
            seller.seller_id,
            seller.version - 1,
        ),
    )
    return matched == 1


def _seller(row: Row) -> Seller:
    return Seller(
        seller_id=row[0],
        name=row[1],
        state=row[2],
        reason=row[3],
        fee_bps=row[4],
        created_at_ms=row[5],
        version=row[6],
    )


def select_sellers(tx: Tx, seller_ids: Iterable[str]) -> list[Seller]:
    """The sellers with these ids; one statement per gene."""
    rows: list[Row] = []
    for gene, ids in _by_gene(seller_ids).items():
        rows += tx.query_in(_SELLER + " WHERE gene = ? AND seller_id IN ({in})", ids, (gene,))
    return [_seller(row) for row in rows]


def select_sellers_after(tx: Tx, after: str, limit: int) -> list[Seller]:
    """A page of this shard's sellers in order of id: an operator's view."""
    rows = tx.query(_SELLER + " WHERE seller_id > ? ORDER BY seller_id LIMIT ?", (after, limit))
    return [_seller(row) for row in rows]


def insert_member(tx: Tx, member: Member) -> None:
    """Add a creator, storefront or operator. Raises Taken when the id is there."""
    tx.execute(
        "INSERT INTO members (gene, party_id, party_role, name, created_at_ms, version) VALUES (?,?,?,?,?,?)",
        (
            gene_of(member.party_id),
            member.party_id,
            member.role,
            member.name,
            member.created_at_ms,
            member.version,
        ),
    )


def select_members(tx: Tx, party_ids: Iterable[str]) -> list[Member]:
    """The members with these ids; one statement per gene."""
    rows: list[Row] = []
    for gene, ids in _by_gene(party_ids).items():
        rows += tx.query_in(
            "SELECT party_id, party_role, name, created_at_ms, version FROM members"
            " WHERE gene = ? AND party_id IN ({in})",
            ids,
            (gene,),
        )
    return [
        Member(party_id=row[0], role=row[1], name=row[2], created_at_ms=row[3], version=row[4])
        for row in rows
    ]


def insert_key(tx: Tx, key: ApiKey) -> None:
    """Add a key on the gene of its hash. Raises Taken when the token is in use."""
    tx.execute(
        "INSERT INTO api_keys (gene, token_hash, key_id, party_id, party_role, scopes, created_at_ms, expires_at_ms,"
        " revoked_at_ms, replaced_by) VALUES (?,?,?,?,?,?,?,?,?,?)",
        (
            gene_for(key.token_hash),
            key.token_hash,
            key.key_id,
            key.party_id,
            key.role,
            " ".join(key.scopes),
            key.created_at_ms,
            key.expires_at_ms,
            key.revoked_at_ms,
            key.replaced_by,
        ),
    )


def _key(row: Row) -> ApiKey:
    return ApiKey(
        key_id=row[0],
        token_hash=row[1],
        party_id=row[2],
        role=row[3],
        scopes=tuple(row[4].split()),
        created_at_ms=row[5],
        expires_at_ms=row[6],
        revoked_at_ms=row[7],
        replaced_by=row[8],
    )


def select_key_by_hash(tx: Tx, token_hash: str) -> ApiKey | None:
    """The key of a token."""
    rows = tx.query(_KEY + " WHERE gene = ? AND token_hash = ?", (gene_for(token_hash), token_hash))
    return _key(rows[0]) if rows else None


def select_key(tx: Tx, key_id: str) -> ApiKey | None:
    """The key of an id."""
    rows = tx.query(_KEY + " WHERE gene = ? AND key_id = ?", (gene_of(key_id), key_id))
    return _key(rows[0]) if rows else None


def select_keys_of(tx: Tx, party_id: str) -> list[ApiKey]:
    """This shard's keys of a party: a cold view over an index."""
    return [_key(row) for row in tx.query(_KEY + " WHERE party_id = ? ORDER BY key_id", (party_id,))]


def end_key(tx: Tx, key: ApiKey) -> None:
    """Write when a key ends (`expires_at_ms`, `revoked_at_ms`, `replaced_by`)."""
    tx.execute(
        "UPDATE api_keys SET expires_at_ms = ?, revoked_at_ms = ?, replaced_by = ?"
        " WHERE gene = ? AND key_id = ?",
        (key.expires_at_ms, key.revoked_at_ms, key.replaced_by, gene_for(key.token_hash), key.key_id),
    )
