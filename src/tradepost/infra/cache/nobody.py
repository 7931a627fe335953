"""The cache port where there is none: several processes on one database, and nothing between them."""

from __future__ import annotations

from collections.abc import Sequence

from tradepost.stability.cache import CacheDown, Copy, Fill, Follower


class Nobody:
    """Always down: no hints, and what changed comes out of the database."""

    async def fetch(self, keys: Sequence[str]) -> list[Copy]:
        """Raises CacheDown."""
        raise CacheDown

    async def look(self, keys: Sequence[str]) -> list[bytes | None]:
        """Raises CacheDown."""
        raise CacheDown

    async def fill(self, fills: Sequence[Fill]) -> list[bool]:
        """Raises CacheDown."""
        raise CacheDown

    async def drop(self, keys: Sequence[str], mark: str = "") -> None:
        """Raises CacheDown."""
        raise CacheDown

    def follow(self, follower: Follower) -> None:
        """Nothing is ever heard."""

    def is_heard(self) -> bool:
        """Never."""
        return False

    async def close(self) -> None:
        """There is nothing to close."""
