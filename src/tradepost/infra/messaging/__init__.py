"""The bus port's adapters: events delivered in this process."""
