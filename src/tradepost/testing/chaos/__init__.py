"""Chaos: the whole shop on the servers of production under load, while one part after the other is killed, frozen,
slowed, cut off, filled or put out of time; what was acknowledged must stand, and it must get well by itself."""
