"""The bench: every figure of the hot path in one run, with its goals, as JSON and as a page with plots."""

from tradepost.testing.bench.model import Bench, Figure, Options
from tradepost.testing.bench.run import MEASUREMENTS, ON_SERVERS, run_bench, run_profile

__all__ = ["MEASUREMENTS", "ON_SERVERS", "Bench", "Figure", "Options", "run_bench", "run_profile"]
