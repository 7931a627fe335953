"""Table definitions, one module per capability; imported by migrations and tests only, never on the hot path."""
