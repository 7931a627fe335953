"""Tax: pure calculators from an amount, a category and a market to a rate and a tax."""

from tradepost.trade.tax.rules import TAXES, added_tax, by_category, included_tax, rate_of, share_of_rates

__all__ = ["TAXES", "added_tax", "by_category", "included_tax", "rate_of", "share_of_rates"]
