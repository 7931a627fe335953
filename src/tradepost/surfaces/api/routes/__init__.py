"""The table of API operations, room by room."""

from tradepost.surfaces.api.operation import Operation
from tradepost.surfaces.api.routes import (
    bulk,
    carts,
    catalog,
    checkouts,
    config,
    events,
    keys,
    offers,
    orders,
    packages,
    parties,
    payments,
    refunds,
    returns,
    sandbox,
    stock,
)

OPERATIONS: tuple[Operation, ...] = tuple(
    operation
    for room in (
        checkouts,
        orders,
        packages,
        returns,
        payments,
        refunds,
        carts,
        offers,
        catalog,
        bulk,
        stock,
        parties,
        keys,
        events,
        config,
        sandbox,
    )
    for operation in room.ROUTES.operations
)

__all__ = ["OPERATIONS"]
