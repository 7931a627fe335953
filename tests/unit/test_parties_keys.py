"""Keys and guest tokens: shown once, stored hashed, refused with a reason, forgotten when they change."""

from __future__ import annotations

from typing import Any

import pytest

from tradepost.kernel.errors import Refusal
from tradepost.kernel.ids import gene_for
from tradepost.kernel.tx import Tx
from tradepost.testing.world import TestWorld
from tradepost.trade import parties
from tradepost.trade.parties import KeyRing, key_ring

SECRET = b"a secret of sixteen bytes or more"
HOUR = 3_600_000


async def refused(code: str, call: Any, *args: Any, **kwargs: Any) -> None:
    """Expect this declared refusal of an awaitable call."""
    with pytest.raises(Refusal) as caught:
        await call(*args, **kwargs)
    assert caught.value.code == code
    assert caught.value.problem.remedy


@pytest.fixture
def ring(db: Any, world: TestWorld) -> KeyRing:
    return KeyRing(db, world, SECRET)


def _dump(tx: Tx) -> str:
    return repr(tx.query("SELECT * FROM api_keys"))


async def test_key_is_shown_once_and_stored_as_its_hash(db: Any, world: TestWorld, ring: KeyRing) -> None:
    seller_id = world.mint("seller", 9)
    issued = await parties.issue_key(db, world, seller_id, "seller", scopes=["stock:write"])
    assert issued.token.startswith("tp_seller_")
    assert issued.token not in await db.read(0, _dump)
    assert ring.peek(issued.token) is None
    principal = await ring.find(issued.token)
    assert (principal.party_id, principal.role, principal.scopes) == (seller_id, "seller", ("stock:write",))
    assert ring.peek(issued.token) == principal
    assert [key.key_id for key in await parties.keys_of(db, seller_id)] == [principal.key_id]


async def test_every_role_gets_its_scopes(db: Any, world: TestWorld, ring: KeyRing) -> None:
    for role in ("buyer", "seller", "creator", "storefront", "operator"):
        issued = await parties.issue_key(db, world, parties.mint_party(world, role), role)
        assert (await ring.find(issued.token)).scopes == parties.ROLE_SCOPES[role]


async def test_revoked_key_is_forgotten_at_once(db: Any, world: TestWorld, ring: KeyRing) -> None:
    issued = await parties.issue_key(db, world, world.mint("buyer", 1), "buyer")
    await ring.find(issued.token)
    await db.transact(0, parties.revoke_key, issued.key.key_id, world.now_ms())
    assert ring.peek(issued.token) is None
    await refused("auth.revoked", ring.find, issued.token)
    await refused("auth.revoked", ring.find, issued.token)
    again = await db.transact(0, parties.revoke_key, issued.key.key_id, world.now_ms() + 1)
    assert again.revoked_at_ms == world.now_ms()


async def test_expired_key(db: Any, world: TestWorld, ring: KeyRing) -> None:
    until = world.now_ms() + 10_000
    issued = await parties.issue_key(db, world, world.mint("buyer", 1), "buyer", expires_at_ms=until)
    await ring.find(issued.token)
    world.advance(9_999)
    assert ring.peek(issued.token) is not None
    world.advance(1)
    assert ring.peek(issued.token) is None
    await refused("auth.expired", ring.find, issued.token)


async def test_rotation_leaves_both_keys_valid_for_the_overlap(
    db: Any, world: TestWorld, ring: KeyRing
) -> None:
    old = await parties.issue_key(db, world, world.mint("seller", 1), "seller", scopes=["events:read"])
    new = await parties.rotate_key(db, world, old.key.key_id, overlap_ms=HOUR)
    assert new.token != old.token
    for token in (old.token, new.token):
        assert (await ring.find(token)).scopes == ("events:read",)
    world.advance(HOUR)
    await refused("auth.expired", ring.find, old.token)
    assert (await ring.find(new.token)).party_id == old.key.party_id
    await refused("parties.key_not_usable", parties.rotate_key, db, world, old.key.key_id)
    keys = {key.key_id: key for key in await parties.keys_of(db, old.key.party_id)}
    assert keys[old.key.key_id].replaced_by == new.key.key_id


async def test_key_refusals(db: Any, world: TestWorld, ring: KeyRing) -> None:
    party = world.mint("seller", 1)
    await parties.issue_key(db, world, party, "seller", token="tp_seller_known")
    rows: list[tuple[str, str, dict[str, Any]]] = [
        ("parties.role_invalid", "guest_of_honour", {}),
        ("parties.scope_not_allowed", "seller", {"scopes": ["admin"]}),
        ("parties.token_invalid", "seller", {"token": "tp_buyer_abcdef"}),
        ("parties.token_invalid", "guest", {}),
        ("parties.token_invalid", "seller", {"token": "tp_seller_abc"}),
        ("parties.expiry_invalid", "seller", {"expires_at_ms": world.now_ms()}),
        ("parties.exists", "seller", {"token": "tp_seller_known"}),
    ]
    for code, role, options in rows:
        await refused(code, parties.issue_key, db, world, party, role, **options)
    await refused("parties.key_unknown", db.transact, 0, parties.revoke_key, world.mint("key", 1), 1)
    await refused("id.invalid", db.transact, 0, parties.revoke_key, "key_1", 1)
    await refused("parties.key_unknown", parties.rotate_key, db, world, world.mint("key", 1))
    for code, token in (
        ("auth.missing", ""),
        ("auth.invalid", "tp_seller_unknown"),
        ("auth.invalid", "tp_seller_unknown"),
        ("auth.invalid", "x" * 5000),
        ("auth.invalid", "tp_seller_ü" + "x" * 10),
        ("auth.invalid", "tp_guest_abcdef"),
    ):
        await refused(code, ring.find, token)


async def test_unknown_key_that_is_made_later_is_found(db: Any, world: TestWorld, ring: KeyRing) -> None:
    await refused("auth.invalid", ring.find, "tp_buyer_later")
    await parties.issue_key(db, world, world.mint("buyer", 1), "buyer", token="tp_buyer_later")
    assert (await ring.find("tp_buyer_later")).role == "buyer"


async def test_memory_is_bounded(
    db: Any, world: TestWorld, ring: KeyRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_ring, "KEYS_MAX", 3)
    tokens = [(await parties.issue_key(db, world, world.mint("buyer", n), "buyer")).token for n in range(5)]
    for token in tokens:
        await ring.find(token)
    assert [ring.peek(token) is None for token in tokens] == [True, True, False, False, False]


async def test_guest_tokens_need_no_row(db: Any, world: TestWorld, ring: KeyRing) -> None:
    buyer_id, other = world.mint("buyer", 7), world.mint("buyer", 7)
    token = ring.guest_token(buyer_id)
    principal = await ring.find(token)
    assert principal == ring.peek(token)
    assert (principal.party_id, principal.role) == (buyer_id, "guest")
    forged = [
        token.replace(buyer_id, other),
        token[:-1] + ("0" if token[-1] != "0" else "1"),
        token[:-1],
        token + "0",
        "gst_",
        token[:-1] + "ü",
        KeyRing(db, world, b"another secret of sufficient length").guest_token(buyer_id),
    ]
    for text in forged:
        assert ring.peek(text) is None
        await refused("auth.invalid", ring.find, text)
    world.advance(180 * 24 * HOUR)
    assert ring.peek(token) is None
    await refused("auth.expired", ring.find, token)


async def test_bootstrap_key_is_made_once(db: Any, world: TestWorld, ring: KeyRing) -> None:
    first = await parties.bootstrap_operator(db, world, "tp_operator_first")
    second = await parties.bootstrap_operator(db, world, "tp_operator_first")
    assert first == second
    assert gene_for(first.token_hash) is not None
    principal = await ring.find("tp_operator_first")
    assert (principal.role, "admin" in principal.scopes) == ("operator", True)
    found = await db.read(0, parties.member_views, [first.party_id])
    assert found[first.party_id].role == "operator"
    await refused("parties.token_invalid", parties.bootstrap_operator, db, world, "password")


def test_short_secret_is_refused() -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        KeyRing(None, None, b"short")  # type: ignore[arg-type]
