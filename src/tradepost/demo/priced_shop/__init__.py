"""A shop whose orders were priced in every way: what `tradepost pricing replay` has to get right to the cent."""
