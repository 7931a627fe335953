"""Shoppers under chaos: steady, patient, written down. Who gets no answer comes again with the next wish."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import partial

from tradepost.testing.chaos.timeline import Sample
from tradepost.testing.torture.client import Ask, Client, Unanswered
from tradepost.testing.torture.crowd import ADDRESS, METHODS, Market, Visitor, side_by_side
from tradepost.testing.torture.goods import PRICE_MINOR, Good

PATIENCE_S = 20.0
"""After so long a shopper gives up waiting."""
REST_S = 0.2
READS = 0.2
SCARCE = 0.15
"""Shares of what a shopper does: look at an order that was acknowledged, buy what there is too little of."""


class Watch:
    """The clock of one run and everything that was answered under it; shared by all shoppers."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self.samples: list[Sample] = []
        self._under_way: dict[int, int] = {}

    def now_ms(self) -> int:
        """Milliseconds since the run began."""
        return int((time.monotonic() - self._began) * 1000)

    def begin(self) -> int:
        """Write down that this thread asks now; that moment."""
        sent_ms = self._under_way[threading.get_ident()] = self.now_ms()
        return sent_ms

    def oldest_ms(self) -> int:
        """When the oldest request was sent that nobody has answered yet; now where there is none."""
        return min([*self._under_way.values(), self.now_ms()])

    def note(self, sent_ms: int, ask: Ask | None) -> None:
        """Write down an answer, or that none came."""
        self._under_way.pop(threading.get_ident(), None)
        took_ms = self.now_ms() - sent_ms
        if ask is None:
            self.samples.append(Sample(sent_ms, took_ms, 0))
        else:
            self.samples.append(Sample(sent_ms, took_ms, ask.status, ask.code))


class WatchedClient(Client):
    """A client whose every request is timed; it goes to the next port when one does not take it."""

    def __init__(self, ports: Sequence[int], watch: Watch) -> None:
        super().__init__(ports[0], patience_s=PATIENCE_S)
        self._watch = watch
        self._others = itertools.cycle([*ports[1:], ports[0]])

    def repeat(self, ask: Ask) -> Ask:
        """See `Client.repeat`."""
        sent_ms = self._watch.begin()
        try:
            answered = super().repeat(ask)
        except Unanswered:
            self._watch.note(sent_ms, None)
            self.turn_to(next(self._others))
            raise
        self._watch.note(sent_ms, answered)
        return answered


class Shopper(Visitor):
    """A visitor who also reads back what was promised, and wants what is scarce."""

    def __init__(self, client: Client, market: Market, good: Good, name: str, seed: int) -> None:
        super().__init__(client, market, name, seed)
        self._good = good
        self.missing: list[str] = []

    def act(self) -> None:
        """Do one thing. Raises Unanswered."""
        draw = self._chance.random()
        if draw < READS and self._mine:
            self._read_back(self._mine[-1]["order_id"])
        elif draw < READS + SCARCE:
            self._buy_scarce()
        else:
            super().act()

    def _read_back(self, order_id: str) -> None:
        read = self._send("GET", f"/v1/orders/{order_id}", None, keyed=False)
        if read.status in (403, 404):
            self.missing.append(f"{order_id}: {read.status} {read.code}")

    def _buy_scarce(self) -> None:
        key = next(self._keys)
        body = {
            "market": "GB",
            "lines": [{"offer_id": self._good.offer_id, "quantity": 1}],
            "total": {"amount_minor": PRICE_MINOR, "currency": "GBP"},
            "address": ADDRESS,
            "email": f"{key}@example.org",
            "payment": {"method": self._chance.choice(METHODS)},
        }
        self._send("POST", "/v1/checkouts", body, key=key)


class Crowd:
    """`size` shoppers who together begin `rate` actions a second, as long as they are answered."""

    def __init__(
        self,
        ports: Sequence[int],
        market: Market,
        good: Good,
        name: str,
        seed: int,
        size: int,
        rate: float,
    ) -> None:
        self.watch = Watch()
        self._every_s = size / rate
        self.defects: list[str] = []
        self.shoppers = []
        for number in range(size):
            turned = [*ports[number % len(ports) :], *ports[: number % len(ports)]]
            client = WatchedClient(turned, self.watch)
            self.shoppers.append(Shopper(client, market, good, f"{name}-{number}", seed))

    def at_work(self) -> AbstractContextManager[None]:
        """The crowd shops inside and has gone after, at most PATIENCE_S later."""
        return side_by_side(
            [partial(self._shop, number, shopper) for number, shopper in enumerate(self.shoppers)],
            [shopper.client for shopper in self.shoppers],
        )

    def asks(self) -> list[Ask]:
        """Everything that was asked under a key."""
        return [ask for shopper in self.shoppers for ask in shopper.client.journal]

    def missing(self) -> list[str]:
        """Acknowledged orders that could not be found when they were read."""
        return [text for shopper in self.shoppers for text in shopper.missing]

    def _shop(self, number: int, shopper: Shopper, stop: threading.Event) -> None:
        due = time.monotonic() + self._every_s * number / len(self.shoppers)
        while not stop.wait(max(0.0, due - time.monotonic())):
            try:
                shopper.act()
            except Unanswered:
                due = max(due, time.monotonic() + REST_S)
            except Exception as error:
                self.defects.append(f"{type(error).__name__}: {error}")
            due = max(
                due + self._every_s, time.monotonic()
            )  # late ones do not hurry: others wait in line too
