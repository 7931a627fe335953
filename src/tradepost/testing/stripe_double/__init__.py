"""A double of Stripe: PaymentIntents, refunds and webhooks over HTTP, after Stripe's documented state machines.

Shapes are recorded from stripe-mock (see shapes.json). It moves no money and decides nothing that Stripe does not
document; what it cannot know of the real one is listed in docs/how-to/take-payments-with-stripe.md.
"""

from tradepost.testing.stripe_double.double import Fault, StripeDouble
from tradepost.testing.stripe_double.methods import METHODS
from tradepost.testing.stripe_double.server import serving

__all__ = ["METHODS", "Fault", "StripeDouble", "serving"]
