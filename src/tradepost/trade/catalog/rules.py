"""Pure decisions: usable codes and texts, price windows that do not overlap, kits flattened to plain SKUs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from tradepost.kernel.errors import Refusal
from tradepost.kernel.money import exponent_of
from tradepost.markets import market
from tradepost.trade.catalog.layers import check_layer, find_overlap, sort_windows
from tradepost.trade.catalog.model import (
    Component,
    Layer,
    Offer,
    OfferFacts,
    OfferTerms,
    OfferView,
    PriceWindow,
    Product,
    Sku,
)

CODE_MAX = 64
TITLE_MAX = 300
DESCRIPTION_MAX = 4_000
IMAGE_MAX = 500
PRICES_MAX = 64
COMPONENTS_MAX = 50
COMPONENT_QUANTITY_MAX = 1_000
LIMIT_MAX = 1_000_000
PRICE_MAX_E4 = 10**14
MOMENT_MAX_MS = 10**14
WEIGHT_MAX_G = 10_000_000
_POOL = re.compile(r"[a-z0-9_.-]{1,32}\Z")
_IMAGE = re.compile(r"(https?://|/)[!-~]*\Z")
_TAX = re.compile(r"[a-z0-9_]{1,32}\Z")
_GROUP = re.compile(r"[a-z0-9][a-z0-9_.-]{0,31}\Z")
GROUPS_MAX = 16


def accept_code(code: str, field: str = "code") -> str:
    """The code itself. Raises Refusal `catalog.code_invalid`; blanks at the ends would be lost by a database."""
    if not 1 <= len(code) <= CODE_MAX or not code.isprintable() or ";" in code or code != code.strip():
        raise Refusal("catalog.code_invalid", f"{code[:64]!r} is no usable code.", field=field)
    return code


def accept_text(text: str, length_max: int, field: str, *, needed: bool = True) -> str:
    """The trimmed text. Raises Refusal `catalog.text_invalid` when empty, too long or not printable."""
    trimmed = text.strip()
    printable = all(letter.isprintable() or letter in "\n\t" for letter in trimmed)
    if len(trimmed) > length_max or (needed and not trimmed) or not printable:
        raise Refusal(
            "catalog.text_invalid",
            f"The {field} is empty, too long or not printable.",
            field=field,
            expected=f"{1 if needed else 0} to {length_max} letters",
        )
    return trimmed


def accept_product(product: Product) -> Product:
    """The product with trimmed texts.

    Raises Refusal `catalog.code_invalid`, `catalog.text_invalid`, `catalog.image_invalid` or `catalog.group_invalid`.
    """
    image = product.image.strip()
    if image and (len(image) > IMAGE_MAX or not _IMAGE.match(image)):
        raise Refusal("catalog.image_invalid", "The image is no address.", field="image")
    if not _TAX.match(product.tax_category):
        raise Refusal(
            "catalog.text_invalid",
            f"{product.tax_category[:40]!r} is no tax category.",
            field="tax_category",
            expected="1 to 32 small letters, digits or _",
        )
    return Product(
        product_id=product.product_id,
        seller_id=product.seller_id,
        code=accept_code(product.code, "product_code"),
        title=accept_text(product.title, TITLE_MAX, "title"),
        description=accept_text(product.description, DESCRIPTION_MAX, "description", needed=False),
        image=image,
        tax_category=product.tax_category,
        version=product.version,
        groups=accept_groups(product.groups),
    )


def accept_groups(groups: Iterable[str]) -> tuple[str, ...]:
    """The names of groups in order, each once. Raises Refusal `catalog.group_invalid` for a bad name or too many."""
    found = tuple(sorted(set(groups)))
    bad = next((name for name in found if not _GROUP.match(name)), None)
    if bad is not None or len(found) > GROUPS_MAX:
        raise Refusal(
            "catalog.group_invalid",
            f"{len(found)} groups are too many." if bad is None else f"{bad[:40]!r} is no name of a group.",
            field="groups",
            expected=f"at most {GROUPS_MAX} names of 1 to 32 small letters, digits, _, . or -",
        )
    return found


def accept_weight(weight_g: int) -> int:
    """The grams themselves. Raises Refusal `catalog.weight_invalid` below 0 or above ten tonnes."""
    if not 0 <= weight_g <= WEIGHT_MAX_G:
        raise Refusal(
            "catalog.weight_invalid",
            f"{weight_g} g is no weight.",
            field="weight_g",
            expected=f"0 to {WEIGHT_MAX_G}",
        )
    return weight_g


def flatten(
    own_code: str, parts: Sequence[tuple[str, int]], known: Mapping[str, Sku]
) -> tuple[Component, ...]:
    """The plain SKUs a kit consists of, each once, quantities of nested kits multiplied and summed.

    `parts` are (code, quantity), `known` SKUs by code. A kit names only SKUs that exist before it and is never
    recomposed, so no cycle can arise. Raises Refusal `catalog.components_invalid` or
    `catalog.component_unknown`.
    """
    totals: dict[str, int] = {}
    for code, quantity in parts:
        if code == own_code:
            raise _components_invalid(f"{own_code} contains itself.")
        sku = known.get(code)
        if sku is None:
            raise Refusal(
                "catalog.component_unknown", f"There is no SKU with code {code[:64]!r}.", field="components"
            )
        if quantity < 1:
            raise _components_invalid(f"{quantity} of {code} is no quantity.")
        for leaf in sku.components or (Component(sku_id=sku.sku_id, quantity=1),):
            totals[leaf.sku_id] = totals.get(leaf.sku_id, 0) + leaf.quantity * quantity
    if len(totals) > COMPONENTS_MAX or max(totals.values(), default=0) > COMPONENT_QUANTITY_MAX:
        raise _components_invalid("The kit has too many components.")
    return tuple(Component(sku_id=sku_id, quantity=total) for sku_id, total in sorted(totals.items()))


def _components_invalid(detail: str) -> Refusal:
    return Refusal(
        "catalog.components_invalid",
        detail,
        field="components",
        expected=f"at most {COMPONENTS_MAX} SKUs, 1 to {COMPONENT_QUANTITY_MAX} of each",
    )


def accept_prices(prices: Sequence[PriceWindow]) -> tuple[PriceWindow, ...]:
    """The windows by precedence: layer, currency and time.

    Raises Refusal `money.currency_unknown`, `catalog.price_negative`, `catalog.prices_too_many`,
    `catalog.price_window_empty`, `catalog.price_layer_invalid` or `catalog.price_windows_overlap`.
    """
    if len(prices) > PRICES_MAX:
        raise Refusal(
            "catalog.prices_too_many", f"{len(prices)} prices.", field="prices", expected="at most 64"
        )
    for index, window in enumerate(prices):
        exponent_of(window.currency)
        if not 0 <= window.price_e4 <= PRICE_MAX_E4:
            raise Refusal(
                "catalog.price_negative", "A price is out of range.", field=f"prices[{index}].price"
            )
        ordered = 0 <= window.from_ms <= MOMENT_MAX_MS and 0 <= window.until_ms <= MOMENT_MAX_MS
        if not ordered or (window.until_ms and window.until_ms <= window.from_ms):
            raise Refusal(
                "catalog.price_window_empty", "A window has no time.", field=f"prices[{index}].until_ms"
            )
        check_layer(window, f"prices[{index}].layer")
    found = sort_windows(prices)
    overlap = find_overlap(found)
    if overlap is not None:
        raise Refusal(
            "catalog.price_windows_overlap",
            f"Two prices in {overlap.currency} hold at {overlap.from_ms}.",
            field="prices",
            extra={"currency": overlap.currency, "at_ms": overlap.from_ms},
        )
    return tuple(found)


def accept_terms(terms: OfferTerms) -> OfferTerms:
    """The terms with markets and prices in order.

    Raises Refusal `catalog.markets_invalid`, `market.unknown`, `catalog.market_without_price`,
    `catalog.pool_invalid`, `catalog.limit_invalid` or one of `accept_prices`.
    """
    markets = tuple(sorted(terms.markets))
    if not markets or len(set(markets)) != len(markets):
        raise Refusal("catalog.markets_invalid", "No market, or one twice.", field="markets")
    prices = accept_prices(terms.prices)
    currencies = {window.currency for window in prices if window.layer is Layer.LIST}
    if terms.convert_from and terms.convert_from not in currencies:
        raise Refusal(
            "catalog.market_without_price",
            f"There is no list price in {terms.convert_from[:10]!r} to convert.",
            field="convert_from",
            expected=" or ".join(sorted(currencies)),
        )
    for code in markets:
        currency = market(code).currency
        if currency not in currencies and not terms.convert_from:
            raise Refusal(
                "catalog.market_without_price",
                f"The market {code} needs a price in {currency}.",
                field="prices",
                expected=currency,
            )
    if not _POOL.match(terms.pool):
        raise Refusal("catalog.pool_invalid", f"{terms.pool[:40]!r} is no pool.", field="pool")
    for field, limit in (("limit_per_buyer", terms.limit_per_buyer), ("quantity_max", terms.quantity_max)):
        if not 0 <= limit <= LIMIT_MAX:
            raise Refusal("catalog.limit_invalid", f"{limit} is no limit.", field=field)
    if any(floor < 0 for floor in terms.floors.values()):
        raise Refusal("catalog.price_negative", "A floor is below zero.", field="floors")
    return OfferTerms(
        markets=markets,
        prices=prices,
        pool=terms.pool,
        limit_per_buyer=terms.limit_per_buyer,
        quantity_max=terms.quantity_max,
        floors=terms.floors,
        convert_from=terms.convert_from,
    )


def facts_of(product: Product, sku: Sku, terms: OfferTerms) -> OfferFacts:
    """What an offer row keeps, so that reading an offer is one row."""
    return OfferFacts(
        sku_code=sku.code,
        product_id=product.product_id,
        title=sku.title,
        description=product.description,
        image=product.image,
        tax_category=product.tax_category,
        components=sku.components or (Component(sku_id=sku.sku_id, quantity=1),),
        terms=terms,
        weight_g=sku.weight_g,
        groups=product.groups,
    )


def view_of(offer: Offer, seller_state: str, fee_bps: int, shipping_version: int = 0) -> OfferView:
    """The view of an offer under its seller's present facts."""
    facts, terms = offer.facts, offer.facts.terms
    return OfferView(
        offer_id=offer.offer_id,
        seller_id=offer.seller_id,
        sku_id=offer.sku_id,
        sku_code=facts.sku_code,
        product_id=facts.product_id,
        title=facts.title,
        description=facts.description,
        image=facts.image,
        tax_category=facts.tax_category,
        components=facts.components,
        markets=terms.markets,
        prices=terms.prices,
        pool=terms.pool,
        limit_per_buyer=terms.limit_per_buyer,
        quantity_max=terms.quantity_max,
        state=offer.state,
        seller_state=seller_state,
        fee_bps=fee_bps,
        version=offer.version,
        code=offer.code,
        floors=terms.floors,
        weight_g=facts.weight_g,
        shipping_version=shipping_version,
        groups=facts.groups,
        convert_from=terms.convert_from,
    )


def is_listed(state: str) -> bool:
    """Whether an offer in this state is shown to buyers."""
    return state == "ACTIVE"


def input_towards(state: str, wanted: str, allowed: Iterable[tuple[str, str, str]]) -> str:
    """The input that leads from one state to another in a table's rows; empty when there is none."""
    return next((given for at, given, following in allowed if (at, following) == (state, wanted)), "")
