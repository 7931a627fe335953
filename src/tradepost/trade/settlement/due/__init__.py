"""Orders whose money is on its way to being due: rows on the orders' shards."""
