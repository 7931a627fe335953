"""Simulation: the whole platform on virtual time, with faults at its ports and invariants after every step."""

from tradepost.testing.simulation.run import Failure, Report, run_steps, simulate
from tradepost.testing.simulation.weather import FAULTS

__all__ = ["FAULTS", "Failure", "Report", "run_steps", "simulate"]
