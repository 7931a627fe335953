"""Calculation cases from other people's test-suites, run through our production calculators and compared."""
