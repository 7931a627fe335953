"""Products and SKUs: what a seller describes and counts."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from tradepost.kernel.ids import gene_of
from tradepost.surfaces.api.operation import Call, Routes
from tradepost.surfaces.api.words import Code, Id, Name, Text, Version, home
from tradepost.trade import catalog, parties
from tradepost.trade.catalog import Product, Sku

ROUTES = Routes("catalog")
SELLING = (parties.Role.SELLER, parties.Role.OPERATOR)
PRODUCT = {
    "code": "MUG-01",
    "title": "Stoneware mug",
    "description": "Holds 300 ml, glazed by hand.",
    "image": "https://img.example/mug.jpg",
    "tax_category": "standard",
    "groups": ["kitchen", "summer-2026"],
}
PRODUCT_ANSWER = {
    "product_id": "prd_01m4xk9v0c7s8p2q3r4t5v6w7x",
    "seller_id": "sel_01m4xk9v0c7s8p2q3r4t5v6w7x",
    **PRODUCT,
    "version": 1,
}
SKU_ANSWER = {
    "sku_id": "sku_01m4xk9v0c7s8p2q3r4t5v6w7x",
    "seller_id": "sel_01m4xk9v0c7s8p2q3r4t5v6w7x",
    "product_id": "prd_01m4xk9v0c7s8p2q3r4t5v6w7x",
    "code": "MUG-01-BLUE",
    "title": "Stoneware mug, blue",
    "components": [],
    "weight_g": 420,
    "version": 1,
}
PRODUCT_CODES = (
    "catalog.code_invalid",
    "catalog.text_invalid",
    "catalog.image_invalid",
    "catalog.group_invalid",
    "catalog.product_unknown",
    "catalog.code_taken",
    "version.conflict",
)
SKU_CODES = (
    "catalog.code_invalid",
    "catalog.text_invalid",
    "catalog.weight_invalid",
    "catalog.sku_unknown",
    "catalog.product_unknown",
    "catalog.code_taken",
    "catalog.component_unknown",
    "catalog.components_invalid",
    "version.conflict",
)


class SellerQuery(msgspec.Struct, frozen=True, kw_only=True):
    """For which seller; sellers leave it out, operators must name one."""

    seller_id: Annotated[str, Meta(max_length=64)] = ""


class ProductFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A product to enter or to change; its code stays. `version` is the one that was read, 0 for a new one.

    `groups` are names that campaigns may speak of: all it shall be in.
    """

    title: Name
    code: Code = ""
    description: Annotated[str, Meta(max_length=20_000)] = ""
    image: Text = ""
    tax_category: Name = "standard"
    groups: Annotated[tuple[Annotated[str, Meta(max_length=32)], ...], Meta(max_length=16)] = ()
    version: Version = 0


class KitPart(msgspec.Struct, frozen=True, kw_only=True):
    """So many of another SKU of the seller, by its code."""

    code: Code
    quantity: Annotated[int, Meta(ge=1, le=1_000)]


Weight = Annotated[int, Meta(ge=0, le=10_000_000, description="Grams of one, packed.")]


class NewSku(msgspec.Struct, frozen=True, kw_only=True):
    """A SKU to enter; a kit names what it consists of."""

    product_id: Id
    code: Code
    title: Name
    components: Annotated[tuple[KitPart, ...], Meta(max_length=50)] = ()
    weight_g: Weight = 0


class NewTitle(msgspec.Struct, frozen=True, kw_only=True):
    """Another title, and another weight where one is sent; `version` is the one that was read."""

    title: Name
    version: Version
    weight_g: Weight | None = None


def acting(call: Call, seller_id: str) -> tuple[str, int]:
    """The seller a call is for, and that seller's shard. Raises Refusal `auth.forbidden` or `id.invalid`."""
    found = parties.acting_seller(call.principal, seller_id)
    return found, home(call.platform.db, found, "seller")


@ROUTES.add(
    "POST",
    "/v1/products",
    body=ProductFacts,
    query=SellerQuery,
    returns=Product,
    status=201,
    scope="catalog:write",
    roles=SELLING,
    example=PRODUCT,
    answer=PRODUCT_ANSWER,
    codes=PRODUCT_CODES,
)
async def create_product(call: Call) -> Product:
    """Enter a product"""
    body: ProductFacts = call.body
    seller_id, shard = acting(call, call.query.seller_id)
    product = _product(body, call.platform.world.mint("product", gene_of(seller_id)), seller_id)
    return await call.platform.db.transact(shard, catalog.create_product, product, call.now_ms())


def _product(body: ProductFacts, product_id: str, seller_id: str) -> Product:
    return Product(
        product_id=product_id,
        seller_id=seller_id,
        code=body.code,
        title=body.title,
        description=body.description,
        image=body.image,
        tax_category=body.tax_category,
        version=body.version or 1,
        groups=body.groups,
    )


@ROUTES.add(
    "GET",
    "/v1/products/{product_id}",
    query=SellerQuery,
    returns=Product,
    roles=SELLING,
    answer=PRODUCT_ANSWER,
    codes=("catalog.product_unknown",),
)
async def get_product(call: Call) -> Product:
    """Read a product"""
    seller_id, shard = acting(call, call.query.seller_id)
    return await call.platform.db.read(shard, catalog.find_product, seller_id, call.path["product_id"])


@ROUTES.add(
    "PUT",
    "/v1/products/{product_id}",
    body=ProductFacts,
    query=SellerQuery,
    returns=Product,
    scope="catalog:write",
    roles=SELLING,
    example={**PRODUCT, "version": 1},
    answer={**PRODUCT_ANSWER, "version": 2},
    codes=PRODUCT_CODES,
)
async def change_product(call: Call) -> Product:
    """Write a product's texts; its offers follow in the same commit"""
    body: ProductFacts = call.body
    seller_id, shard = acting(call, call.query.seller_id)
    product = _product(body, call.path["product_id"], seller_id)
    return await call.platform.db.transact(shard, catalog.change_product, product, call.now_ms())


@ROUTES.add(
    "POST",
    "/v1/skus",
    body=NewSku,
    query=SellerQuery,
    returns=Sku,
    status=201,
    scope="catalog:write",
    roles=SELLING,
    example={
        "product_id": PRODUCT_ANSWER["product_id"],
        "code": "MUG-01-BLUE",
        "title": "Stoneware mug, blue",
        "weight_g": 420,
    },
    answer=SKU_ANSWER,
    codes=SKU_CODES,
)
async def create_sku(call: Call) -> Sku:
    """Enter a SKU or a kit"""
    body: NewSku = call.body
    world = call.platform.world
    seller_id, _ = acting(call, call.query.seller_id)
    sku = Sku(
        sku_id=world.mint("sku", world.gene()),
        seller_id=seller_id,
        product_id=body.product_id,
        code=body.code,
        title=body.title,
        weight_g=body.weight_g,
    )
    parts = [(part.code, part.quantity) for part in body.components]
    return await catalog.add_sku(call.platform.db, sku, world.now_ms(), components=parts)


@ROUTES.add(
    "GET",
    "/v1/skus/{sku_id}",
    query=SellerQuery,
    returns=Sku,
    roles=SELLING,
    answer=SKU_ANSWER,
    codes=("catalog.sku_unknown",),
)
async def get_sku(call: Call) -> Sku:
    """Read a SKU"""
    seller_id, shard = acting(call, call.query.seller_id)
    return await call.platform.db.read(shard, catalog.find_sku, seller_id, call.path["sku_id"])


@ROUTES.add(
    "PATCH",
    "/v1/skus/{sku_id}",
    body=NewTitle,
    query=SellerQuery,
    returns=Sku,
    scope="catalog:write",
    roles=SELLING,
    example={"title": "Stoneware mug, deep blue", "version": 1},
    answer={**SKU_ANSWER, "title": "Stoneware mug, deep blue", "version": 2},
    codes=SKU_CODES,
)
async def rename_sku(call: Call) -> Sku:
    """Give a SKU another title or weight; its offers follow in the same commit"""
    body: NewTitle = call.body
    seller_id, shard = acting(call, call.query.seller_id)
    return await call.platform.db.transact(
        shard,
        catalog.rename_sku,
        seller_id,
        call.path["sku_id"],
        body.title,
        body.version,
        call.now_ms(),
        weight_g=body.weight_g,
    )
