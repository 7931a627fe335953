"""Parties, keys and principals; the seller's state table, its events and the refusal codes."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from tradepost.kernel.errors import Kind, declare_problems
from tradepost.kernel.events import Event, event
from tradepost.kernel.states import StateTable


class Role(StrEnum):
    """In which part a principal speaks. A storefront is a shop's own backend: it acts for any buyer or guest."""

    BUYER = "buyer"
    GUEST = "guest"
    SELLER = "seller"
    CREATOR = "creator"
    STOREFRONT = "storefront"
    OPERATOR = "operator"


ROLE_SCOPES: dict[str, tuple[str, ...]] = {
    Role.BUYER: ("orders:read", "orders:write", "payments:write"),
    Role.GUEST: ("orders:read", "orders:write", "payments:write"),
    Role.SELLER: ("orders:read", "orders:write", "catalog:write", "stock:write", "events:read"),
    Role.CREATOR: ("orders:read", "events:read", "payouts:write"),
    Role.STOREFRONT: ("orders:read", "orders:write", "payments:write", "events:read"),
    Role.OPERATOR: (
        "orders:read",
        "orders:write",
        "catalog:write",
        "stock:write",
        "payments:write",
        "payouts:write",
        "events:read",
        "admin",
    ),
}
"""The scopes a key of each role may carry; a key without a list gets them all."""


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """Who is asking: one party in one role, by the key or guest token it showed."""

    party_id: str
    role: str
    key_id: str = ""
    scopes: tuple[str, ...] = ()


class Buyer(msgspec.Struct, frozen=True, kw_only=True):
    """A buyer with an account. Guests have an id and a token, no row."""

    buyer_id: str
    name: str
    email: str
    created_at_ms: int
    version: int = 1


class Seller(msgspec.Struct, frozen=True, kw_only=True):
    """A seller. `fee_bps` is what the platform keeps of each sale, in basis points; `reason` explains `state`."""

    seller_id: str
    name: str
    state: str
    fee_bps: int
    created_at_ms: int
    reason: str = ""
    version: int = 1


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A creator, a storefront or an operator."""

    party_id: str
    role: str
    name: str
    created_at_ms: int
    version: int = 1


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key as stored: the SHA-256 of its token, never the token. 0 means no expiry, not revoked."""

    key_id: str
    token_hash: str
    party_id: str
    role: str
    scopes: tuple[str, ...]
    created_at_ms: int
    expires_at_ms: int = 0
    revoked_at_ms: int = 0
    replaced_by: str = ""


class IssuedKey(msgspec.Struct, frozen=True, kw_only=True):
    """A new key with its token: the only time the token is shown."""

    key: ApiKey
    token: str


SELLER_STATES = StateTable(
    "seller",
    "PENDING",
    ("CLOSED",),
    (
        ("PENDING", "activate", "ACTIVE"),
        ("PENDING", "close", "CLOSED"),
        ("ACTIVE", "suspend", "SUSPENDED"),
        ("ACTIVE", "close", "CLOSED"),
        ("SUSPENDED", "reinstate", "ACTIVE"),
        ("SUSPENDED", "close", "CLOSED"),
    ),
)
REASONED = frozenset({"suspend", "close"})
"""Inputs that need a reason."""


@event("seller.opened.v1")
class SellerOpened(Event, frozen=True, kw_only=True):
    """A seller was entered; it sells once it is ACTIVE."""

    seller_id: str
    state: str
    fee_bps: int


@event("seller.state_changed.v1")
class SellerStateChanged(Event, frozen=True, kw_only=True):
    """A seller moved to another state, for a reason where one is needed."""

    seller_id: str
    state: str
    reason: str
    fee_bps: int


@event("seller.fee_changed.v1")
class SellerFeeChanged(Event, frozen=True, kw_only=True):
    """The platform's share of a seller's later sales changed."""

    seller_id: str
    state: str
    fee_bps: int


declare_problems(
    {
        "auth.missing": (
            Kind.UNAUTHENTICATED,
            "No credentials",
            "Send `Authorization: Bearer <key>` with an API key or a guest token.",
        ),
        "auth.invalid": (
            Kind.UNAUTHENTICATED,
            "Unknown credentials",
            "Check that the whole key or token was copied and belongs to this installation.",
        ),
        "auth.expired": (
            Kind.UNAUTHENTICATED,
            "Credentials have expired",
            "Use the newer key or ask for one.",
        ),
        "auth.revoked": (Kind.UNAUTHENTICATED, "Key was revoked", "Use another key or ask for one."),
        "auth.forbidden": (
            Kind.FORBIDDEN,
            "Not allowed with these credentials",
            "Use a key with the role or scope that `expected` names.",
        ),
        "auth.other_tenant": (
            Kind.NOT_FOUND,
            "Nothing of yours has this id",
            "Check the id; you see only what belongs to your own party.",
        ),
        "parties.unknown": (Kind.NOT_FOUND, "No such party", "Check the id."),
        "parties.exists": (
            Kind.CONFLICT,
            "This party exists already",
            "Read it instead of creating it again.",
        ),
        "parties.name_invalid": (Kind.INVALID, "Name is empty or too long", "Send 1 to 200 letters."),
        "parties.email_invalid": (
            Kind.INVALID,
            "Not an e-mail address",
            "Send an address such as ann@example.org, or leave it out.",
        ),
        "parties.fee_invalid": (Kind.INVALID, "Fee out of range", "Send basis points from 0 to 10000."),
        "parties.role_invalid": (Kind.INVALID, "Not a role that fits here", "Use a role `expected` names."),
        "parties.reason_required": (
            Kind.INVALID,
            "A reason is needed",
            "Send a reason code of small letters, digits, `.` and `_`, at most 40, such as `late_shipments`.",
        ),
        "parties.scope_not_allowed": (
            Kind.INVALID,
            "Scope does not fit the role",
            "Ask for scopes of the role only; `expected` lists them.",
        ),
        "parties.token_invalid": (
            Kind.INVALID,
            "Token cannot become a key",
            "Use `tp_<role>_` and at least four more letters, digits, `-` or `_`.",
        ),
        "parties.expiry_invalid": (
            Kind.INVALID,
            "Expiry lies in the past",
            "Send a later moment, or 0 for none.",
        ),
        "parties.key_unknown": (Kind.NOT_FOUND, "No such key", "List the party's keys for their ids."),
        "parties.key_not_usable": (
            Kind.CONFLICT,
            "Key is revoked, expired or already rotated",
            "Rotate the key that replaced it, or issue a new one.",
        ),
    }
)
