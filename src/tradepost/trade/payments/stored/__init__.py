"""Stored value: store credit and gift cards in the ledger, and the provider that pays with them."""
