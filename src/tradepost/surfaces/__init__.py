"""How people and programs reach the trading centre: HTTP, pages, terminal."""
