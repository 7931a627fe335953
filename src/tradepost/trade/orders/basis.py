"""What an order was agreed upon beside its lines: campaigns, what they were asked with, and how the goods travel."""

from __future__ import annotations

import msgspec

from tradepost.trade.pricing import FrozenRate


class Redemption(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an order took of a campaign's limit: a hold under the order's id. `reissue` says when it is given back."""

    limit_id: str
    quantity: int
    reissue: str = ""


class PricedUnder(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What decided the price beside the lines, kept so that the same rules can price the order again.

    `edition` names the campaigns in force at `at_ms` (0: none were), `without` those left out because their limit
    was reached; `codes` are the coupons given, `segments` and `first_order` what was known of the buyer.
    """

    at_ms: int = 0
    edition: int = 0
    codes: tuple[str, ...] = ()
    segments: tuple[str, ...] = ()
    first_order: bool = False
    without: tuple[str, ...] = ()


NO_CAMPAIGNS = PricedUnder()


class Given(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What marks a line as a gift: the campaign and rule that gave it, and what of the order it stands for.

    It was earned by the lines `earned_by` of its own order, of which `least_units` worth `least_minor` at list price
    are to be kept; lines of other sellers count as kept. Without such lines nothing is asked.
    """

    campaign_id: str
    code: str
    earned_by: tuple[int, ...] = ()
    least_minor: int = 0
    least_units: int = 0


class MissedGift(msgspec.Struct, frozen=True, kw_only=True):
    """A gift that was earned and is not there: `why` is a stable word, such as `gift_sold_out`."""

    campaign_id: str
    code: str
    offer_id: str
    title: str
    quantity: int
    why: str


class Sending(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How an order is sent, as the buyer chose it: the method, and between which local dates it is to arrive.

    Dates are YYYY-MM-DD in the seller's time zone. Empty where the seller has no shipping terms.
    """

    method: str = ""
    title: str = ""
    from_date: str = ""
    by_date: str = ""
    parcels: int = 0


NO_SENDING = Sending()


class Conversion(msgspec.Struct, frozen=True, kw_only=True):
    """The rate an order's goods were sold at, whose seller is paid in `rate.sold` at it, without its margin.

    `sold_e4` has for each line the seller's unit price in `rate.sold`, in ten-thousandths of its minor unit; 0
    where the seller had a price in the order's currency.
    """

    rate: FrozenRate
    sold_e4: tuple[int, ...]
