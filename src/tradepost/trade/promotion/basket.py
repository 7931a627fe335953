"""What the engine is asked about and what it answers: baskets, adjustments, outcomes. Amounts in minor units."""

from __future__ import annotations

import msgspec

from tradepost.trade.promotion.model import Funder, RuleClass


class BasketLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line as the engine sees it, at list price. `floor_minor` is the least one unit may cost (0: free is fine)."""

    line_no: int
    offer_id: str
    seller_id: str
    sku_id: str
    product_id: str
    quantity: int
    unit_price_e4: int
    list_minor: int
    content_id: str = ""
    creator_id: str = ""
    groups: tuple[str, ...] = ()
    floor_minor: int = 0


class Basket(msgspec.Struct, frozen=True, kw_only=True):
    """All that an adjustment strategy may know: it is pure, so the same basket gets the same answer.

    `codes` are the coupon codes the buyer gave; `unlocked` the campaigns that the caller found for them in its
    table of single-use codes. `segments` are the groups the buyer belongs to.
    """

    market: str
    currency: str
    scene: str
    at_ms: int
    buyer_id: str
    codes: tuple[str, ...]
    lines: tuple[BasketLine, ...]
    unlocked: tuple[str, ...] = ()
    segments: tuple[str, ...] = ()
    first_order: bool = False


class Charge(msgspec.Struct, frozen=True, kw_only=True):
    """What one seller's parcels cost before shipping discounts, in the market's sense."""

    seller_id: str
    amount_minor: int


class Adjustment(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A signed change of one line or charge in minor units, with its reason and the one who bears it.

    A discount that several share is several adjustments of one code. `campaign_id` and `version` name the data
    that gave it (empty and 0: a strategy of its own), `rule_class` what it was taken off.
    """

    code: str
    reason: str
    funder: Funder
    amount_minor: int
    campaign_id: str = ""
    version: int = 0
    rule_class: RuleClass = RuleClass.LINE


class GiftUnits(msgspec.Struct, frozen=True, kw_only=True):
    """Units of a SKU that a rule gives: `taken` of them are in the basket and free already."""

    code: str
    campaign_id: str
    sku_id: str
    quantity: int
    taken: int


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """One use of a campaign by this basket: what its limits count. `coupon` is the code that opened it."""

    campaign_id: str
    version: int
    discount_minor: int
    coupon: str = ""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one rule: applied with so much per line number, or refused and why (`why` is a stable word).

    For a shipping rule the numbers are those of the charges. `units` tells how many units of each were lowered.
    """

    campaign_id: str
    version: int
    code: str
    title: str
    applied: bool
    why: str
    detail: str = ""
    amount_minor: int = 0
    rule_class: RuleClass = RuleClass.LINE
    lines: dict[int, int] = msgspec.field(default_factory=dict)
    units: dict[int, int] = msgspec.field(default_factory=dict)


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What the rules make of a basket: adjustments per line in basket order, gifts, uses, and the verdicts.

    `verdicts` is filled only when it was asked for.
    """

    lines: tuple[tuple[Adjustment, ...], ...]
    shipping: tuple[tuple[Adjustment, ...], ...] = ()
    gifts: tuple[GiftUnits, ...] = ()
    uses: tuple[Use, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
