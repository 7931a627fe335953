"""What others may call: transaction functions and queries on fulfilments and packages."""

from __future__ import annotations

from collections.abc import Sequence

from tradepost.kernel.errors import Refusal
from tradepost.kernel.events import Event, record
from tradepost.kernel.tx import Tx
from tradepost.trade.fulfilment import rules, store
from tradepost.trade.fulfilment.model import COLLECTED, Fulfilment, NewFulfilment, Package, PackLine, Tracking


def open_fulfilments(tx: Tx, works: Sequence[NewFulfilment]) -> None:
    """Open the work on released orders; those that have it already are left alone. Two statements for all."""
    wanted = {work.order_id: work for work in works}
    known = store.known_orders(tx, wanted)
    store.insert_fulfilments(tx, [work for order_id, work in wanted.items() if order_id not in known])


def find_fulfilment(tx: Tx, order_id: str) -> Fulfilment | None:
    """The work on an order, None before its release."""
    return store.find_fulfilment(tx, order_id)


def list_packages(tx: Tx, order_id: str) -> list[Package]:
    """The packages of an order, oldest first."""
    return store.find_packages(tx, order_id)


def pack(tx: Tx, order_id: str, package_id: str, lines: Sequence[PackLine], at_ms: int) -> Package:
    """Put units into a parcel of this new id, all that is open when `lines` is empty. A known id is answered as it is.

    Raises `fulfilment.not_open`, `.nothing_open`, `.line_unknown`, `.quantity_invalid`, `.quantity_exceeds`.
    """
    known = _find(tx, order_id, package_id)
    if known is not None:
        return known
    work = _work(tx, order_id)
    wanted = tuple(lines) or rules.open_lines(work)
    if not wanted:
        raise Refusal("fulfilment.nothing_open", f"Order {order_id} has nothing left to pack.")
    after, package, fact = rules.pack(work, package_id, wanted, at_ms)
    store.insert_package(tx, package)
    store.update_fulfilment(tx, work.version, after)
    _emit(tx, after, package, fact, at_ms)
    return package


def collect(tx: Tx, order_id: str, package_id: str, carrier: str, tracking_code: str, at_ms: int) -> Package:
    """Hand a parcel to the carrier: its stock leaves. The same hand-over again is answered as it is.

    Raises `fulfilment.package_unknown`, `fulfilment.tracking_invalid`, `state.conflict`.
    """
    before = _package(tx, order_id, package_id)
    if before.collected_at_ms and (before.carrier, before.tracking_code) == (carrier, tracking_code):
        return before
    work = _work(tx, order_id)
    after, package, fact = rules.collect(work, before, carrier, tracking_code, at_ms)
    _save(tx, work, after, before, package)
    _emit(tx, after, package, fact, at_ms)
    return package


def ship(tx: Tx, order_id: str, package_id: str, carrier: str, tracking_code: str, at_ms: int) -> Package:
    """Pack all that is open into one parcel and hand it to the carrier. Raises what `pack` and `collect` do."""
    pack(tx, order_id, package_id, (), at_ms)
    return collect(tx, order_id, package_id, carrier, tracking_code, at_ms)


def track(tx: Tx, order_id: str, package_id: str, tracking: Tracking, at_ms: int) -> Package:
    """Note a carrier's report. Raises `fulfilment.package_unknown`, `.tracking_full`, `.tracking_invalid`."""
    before = _package(tx, order_id, package_id)
    package, fact = rules.track(before, tracking)
    if fact is not None:
        store.update_package(tx, before.version, package)
        _emit(tx, _work(tx, order_id), package, fact, at_ms)
    return package


def deliver(tx: Tx, order_id: str, package_id: str, at_ms: int) -> Package:
    """The parcel reached the buyer. Once is enough: again it is answered as it is.

    Raises `fulfilment.package_unknown`, `state.conflict`.
    """
    before = _package(tx, order_id, package_id)
    if before.delivered_at_ms:
        return before
    work = _work(tx, order_id)
    after, package, fact = rules.deliver(work, before, at_ms)
    _save(tx, work, after, before, package)
    _emit(tx, after, package, fact, at_ms)
    return package


def deliver_order(tx: Tx, order_id: str, at_ms: int) -> list[Package]:
    """Every parcel that is on its way reached the buyer. Raises `fulfilment.nothing_open` when none is."""
    on_way = [package for package in store.find_packages(tx, order_id) if package.state == COLLECTED]
    if not on_way:
        raise Refusal("fulfilment.nothing_open", f"No parcel of order {order_id} is on its way.")
    return [deliver(tx, order_id, package.package_id, at_ms) for package in on_way]


def withdraw(tx: Tx, order_id: str, lines: Sequence[PackLine] | None) -> None:
    """Take units of a cancelled order off the work, None for all of it.

    Raises `fulfilment.not_open`, `fulfilment.packed`, `.line_unknown`, `.quantity_invalid`.
    """
    work = _work(tx, order_id)
    after = rules.withdraw(work, lines)
    if after.version != work.version:
        store.update_fulfilment(tx, work.version, after)


def _work(tx: Tx, order_id: str) -> Fulfilment:
    work = store.find_fulfilment(tx, order_id)
    if work is None:
        raise Refusal(
            "fulfilment.not_open", f"Order {order_id[:60]!r} is not released for shipment.", field="order_id"
        )
    return work


def _find(tx: Tx, order_id: str, package_id: str) -> Package | None:
    found = store.find_packages(tx, order_id)
    return next((package for package in found if package.package_id == package_id), None)


def _package(tx: Tx, order_id: str, package_id: str) -> Package:
    package = _find(tx, order_id, package_id)
    if package is None:
        raise Refusal(
            "fulfilment.package_unknown",
            f"Order {order_id[:60]!r} has no package {package_id[:60]!r}.",
            field="package_id",
        )
    return package


def _save(tx: Tx, work: Fulfilment, after: Fulfilment, before: Package, package: Package) -> None:
    store.update_package(tx, before.version, package)
    store.update_fulfilment(tx, work.version, after)


def _emit(tx: Tx, work: Fulfilment, package: Package, fact: Event, at_ms: int) -> None:
    tx.emit([record(fact, package.package_id, package.version, at_ms, work.buyer_id, work.seller_id)])
