"""Who may do and see what: role and scope by table, tenants by id."""

from __future__ import annotations

from tradepost.kernel.errors import Refusal
from tradepost.trade.parties.model import Principal, Role

_EVERYBODY = (Role.OPERATOR,)
_FOR_BUYERS = (Role.STOREFRONT, Role.OPERATOR)


def require(principal: Principal | None, *, scope: str = "", roles: tuple[str, ...] = ()) -> Principal:
    """The principal itself when it has the scope and one of the roles (none named: any role).

    Raises Refusal `auth.missing` without a principal, `auth.forbidden` naming what is needed otherwise.
    """
    if principal is None:
        raise Refusal("auth.missing", "This needs a key.", expected="Authorization: Bearer <key>")
    if roles and principal.role not in roles:
        needed = " or ".join(roles)
        raise Refusal(
            "auth.forbidden",
            f"A {principal.role} cannot do this.",
            expected=f"role {needed}",
            extra={"needed_role": list(roles)},
        )
    if scope and scope not in principal.scopes:
        raise Refusal(
            "auth.forbidden",
            f"The key lacks the scope {scope}.",
            expected=f"scope {scope}",
            extra={"needed_scope": scope},
        )
    return principal


def may_see(principal: Principal, *, buyer_id: str = "", seller_id: str = "", creator_id: str = "") -> bool:
    """Whether something of these parties is open to the principal: operators see all, storefronts every buyer's
    own things, everybody else only what carries their own id in their own role.
    """
    role, party_id = principal.role, principal.party_id
    if role in _EVERYBODY:
        return True
    if role == Role.STOREFRONT:
        return bool(buyer_id)
    if role in (Role.BUYER, Role.GUEST):
        return bool(buyer_id) and buyer_id == party_id
    if role == Role.SELLER:
        return bool(seller_id) and seller_id == party_id
    return bool(creator_id) and creator_id == party_id


def require_sight(
    principal: Principal, *, buyer_id: str = "", seller_id: str = "", creator_id: str = ""
) -> None:
    """Raise Refusal `auth.other_tenant` (a plain 404: ids of others are not confirmed) unless `may_see`."""
    if not may_see(principal, buyer_id=buyer_id, seller_id=seller_id, creator_id=creator_id):
        raise Refusal("auth.other_tenant", "Nothing of yours has this id.")


def acting_buyer(principal: Principal, buyer_id: str = "") -> str:
    """The buyer a request acts for: a buyer or guest for itself, a storefront or operator for whom it names.

    An empty string means a new guest. Raises Refusal `auth.forbidden` for anybody else's id or another role.
    """
    if principal.role in _FOR_BUYERS:
        return buyer_id
    if principal.role not in (Role.BUYER, Role.GUEST):
        raise Refusal(
            "auth.forbidden",
            f"A {principal.role} does not buy.",
            expected="role buyer or guest or storefront or operator",
            extra={"needed_role": ["buyer", "guest", "storefront", "operator"]},
        )
    if buyer_id not in ("", principal.party_id):
        raise Refusal(
            "auth.forbidden",
            "You can act for yourself only.",
            field="buyer_id",
            expected=f"buyer_id {principal.party_id}, or leave it out",
        )
    return principal.party_id


def acting_seller(principal: Principal, seller_id: str = "") -> str:
    """The seller a request acts for: a seller for itself, an operator for whom it names.

    Raises Refusal `auth.forbidden` otherwise, or when an operator names nobody.
    """
    if principal.role == Role.OPERATOR and seller_id:
        return seller_id
    if principal.role == Role.SELLER and seller_id in ("", principal.party_id):
        return principal.party_id
    raise Refusal(
        "auth.forbidden",
        "You cannot act for this seller.",
        field="seller_id",
        expected="the seller's own key, or an operator's with seller_id",
    )
