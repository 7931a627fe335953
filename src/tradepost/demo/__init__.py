"""The demo shop: real goods, three sellers, a creator, keys that are known to everybody. Never for production."""

from tradepost.demo.load import DEMO_KEYS, DemoShop, load_demo

__all__ = ["DEMO_KEYS", "DemoShop", "load_demo"]
