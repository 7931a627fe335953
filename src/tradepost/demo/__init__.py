"""The demo shop: real goods, three sellers, a creator, keys that are known to everybody. Never for production."""

from tradepost.demo.load import DemoShop, load_demo
from tradepost.settings import DEMO_KEYS

__all__ = ["DEMO_KEYS", "DemoShop", "load_demo"]
