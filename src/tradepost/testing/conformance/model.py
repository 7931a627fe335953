"""What every kind of conformance case shares: the refusal to guess."""

from __future__ import annotations


class Unsupported(Exception):
    """A case asks for something the engine does not have. Its text says what, in words for the person who reads it."""
