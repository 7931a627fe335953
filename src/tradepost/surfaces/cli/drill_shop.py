"""A shop under a small load during a drill: what it answered, to whom, and what must not happen."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Any, NamedTuple

import httpx
import msgspec

from tradepost.kernel.errors import Kind, Refusal, declare_problems
from tradepost.kernel.world import SystemWorld

CALL_S = 10.0
SETTLE_S = 1.0
REQUESTS_MAX = 20_000
ORDERS_MAX = 200
ADDRESS = {
    "name": "Drill",
    "line1": "1 High Street",
    "city": "London",
    "postcode": "SW1Y 4JH",
    "region": "London",
}

declare_problems(
    {
        "drill.nothing_to_buy": (
            Kind.CONFLICT,
            "The shop has no offer to drill with",
            "Offer something that is in stock in any market, or load the demo shop.",
        ),
    }
)


class Reply(NamedTuple):
    """One answer. `degraded` are the switches that its header names."""

    status: int
    code: str
    degraded: tuple[str, ...]
    retry_after: str
    body: Any

    @property
    def fine(self) -> bool:
        """Whether it is a success."""
        return 200 <= self.status < 300


class DrillShop:
    """Asks as an operator, which may act for any buyer, and counts every answer.

    `places_orders` lets the load and the proofs place orders with the sandbox's method.
    """

    def __init__(self, address: str, key: str, switch: str, *, places_orders: bool) -> None:
        self.switch = switch
        self.places_orders = places_orders
        self.answers: Counter[str] = Counter()
        self.wrong: Counter[str] = Counter()
        self.slowest_ms = 0
        self.placed: list[str] = []
        self.market = self.offer_id = ""
        self._world = SystemWorld()
        self._expect: bool | None = None
        self._expect_from = 0.0
        self._client = httpx.AsyncClient(
            base_url=address.rstrip("/"),
            headers={"authorization": f"Bearer {key}"},
            timeout=CALL_S,
            limits=httpx.Limits(max_connections=40),
            trust_env=False,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    def expect_header(self, wanted: bool | None) -> None:
        """From one second on each answer must name the switch, or must not; None stops looking."""
        self._expect, self._expect_from = wanted, time.monotonic() + SETTLE_S

    async def ask(self, method: str, path: str, body: Any = None) -> Reply:
        """One answer, counted. A failed connection is an answer of status 0."""
        began = time.monotonic()
        headers = {"idempotency-key": f"drill-{self._world.chance(96):024x}"} if method != "GET" else {}
        content = None if body is None else msgspec.json.encode(body)
        if content is not None:
            headers["content-type"] = "application/json"
        try:
            answer = await self._client.request(method, path, content=content, headers=headers)
        except httpx.HTTPError as error:
            self.wrong[f"{type(error).__name__} at {method} {path[:40]}"] += 1
            return Reply(0, "", (), "", None)
        self.slowest_ms = max(self.slowest_ms, int((time.monotonic() - began) * 1000))
        reply = _read(answer)
        self.answers[f"{reply.status} {reply.code}".strip()] += 1
        if reply.status >= 500 and reply.status != 503:
            self.wrong[f"{reply.status} {reply.code} at {method} {path[:40]}"] += 1
        named = self.switch in reply.degraded
        if self._expect is not None and began > self._expect_from and named is not self._expect:
            self.wrong["header missing" if self._expect else "header left over"] += 1
        return reply

    async def find_offer(self) -> None:
        """Choose an offer that can be bought now. Raises Refusal `drill.nothing_to_buy`."""
        for market in (await self.ask("GET", "/v1/markets")).body["items"]:
            found = await self.ask("GET", f"/v1/offers?market={market['code']}&limit=20")
            for offer in found.body["items"] if found.fine else ():
                self.market, self.offer_id = market["code"], offer["offer_id"]
                if (await self.quote()).fine:
                    return
        raise Refusal("drill.nothing_to_buy", "No offer of any market can be quoted.")

    async def quote(self, offer_id: str = "") -> Reply:
        """Price one piece for a new guest."""
        lines = [{"offer_id": offer_id or self.offer_id, "quantity": 1}]
        return await self.ask("POST", "/v1/quotes", {"market": self.market, "lines": lines})

    async def open_cart(self, buyer_id: str = "") -> Reply:
        """Open a cart for a new guest, or a buyer."""
        return await self.ask("POST", "/v1/carts", {"market": self.market, "buyer_id": buyer_id})

    async def place_order(self) -> Reply:
        """Place one order with the sandbox's method; its id is kept when it is acknowledged."""
        quoted = await self.quote()
        if not quoted.fine:
            return quoted
        body = {
            "quote": quoted.body["quote"],
            "buyer_id": quoted.body["buyer_id"],
            "address": {**ADDRESS, "country": self.market},
            "payment": {"method": "sandbox_succeeds"},
        }
        reply = await self.ask("POST", "/v1/checkouts", body)
        if reply.fine:
            self.placed += [one["order_id"] for one in reply.body["orders"]]
        return reply

    async def read_order(self, order_id: str) -> Reply:
        """An order as the API shows it."""
        return await self.ask("GET", f"/v1/orders/{order_id}")

    async def load(self, workers: int, stop: asyncio.Event) -> None:
        """Browse, quote, open carts and, where allowed, buy, until told to stop; at most 20,000 requests."""
        await asyncio.gather(*(self._work(number, stop) for number in range(workers)))

    async def _work(self, number: int, stop: asyncio.Event) -> None:
        turn = number
        while not stop.is_set() and sum(self.answers.values()) < REQUESTS_MAX:
            turn += 1
            if turn % 10 < 5:
                await self.quote()
            elif turn % 10 < 7:
                await self.ask("GET", f"/v1/offers/{self.offer_id}")
            elif turn % 10 == 7:
                await self.open_cart()
            elif turn % 10 == 8 and self.placed:
                await self.read_order(self.placed[turn % len(self.placed)])
            elif self.places_orders and len(self.placed) < ORDERS_MAX:
                await self.place_order()
            if self.wrong.total() > 100:
                await asyncio.sleep(0.1)  # a server that is down is not hammered


def _read(answer: httpx.Response) -> Reply:
    try:
        body = msgspec.json.decode(answer.content)
    except msgspec.DecodeError:
        body = None
    named = answer.headers.get("tradepost-degraded", "")
    return Reply(
        answer.status_code,
        str(body.get("code", "")) if isinstance(body, dict) and answer.status_code >= 400 else "",
        tuple(one.strip() for one in named.split(",") if one.strip()),
        answer.headers.get("retry-after", ""),
        body,
    )
