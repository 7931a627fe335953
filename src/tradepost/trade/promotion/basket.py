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


class GiftGoods(msgspec.Struct, frozen=True, kw_only=True):
    """Units of an offer that a rule may give as a line of their own, at list price; `missing` is why they cannot be."""

    offer_id: str
    seller_id: str
    sku_id: str
    quantity: int
    list_minor: int
    missing: str = ""


class Basket(msgspec.Struct, frozen=True, kw_only=True):
    """All that an adjustment strategy may know: it is pure, so the same basket gets the same answer.

    `codes` are the coupon codes the buyer gave; `unlocked` the campaigns that the caller found for them in its
    table of single-use codes. `segments` are the groups the buyer belongs to, `gifts` the goods that may be given.
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
    gifts: tuple[GiftGoods, ...] = ()


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
    """Units that a rule gives: of a SKU, `taken` are in the basket and free already; of an offer, they are a line.

    Such a line costs `list_minor` and `adjustments` take all of it off again; `missing` says why there is none. It was
    earned by the lines `earned_by`, of which so many units worth so much at list price are asked.
    """

    code: str
    campaign_id: str
    sku_id: str
    quantity: int
    taken: int
    version: int = 0
    offer_id: str = ""
    list_minor: int = 0
    adjustments: tuple[Adjustment, ...] = ()
    missing: str = ""
    earned_by: tuple[int, ...] = ()
    least_minor: int = 0
    least_units: int = 0

    @property
    def is_line(self) -> bool:
        """Whether it is given as a line of its own."""
        return bool(self.offer_id) and not self.missing


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
