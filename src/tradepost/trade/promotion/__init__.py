"""Promotion: the room of the promotion engine; today only the shape of what it will answer."""

from tradepost.trade.promotion.model import Engine

__all__ = ["Engine"]
