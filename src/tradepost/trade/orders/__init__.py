"""Orders: the agreement with one seller, from placed to completed or cancelled."""

from tradepost.trade.orders import jobs, react
from tradepost.trade.orders.api import (
    cancel_lines,
    cancel_order,
    complete_orders,
    defer_deadline,
    find_seller_order,
    get_order,
    list_seller_orders,
    open_orders,
    order_log,
    orders_by_ids,
    record_returned,
    seller_view,
    unshipped_orders,
)
from tradepost.trade.orders.log import Rebuilt, rebuild
from tradepost.trade.orders.model import (
    ORDER_STATES,
    LineQuantity,
    NewOrder,
    Order,
    OrderBody,
    OrderLine,
    SellerOrder,
    StockItem,
)
from tradepost.trade.orders.rules import check_reason, new_order
from tradepost.trade.orders.units import check_lines, full_progress, open_lines, refund_for, stock_of

__all__ = [
    "ORDER_STATES",
    "LineQuantity",
    "NewOrder",
    "Order",
    "OrderBody",
    "OrderLine",
    "Rebuilt",
    "SellerOrder",
    "StockItem",
    "cancel_lines",
    "cancel_order",
    "check_lines",
    "check_reason",
    "complete_orders",
    "defer_deadline",
    "find_seller_order",
    "full_progress",
    "get_order",
    "jobs",
    "list_seller_orders",
    "new_order",
    "open_lines",
    "open_orders",
    "order_log",
    "orders_by_ids",
    "react",
    "rebuild",
    "record_returned",
    "refund_for",
    "seller_view",
    "stock_of",
    "unshipped_orders",
]
