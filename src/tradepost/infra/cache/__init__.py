"""Adapters of the cache, limit and capacity ports: in memory for one process, Redis for several."""
