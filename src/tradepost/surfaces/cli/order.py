"""`tradepost order show`: one order with everything that happened to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import uvloop

from tradepost.app import open_reader, read_archived
from tradepost.events import aggregate_log
from tradepost.kernel.events import EventRow
from tradepost.kernel.ids import check_id, gene_of
from tradepost.kernel.money import to_major
from tradepost.kernel.tx import Tx
from tradepost.surfaces.cli.output import moment, print_facts, print_json, print_table
from tradepost.surfaces.cli.serve import read_settings
from tradepost.trade import aftersales, fulfilment, orders, payments


def show(
    order_id: str,
    *,
    archive: Path | None = None,
    data_dir: str | None = None,
    config: Path | None = None,
    json: bool = False,
) -> None:
    """Show an order: its lines, states, payment, packages, returns and timeline. Works while the server runs.

    Parameters
    ----------
    order_id
        The order's id (ord_...).
    archive
        The folder it was archived into; the order is read from there, and nothing is brought back.
    data_dir
        Folder of the database.
    config
        A TOML file of settings.
    json
        Print JSON instead of tables.
    """
    facts = _read(order_id, config, data_dir) if archive is None else _read_archived(order_id, archive)
    if json:
        print_json(facts)
    else:
        _print(facts)


def _read(order_id: str, config: Path | None, data_dir: str | None) -> dict[str, Any]:
    reader = open_reader(read_settings(config, overrides={"server.data_dir": data_dir}))
    try:
        check_id(order_id, "order")
        found: dict[str, Any] = reader.read(reader.shard_of(gene_of(order_id)), _facts, order_id)
    finally:
        reader.close()
    return found


def _read_archived(order_id: str, archive: Path) -> dict[str, Any]:
    check_id(order_id, "order")
    found: dict[str, Any] = uvloop.run(read_archived(archive, order_id, _facts))
    return found


def _facts(tx: Tx, order_id: str) -> dict[str, Any]:
    order = orders.get_order(tx, order_id)
    packages = fulfilment.list_packages(tx, order_id)
    returns = aftersales.list_returns(tx, order_id)
    payment = payments.find_payment(tx, order.payment_id) if order.payment_id else None
    logs = [order_id, *([order.payment_id] if order.payment_id else [])]
    logs += [package.package_id for package in packages] + [item.return_id for item in returns]
    timeline = [row for log in logs for row in aggregate_log(tx, log)]
    timeline.sort(key=lambda row: (row.at_ms, row.sequence))
    return {
        "order": order,
        "payment": payment,
        "packages": packages,
        "returns": returns,
        "timeline": [_entry(row) for row in timeline],
    }


def _entry(row: EventRow) -> dict[str, Any]:
    return {
        "at_ms": row.at_ms,
        "event_id": row.event_id,
        "type": row.type,
        "data": msgspec.json.decode(row.payload),
    }


def _print(facts: dict[str, Any]) -> None:
    order: orders.Order = facts["order"]
    payment: payments.PaymentView | None = facts["payment"]
    print_facts(
        f"Order {order.body.order_number}",
        {
            "id": order.order_id,
            "state": order.state,
            "total": f"{to_major(order.total_minor, order.currency)} {order.currency}",
            "seller": order.seller_id,
            "buyer": order.buyer_id,
            "market": order.market,
            "scene": order.scene,
            "placed": moment(order.placed_at_ms),
            "payment": f"{payment.state} {payment.payment_id}" if payment else "nothing to pay",
            "packages": ", ".join(f"{one.package_id} {one.state}" for one in facts["packages"]) or "none",
            "returns": ", ".join(f"{one.return_id} {one.state}" for one in facts["returns"]) or "none",
        },
    )
    print_table(
        "Lines",
        ("line", "sku", "title", "quantity", "total"),
        [
            (
                line.line_no,
                line.sku_code,
                line.title,
                line.quantity,
                to_major(line.total_minor, order.currency),
            )
            for line in order.body.lines
        ],
    )
    print_table(
        "Timeline",
        ("when", "what", "event"),
        [(moment(one["at_ms"]), one["type"], one["event_id"]) for one in facts["timeline"]],
    )
