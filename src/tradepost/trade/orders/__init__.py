"""Orders: the agreement with one seller, from placed to completed or cancelled."""

from tradepost.trade.orders.model import NewOrder, Order, OrderBody, OrderLine, StockItem

__all__ = ["NewOrder", "Order", "OrderBody", "OrderLine", "StockItem"]
