"""Fulfilment: packing, handing over and delivering what was ordered."""

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
from tradepost.trade.fulfilment.react import CONSUMERS

__all__ = [
    "CONSUMERS",
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
    "ship",
    "track",
    "withdraw",
]
