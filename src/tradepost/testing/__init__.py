"""Shipped for tests of Tradepost and of plugins: worlds, builders, fault injection, load driver."""
