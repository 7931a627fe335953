"""The payment provider port's adapters."""
