"""API keys: issue, list, rotate, revoke. A token is shown once and cannot be read back."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from tradepost.kernel.errors import Refusal
from tradepost.kernel.ids import gene_of
from tradepost.kernel.tx import Tx
from tradepost.surfaces.api.operation import Call, Routes
from tradepost.surfaces.api.words import MomentMs, Name, home
from tradepost.trade import parties
from tradepost.trade.parties import ApiKey, IssuedKey, Principal, Role

ROUTES = Routes("keys")
KEY_ANSWER = {
    "key_id": "key_01m4xk9v0c7s8p2q3r4t5v6w7x",
    "party_id": "sel_01m4xk9v0c7s8p2q3r4t5v6w7x",
    "role": "seller",
    "scopes": ["orders:read", "stock:write"],
    "created_at_ms": 1790000000000,
    "expires_at_ms": 0,
    "revoked_at_ms": 0,
    "replaced_by": "",
}


class NewKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key to issue; without a party it is for yourself, without scopes it carries all that you may give."""

    party_id: Annotated[str, Meta(max_length=64)] = ""
    role: Literal["buyer", "seller", "creator", "storefront", "operator", ""] = ""
    scopes: Annotated[tuple[Name, ...], Meta(max_length=20)] = ()
    expires_at_ms: MomentMs = 0


class Rotation(msgspec.Struct, frozen=True, kw_only=True):
    """When the new key expires (0: never) and how long the old one still works beside it."""

    expires_at_ms: MomentMs = 0
    overlap_ms: Annotated[int, Meta(ge=0, le=30 * 86_400_000)] = 86_400_000


class KeyView(msgspec.Struct, frozen=True, kw_only=True):
    """A key without its token; `token` is filled in the one answer that issues it."""

    key_id: str
    party_id: str
    role: str
    scopes: tuple[str, ...]
    created_at_ms: int
    expires_at_ms: int
    revoked_at_ms: int
    replaced_by: str
    token: str = ""


class KeyList(msgspec.Struct, frozen=True, kw_only=True):
    """Every key of a party."""

    items: tuple[KeyView, ...]


class KeyQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Whose keys; yourself when left out."""

    party_id: Annotated[str, Meta(max_length=64)] = ""


def view_key(key: ApiKey, token: str = "") -> KeyView:
    """A key as shown."""
    facts: dict[str, Any] = {
        name: getattr(key, name) for name in KeyView.__struct_fields__ if name != "token"
    }
    return KeyView(**facts, token=token)


def _check_party(principal: Principal, party_id: str, role: str) -> None:
    """Everybody for themselves in their own role; operators with `admin` for anybody."""
    if principal.role == Role.GUEST:
        raise Refusal("auth.forbidden", "A guest has a token and no keys.", expected="an API key")
    if principal.role == Role.OPERATOR and "admin" in principal.scopes:
        return
    if party_id != principal.party_id or role != principal.role:
        raise Refusal(
            "auth.forbidden",
            "You may issue keys for yourself only.",
            expected=f"party_id {principal.party_id}",
        )


def _exists(tx: Tx, party_id: str, role: str) -> bool:
    if role == Role.BUYER:
        return party_id in parties.buyer_views(tx, [party_id])
    if role == Role.SELLER:
        return party_id in parties.seller_views(tx, [party_id])
    member = parties.member_views(tx, [party_id]).get(party_id)
    return member is not None and member.role == role


@ROUTES.add(
    "POST",
    "/v1/keys",
    body=NewKey,
    returns=KeyView,
    status=201,
    example={"party_id": KEY_ANSWER["party_id"], "role": "seller", "scopes": ["orders:read", "stock:write"]},
    answer={**KEY_ANSWER, "token": "tp_seller_9f8e7d6c5b4a3928170f9e8d7c6b5a49"},
    codes=("parties.unknown", "parties.scope_not_allowed", "parties.expiry_invalid", "id.invalid"),
)
async def issue_key(call: Call) -> KeyView:
    """Issue a key"""
    body: NewKey = call.body
    principal, db = call.principal, call.platform.db
    party_id, role = body.party_id or principal.party_id, body.role or principal.role
    _check_party(principal, party_id, role)
    scopes = body.scopes
    if party_id == principal.party_id:
        scopes = scopes or principal.scopes
        if not set(scopes) <= set(principal.scopes):
            raise Refusal(
                "auth.forbidden",
                "A key cannot give more than it has.",
                field="scopes",
                expected=" or ".join(principal.scopes),
            )
    if not await db.read(call.shard(gene_of(party_id)), _exists, party_id, role):
        raise Refusal("parties.unknown", f"There is no {role} {party_id}.", field="party_id")
    issued = await parties.issue_key(
        db, call.platform.world, party_id, role, scopes=scopes, expires_at_ms=body.expires_at_ms
    )
    return view_key(issued.key, issued.token)


@ROUTES.add(
    "GET", "/v1/keys", query=KeyQuery, returns=KeyList, answer={"items": [{**KEY_ANSWER, "token": ""}]}
)
async def list_keys(call: Call) -> KeyList:
    """List keys, ended ones too"""
    query: KeyQuery = call.query
    party_id = query.party_id or call.principal.party_id
    _check_party(call.principal, party_id, call.principal.role)
    found = await parties.keys_of(call.platform.db, party_id)
    return KeyList(items=tuple(view_key(key) for key in found))


@ROUTES.add(
    "POST",
    "/v1/keys/{key_id}/rotate",
    body=Rotation,
    returns=KeyView,
    status=201,
    example={"overlap_ms": 86400000},
    answer={**KEY_ANSWER, "token": "tp_seller_1a2b3c4d5e6f708192a3b4c5d6e7f809"},
    codes=("parties.key_unknown", "parties.key_not_usable", "parties.expiry_invalid"),
)
async def rotate_key(call: Call) -> KeyView:
    """Replace a key; the old one works on for a while"""
    body: Rotation = call.body
    await _own_key(call)
    issued: IssuedKey = await parties.rotate_key(
        call.platform.db,
        call.platform.world,
        call.path["key_id"],
        expires_at_ms=body.expires_at_ms,
        overlap_ms=body.overlap_ms,
    )
    return view_key(issued.key, issued.token)


@ROUTES.add(
    "DELETE",
    "/v1/keys/{key_id}",
    returns=KeyView,
    answer={**KEY_ANSWER, "revoked_at_ms": 1790000000000, "token": ""},
    codes=("parties.key_unknown",),
)
async def revoke_key(call: Call) -> KeyView:
    """Revoke a key at once"""
    shard = await _own_key(call)
    return view_key(
        await call.platform.db.transact(shard, parties.revoke_key, call.path["key_id"], call.now_ms())
    )


async def _own_key(call: Call) -> int:
    """The shard of a key that is the caller's own or an operator's business; else it is unknown."""
    key_id, principal = call.path["key_id"], call.principal
    shard = home(call.platform.db, key_id, "key")
    if principal.role == Role.OPERATOR and "admin" in principal.scopes:
        return shard
    own = await parties.keys_of(call.platform.db, principal.party_id)
    if not any(key.key_id == key_id and set(key.scopes) <= set(principal.scopes) for key in own):
        raise Refusal("parties.key_unknown", f"There is no key {key_id}.", field="key_id")
    return shard
