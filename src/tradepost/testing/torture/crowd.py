"""A crowd at the door: buyers and guests who buy, change their minds and send back, and sellers who ship."""

from __future__ import annotations

import itertools
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

import msgspec

from tradepost.testing.torture.client import Ask, Client, Unanswered
from tradepost.testing.torture.shop import KEYS

ADDRESS = {"name": "Ann Lee", "line1": "1 High St", "city": "Leeds", "postcode": "LS1 1AA", "country": "GB"}
METHODS = (
    *["sandbox_succeeds"] * 6,
    "sandbox_declines",
    "sandbox_pending_succeeds",
    "sandbox_pending_fails",
    "sandbox_timeout_succeeded",
    "sandbox_webhook_twice",
    "sandbox_webhook_first",
)
OFFERS_MAX = 150
LINES_MAX = 6


class Market(msgspec.Struct, frozen=True, kw_only=True):
    """What the crowd may buy, and who it is."""

    offers: tuple[str, ...]
    buyers: tuple[str, ...]


def look_around(client: Client, buyers: int = 5) -> Market:
    """Read offers of every seller and enter a few buyers."""
    by_seller: dict[str, list[str]] = {}
    cursor = ""
    while True:
        page = client.send(
            "GET", f"/v1/offers?market=GB&limit=200&cursor={cursor}", token=KEYS["storefront"]
        ).said()
        for offer in page["items"]:
            if not offer["limit_per_buyer"]:
                by_seller.setdefault(offer["seller_id"], []).append(offer["offer_id"])
        cursor = page["next_cursor"]
        if not cursor:
            break
    each = OFFERS_MAX // max(len(by_seller), 1)
    offers = [offer for owned in by_seller.values() for offer in owned[:each]]
    names = [{"name": f"Buyer {number}", "email": f"b{number}@example.org"} for number in range(buyers)]
    entered = [client.send("POST", "/v1/buyers", name, token=KEYS["storefront"]).said() for name in names]
    return Market(offers=tuple(offers), buyers=tuple(one["buyer_id"] for one in entered))


class Visitor:
    """One connection's part of the crowd. Everything it does follows from its seed and the answers."""

    def __init__(self, client: Client, market: Market, name: str, seed: int) -> None:
        self.client = client
        self.market = market
        self.refusals: Counter[str] = Counter()
        self._chance = random.Random(f"{name} {seed}")
        self._keys = (f"{name}-{number}" for number in itertools.count())
        self._mine: list[dict[str, Any]] = []
        self._delivered: list[str] = []

    def act(self) -> None:
        """Do one thing, possibly of several requests. Raises Unanswered."""
        draw = self._chance.random()
        if draw < 0.65 or not self._mine:
            self.buy()
        elif draw < 0.80:
            self.cancel(self._chance.choice(self._mine))
        elif draw < 0.90 and self._delivered:
            self.send_back(self._delivered.pop(0))
        else:
            self.ship(self._mine.pop(0))  # the oldest: its payment has had the most time

    def buy(self) -> None:
        """Ask for a quote, then place it, or buy now for its total; as a guest or as a known buyer."""
        offers = self._chance.sample(self.market.offers, self._chance.randint(1, LINES_MAX))
        lines = [{"offer_id": offer, "quantity": self._chance.randint(1, 2)} for offer in offers]
        who = {} if self._chance.random() < 0.5 else {"buyer_id": self._chance.choice(self.market.buyers)}
        wanted = {"market": "GB", "lines": lines, **who}
        quote = self._send("POST", "/v1/quotes", wanted, keyed=False)
        if not quote.accepted:
            return
        said = quote.said()
        key = next(self._keys)
        # the mail address names the request on every order it makes, whatever became of its key
        given = {
            "address": ADDRESS,
            "email": f"{key}@example.org",
            "payment": {"method": self._chance.choice(METHODS), "confirm": self._chance.random() < 0.9},
        }
        terms = (
            {"quote": said["quote"], **who}
            if self._chance.random() < 0.5
            else {**wanted, "total": said["total"]}
        )
        placed = self._send("POST", "/v1/checkouts", {**terms, **given}, key=key)
        if placed.accepted:
            self._mine += placed.said()["orders"]

    def cancel(self, order: dict[str, Any]) -> None:
        """Give up an order, or a unit of its first line."""
        whole = self._chance.random() < 0.6
        lines = [] if whole else [{"line_no": 1, "quantity": 1}]
        body = {"reason": "changed_mind", "lines": lines}
        self._send("POST", f"/v1/orders/{order['order_id']}/cancel", body)

    def ship(self, order: dict[str, Any]) -> None:
        """Pack, hand over, deliver, and sometimes take a unit back; stops where the shop says no."""
        order_path = f"/v1/orders/{order['order_id']}"
        packed = self._send("POST", f"{order_path}/packages", {}, who="operator")
        if not packed.accepted:
            return
        package = packed.said()["package_id"]
        handover = {"carrier": "Royal Mail", "tracking_code": package[-8:]}
        steps: Sequence[tuple[str, Any]] = (("collect", handover), ("deliver", None))
        for step, body in steps:
            if not self._send(
                "POST", f"{order_path}/packages/{package}/{step}", body, who="operator"
            ).accepted:
                return
        self._delivered.append(order_path)

    def send_back(self, order_path: str) -> None:
        """Return a unit of the first line; the shop agrees and gives the money back."""
        wish = {"lines": [{"line_no": 1, "quantity": 1}], "reason": "wrong_colour"}
        asked = self._send("POST", f"{order_path}/returns", wish)
        if not asked.accepted:
            return
        return_path = f"{order_path}/returns/{asked.said()['return_id']}"
        if self._send("POST", f"{return_path}/approve", None, who="operator").accepted:
            self._send("POST", f"{return_path}/receive", {}, who="operator")

    def _send(
        self,
        method: str,
        path: str,
        body: Any,
        *,
        who: str = "storefront",
        key: str = "",
        keyed: bool = True,
    ) -> Ask:
        key = key or (next(self._keys) if keyed else "")
        kind = path if path.startswith(("/v1/quotes", "/v1/checkouts")) else path.rpartition("/")[2]
        ask = self.client.send(method, path, body, token=KEYS[who], key=key, kind=kind)
        if ask.status >= 400:
            self.refusals[ask.code] += 1
        return ask


@contextmanager
def side_by_side(
    visits: Sequence[Callable[[threading.Event], None]], clients: Sequence[Client]
) -> Iterator[None]:
    """Run each visit on a thread of its own while the block runs, then set its event, wait for all and hang up.

    A visit looks at its event at least between two requests: the wait is one request's patience long at most.
    """
    stop = threading.Event()
    threads = [threading.Thread(target=visit, args=(stop,), daemon=True) for visit in visits]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        for client in clients:
            client.close()


class Crowd:
    """Visitors on threads, each with its connection, until told to stop or until nobody answers any more."""

    def __init__(self, port: int, market: Market, name: str, seed: int, size: int) -> None:
        self.visitors = [Visitor(Client(port), market, f"{name}-{number}", seed) for number in range(size)]

    def at_work(self) -> AbstractContextManager[None]:
        """The crowd acts inside and has gone after."""
        return side_by_side(
            [partial(_visit, visitor) for visitor in self.visitors],
            [visitor.client for visitor in self.visitors],
        )

    def asks(self) -> list[Ask]:
        """Everything that was asked under a key so far, by whomever."""
        return [ask for visitor in self.visitors for ask in list(visitor.client.journal)]

    def refusals(self) -> Counter[str]:
        """How often each code was answered."""
        return sum((visitor.refusals for visitor in self.visitors), Counter())


def _visit(visitor: Visitor, stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            visitor.act()
        except Unanswered:
            return
