"""The early path: what is shed, what is limited, what never is, and what the answers say."""

from __future__ import annotations

from typing import Any

import msgspec
from tests.api.conftest import Client, Shop

from tradepost.stability.admission import Admission, AdmissionTerms, Priority
from tradepost.stability.limiter import Limiter
from tradepost.stability.limits import By, LimitRule
from tradepost.surfaces.api import create_asgi
from tradepost.surfaces.api.routes import OPERATIONS


def client_of(shop: Shop, **more: Any) -> Client:
    """A client of the same platform with admission or limits."""
    return Client(create_asgi(msgspec.structs.replace(shop.platform, **more)), shop.buyer.token)


def full() -> Admission:
    admission = Admission(lambda: AdmissionTerms(capacity_per_s=1))
    while admission.decide(Priority.PAYMENT, 10**9) is None:
        pass
    return admission


async def test_a_full_shop_sheds_before_it_looks_at_anything(shop: Shop) -> None:
    admission = full()
    client = client_of(shop, admission=admission).using("nobody")
    reply = await client.post("/v1/checkouts", b"no json", key="")
    assert (reply.status, reply.code) == (503, "admission.shed")
    assert reply.headers["retry-after"] in {"1", "2", "3"}
    assert reply.json["reason"] == "capacity"
    assert (await client.get("/v1/offers")).code == "admission.shed"
    assert (await client.post("/v1/webhooks/sandbox", b"{}", key="")).code == "admission.shed"
    under_way = admission.under_way
    assert (await client.get("/health/live")).status == 200
    assert (await client.get("/metrics")).status == 200
    assert admission.under_way == under_way


async def test_a_hot_request_is_refused_from_its_head_alone(shop: Shop) -> None:
    admission = full()
    app = create_asgi(msgspec.structs.replace(shop.platform, admission=admission))
    shed = sum(admission.shed)
    answer = app.refuse_early(b"POST", b"/v1/checkouts")
    assert answer is not None
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert b"content-length: %d\r\n" % len(body) in head
    assert b"retry-after: " in head
    problem = msgspec.json.decode(body)
    assert (problem["code"], problem["reason"]) == ("admission.shed", "capacity")
    assert sum(admission.shed) == shed + 1
    assert app.refuse_early(b"PUT", b"/v1/config/keys/admission.capacity_per_s") is None
    assert app.refuse_early(b"POST", b"/v1/checkouts?x=1") is None  # served the usual way, and shed there
    roomy = create_asgi(msgspec.structs.replace(shop.platform, admission=Admission(AdmissionTerms)))
    assert roomy.refuse_early(b"POST", b"/v1/checkouts") is None


async def test_what_is_let_in_is_counted_out_again(shop: Shop) -> None:
    admission = Admission(AdmissionTerms)
    client = client_of(shop, admission=admission)
    assert (await client.get("/v1/offers?market=GB")).status == 200
    assert (await client.post("/v1/checkouts", b"no json")).status == 400
    assert (admission.under_way, admission.admitted) == (0, [0, 1, 1])


async def test_a_caller_beyond_his_limit_gets_429_and_the_name_of_the_limit(shop: Shop) -> None:
    rules = (LimitRule(name="apps", by=By.APP, requests=1, per_ms=60_000, burst=2),)
    client = client_of(shop, limiter=Limiter(lambda: rules, lambda: 10**12))
    statuses = [(await client.get("/v1/offers?market=GB")).status for _ in range(3)]
    assert statuses == [200, 200, 429]
    reply = await client.get("/v1/offers?market=GB")
    assert (reply.code, reply.json["limit"], reply.headers["retry-after"]) == ("limit.exceeded", "apps", "60")


async def test_an_operator_can_always_take_a_limit_back(shop: Shop) -> None:
    rules = (LimitRule(name="apps", by=By.APP, requests=1, per_ms=60_000, burst=1),)
    app = create_asgi(msgspec.structs.replace(shop.platform, limiter=Limiter(lambda: rules, lambda: 10**12)))
    client = Client(app, shop.operator.token)
    assert {(await client.get("/v1/config")).status for _ in range(5)} & {429, 503} == set()


def test_payment_results_come_first_and_settings_are_never_shed() -> None:
    first = {one.route for one in OPERATIONS if one.priority == Priority.PAYMENT}
    assert "POST /v1/webhooks/{provider}" in first
    assert {one.priority for one in OPERATIONS if one.path.startswith("/v1/config")} == {None}
    assert {one.priority for one in OPERATIONS if one.path == "/v1/checkouts" and one.method == "POST"} == {
        Priority.ORDER
    }
