"""API keys: issue, rotate, revoke, list. A key lies on the gene of its token's hash, so showing it is one read."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tradepost.kernel.errors import Refusal
from tradepost.kernel.ids import check_id, gene_for, gene_of
from tradepost.kernel.tx import Storage, Taken, Tx
from tradepost.kernel.world import World
from tradepost.trade.parties import api, rules, store
from tradepost.trade.parties.model import ApiKey, IssuedKey, Role

OVERLAP_MS = 24 * 3_600_000
BOOTSTRAP_NAME = "First operator"


def keep_key(tx: Tx, key: ApiKey) -> ApiKey:
    """Store a key (see `rules.build_key`) on the shard of its id. Raises Refusal `parties.exists`."""
    try:
        store.insert_key(tx, key)
    except Taken:
        raise Refusal("parties.exists", "This token is a key already.") from None
    tx.signal("key", key.token_hash)
    return key


async def issue_key(
    db: Storage,
    world: World,
    party_id: str,
    role: str,
    *,
    scopes: Sequence[str] = (),
    expires_at_ms: int = 0,
    token: str = "",
) -> IssuedKey:
    """A new key for a party; the answer is the only place where its token is ever shown.

    No scopes named: all of the role. `token` gives a known token instead of a minted one (demo, bootstrap).
    Raises Refusal `parties.role_invalid`, `parties.scope_not_allowed`, `parties.token_invalid`,
    `parties.expiry_invalid` or `parties.exists`.
    """
    gene_of(party_id)
    rules.accept_scopes(role, scopes)
    token = token or rules.mint_token(world, role)
    key = rules.build_key(world, token, party_id, role, scopes, expires_at_ms)
    await db.transact(db.shard_of(gene_for(key.token_hash)), keep_key, key)
    return IssuedKey(key=key, token=token)


def find_key(tx: Tx, key_id: str) -> ApiKey:
    """The key of an id. Raises Refusal `parties.key_unknown`."""
    key = store.select_key(tx, check_id(key_id, "key"))
    if key is None:
        raise Refusal("parties.key_unknown", f"There is no key {key_id}.", field="key_id")
    return key


def revoke_key(tx: Tx, key_id: str, at_ms: int) -> ApiKey:
    """End a key now; ending it again changes nothing. Raises Refusal `parties.key_unknown`."""
    key = find_key(tx, key_id)
    if key.revoked_at_ms:
        return key
    return _end(tx, msgspec.structs.replace(key, revoked_at_ms=at_ms))


def replace_key(tx: Tx, key_id: str, replaced_by: str, at_ms: int, until_ms: int) -> ApiKey:
    """Let a key end at `until_ms` in favour of another one.

    Raises Refusal `parties.key_unknown`, or `parties.key_not_usable` when it has ended or was replaced before.
    """
    key = find_key(tx, key_id)
    ended = bool(key.expires_at_ms) and key.expires_at_ms <= at_ms
    if key.revoked_at_ms or key.replaced_by or ended:
        raise Refusal("parties.key_not_usable", f"Key {key_id} cannot be rotated any more.", field="key_id")
    until_ms = min(until_ms, key.expires_at_ms or until_ms)
    return _end(tx, msgspec.structs.replace(key, expires_at_ms=until_ms, replaced_by=replaced_by))


def _end(tx: Tx, key: ApiKey) -> ApiKey:
    store.end_key(tx, key)
    tx.signal("key", key.token_hash)
    return key


async def rotate_key(
    db: Storage, world: World, key_id: str, *, overlap_ms: int = OVERLAP_MS, expires_at_ms: int = 0
) -> IssuedKey:
    """A new key with the party, role and scopes of an old one, which stays valid for `overlap_ms` more.

    Raises Refusal `parties.key_unknown`, `parties.key_not_usable` or `parties.expiry_invalid`.
    """
    shard = db.shard_of(gene_of(check_id(key_id, "key")))
    old = await db.read(shard, find_key, key_id)
    now_ms = world.now_ms()
    token = rules.mint_token(world, old.role)
    key = rules.build_key(world, token, old.party_id, old.role, old.scopes, expires_at_ms)
    # The old key is claimed first: of two rotations at once, one is refused and no spare key stays behind.
    await db.transact(shard, replace_key, key_id, key.key_id, now_ms, now_ms + max(overlap_ms, 0))
    await db.transact(db.shard_of(gene_for(key.token_hash)), keep_key, key)
    return IssuedKey(key=key, token=token)


async def keys_of(db: Storage, party_id: str) -> list[ApiKey]:
    """Every key of a party, ended ones too, in order of id. No token can be read back."""
    found: list[ApiKey] = []
    for shard in range(db.shards):
        found += await db.read(shard, store.select_keys_of, party_id)
    return sorted(found, key=lambda key: key.key_id)


def ensure_bootstrap_key(tx: Tx, token: str, operator_id: str, key_id: str, at_ms: int) -> ApiKey:
    """The first operator's key, from a token given in the settings: made once, then left as it is.

    Runs on the shard of `ids.gene_for(hash_token(token))`; mint `key_id` and `operator_id` on that gene. A key
    that was revoked stays revoked. Raises Refusal `parties.token_invalid`.
    """
    token_hash = rules.hash_token(rules.accept_token(token, Role.OPERATOR))
    found = store.select_key_by_hash(tx, token_hash)
    if found is not None:
        return found
    api.create_member(tx, operator_id, Role.OPERATOR, at_ms, name=BOOTSTRAP_NAME)
    key = ApiKey(
        key_id=key_id,
        token_hash=token_hash,
        party_id=operator_id,
        role=Role.OPERATOR,
        scopes=rules.accept_scopes(Role.OPERATOR, ()),
        created_at_ms=at_ms,
    )
    return keep_key(tx, key)


async def bootstrap_operator(db: Storage, world: World, token: str) -> ApiKey:
    """Run `ensure_bootstrap_key` where the token's key belongs. Raises Refusal `parties.token_invalid`."""
    gene = gene_for(rules.hash_token(token))
    operator_id, key_id = world.mint("operator", gene), world.mint("key", gene)
    return await db.transact(
        db.shard_of(gene), ensure_bootstrap_key, token, operator_id, key_id, world.now_ms()
    )
