"""What a campaign may give, said once before it is published: whose goods, and which."""

from __future__ import annotations

from tradepost.kernel.errors import Kind, Refusal, declare_problems
from tradepost.trade.catalog import OfferView
from tradepost.trade.checkout.context import Context
from tradepost.trade.checkout.gifts import unfit
from tradepost.trade.promotion import Campaign, Funder, Gift, Owner, Rule

declare_problems(
    {
        "promotion.gift_unfit": (
            Kind.UNPROCESSABLE,
            "This offer cannot be given",
            "Name another offer as `expected` says, or let the platform pay for it.",
        ),
    }
)


async def check_gifts(context: Context, campaign: Campaign) -> None:
    """Refuse a campaign whose gifts could never be given, or would cost somebody who agreed to nothing.

    A seller gives its own goods. Where a platform's campaign lets a seller pay for a gift, that seller's own goods are
    what earns it. Raises Refusal `promotion.gift_unfit`.
    """
    gifts = [
        (number, rule, rule.effect)
        for number, rule in enumerate(campaign.rules)
        if isinstance(rule.effect, Gift) and rule.effect.offer_id
    ]
    if not gifts:
        return
    offers = await context.book.get([gift.offer_id for _, _, gift in gifts])
    for number, rule, gift in gifts:
        expected = _fault(campaign, rule, gift, offers.get(gift.offer_id))
        if expected:
            raise Refusal(
                "promotion.gift_unfit",
                f"Campaign {campaign.campaign_id} cannot give offer {gift.offer_id[:60]!r}.",
                field=f"rules[{number}].effect.offer_id",
                expected=expected,
                extra={"offer_id": gift.offer_id[:60]},
            )


def _fault(campaign: Campaign, rule: Rule, gift: Gift, offer: OfferView | None) -> str:
    if offer is None:
        return "the id of an offer"
    if campaign.owner is Owner.SELLER and offer.seller_id != campaign.seller_id:
        return "an offer of the campaign's own seller"
    pays = any(share.funder is Funder.SELLER and share.bps for share in rule.funding)
    if campaign.owner is Owner.PLATFORM and pays and rule.filter.sellers != (offer.seller_id,):
        return "funding by the platform alone, or a filter that names the gift's seller alone"
    if all(window.currency != campaign.currency for window in offer.prices):
        return f"an offer with a price in {campaign.currency}"
    if offer.quantity_max and gift.quantity > offer.quantity_max:
        return f"at most {offer.quantity_max} units of this offer"
    return {"kit": "an offer of one SKU, not a kit", "floor": "an offer without a floor price"}.get(
        unfit(offer, campaign.currency), ""
    )
