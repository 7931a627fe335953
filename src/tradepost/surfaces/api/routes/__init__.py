"""The table of API operations, room by room."""

from tradepost.surfaces.api.operation import Operation
from tradepost.surfaces.api.routes import (
    bulk,
    campaigns,
    carts,
    cases,
    catalog,
    checkouts,
    commissions,
    config,
    creator_settlement,
    events,
    invoices,
    keys,
    offers,
    orders,
    packages,
    parties,
    payments,
    pricing,
    refunds,
    returns,
    sandbox,
    settlement,
    shipping,
    stock,
    stored_value,
)

OPERATIONS: tuple[Operation, ...] = tuple(
    operation
    for room in (
        checkouts,
        orders,
        packages,
        returns,
        cases,
        payments,
        pricing,
        refunds,
        stored_value,
        invoices,
        commissions,
        carts,
        offers,
        catalog,
        bulk,
        campaigns,
        stock,
        parties,
        keys,
        events,
        config,
        sandbox,
        settlement,
        creator_settlement,
        shipping,
    )
    for operation in room.ROUTES.operations
)

__all__ = ["OPERATIONS"]
