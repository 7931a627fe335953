"""Fulfilment: packing, handing over and delivering what was ordered."""

from tradepost.trade.fulfilment import react
from tradepost.trade.fulfilment.api import (
    collect,
    deliver,
    deliver_order,
    find_fulfilment,
    list_packages,
    open_fulfilments,
    pack,
    ship,
    track,
    withdraw,
)
from tradepost.trade.fulfilment.model import (
    Fulfilment,
    NewFulfilment,
    OpenLine,
    Package,
    PackLine,
    Tracking,
    Unit,
)

__all__ = [
    "Fulfilment",
    "NewFulfilment",
    "OpenLine",
    "PackLine",
    "Package",
    "Tracking",
    "Unit",
    "collect",
    "deliver",
    "deliver_order",
    "find_fulfilment",
    "list_packages",
    "open_fulfilments",
    "pack",
    "react",
    "ship",
    "track",
    "withdraw",
]
