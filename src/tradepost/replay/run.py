"""Run a history through the real path: quote, place, pay, ship, deliver, complete, return; then reconcile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tradepost.app import App
from tradepost.books import check_books, merge_books
from tradepost.kernel.errors import Refusal
from tradepost.kernel.ids import gene_of
from tradepost.kernel.money import line_total
from tradepost.kernel.tx import Tx
from tradepost.replay.history import CURRENCY, HistoryLine, Invoice, LineKind, RejectedLine, by_invoice
from tradepost.replay.report import Report
from tradepost.replay.stocking import MARKET, Shelf, stock_up
from tradepost.replay.waves import waves
from tradepost.testing.world import TestWorld
from tradepost.trade import aftersales, checkout, fulfilment, inventory, ledger, orders, payments

DAY_MS = 86_400_000
FINDINGS_SHOWN = 20
TRIES = 20
"""How often an order is placed again that was refused only because others were faster."""
AGAIN = frozenset({"inventory.contended", "version.conflict", "storage.overloaded"})
T = TypeVar("T")
METHOD = "sandbox_succeeds"
ADDRESS = checkout.Address(
    name="Customer", line1="1 High Street", city="Town", postcode="AA1 1AA", country="GB"
)
Purchase = tuple[str, int, str]
"""(order id, line number, title): one line a customer bought."""
Advance = Callable[[str, int, int], None]
"""(what is being done, done, of how many)."""


def quiet(what: str, done: int, total: int) -> None:
    """No progress shown."""


FINISH_DAYS = 10


class Replay:
    """One run. `app` stands on `world`, whose clock follows the history."""

    def __init__(self, app: App, world: TestWorld, advance: Advance = quiet) -> None:
        self.app = app
        self.db = app.platform.db
        self.world = world
        self.report = Report()
        self._advance = advance
        self._buyers: dict[str, str] = {}
        self._bought: dict[tuple[str, str], list[Purchase]] = {}

    async def run(self, lines: list[HistoryLine | RejectedLine]) -> Report:
        """Replay every line and reconcile. Raises what a defect raises; refusals are counted."""
        started = time.monotonic()
        known = [line for line in lines if isinstance(line, HistoryLine)]
        self.report.lines_read = len(lines)
        for line in lines:
            if isinstance(line, RejectedLine):
                self.report.reject(line.reason)
        if known:
            self.world.set_now(min(line.at_ms for line in known) - DAY_MS)
        rows = len({(line.code, line.price_e4) for line in known if line.kind is LineKind.SALE})
        shelf = await stock_up(self.db, self.world, known, lambda done: self._advance("stocking", done, rows))
        await self._settle()
        await self._follow(by_invoice(known), shelf)
        await self._finish()
        await self._reconcile(known, shelf)
        self._clock(time.monotonic() - started)
        return self.report

    async def _follow(self, invoices: list[Invoice], shelf: Shelf) -> None:
        total = sum(len(invoice.lines) for invoice in invoices)
        done = 0
        self.report.invoices = len({invoice.number for invoice in invoices})
        for wave in waves(invoices):
            self.world.set_now(max(wave[-1].at_ms, self.world.now_ms()))
            await self._run_wave(wave, shelf)
            done += sum(len(invoice.lines) for invoice in wave)
            self._advance("replaying", done, total)

    async def _run_wave(self, wave: list[Invoice], shelf: Shelf) -> None:
        """Everything of a wave side by side, step by step; counted in the order of the history."""
        kinds = {kind: [invoice for invoice in wave if invoice.lines[0].kind is kind] for kind in LineKind}
        sales = kinds[LineKind.SALE]
        if sales:
            views = await asyncio.gather(*(self._sell(invoice, shelf) for invoice in sales))
            await self._settle()
            await self._ship([order.order_id for view in views if view is not None for order in view.orders])
            for invoice, view in zip(sales, views, strict=True):
                if view is not None:
                    self._count_sale(invoice, view)
        for invoice in kinds[LineKind.WRITE_OFF]:
            await self._write_off(invoice, shelf)
        for invoice in kinds[LineKind.ADJUSTMENT]:
            await self._adjust(invoice, shelf)
        if kinds[LineKind.RETURN]:
            await asyncio.gather(*(self._take_back(invoice) for invoice in kinds[LineKind.RETURN]))
            await self._settle()

    async def _settle(self) -> None:
        """Let everything that follows from what happened so far happen too."""
        await self.app.platform.runtime.drain(side_by_side=True)

    async def _sell(self, invoice: Invoice, shelf: Shelf) -> checkout.CheckoutView | None:
        """Quote, place and pay an invoice; None when it was refused, which is counted."""
        context = self.app.platform.checkout
        wants = [
            checkout.Want(offer_id=shelf.offers[(line.code, line.price_e4)], quantity=line.quantity)
            for line in invoice.lines
        ]
        buyer_id = self._buyer(invoice.customer)
        try:
            quote, token = await checkout.make_quote(
                context, MARKET, wants, buyer_id=buyer_id, scene="replay"
            )
            request = checkout.Request(
                scope=buyer_id,
                key=f"invoice-{invoice.number}",
                request_hash=token[-40:],
                buyer_id=buyer_id,
                address=ADDRESS,
                method=METHOD,
                confirm=True,
                total_minor=quote.total_minor,
                currency=CURRENCY,
            )
            placement = await checkout.accept_quote(context, token, request)
            view, _ = await _patiently(lambda: checkout.place_order(context, placement))
        except Refusal as refusal:
            self.report.reject(refusal.code, len(invoice.lines))
            return None
        if placement.intent is not None:
            platform = self.app.platform
            await payments.charge(platform.db, platform.world, platform.providers, placement.intent)
        return view

    async def _ship(self, order_ids: list[str]) -> None:
        now_ms = self.world.now_ms()
        sent = [
            (order_id, self.world.mint("package", gene_of(order_id)), self.db.shard_of(gene_of(order_id)))
            for order_id in order_ids
        ]
        await asyncio.gather(
            *(
                self.db.transact(shard, _ship_and_deliver, order_id, package_id, now_ms)
                for order_id, package_id, shard in sent
            )
        )
        await self._settle()

    def _count_sale(self, invoice: Invoice, view: checkout.CheckoutView) -> None:
        report = self.report
        report.orders += len(view.orders)
        report.order_lines += len(invoice.lines)
        report.units_sold += sum(line.quantity for line in invoice.lines)
        report.free_lines += sum(line.price_e4 == 0 for line in invoice.lines)
        if invoice.customer:
            order_id = view.orders[0].order_id
            for number, line in enumerate(invoice.lines, 1):
                kept = self._bought.setdefault((invoice.customer, line.code), [])
                kept.append((order_id, number, line.description))

    async def _take_back(self, invoice: Invoice) -> None:
        for line in invoice.lines:
            self.report.return_lines += 1
            if not invoice.customer:
                self.report.refuse_return("no_customer")
                continue
            accepted = 0
            reason = "never_bought"
            for order_id, line_no, _ in reversed(self._bought.get((invoice.customer, line.code), [])):
                reason = "all_returned"
                if accepted == line.quantity:
                    break
                accepted += await self._return(order_id, line_no, line.quantity - accepted)
            self.report.units_returned += accepted
            if accepted == line.quantity:
                self.report.returns_accepted += 1
            elif accepted:
                self.report.returns_partial += 1
            else:
                self.report.refuse_return(reason)

    async def _return(self, order_id: str, line_no: int, wanted: int) -> int:
        """Return as many of the wanted units as this line still has; how many those were."""
        gene = gene_of(order_id)
        shard = self.db.shard_of(gene)
        left = {
            item.line_no: item.quantity
            for item in await self.db.read(shard, aftersales.returnable_lines, order_id)
        }
        units = min(wanted, left.get(line_no, 0))
        if units:
            await self.db.transact(
                shard,
                aftersales.accept_return,
                order_id,
                self.world.mint("return", gene),
                (orders.LineQuantity(line_no, units),),
                "history",
                self.world.now_ms(),
            )
        return units

    async def _write_off(self, invoice: Invoice, shelf: Shelf) -> None:
        for line in invoice.lines:
            sku_id = shelf.skus[line.code]
            change = inventory.StockChange(
                sku_id=sku_id,
                location_id=shelf.location_id,
                delta=-line.quantity,
                reference=f"write-off-{line.number}",
                at_ms=self.world.now_ms(),
            )
            await self.db.transact(self.db.shard_of(gene_of(sku_id)), inventory.write_off, [change])
            self.report.write_off_lines += 1
            self.report.units_written_off += line.quantity

    async def _adjust(self, invoice: Invoice, shelf: Shelf) -> None:
        for line in invoice.lines:
            amount = line_total(line.price_e4, line.quantity)
            gene = gene_of(shelf.seller_id)
            transaction = ledger.Transaction(
                transaction_id=f"adjustment.{line.number}",
                gene=gene,
                kind=ledger.TransactionKind.ADJUSTMENT,
                currency=CURRENCY,
                entries=(
                    ledger.Entry("writeoff:bad_debt", -amount),
                    ledger.Entry("platform:adjustments", amount),
                ),
                reference=f"{invoice.number}.{line.number}",
                at_ms=self.world.now_ms(),
            )
            await self.db.transact(self.db.shard_of(gene), ledger.post, [transaction])
            self.report.adjustment_lines += 1
            self.report.adjustment_minor += amount

    def _buyer(self, customer: str) -> str:
        if not customer:
            return self.world.mint("buyer", self.world.gene())
        if customer not in self._buyers:
            self._buyers[customer] = self.world.mint("buyer", self.world.gene())
        return self._buyers[customer]

    async def _finish(self) -> None:
        """Let the timers that are due run: the last orders complete, and sellers are settled and stated."""
        for _ in range(FINISH_DAYS):
            self.world.advance(DAY_MS)
            await self._settle()

    async def _reconcile(self, lines: list[HistoryLine], shelf: Shelf) -> None:
        report, db = self.report, self.db
        shards = range(db.shards)
        books = merge_books([await db.read(shard, check_books) for shard in shards])
        stock = inventory.merge_reports(
            [await db.read(shard, inventory.check_stock, self.world.now_ms()) for shard in shards]
        )
        report.gross_minor = books.gross.get(CURRENCY, 0)
        report.captured_minor = books.captured.get(CURRENCY, 0)
        report.refund_minor = books.refunded.get(CURRENCY, 0)
        report.ledger_captured_minor = books.ledger_captured.get(CURRENCY, 0)
        report.ledger_refunded_minor = books.ledger_refunded.get(CURRENCY, 0)
        report.orders_completed = books.orders_by_state.get("COMPLETED", 0)
        report.expected_gross_minor = sum(
            line_total(line.price_e4, line.quantity) for line in lines if line.kind is LineKind.SALE
        )
        report.ledger_balanced = books.agree
        expected = sum(shelf.received.values()) - report.units_sold - report.units_written_off
        left_over = stock.on_hand - report.units_returned
        report.stock_conserved = (
            stock.conserved and expected == left_over == stock.held == stock.reserved == 0
        )
        found = [f"{one.kind} {one.subject}: {one.detail}" for one in books.findings]
        found += [f"{one.kind} {one.subject}: {one.detail}" for one in stock.findings]
        report.findings = found[:FINDINGS_SHOWN]

    def _clock(self, seconds: float) -> None:
        report = self.report
        report.elapsed_s = round(seconds, 2)
        report.orders_per_s = round(report.orders / seconds, 1)
        report.lines_per_s = round(report.lines_read / seconds, 1)


def _ship_and_deliver(tx: Tx, order_id: str, package_id: str, at_ms: int) -> None:
    fulfilment.ship(tx, order_id, package_id, "history", package_id[-12:], at_ms)
    fulfilment.deliver_order(tx, order_id, at_ms)


async def _patiently(act: Callable[[], Awaitable[T]]) -> T:
    """What `act` answers, asked again while it is refused for contention alone, at most 20 times."""
    for _ in range(TRIES - 1):
        try:
            return await act()
        except Refusal as refusal:
            if refusal.code not in AGAIN:
                raise
            await asyncio.sleep(0)
    return await act()
