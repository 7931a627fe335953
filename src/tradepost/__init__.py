"""Tradepost: a trading centre for content commerce."""

__version__ = "0.2.0"
