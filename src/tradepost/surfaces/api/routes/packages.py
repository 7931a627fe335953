"""Packages of an order: packed, handed to the carrier, tracked, delivered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from tradepost.kernel.ids import check_id, gene_of
from tradepost.kernel.tx import Tx
from tradepost.surfaces.api.once import transact_once
from tradepost.surfaces.api.operation import Answer, Call, Routes
from tradepost.surfaces.api.routes.order_views import Units
from tradepost.surfaces.api.routes.orders import sighted
from tradepost.surfaces.api.words import MomentMs, Name, home
from tradepost.trade import fulfilment
from tradepost.trade.fulfilment import Package, PackLine, Tracking
from tradepost.trade.parties import Principal, Role

ROUTES = Routes("packages")
SHIPPING = (Role.SELLER, Role.OPERATOR)
PACKAGE = {
    "package_id": "pkg_01m4xk9v0c7s8p2q3r4t5v6w7x",
    "order_id": "ord_01m4xk9v0c7s8p2q3r4t5v6w7x",
    "state": "PACKED",
    "version": 1,
    "carrier": "",
    "tracking_code": "",
    "lines": [{"line_no": 1, "quantity": 2}],
    "packed_at_ms": 1790000000000,
    "collected_at_ms": 0,
    "delivered_at_ms": 0,
    "tracking": [],
}
COLLECTED = {**PACKAGE, "state": "COLLECTED", "carrier": "Royal Mail", "tracking_code": "RM123456789GB"}
PACKAGE_CODES = (
    "orders.not_found",
    "fulfilment.not_open",
    "fulfilment.nothing_open",
    "fulfilment.line_unknown",
    "fulfilment.quantity_invalid",
    "fulfilment.quantity_exceeds",
    "fulfilment.package_unknown",
    "fulfilment.tracking_invalid",
    "state.conflict",
    "idempotency.key_required",
    "idempotency.in_progress",
)


class PackRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What goes into the parcel; no lines mean all that is open."""

    lines: Annotated[tuple[Units, ...], Meta(max_length=2_000)] = ()


class Handover(msgspec.Struct, frozen=True, kw_only=True):
    """Which carrier takes the parcel under which code."""

    carrier: Name = ""
    tracking_code: Annotated[str, Meta(min_length=1, max_length=60)]


class TrackingReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the carrier reports; a moment of 0 is now."""

    code: Annotated[str, Meta(min_length=1, max_length=60)]
    text: Name = ""
    at_ms: MomentMs = 0


class PackageList(msgspec.Struct, frozen=True, kw_only=True):
    """The packages of an order, oldest first."""

    items: tuple[Package, ...]


def _ids(call: Call) -> tuple[str, str]:
    return check_id(call.path["order_id"], "order"), check_id(call.path["package_id"], "package")


def _list(tx: Tx, principal: Principal, order_id: str) -> PackageList:
    sighted(tx, principal, order_id)
    return PackageList(items=tuple(fulfilment.list_packages(tx, order_id)))


def _pack(
    tx: Tx, principal: Principal, order_id: str, package_id: str, lines: Sequence[PackLine], at_ms: int
) -> Package:
    sighted(tx, principal, order_id)
    return fulfilment.pack(tx, order_id, package_id, lines, at_ms)


def _collect(
    tx: Tx, principal: Principal, order_id: str, package_id: str, carrier: str, code: str, at_ms: int
) -> Package:
    sighted(tx, principal, order_id)
    return fulfilment.collect(tx, order_id, package_id, carrier, code, at_ms)


def _track(
    tx: Tx, principal: Principal, order_id: str, package_id: str, tracking: Tracking, at_ms: int
) -> Package:
    sighted(tx, principal, order_id)
    return fulfilment.track(tx, order_id, package_id, tracking, at_ms)


def _deliver(tx: Tx, principal: Principal, order_id: str, package_id: str, at_ms: int) -> Package:
    sighted(tx, principal, order_id)
    return fulfilment.deliver(tx, order_id, package_id, at_ms)


@ROUTES.add(
    "GET",
    "/v1/orders/{order_id}/packages",
    returns=PackageList,
    scope="orders:read",
    answer={"items": [PACKAGE]},
    codes=("orders.not_found",),
)
async def list_packages(call: Call) -> PackageList:
    """List the packages of an order"""
    order_id = call.path["order_id"]
    shard = home(call.platform.db, order_id, "order")
    return await call.platform.db.read(shard, _list, call.principal, order_id)


@ROUTES.add(
    "POST",
    "/v1/orders/{order_id}/packages",
    body=PackRequest,
    returns=Package,
    status=201,
    keyed=True,
    scope="orders:write",
    roles=SHIPPING,
    example={"lines": [{"line_no": 1, "quantity": 2}]},
    answer=PACKAGE,
    codes=PACKAGE_CODES,
)
async def pack(call: Call) -> Answer:
    """Pack units of an order"""
    body: PackRequest = call.body
    order_id = check_id(call.path["order_id"], "order")
    gene = gene_of(order_id)
    package_id = call.platform.world.mint("package", gene)
    lines = [PackLine(line.line_no, line.quantity) for line in body.lines]
    return await transact_once(
        call, gene, 201, _pack, call.principal, order_id, package_id, lines, call.now_ms()
    )


@ROUTES.add(
    "POST",
    "/v1/orders/{order_id}/packages/{package_id}/collect",
    body=Handover,
    returns=Package,
    keyed=True,
    scope="orders:write",
    roles=SHIPPING,
    example={"carrier": "Royal Mail", "tracking_code": "RM123456789GB"},
    answer=COLLECTED,
    codes=PACKAGE_CODES,
)
async def collect(call: Call) -> Answer:
    """Hand a package to the carrier"""
    body: Handover = call.body
    order_id, package_id = _ids(call)
    return await transact_once(
        call,
        gene_of(order_id),
        200,
        _collect,
        call.principal,
        order_id,
        package_id,
        body.carrier,
        body.tracking_code,
        call.now_ms(),
    )


@ROUTES.add(
    "POST",
    "/v1/orders/{order_id}/packages/{package_id}/tracking",
    body=TrackingReport,
    returns=Package,
    scope="orders:write",
    roles=SHIPPING,
    example={"code": "in_transit", "text": "Left the sorting centre"},
    answer=COLLECTED,
    codes=(*PACKAGE_CODES, "fulfilment.tracking_full"),
)
async def track(call: Call) -> Package:
    """Note what the carrier reports"""
    body: TrackingReport = call.body
    order_id, package_id = _ids(call)
    tracking = Tracking(code=body.code, text=body.text, at_ms=body.at_ms or call.now_ms())
    return await call.platform.db.transact(
        call.shard(gene_of(order_id)), _track, call.principal, order_id, package_id, tracking, call.now_ms()
    )


@ROUTES.add(
    "POST",
    "/v1/orders/{order_id}/packages/{package_id}/deliver",
    returns=Package,
    keyed=True,
    scope="orders:write",
    roles=SHIPPING,
    answer={**COLLECTED, "state": "DELIVERED", "delivered_at_ms": 1790200000000},
    codes=PACKAGE_CODES,
)
async def deliver(call: Call) -> Answer:
    """Note that a package reached the buyer"""
    order_id, package_id = _ids(call)
    return await transact_once(
        call, gene_of(order_id), 200, _deliver, call.principal, order_id, package_id, call.now_ms()
    )
