"""A trade floor with settlement: orders are paid, delivered, due, stated and paid out when a test says so."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace
from tests import order_samples, trade_floor
from tests.trade_floor import TradeFloor

from tradepost.kernel.events import EventRow
from tradepost.markets import market
from tradepost.testing.world import TestWorld
from tradepost.trade import fulfilment, ledger, orders, payments, settlement
from tradepost.trade.fulfilment import PackLine
from tradepost.trade.orders import Conversion, OrderLine
from tradepost.trade.payments import Funding
from tradepost.trade.pricing import Adjustment, FrozenRate, Funder
from tradepost.trade.settlement import Destination, cutting, moving, rules, store
from tradepost.trade.settlement.due import store as due_store
from tradepost.trade.settlement.payouts import paying
from tradepost.trade.settlement.payouts import store as payout_store
from tradepost.trade.settlement.payouts.port import BankFact, BankStatus

DAY = 86_400_000
HERE = Destination(holder="North Kiln", account="GB82WEST12345698765432")
KEY_TAIL = ("GB", "GBP")
PROMOTIONS = "platform:promotions"


def discounted(line_no: int, quantity: int, list_minor: int, **by_funder: int) -> OrderLine:
    """A line with one adjustment for each funder, fee and tax within."""
    adjustments = tuple(
        Adjustment(code=f"c{name}", reason=name, funder=Funder(name), amount_minor=-amount)
        for name, amount in by_funder.items()
    )
    total = list_minor - sum(by_funder.values())
    line = order_samples.line(line_no, quantity, list_minor)
    return replace(
        line,
        adjustments=adjustments,
        total_minor=total,
        tax_minor=total // 6,
        fee_minor=total // 20,
        creator_id="cre_1" if "creator" in by_funder else "",
    )


class MoneyFloor(TradeFloor):
    """Settlement on top of the trade floor."""

    def __init__(self, world: TestWorld) -> None:
        super().__init__(world)
        self.seller = world.mint("seller", 9)
        self.key = (self.seller, *KEY_TAIL)

    def sell(
        self, lines: Sequence[OrderLine], shipping_minor: int = 45, conversions: tuple[Conversion, ...] = ()
    ) -> str:
        """An order, paid and delivered; its id."""
        new = order_samples.new_order(
            self.world, lines, shipping_minor=shipping_minor, seller_id=self.seller, conversions=conversions
        )
        funded: dict[str, int] = {}
        for line in lines:
            for one in line.adjustments:
                if one.funder is not Funder.SELLER:
                    name = PROMOTIONS if one.funder is Funder.PLATFORM else f"creator:{line.creator_id}"
                    funded[name] = funded.get(name, 0) - one.amount_minor
        portion = payments.Portion(
            order_id=new.order_id,
            seller_id=self.seller,
            amount_minor=new.total_minor,
            fee_minor=sum(line.fee_minor for line in lines),
            tax_minor=sum(line.tax_minor for line in lines),
            market="GB",
            funded=tuple(Funding(name, amount) for name, amount in funded.items()),
        )
        intent = payments.NewIntent(
            payment_id=new.payment_id,
            checkout_id=new.checkout_id,
            buyer_id=new.buyer_id,
            provider="sandbox",
            method="card",
            currency="GBP",
            amount_minor=new.total_minor,
            capture="immediate",
            portions=(portion,),
            at_ms=self.world.now_ms(),
            confirm=True,
        )
        self.run(orders.open_orders, [new])
        self.run(payments.open_intents, [intent])
        self.new_orders[new.order_id] = new
        self.hear(new.order_id)
        self.deliver()
        self.sweep()
        self.deliver()
        self.ship(new.order_id)
        return new.order_id

    def ship(self, order_id: str) -> None:
        """Everything in one parcel, at the buyer's."""
        open_lines = orders.open_lines(self.order(order_id))
        packed = tuple(PackLine(line.line_no, line.quantity) for line in open_lines)
        package_id, now_ms = self.mint("package"), self.world.now_ms()
        self.run(fulfilment.pack, order_id, package_id, packed, now_ms)
        self.run(fulfilment.collect, order_id, package_id, "post", "T1", now_ms)
        self.run(fulfilment.deliver, order_id, package_id, now_ms)
        self.deliver()

    def deliver(self, pages: int = 1_000) -> None:
        """Events to the consumers of the trade floor and of settlement."""
        both = [*trade_floor.CONSUMERS, *settlement.CONSUMERS]
        for _ in range(pages):
            rows = self.database.events(self.cursor)
            if not rows:
                return
            self.cursor = rows[-1].sequence
            for consumer in both:
                mine: list[EventRow] = [row for row in rows if row.type in consumer.types]
                if mine:
                    self.run(consumer.consume, mine)

    def refund(self, order_id: str, amount: int, division: payments.Division | None = None) -> None:
        """A refund asked for and made."""
        asked = payments.RefundRequest(
            refund_id=self.mint("refund"),
            payment_id=self.new_orders[order_id].payment_id,
            order_id=order_id,
            amount_minor=amount,
            reason="asked",
            at_ms=self.world.now_ms(),
            division=division,
        )
        refund = self.run(payments.request_refund, asked)
        self.run(payments.api.begin_refund_call, refund.refund_id, self.world.now_ms())
        self.hear(order_id, refunded=refund.refund_id)
        self.deliver()

    def settle(self, rates: Sequence[FrozenRate] = ()) -> int:
        """Let everything that is due go to the parties; how many orders moved."""
        now_ms = self.world.now_ms()
        due = self.run(due_store.due_settlements, now_ms, 100)
        moved: int = self.run(moving.settle_due, due, now_ms, tuple(rates))
        self.deliver()
        return moved

    def cut(self) -> list[settlement.Statement]:
        """Cut what is over on the seller's account."""
        now_ms = self.world.now_ms()
        through = rules.day_of(market("GB"), now_ms - rules.CUT_GRACE_MS) - 1
        found: list[settlement.Statement] = self.run(
            cutting.cut, self.key, through, self.world.chance(56), now_ms
        )
        return found

    def bank(self, status: BankStatus, reason: str = "") -> settlement.Payout:
        """The bank is called for the payout that is due, and says this."""
        now_ms = self.world.now_ms()
        [payout_id] = self.run(payout_store.due_payouts, now_ms, 10)
        begun, _ = self.run(paying.begin_call, payout_id, "sandbox", now_ms)
        return self.tell(payout_id, begun.attempts, status, reason)

    def tell(self, payout_id: str, attempt: int, status: BankStatus, reason: str = "") -> settlement.Payout:
        """The bank says this of an attempt."""
        fact = BankFact(payout_id=payout_id, attempt=attempt, status=status, reason=reason)
        heard: settlement.Payout = self.run(paying.hear_bank, fact, self.world.now_ms())
        self.deliver()
        return heard

    def balance(self, account: str, currency: str = "GBP") -> int:
        """Minor units of an account of the ledger, debit positive."""
        found = self.run(ledger.account_balances).get((account, currency))
        return found.posted_minor if found is not None else 0

    def lines(self) -> list[settlement.Line]:
        """All lines of the seller's account."""
        return list(self.run(_lines, self.key))

    def check(self) -> settlement.SettlementReport:
        """The proof; asserts that nothing is found and that the ledger balances."""
        report: settlement.SettlementReport = self.run(settlement.check_settlement)
        books = self.run(ledger.check_ledger)
        assert books.balanced, books.findings
        assert not report.findings, report.findings
        return report


def _lines(tx: object, key: tuple[str, str, str]) -> list[settlement.Line]:
    return list(store.lines_between(tx, key, -1, 10**6))  # type: ignore[arg-type]
