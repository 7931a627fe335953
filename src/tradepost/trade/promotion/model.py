"""The shape of a promotion engine: pure, from a basket to proposed adjustments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

Basket_contra = TypeVar("Basket_contra", contravariant=True)
Proposal_co = TypeVar("Proposal_co", covariant=True)


class Engine(Protocol[Basket_contra, Proposal_co]):
    """A strategy for the point `pricing.adjustments`: `pricing.Basket` in, `pricing.Proposal` rows out.

    It is told the moment and the scene, reads no clock and no database, and is asked once per quote. The types
    are parameters because pricing and promotion stand side by side and neither imports the other.
    """

    def __call__(self, basket: Basket_contra, /) -> Sequence[Proposal_co]:
        """Adjustments in the order they apply; each sees what the ones before it left."""
        ...
