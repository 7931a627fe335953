"""Adapters of ports, nothing else; only app/ imports them."""
