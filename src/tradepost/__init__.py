"""Tradepost: a trading centre for content commerce."""

__version__ = "0.1.0"
