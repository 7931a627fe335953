"""Who takes part: buyers, guests, sellers, creators, storefronts, operators, and the keys they show."""

from tradepost.trade.parties.access import acting_buyer, acting_seller, may_see, require, require_sight
from tradepost.trade.parties.api import (
    buyer_views,
    create_buyer,
    create_member,
    list_sellers,
    member_views,
    move_seller,
    open_seller,
    seller_views,
    set_fee,
)
from tradepost.trade.parties.key_ring import KeyRing
from tradepost.trade.parties.keys import (
    bootstrap_operator,
    ensure_bootstrap_key,
    issue_key,
    keys_of,
    revoke_key,
    rotate_key,
)
from tradepost.trade.parties.model import (
    ROLE_SCOPES,
    SELLER_STATES,
    ApiKey,
    Buyer,
    IssuedKey,
    Member,
    Principal,
    Role,
    Seller,
)
from tradepost.trade.parties.rules import hash_token, mint_party, mint_token

__all__ = [
    "ROLE_SCOPES",
    "SELLER_STATES",
    "ApiKey",
    "Buyer",
    "IssuedKey",
    "KeyRing",
    "Member",
    "Principal",
    "Role",
    "Seller",
    "acting_buyer",
    "acting_seller",
    "bootstrap_operator",
    "buyer_views",
    "create_buyer",
    "create_member",
    "ensure_bootstrap_key",
    "hash_token",
    "issue_key",
    "keys_of",
    "list_sellers",
    "may_see",
    "member_views",
    "mint_party",
    "mint_token",
    "move_seller",
    "open_seller",
    "require",
    "require_sight",
    "revoke_key",
    "rotate_key",
    "seller_views",
    "set_fee",
]
