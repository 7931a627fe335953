"""Seals: each day of each gene's journal is closed by a digest that is chained to the day before (docs/adr/0053)."""
