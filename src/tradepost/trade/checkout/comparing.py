"""Many placed orders priced again, added up: where totals differ, by how much, for whom. Pure; minor units."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

import msgspec

from tradepost.kernel.errors import Refusal
from tradepost.kernel.market import Market
from tradepost.trade.checkout.repricing import Bought, Rules, reprice
from tradepost.trade.pricing import Priced

DIFFERENCES_TOLD = 50
DAY_MS = 86_400_000


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """A basket that costs something else now."""

    checkout_id: str
    currency: str
    was_minor: int
    now_minor: int


class Sums(msgspec.Struct, kw_only=True):
    """What baskets cost together: then and now, and what campaigns gave, in minor units of one currency."""

    baskets: int = 0
    changed: int = 0
    was_minor: int = 0
    now_minor: int = 0
    discount_was_minor: int = 0
    discount_now_minor: int = 0


class Comparison(msgspec.Struct, kw_only=True):
    """The whole of it. Sums are by currency, by (currency, day) and what funders bear by (currency, funder).

    `unknown` are baskets that cannot be priced, by why; `differences` tells the first 50 that changed.
    """

    orders: int = 0
    baskets: int = 0
    equal: int = 0
    by_currency: dict[str, Sums] = {}
    by_day: dict[str, dict[str, Sums]] = {}
    by_funder: dict[str, dict[str, tuple[int, int]]] = {}
    by_campaign: dict[str, dict[str, tuple[int, int]]] = {}
    unknown: dict[str, int] = {}
    differences: list[Difference] = []


def compare(baskets: Iterable[Bought], markets: Mapping[str, Market], rules: Rules) -> Comparison:
    """Every basket priced under these rules and held against what it cost."""
    found = Comparison(by_currency={}, by_day={}, by_funder={}, by_campaign={}, differences=[])
    unknown: Counter[str] = Counter()
    for basket in baskets:
        found.baskets += 1
        found.orders += len(basket.portions)
        where = markets.get(basket.market)
        if where is None:
            unknown["market"] += 1
            continue
        if _is_foreign(basket):
            unknown["other_strategy"] += 1
            continue
        try:
            priced = reprice(basket, where, rules)
        except KeyError:
            unknown["edition"] += 1
        except Refusal as refusal:
            unknown[refusal.code] += 1
        else:
            _add(found, basket, priced)
    found.unknown = dict(unknown)
    return found


def _add(found: Comparison, basket: Bought, priced: Priced) -> None:
    equal = priced.total_minor == basket.total_minor and _same_lines(basket, priced)
    found.equal += equal
    day = datetime.fromtimestamp(basket.at_ms // 1_000, UTC).date().isoformat()
    before, after = _given(basket), _gives(priced)
    for sums in (
        found.by_currency.setdefault(priced.currency, Sums()),
        found.by_day.setdefault(priced.currency, {}).setdefault(day, Sums()),
    ):
        sums.baskets += 1
        sums.changed += not equal
        sums.was_minor += basket.total_minor
        sums.now_minor += priced.total_minor
        sums.discount_was_minor += sum(before[0].values())
        sums.discount_now_minor += sum(after[0].values())
    for place, table in enumerate((found.by_funder, found.by_campaign)):
        rows = table.setdefault(priced.currency, {})
        for name in before[place].keys() | after[place].keys():
            was, now = rows.get(name, (0, 0))
            rows[name] = (was + before[place][name], now + after[place][name])
    if not equal and len(found.differences) < DIFFERENCES_TOLD:
        found.differences.append(
            Difference(
                checkout_id=basket.name,
                currency=priced.currency,
                was_minor=basket.total_minor,
                now_minor=priced.total_minor,
            )
        )


def _is_foreign(basket: Bought) -> bool:
    """Whether something else than a campaign changed a price: a strategy of a scene, the credit of an exchange."""
    return any(
        not change.campaign_id
        for portion in basket.portions
        for line in portion.lines
        for change in line.adjustments
    )


def _same_lines(basket: Bought, priced: Priced) -> bool:
    """Whether each line costs what it cost, and each seller's parcels."""
    lines = sorted(
        (place, line.total_minor)
        for portion in basket.portions
        for place, line in zip(portion.places, portion.lines, strict=True)
    )
    shipping = {portion.seller_id: portion.shipping_minor for portion in basket.portions}
    now = [line.total_minor for line in (*priced.lines, *priced.gifts)]
    return [total for _, total in lines] == now and shipping == {
        charge.seller_id: charge.amount_minor for charge in priced.shipping
    }


def _given(basket: Bought) -> tuple[Counter[str], Counter[str]]:
    """(by funder, by campaign) what the basket was given off its lines."""
    changes = [change for portion in basket.portions for line in portion.lines for change in line.adjustments]
    return _count((change.funder, change.campaign_id, change.amount_minor) for change in changes)


def _gives(priced: Priced) -> tuple[Counter[str], Counter[str]]:
    changes = [change for line in (*priced.lines, *priced.gifts) for change in line.adjustments]
    return _count((change.funder, change.campaign_id, change.amount_minor) for change in changes)


def _count(changes: Iterable[tuple[str, str, int]]) -> tuple[Counter[str], Counter[str]]:
    funders: Counter[str] = Counter()
    campaigns: Counter[str] = Counter()
    for funder, campaign_id, amount in changes:
        funders[str(funder)] -= amount
        campaigns[campaign_id] -= amount
    return funders, campaigns
