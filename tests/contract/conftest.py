"""Servers of the contract suites; where they come from and who shares them stands in tests/conftest.py."""

from __future__ import annotations

from tests.helm_program import helm

__all__ = ["helm"]
