"""Draw docs/explanation/pricing.svg by pricing one basket: from the list price to what is paid, and who bears it.

python tools/draw_pricing.py          writes the picture
python tools/draw_pricing.py --check  ends with 1 when the committed one is stale
"""

from __future__ import annotations

import sys
from html import escape
from pathlib import Path

from tradepost.kernel.market import Market
from tradepost.kernel.money import to_major
from tradepost.trade import pricing, shipping, tax
from tradepost.trade.catalog import Component, Layer, OfferView, PriceWindow
from tradepost.trade.promotion import (
    BuyGet,
    Campaign,
    CampaignState,
    Condition,
    Fixed,
    Funder,
    Percentage,
    Promotions,
    Rule,
    RuleClass,
    Share,
)

PICTURE = Path(__file__).parent.parent / "docs" / "explanation" / "pricing.svg"
LEFT, ROW, TOP, WIDE, MARGIN = 250, 30, 40, 420, 24
COLOURS = {
    "kept": "#1f5fa8",
    "seller": "#d9822b",
    "platform": "#5a9e6f",
    "layer": "#b9b9b9",
    "tax": "#7f9fc6",
}
MARKET = Market(
    code="GB",
    name="United Kingdom",
    currency="GBP",
    locale="en_GB",
    time_zone="Europe/London",
    prices_include_tax=True,
    tax_rates_bps={"standard": 2_000},
)
Bar = tuple[str, int, int, str]
"""(what, from, to, colour), in minor units."""


def campaign(code: str, title: str, rule: Rule) -> Campaign:
    """A campaign in force."""
    return Campaign(campaign_id=code, title=title, rules=(rule,), currency="GBP", state=CampaignState.ACTIVE)


SHARED = (Share(funder=Funder.SELLER, bps=6_000), Share(funder=Funder.PLATFORM, bps=4_000))
CAMPAIGNS = (
    campaign("c1", "3 for 2", Rule(code="three", effect=BuyGet(buy_quantity=2))),
    campaign(
        "c2",
        "Coupon, 10 %",
        Rule(code="ten", effect=Percentage(percent_ppm=100_000), rule_class=RuleClass.ORDER, funding=SHARED),
    ),
    campaign(
        "c3",
        "Free shipping over 50.00",
        Rule(
            code="ship",
            effect=Fixed(amount_minor=399),
            rule_class=RuleClass.SHIPPING,
            conditions=(Condition(items_total_at_least=5_000),),
            funding=(Share(funder=Funder.PLATFORM, bps=10_000),),
        ),
    ),
)


def offer() -> OfferView:
    """A lamp at 30.00, at 26.00 in a flash sale."""
    return OfferView(
        offer_id="off_1",
        seller_id="sel_1",
        sku_id="sku_1",
        sku_code="LAMP",
        product_id="prd_1",
        title="Lamp",
        description="",
        image="",
        components=(Component(sku_id="sku_1", quantity=1),),
        markets=("GB",),
        prices=(
            PriceWindow(currency="GBP", price_e4=26_000_000, layer=Layer.FLASH, until_ms=100),
            PriceWindow(currency="GBP", price_e4=30_000_000),
        ),
        state="ACTIVE",
        seller_state="ACTIVE",
        fee_bps=0,
        version=1,
    )


def bars() -> list[Bar]:
    """The steps of one price, computed by the production engine."""
    lamp = offer()
    priced = pricing.price(
        [pricing.PriceLine(offer=lamp, quantity=3)],
        MARKET,
        50,
        tax=tax.by_category,
        ship=shipping.flat_rate(399),
        adjust=Promotions(CAMPAIGNS),
    )
    (line,), (charge,) = priced.lines, priced.shipping
    usual = 3 * (pricing.list_price(lamp, MARKET, 100) or 0) // 10_000
    found: list[Bar] = [("3 lamps, list price", 0, usual, "kept")]
    found.append(("flash price", line.list_minor, usual, "layer"))
    level = line.list_minor
    for change in line.adjustments:
        found.append(
            (f"{change.reason} ({change.funder})", level + change.amount_minor, level, change.funder)
        )
        level += change.amount_minor
    found.append(("the goods", 0, level, "kept"))
    found.append(("shipping", level, level + charge.list_minor, "kept"))
    for change in charge.adjustments:
        top = level + charge.list_minor
        found.append((f"{change.reason} ({change.funder})", top + change.amount_minor, top, change.funder))
    found.append(("what the buyer pays", 0, priced.total_minor, "kept"))
    found.append(("of it tax, 20 %", priced.total_minor - priced.tax_minor, priced.total_minor, "tax"))
    return found


def draw() -> str:
    """The whole picture; the same rules give the same text."""
    rows = bars()
    most = max(until for _, _, until, _ in rows)
    width, height = LEFT + WIDE + 110, TOP + ROW * len(rows) + MARGIN
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" role="img" '
        'aria-label="From the list price to what the buyer pays">',
        "<style>text{font:13px sans-serif;fill:#444}</style>",
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        f'<text x="{LEFT}" y="22">GBP; each step as the engine computed it, orange borne by the seller, green by the '
        "platform</text>",
    ]
    for number, (what, since, until, colour) in enumerate(rows):
        y = TOP + ROW * number
        x, end = LEFT + WIDE * since // most, LEFT + WIDE * until // most
        sign = "-" if colour in ("seller", "platform", "layer") else ""
        lines += [
            f'<text x="{LEFT - 10}" y="{y + 15}" text-anchor="end">{escape(what)}</text>',
            f'<rect x="{x}" y="{y}" width="{max(1, end - x)}" height="{ROW - 10}" fill="{COLOURS[colour]}"/>',
            f'<text x="{end + 6}" y="{y + 15}">{sign}{to_major(until - since, "GBP")}</text>',
        ]
    return "\n".join([*lines, "</svg>", ""])


if __name__ == "__main__":
    picture = draw()
    if "--check" not in sys.argv[1:]:
        PICTURE.write_text(picture, "utf-8")
    elif not PICTURE.is_file() or PICTURE.read_text("utf-8") != picture:
        sys.exit(f"{PICTURE.name} is stale: run python tools/draw_pricing.py")
