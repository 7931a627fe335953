"""What a promotion is, as data: rules with an effect, a filter, conditions, stacking and funding; campaigns.

Everything decodes from TOML or JSON with msgspec and refuses unknown fields. Amounts are minor units of the
campaign's currency, percentages parts per million (150_000 is 15 %), shares basis points, moments milliseconds UTC.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

PPM = 1_000_000
"""The whole, in parts per million."""
RULES_MAX = 100
"""Rules of one campaign; more are refused when it is read."""
GIFT_UNITS_MAX = 100
"""Units of one gift; more are refused when a campaign is read."""
CODES_MAX = 1_000
"""Coupon codes written inside a campaign; beyond that codes live in a table and the caller unlocks the campaign."""


class RuleClass(StrEnum):
    """What a rule lowers: lines by themselves, an amount spread over lines, or shipping."""

    LINE = "line"
    ORDER = "order"
    SHIPPING = "shipping"


class Units(StrEnum):
    """Which units an effect takes first when it does not take all of them."""

    CHEAPEST = "cheapest"
    DEAREST = "dearest"


class Basis(StrEnum):
    """What a percentage is of: what the rules before it left, or the list price."""

    LEFT = "left"
    LIST = "list"


class TierBasis(StrEnum):
    """What a tier is measured by: the matching lines together, or each line alone."""

    AMOUNT = "amount"
    QUANTITY = "quantity"
    LINE_AMOUNT = "line_amount"
    LINE_QUANTITY = "line_quantity"


class Funder(StrEnum):
    """Who bears an adjustment."""

    SELLER = "seller"
    PLATFORM = "platform"
    CREATOR = "creator"


class Filter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Which lines. Fields left empty say nothing; those given must all hold, each by any of its values.

    `unit_price_*` and `list_price_equals` are minor units per unit at list price, bounds included. `line_nos`
    count from 1. `markets`, `segments` and `first_order` speak of the whole basket.
    """

    skus: tuple[str, ...] = ()
    products: tuple[str, ...] = ()
    offers: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    sellers: tuple[str, ...] = ()
    contents: tuple[str, ...] = ()
    creators: tuple[str, ...] = ()
    line_nos: tuple[int, ...] = ()
    except_skus: tuple[str, ...] = ()
    except_products: tuple[str, ...] = ()
    except_groups: tuple[str, ...] = ()
    unit_price_min: int | None = None
    unit_price_max: int | None = None
    list_price_equals: int | None = None
    markets: tuple[str, ...] = ()
    segments: tuple[str, ...] = ()
    first_order: bool | None = None


EVERYTHING = Filter()
"""The filter that every line passes."""


class Condition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What must hold for a rule to apply; every field given must hold.

    Amounts and quantities are those of the lines that pass `among` (all of them by default).
    """

    items_total_at_least: int | None = None
    quantity_at_least: int | None = None
    any_line_quantity_at_least: int | None = None
    contains_groups: tuple[str, ...] = ()
    contains_products: tuple[str, ...] = ()
    segments: tuple[str, ...] = ()
    first_order: bool | None = None
    among: Filter = EVERYTHING


class Percentage(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="percentage"
):
    """A part of the price; on at most `max_units` units (0: all), the `units` named first."""

    percent_ppm: int
    max_units: int = 0
    units: Units = Units.CHEAPEST


class Fixed(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="fixed"
):
    """An amount: off each unit for a line rule, off the whole once for an order or shipping rule."""

    amount_minor: int
    max_units: int = 0
    units: Units = Units.CHEAPEST


class SetTotal(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="kind",
    tag="set_to_total",
):
    """A new price: of each unit for a line rule, of the matching lines together for an order rule. Never dearer."""

    amount_minor: int


class Tier(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From this amount or quantity on (reached at the bound itself): a percentage or an amount."""

    at_least: int
    percent_ppm: int = 0
    amount_minor: int = 0


class TieredPercent(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="kind",
    tag="tiered_percent",
):
    """The percentage of the highest tier reached, `base_ppm` below all of them."""

    tiers: tuple[Tier, ...]
    base_ppm: int = 0
    basis: TierBasis = TierBasis.AMOUNT


class TieredFlat(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="tiered_flat"
):
    """The amount of the highest tier reached, `base_minor` below all of them, off the whole once."""

    tiers: tuple[Tier, ...]
    base_minor: int = 0
    basis: TierBasis = TierBasis.AMOUNT


class BuyGet(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="buy_x_get_y"
):
    """For each `buy_quantity` units that pass `buy`, `get_quantity` units that pass `get` cost less.

    No unit counts twice: units are bought first (those that could be no reward before the others, then
    `buy_units` first), and the rewards come from the rest (`units` first). Applied as often as the basket allows,
    at most `rounds_max` times and for at most `rewards_max` units (0: no bound); the last round may be short of
    rewards unless `whole_rounds`. With `own_units` no unit counts that an earlier offer with `own_units` counted,
    as bought or as rewarded.
    """

    buy_quantity: int
    get_quantity: int = 1
    buy: Filter = EVERYTHING
    get: Filter = EVERYTHING
    percent_ppm: int = PPM
    units: Units = Units.CHEAPEST
    buy_units: Units = Units.DEAREST
    rounds_max: int = 0
    rewards_max: int = 0
    whole_rounds: bool = False
    own_units: bool = False


class CheapestFree(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="kind",
    tag="cheapest_free",
):
    """The cheapest matching unit is free, or one for each full `every` units (3 for 2 is `every = 3`)."""

    every: int = 0
    units: Units = Units.CHEAPEST
    rounds_max: int = 0


class BundlePart(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """So many units that pass a filter."""

    quantity: int
    of: Filter = EVERYTHING


class BundlePrice(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="kind",
    tag="bundle_price",
):
    """The parts together for one price, dearest units first, as often as they are there; never dearer."""

    price_minor: int
    parts: tuple[BundlePart, ...]
    rounds_max: int = 0


class Gift(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="gift"
):
    """Units that are free, once for a basket.

    By `offer_id`: a line of its own, beside what is bought, of an offer whose seller sends some of the basket anyway.
    By `sku_id`: units the buyer put into the basket; what of them is not there is only named.
    """

    sku_id: str = ""
    offer_id: str = ""
    quantity: int = 1


class NthUnit(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="nth_unit"
):
    """Per line: an amount off its first unit and another off each one more, on at most `max_units` (0: all)."""

    first_minor: int
    additional_minor: int
    max_units: int = 0


Effect = (
    Percentage
    | Fixed
    | SetTotal
    | TieredPercent
    | TieredFlat
    | BuyGet
    | CheapestFree
    | BundlePrice
    | Gift
    | NthUnit
)


class Share(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who bears which part of a discount."""

    funder: Funder
    bps: int


SELLER_PAYS = (Share(funder=Funder.SELLER, bps=10_000),)


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One rule. `check_rule` says what may be written here beyond the types.

    Higher `priority` runs first. `exclusive`: the first exclusive rule that gives anything runs alone.
    `best_of`: of the rules that share this word only the one worth most runs. `stop_after`: when this rule gave
    anything, none of lower rank runs after it. `cap_minor` bounds what the rule gives in one basket (0: no bound).
    """

    code: str
    effect: Effect
    rule_class: RuleClass = msgspec.field(default=RuleClass.LINE, name="class")
    title: str = ""
    filter: Filter = EVERYTHING
    conditions: tuple[Condition, ...] = ()
    cap_minor: int = 0
    priority: int = 0
    exclusive: bool = False
    best_of: str = ""
    stop_after: bool = False
    basis: Basis = Basis.LEFT
    funding: tuple[Share, ...] = SELLER_PAYS


class Reissue(StrEnum):
    """When a use counts as not made: never, when the order is cancelled, or also when all of it is returned."""

    NEVER = "never"
    CANCELLED = "cancelled"
    REFUNDED = "refunded"


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How often a campaign may be used: orders placed with it. 0 is no bound; a day is the market's own."""

    total: int = 0
    per_buyer: int = 0
    per_day: int = 0
    per_content: int = 0
    budget_minor: int = 0
    reissue: Reissue = Reissue.CANCELLED


class Owner(StrEnum):
    """Whose campaign it is; a seller's touches that seller's lines only."""

    SELLER = "seller"
    PLATFORM = "platform"


class CampaignState(StrEnum):
    """Only an ACTIVE campaign is ever evaluated."""

    DRAFT = "DRAFT"
    ACTIVE = "ACTIVE"
    PAUSED = "PAUSED"
    ENDED = "ENDED"


class Campaign(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Rules that are offered together: by whom, where, when, by which codes, how often.

    It runs from `from_ms` until just before `until_ms` (0: without end), in the markets named (none: all) whose
    currency is `currency`. With `needs_code` it runs only for a buyer who gave one of `codes`, or whose code
    the caller found in its table and unlocked. The rules of one campaign share its limits.
    """

    campaign_id: str
    rules: tuple[Rule, ...]
    currency: str
    version: int = 1
    title: str = ""
    owner: Owner = Owner.PLATFORM
    seller_id: str = ""
    markets: tuple[str, ...] = ()
    scenes: tuple[str, ...] = ()
    from_ms: int = 0
    until_ms: int = 0
    needs_code: bool = False
    codes: tuple[str, ...] = ()
    limits: Limits = Limits()
    state: CampaignState = CampaignState.DRAFT

    def is_running(self, at_ms: int, market: str, currency: str, scene: str) -> bool:
        """Whether it is offered at a moment in a market, to everybody or to those who know a code."""
        return (
            self.state is CampaignState.ACTIVE
            and self.from_ms <= at_ms
            and (not self.until_ms or at_ms < self.until_ms)
            and self.currency == currency
            and (not self.markets or market in self.markets)
            and (not self.scenes or any(scene == one or scene.startswith(one + ".") for one in self.scenes))
        )
