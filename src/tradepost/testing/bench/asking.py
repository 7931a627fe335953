"""The requests of the crowd as bytes, and the conversation of a whole checkout."""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from tradepost.testing.bench.shop import MARKET, Basket, Plan
from tradepost.testing.load import Conversation
from tradepost.testing.torture.crowd import ADDRESS
from tradepost.testing.torture.shop import KEYS
from tradepost.testing.wire import build_request

PLAN_FILE = "BENCH_PLAN"
METHOD = "sandbox_succeeds"
_encode = msgspec.json.Encoder().encode
_runs = itertools.count(1)


def place_requests(
    plan: Plan, baskets: Sequence[Basket], *, confirm: bool = False, count: int = 0
) -> Iterator[bytes]:
    """Buy-now requests of these baskets for buyers in turn, each under a key of its own."""
    run, chance = next(_runs), random.Random(len(baskets))
    bodies = [_encode(_placing(basket, confirm))[:-1] for basket in baskets]
    authorized = f"Bearer {KEYS['storefront']}"
    for number, buyer_id in enumerate(itertools.islice(itertools.cycle(plan.buyers), count or None)):
        body = b'%s,"buyer_id":"%s"}' % (chance.choice(bodies), buyer_id.encode())
        headers = {"Authorization": authorized, "Idempotency-Key": f"bench-{run}-{number}"}
        yield build_request("POST", "/v1/checkouts", body, headers)


def _placing(basket: Basket, confirm: bool) -> dict[str, object]:
    return {
        "market": MARKET,
        "lines": _lines(basket.offers),
        "total": {"amount_minor": basket.total_minor, "currency": "GBP"},
        "address": ADDRESS,
        "email": "ann@example.org",
        "payment": {"method": METHOD, "confirm": confirm},
    }


def _lines(offers: Sequence[str]) -> list[dict[str, object]]:
    return [{"offer_id": offer_id, "quantity": 1} for offer_id in offers]


def quote_requests(plan: Plan, offers: Sequence[str]) -> Iterator[bytes]:
    """The same quote, again and again."""
    body = _encode({"market": MARKET, "lines": _lines(offers), "buyer_id": plan.buyers[0]})
    request = build_request("POST", "/v1/quotes", body, {"Authorization": f"Bearer {KEYS['storefront']}"})
    return itertools.repeat(request)


def write_plan(plan: Plan, path: Path) -> None:
    """Leave the plan where the load driver's process finds it."""
    path.write_bytes(_encode(plan))


def conversations() -> Iterator[Conversation]:
    """Whole checkouts without end, of the plan in the file that the environment names."""
    plan = msgspec.json.decode(Path(os.environ[PLAN_FILE]).read_bytes(), type=Plan)
    chance = random.Random(2)
    for number, buyer_id in enumerate(itertools.cycle(plan.buyers)):
        yield _whole(chance.choice(plan.baskets), buyer_id, f"whole-{os.getpid()}-{number}")


def _whole(basket: Basket, buyer_id: str, key: str) -> Conversation:
    """Open a cart with two lines, ask for a quote, place it and pay. Ends early when something is refused."""
    status, body = yield _post("/v1/carts", {"market": MARKET, "buyer_id": buyer_id})
    if status != 201:
        return
    cart_id = _text(body, b'"cart_id":"')
    lines = _lines(basket.offers)
    status, _ = yield _post(f"/v1/carts/{cart_id}/lines?buyer_id={buyer_id}", {"lines": lines}, "PUT")
    if status != 200:
        return
    status, body = yield _post("/v1/quotes", {"market": MARKET, "lines": lines, "buyer_id": buyer_id})
    if status != 200:
        return
    placing = {
        "quote": _text(body, b'"quote":"'),
        "address": ADDRESS,
        "email": "ann@example.org",
        "payment": {"method": METHOD},
        "buyer_id": buyer_id,
    }
    yield _post("/v1/checkouts", placing, key=key)


def _post(path: str, body: object, method: str = "POST", key: str = "") -> bytes:
    headers = {"Authorization": f"Bearer {KEYS['storefront']}"}
    if key:
        headers["Idempotency-Key"] = key
    return build_request(method, path, _encode(body), headers)


def _text(body: bytes, before: bytes) -> str:
    start = body.index(before) + len(before)
    return body[start : body.index(b'"', start)].decode()
