"""Inventory: how many pieces lie where, who was promised which of them, and never one promise too many."""

from tradepost.trade.inventory.api import CONFIRM, HOLD, hold, put_back, release, reserve, ship
from tradepost.trade.inventory.check import StockFinding, StockReport, check_stock, merge_reports
from tradepost.trade.inventory.hints import SoldOutHints
from tradepost.trade.inventory.jobs import sweeps
from tradepost.trade.inventory.model import (
    RETURNED,
    SHOP,
    Allocation,
    Claim,
    Confirmed,
    Demand,
    Held,
    HoldRequest,
    Level,
    MovementRow,
    StockChange,
    StockCount,
    StockMove,
    StockTotal,
)
from tradepost.trade.inventory.queries import available, levels, movements, taken_by, totals
from tradepost.trade.inventory.react import CONSUMERS
from tradepost.trade.inventory.stocktaking import adjust, count, move, receive, write_off

__all__ = [
    "CONFIRM",
    "CONSUMERS",
    "HOLD",
    "RETURNED",
    "SHOP",
    "Allocation",
    "Claim",
    "Confirmed",
    "Demand",
    "Held",
    "HoldRequest",
    "Level",
    "MovementRow",
    "SoldOutHints",
    "StockChange",
    "StockCount",
    "StockFinding",
    "StockMove",
    "StockReport",
    "StockTotal",
    "adjust",
    "available",
    "check_stock",
    "count",
    "hold",
    "levels",
    "merge_reports",
    "move",
    "movements",
    "put_back",
    "receive",
    "release",
    "reserve",
    "ship",
    "sweeps",
    "taken_by",
    "totals",
    "write_off",
]
