"""Actors: what buyers, sellers, the provider's customers and operators do, one function a step kind."""

from tradepost.testing.simulation.actors.acts import ACTS

__all__ = ["ACTS"]
