"""Pure decisions on fulfilments and packages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from tradepost.kernel.errors import Refusal
from tradepost.trade.fulfilment.model import (
    FULFILMENT_STATES,
    PACKAGE_STATES,
    PACKED,
    TRACKING_MAX,
    WITHDRAWN,
    Done,
    Fulfilment,
    Package,
    PackageCollected,
    PackageDelivered,
    PackagePacked,
    PackageTracked,
    PackLine,
    Tracking,
    Unit,
)

_replace = msgspec.structs.replace


def open_lines(work: Fulfilment) -> tuple[PackLine, ...]:
    """What is neither packed nor withdrawn; lines with nothing open are left out."""
    return tuple(
        PackLine(line.line_no, line.quantity - done.withdrawn - done.packed)
        for line, done in zip(work.lines, work.done, strict=True)
        if line.quantity > done.withdrawn + done.packed
    )


def check_lines(work: Fulfilment, lines: Sequence[PackLine], code: str) -> None:
    """Raise a Refusal unless each line is known, named once, and has so many units open (else `code`)."""
    known = {line.line_no for line in work.lines}
    still_open = {line.line_no: line.quantity for line in open_lines(work)}
    seen: set[int] = set()
    if not lines:
        raise Refusal("fulfilment.quantity_invalid", "No line is named.", field="lines", expected="1 or more")
    for index, line in enumerate(lines):
        if line.line_no not in known:
            raise Refusal(
                "fulfilment.line_unknown",
                f"There is no line {line.line_no} to ship.",
                field=f"lines[{index}].line_no",
            )
        if line.quantity < 1 or line.line_no in seen:
            raise Refusal(
                "fulfilment.quantity_invalid",
                "Each line is named once, with one unit or more.",
                field=f"lines[{index}].quantity",
                expected="1 or more",
            )
        seen.add(line.line_no)
        count = still_open.get(line.line_no, 0)
        if line.quantity > count:
            raise Refusal(
                code,
                f"Line {line.line_no} has {count} open, not {line.quantity}.",
                field=f"lines[{index}].quantity",
                extra={"line_no": line.line_no, "open": count},
            )


def is_all_at(work: Fulfilment, stage: str) -> bool:
    """Whether every unit that was not withdrawn has come to a stage: packed, collected or delivered."""
    return all(
        getattr(done, stage) == line.quantity - done.withdrawn
        for line, done in zip(work.lines, work.done, strict=True)
    )


def _advance(work: Fulfilment, stage: str, lines: Iterable[PackLine]) -> Fulfilment:
    places = {line.line_no: index for index, line in enumerate(work.lines)}
    counted: list[Done] = list(work.done)
    for line in lines:
        done = counted[places[line.line_no]]
        counted[places[line.line_no]] = _replace(done, **{stage: getattr(done, stage) + line.quantity})
    moved = _replace(work, done=tuple(counted), version=work.version + 1)
    return _replace(moved, state=FULFILMENT_STATES.next(work.state, _input(moved)))


def _input(work: Fulfilment) -> str:
    if all(done.withdrawn == line.quantity for line, done in zip(work.lines, work.done, strict=True)):
        return "all withdrawn"
    for stage in ("delivered", "collected", "packed"):
        if is_all_at(work, stage):
            return f"all {stage}"
    return "part packed" if any(done.packed for done in work.done) else "none packed"


def stock_of(work: Fulfilment, lines: Iterable[PackLine]) -> tuple[Unit, ...]:
    """The stock units behind so many units of lines: kits expanded, summed per SKU."""
    units = {line.line_no: line.units for line in work.lines}
    found: dict[str, int] = {}
    for line in lines:
        for unit in units[line.line_no]:
            found[unit.sku_id] = found.get(unit.sku_id, 0) + unit.quantity * line.quantity
    return tuple(Unit(sku_id, quantity) for sku_id, quantity in found.items())


def pack(
    work: Fulfilment, package_id: str, lines: Sequence[PackLine], at_ms: int
) -> tuple[Fulfilment, Package, PackagePacked]:
    """Put units into a parcel. Raises `fulfilment.quantity_exceeds` and the refusals of `check_lines`."""
    check_lines(work, lines, "fulfilment.quantity_exceeds")
    work = _advance(work, "packed", lines)
    package = Package(
        package_id=package_id,
        order_id=work.order_id,
        state=PACKED,
        version=1,
        lines=tuple(lines),
        packed_at_ms=at_ms,
    )
    fact = PackagePacked(
        package_id=package_id,
        order_id=work.order_id,
        lines=package.lines,
        all_packed=is_all_at(work, "packed"),
    )
    return work, package, fact


def collect(
    work: Fulfilment, package: Package, carrier: str, tracking_code: str, at_ms: int
) -> tuple[Fulfilment, Package, PackageCollected]:
    """Hand a parcel to the carrier. Raises `state.conflict`, `fulfilment.tracking_invalid`."""
    state = PACKAGE_STATES.next(package.state, "collect")
    _check_text("carrier", carrier, 60)
    _check_text("tracking_code", tracking_code, 60)
    work = _advance(work, "collected", package.lines)
    package = _replace(
        package,
        state=state,
        version=package.version + 1,
        carrier=carrier,
        tracking_code=tracking_code,
        collected_at_ms=at_ms,
    )
    fact = PackageCollected(
        package_id=package.package_id,
        order_id=work.order_id,
        lines=package.lines,
        stock=stock_of(work, package.lines),
        all_collected=is_all_at(work, "collected"),
    )
    return work, package, fact


def _check_text(field: str, text: str, most: int, least: int = 1) -> None:
    if not least <= len(text) <= most:
        raise Refusal(
            "fulfilment.tracking_invalid",
            f"{field} has {len(text)} letters.",
            field=field,
            expected=f"{least} to {most} letters",
        )


def track(package: Package, tracking: Tracking) -> tuple[Package, PackageTracked | None]:
    """Note a carrier's report; the same report again changes nothing.

    Raises `state.conflict`, `fulfilment.tracking_full`, `fulfilment.tracking_invalid`.
    """
    state = PACKAGE_STATES.next(package.state, "track")
    _check_text("code", tracking.code, 60)
    _check_text("text", tracking.text, 200, 0)
    if tracking in package.tracking:
        return package, None
    if len(package.tracking) >= TRACKING_MAX:
        raise Refusal("fulfilment.tracking_full", f"{package.package_id} has {TRACKING_MAX} tracking events.")
    fact = PackageTracked(
        package_id=package.package_id,
        order_id=package.order_id,
        code=tracking.code,
        tracked_at_ms=tracking.at_ms,
    )
    noted = (*package.tracking, tracking)
    return _replace(package, state=state, version=package.version + 1, tracking=noted), fact


def deliver(work: Fulfilment, package: Package, at_ms: int) -> tuple[Fulfilment, Package, PackageDelivered]:
    """The parcel reached the buyer. Raises `state.conflict`."""
    state = PACKAGE_STATES.next(package.state, "deliver")
    work = _advance(work, "delivered", package.lines)
    package = _replace(package, state=state, version=package.version + 1, delivered_at_ms=at_ms)
    fact = PackageDelivered(
        package_id=package.package_id,
        order_id=work.order_id,
        lines=package.lines,
        all_delivered=is_all_at(work, "delivered"),
    )
    return work, package, fact


def withdraw(work: Fulfilment, lines: Sequence[PackLine] | None) -> Fulfilment:
    """Take units off the work, None for all of it. Raises `fulfilment.packed` for what is packed already."""
    if lines is not None:
        check_lines(work, lines, "fulfilment.packed")
        return _advance(work, "withdrawn", lines)
    if work.state == WITHDRAWN:
        return work
    if any(done.packed for done in work.done):
        raise Refusal("fulfilment.packed", f"Something of order {work.order_id} is packed.", field="order_id")
    return _advance(work, "withdrawn", open_lines(work))
