"""Payouts: a party's balance on its way to its bank, through a port with two adapters."""
