"""A whole platform in this process, and a client that speaks ASGI to it."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from tradepost.app import Parts, webhooks_to, wire
from tradepost.infra.payments.sandbox import SandboxProvider
from tradepost.infra.storage.sqlite import SqliteStorage
from tradepost.kernel.ids import gene_of
from tradepost.kernel.tx import Storage
from tradepost.kernel.world import World
from tradepost.settings import CheckoutSettings, Settings
from tradepost.stability.desk import ConfigDesk
from tradepost.surfaces.api import Platform, create_asgi
from tradepost.testing.world import TestWorld
from tradepost.trade import parties, payments

SECRET = b"a secret of 32 bytes for testing"
ADDRESS = {"name": "Ann Lee", "line1": "1 High St", "city": "Leeds", "postcode": "LS1 1AA", "country": "GB"}


class Reply(NamedTuple):
    """An answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def code(self) -> str:
        assert self.headers["content-type"] == "application/problem+json", self.body
        return str(self.json["code"])


class Client:
    """Requests straight into an ASGI application."""

    def __init__(self, app: Any, token: str = "") -> None:
        self.app = app
        self.token = token
        self.keys = 0

    def using(self, token: str) -> Client:
        return Client(self.app, token)

    async def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str | None = None,
        headers: dict[str, str] | None = None,
        chunks: int = 1,
    ) -> Reply:
        raw = body if isinstance(body, bytes) else b"" if body is None else msgspec.json.encode(body)
        path, _, query = path.partition("?")
        given = {"host": "test", "content-type": "application/json"} | (headers or {})
        if self.token:
            given.setdefault("authorization", f"Bearer {self.token}")
        if key is None and method not in ("GET", "HEAD"):
            self.keys += 1
            key = f"{self.token[-6:]}-{id(self)}-{self.keys}"
        if key:
            given["idempotency-key"] = key
        size = max(1, -(-len(raw) // chunks))
        parts = [raw[at : at + size] for at in range(0, len(raw), size)] or [b""]
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            if not parts:
                return {"type": "http.disconnect"}
            part = parts.pop(0)
            return {"type": "http.request", "body": part, "more_body": bool(parts)}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in given.items()],
            "client": ("127.0.0.1", 1),
            "server": ("test", 80),
            "state": {},
        }
        await self.app(scope, receive, send)
        start = sent[0]
        answer = b"".join(message.get("body", b"") for message in sent[1:])
        assert not sent[-1].get("more_body")
        assert not [pair for pair in start["headers"] if set(b"\r\n\0") & set(b"".join(pair))]
        names = {name.decode().lower(): value.decode() for name, value in start["headers"]}
        assert names["x-content-type-options"] == "nosniff"
        assert not [name for name in names if name.startswith("access-control-")]
        assert ("content-security-policy" in names) == names["content-type"].startswith("text/html")
        return Reply(start["status"], names, answer)

    async def get(self, path: str, **more: Any) -> Reply:
        return await self.request("GET", path, **more)

    async def post(self, path: str, body: Any = None, **more: Any) -> Reply:
        return await self.request("POST", path, body, **more)

    async def put(self, path: str, body: Any = None, **more: Any) -> Reply:
        return await self.request("PUT", path, body, **more)


class Shop(NamedTuple):
    """A platform with two sellers, an offer with stock each, a buyer and a storefront."""

    platform: Platform
    world: TestWorld
    operator: Client
    seller: Client
    other_seller: Client
    buyer: Client
    other_buyer: Client
    storefront: Client
    seller_id: str
    buyer_id: str
    sku_id: str
    offer_id: str
    other_offer_id: str

    async def buy(
        self, *, method: str = "sandbox_succeeds", quantity: int = 1, client: Client | None = None
    ) -> Any:
        """A placed checkout."""
        body = {
            "market": "GB",
            "lines": [{"offer_id": self.offer_id, "quantity": quantity}],
            "total": {"amount_minor": await self.total(quantity), "currency": "GBP"},
            "address": ADDRESS,
            "payment": {"method": method},
        }
        reply = await (client or self.buyer).post("/v1/checkouts", body)
        assert reply.status == 201, reply.body
        return reply.json

    async def total(self, quantity: int) -> int:
        """What the quantity costs."""
        lines = [{"offer_id": self.offer_id, "quantity": quantity}]
        reply = await self.buyer.post("/v1/quotes", {"market": "GB", "lines": lines})
        assert reply.status == 200, reply.body
        return int(reply.json["total"]["amount_minor"])


def make_platform(db: Storage, world: World, secret: bytes, config: ConfigDesk | None = None) -> Platform:
    """The wired rooms over this storage."""
    sandbox = SandboxProvider(world, "whsec_" + base64.b64encode(secret).decode())
    settings = Settings(checkout=CheckoutSettings(remorse_ms=0))
    platform = wire(
        Parts(
            db=db,
            world=world,
            providers=payments.Providers(sandbox),
            secret=secret,
            settings=settings,
            sandbox=sandbox,
            counted=db if isinstance(db, SqliteStorage) else None,
            config=config,
        )
    )
    sandbox.deliver_to(webhooks_to(platform))
    return platform


@pytest.fixture
async def platform(database_path: Path, world: TestWorld) -> AsyncIterator[Platform]:
    """A platform on a fresh file, its runtime stepped by hand."""
    db = SqliteStorage(database_path)
    yield make_platform(db, world, SECRET)
    await db.close()


async def make_key(platform: Platform, role: str, party_id: str = "") -> tuple[str, str]:
    """A party of a role and a key of it."""
    db, world = platform.db, platform.world
    party_id = party_id or parties.mint_party(world, role)
    shard = db.shard_of(gene_of(party_id))
    if role == "buyer":
        await db.transact(shard, parties.create_buyer, party_id, world.now_ms(), name="Ann")
    elif role == "seller":
        await db.transact(
            shard, parties.open_seller, party_id, world.now_ms(), name="Kiln", fee_bps=800, active=True
        )
    else:
        await db.transact(shard, parties.create_member, party_id, role, world.now_ms(), name=role)
    return party_id, (await parties.issue_key(db, world, party_id, role)).token


async def make_offer(client: Client, code: str, stock: int) -> tuple[str, str]:
    """A product, a SKU, its offer at 8.95 and its stock: (sku id, offer id)."""
    product = (await client.post("/v1/products", {"title": code, "code": code})).json
    sku = await client.post("/v1/skus", {"product_id": product["product_id"], "code": code, "title": code})
    sku_id = sku.json["sku_id"]
    terms = {"sku_id": sku_id, "markets": ["GB"], "prices": [{"currency": "GBP", "price": "8.95"}]}
    offer = await client.post("/v1/offers", terms)
    assert offer.status == 201, offer.body
    received = await client.post(f"/v1/stock/{sku_id}/receive", {"quantity": stock})
    assert received.status == 200, received.body
    return sku_id, offer.json["offer_id"]


@pytest.fixture
async def shop(platform: Platform, world: TestWorld) -> Shop:
    """See `Shop`."""
    nobody = Client(create_asgi(platform))
    made = [
        await make_key(platform, role)
        for role in ("operator", "seller", "seller", "buyer", "buyer", "storefront")
    ]
    operator, seller, other_seller, buyer, other_buyer, storefront = (
        nobody.using(token) for _, token in made
    )
    await platform.runtime.drain()
    sku_id, offer_id = await make_offer(seller, "MUG", 20)
    _, other_offer_id = await make_offer(other_seller, "CUP", 20)
    return Shop(
        platform,
        world,
        operator,
        seller,
        other_seller,
        buyer,
        other_buyer,
        storefront,
        made[1][0],
        made[3][0],
        sku_id,
        offer_id,
        other_offer_id,
    )
