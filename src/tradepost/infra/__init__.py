"""Adapters of ports, nothing else; only app.py imports them."""
