"""Pure decisions about names, reasons, scopes, tokens and whether a key may be used now."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence

from tradepost.kernel.errors import Refusal
from tradepost.kernel.ids import ALPHABET, PREFIXES, check_id, gene_for, time_of
from tradepost.kernel.world import World
from tradepost.trade.parties.model import REASONED, ROLE_SCOPES, ApiKey, Principal, Role

GUEST_TOKEN_MS = 180 * 86_400_000
GUEST_TOKEN_LENGTH = 4 + 30 + 1 + 32
TOKEN_LENGTH_MAX = 120
STOREFRONT_PREFIX = "sto"
_REASON = re.compile(r"[a-z0-9_.]{1,40}\Z")
_EMAIL = re.compile(r"[^\s@]{1,64}@[^\s@]{1,180}\.[^\s@.]{1,9}\Z")
_TOKEN = re.compile(r"tp_(seller|buyer|creator|storefront|operator)_[A-Za-z0-9_-]{4,90}\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def accept_name(name: str) -> str:
    """The trimmed name. Raises Refusal `parties.name_invalid` unless 1 to 200 printable letters remain."""
    trimmed = name.strip()
    if not 1 <= len(trimmed) <= 200 or _CONTROL.search(trimmed):
        raise Refusal("parties.name_invalid", "The name is empty, too long or not printable.", field="name")
    return trimmed


def accept_email(email: str) -> str:
    """The address, or an empty string as it is. Raises Refusal `parties.email_invalid`."""
    if email and not _EMAIL.match(email):
        raise Refusal("parties.email_invalid", "The text is no e-mail address.", field="email")
    return email


def accept_fee(fee_bps: int) -> int:
    """The fee in basis points. Raises Refusal `parties.fee_invalid` outside 0..10000."""
    if not 0 <= fee_bps <= 10_000:
        raise Refusal("parties.fee_invalid", f"{fee_bps} is no share.", field="fee_bps", expected="0..10000")
    return fee_bps


def accept_reason(given: str, reason: str) -> str:
    """The reason code for a state input. Raises Refusal `parties.reason_required` when missing or no code."""
    if (reason or given in REASONED) and not _REASON.match(reason):
        raise Refusal("parties.reason_required", f"To {given} a seller needs a reason code.", field="reason")
    return reason


def accept_scopes(role: str, scopes: Sequence[str]) -> tuple[str, ...]:
    """The scopes a key gets: those asked for, or all of the role. Raises Refusal `parties.scope_not_allowed`."""
    allowed = ROLE_SCOPES[accept_role(role, tuple(ROLE_SCOPES))]
    foreign = [scope for scope in scopes if scope not in allowed]
    if foreign:
        raise Refusal(
            "parties.scope_not_allowed",
            f"A {role} key cannot carry {', '.join(foreign)}.",
            field="scopes",
            expected=" or ".join(allowed),
        )
    return tuple(dict.fromkeys(scopes)) or allowed


def accept_role(role: str, roles: Sequence[str]) -> str:
    """The role itself. Raises Refusal `parties.role_invalid` when it is none of `roles`."""
    if role not in roles:
        raise Refusal(
            "parties.role_invalid", f"{role[:20]!r} does not fit.", field="role", expected=" or ".join(roles)
        )
    return role


def accept_token(token: str, role: str) -> str:
    """A token of the right shape for this role. Raises Refusal `parties.token_invalid`."""
    found = _TOKEN.match(token)
    if found is None or found.group(1) != role:
        raise Refusal("parties.token_invalid", f"The token is no {role} token.", expected=f"tp_{role}_...")
    return token


def looks_like_key(token: str) -> bool:
    """Whether a text has the shape of an API key, so that asking the database is worth it."""
    return _TOKEN.match(token) is not None


def mint_token(world: World, role: str) -> str:
    """A new unguessable API key: 160 random bits after the role."""
    bits = world.chance(160)
    return f"tp_{role}_" + "".join(ALPHABET[(bits >> shift) & 31] for shift in range(155, -1, -5))


def mint_party(world: World, role: str) -> str:
    """A new party id for a role, on a gene of its own."""
    if role == Role.STOREFRONT and "storefront" not in PREFIXES:
        return STOREFRONT_PREFIX + world.mint("key", world.gene())[3:]
    return world.mint("buyer" if role == Role.GUEST else role, world.gene())


def hash_token(token: str) -> str:
    """What is stored of a key: SHA-256 in hexadecimal. Keys carry enough chance to need no salt."""
    return hashlib.sha256(token.encode()).hexdigest()


def build_key(
    world: World, token: str, party_id: str, role: str, scopes: Sequence[str] = (), expires_at_ms: int = 0
) -> ApiKey:
    """The row of a key. It lies on the gene of its token's hash, and so does its id.

    Raises Refusal `parties.token_invalid`, `parties.scope_not_allowed` or `parties.expiry_invalid`.
    """
    now_ms = world.now_ms()
    if expires_at_ms and expires_at_ms <= now_ms:
        raise Refusal("parties.expiry_invalid", "The key would never be valid.", field="expires_at_ms")
    token_hash = hash_token(accept_token(token, role))
    return ApiKey(
        key_id=world.mint("key", gene_for(token_hash)),
        token_hash=token_hash,
        party_id=party_id,
        role=role,
        scopes=accept_scopes(role, scopes),
        created_at_ms=now_ms,
        expires_at_ms=expires_at_ms,
    )


def admit(key: ApiKey | None, token_hash: str, now_ms: int) -> Principal:
    """The principal behind a key. Raises Refusal `auth.invalid`, `auth.revoked` or `auth.expired`."""
    if key is None or not hmac.compare_digest(key.token_hash, token_hash):
        raise Refusal("auth.invalid", "No key like this exists.")
    if key.revoked_at_ms:
        raise Refusal("auth.revoked", f"Key {key.key_id} was revoked.")
    if key.expires_at_ms and key.expires_at_ms <= now_ms:
        raise Refusal("auth.expired", f"Key {key.key_id} has expired.")
    return Principal(party_id=key.party_id, role=key.role, key_id=key.key_id, scopes=key.scopes)


def _guest_proof(buyer_id: str, secret: bytes) -> str:
    # Not hmac.digest: that lets go of the interpreter, and coming back means to wait for the writer thread's turn.
    return hmac.new(secret, b"guest:" + buyer_id.encode(), hashlib.sha256).hexdigest()[:32]


def sign_guest(buyer_id: str, secret: bytes) -> str:
    """The order access token of a guest: `gst_<buyer id>_<proof>`, kept nowhere."""
    return f"gst_{check_id(buyer_id, 'buyer')}_{_guest_proof(buyer_id, secret)}"


def admit_guest(token: str, secret: bytes, now_ms: int) -> Principal:
    """The guest behind a token. Raises Refusal `auth.invalid`, or `auth.expired` 180 days after its id was made."""
    buyer_id, proof = token[4:34], token[35:]
    well_formed = len(token) == GUEST_TOKEN_LENGTH and token.isascii() and token[:8] == "gst_byr_"
    if not well_formed or not hmac.compare_digest(proof, _guest_proof(buyer_id, secret)):
        raise Refusal("auth.invalid", "This guest token was not made here.")
    if time_of(buyer_id) + GUEST_TOKEN_MS <= now_ms:
        raise Refusal("auth.expired", "The guest token has expired.")
    return Principal(party_id=buyer_id, role=Role.GUEST, scopes=ROLE_SCOPES[Role.GUEST])
