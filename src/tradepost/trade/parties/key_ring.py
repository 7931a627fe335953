"""KeyRing: from a bearer token to its principal, out of memory where it can."""

from __future__ import annotations

from typing import TypeVar

from tradepost.kernel.errors import Refusal
from tradepost.kernel.ids import gene_for
from tradepost.kernel.tx import Signal, Storage
from tradepost.kernel.world import World
from tradepost.stability.signals import FORGET
from tradepost.trade.parties import rules, store
from tradepost.trade.parties.model import Principal

T = TypeVar("T")

REMEMBER_MS = 30_000
KEYS_MAX = 10_000
SECRET_BYTES_MIN = 16


class KeyRing:
    """Bounded memory of keys seen lately (30 s each), emptied of a key by the signal of its change.

    `secret` signs guest tokens and must stay the same across restarts. Raises ValueError when it is shorter than
    16 bytes.
    """

    def __init__(self, db: Storage, world: World, secret: bytes) -> None:
        if len(secret) < SECRET_BYTES_MIN:
            raise ValueError("the guest token secret needs 16 bytes or more")
        self._db = db
        self._world = world
        self._secret = secret
        self._known: dict[str, tuple[Principal, int, str]] = {}
        self._refused: dict[str, tuple[Refusal, int, str]] = {}
        self._changes = 0
        db.listen(self._hear)

    def peek(self, token: str) -> Principal | None:
        """The principal when it can be told without the database; None says: ask `find`."""
        entry = self._known.get(token)
        if entry is not None:
            return entry[0] if self._world.now_ms() < entry[1] else None
        if token.startswith("gst_"):
            try:
                return rules.admit_guest(token, self._secret, self._world.now_ms())
            except Refusal:
                return None
        return None

    async def find(self, token: str) -> Principal:
        """The principal of a bearer token.

        Raises Refusal `auth.missing` for none, `auth.invalid`, `auth.expired` or `auth.revoked`.
        """
        if not token:
            raise Refusal("auth.missing", "This needs a key.", expected="Authorization: Bearer <key>")
        if token.startswith("gst_"):
            return rules.admit_guest(token, self._secret, self._world.now_ms())
        found = self.peek(token)
        if found is not None:
            return found
        if not rules.looks_like_key(token):
            raise Refusal("auth.invalid", "This is neither an API key nor a guest token.")
        refused = self._refused.get(token)
        if refused is not None and self._world.now_ms() < refused[1]:
            raise refused[0].with_traceback(None)
        return await self._load(token)

    def guest_token(self, buyer_id: str) -> str:
        """The order access token of a guest. Raises Refusal `id.invalid` for an id that is no buyer's."""
        return rules.sign_guest(buyer_id, self._secret)

    async def _load(self, token: str) -> Principal:
        token_hash = rules.hash_token(token)
        before = self._changes
        key = await self._db.read(
            self._db.shard_of(gene_for(token_hash)), store.select_key_by_hash, token_hash
        )
        now_ms = self._world.now_ms()
        until_ms = now_ms + REMEMBER_MS
        # A key that changed while it was read is answered but not remembered.
        settled = before == self._changes
        try:
            principal = rules.admit(key, token_hash, now_ms)
        except Refusal as refusal:
            if settled:
                _remember(self._refused, token, (refusal, until_ms, token_hash))
            raise
        assert key is not None
        if settled:
            until_ms = min(until_ms, key.expires_at_ms or until_ms)
            _remember(self._known, token, (principal, until_ms, token_hash))
        return principal

    def _hear(self, signal: Signal) -> None:
        if signal.topic == FORGET:
            self._changes += 1
            self._known.clear()
            self._refused.clear()
            return
        if signal.topic != "key":
            return
        self._changes += 1
        for memory in (self._known, self._refused):
            for token in [token for token, entry in memory.items() if entry[2] == signal.key]:
                del memory[token]


def _remember(memory: dict[str, tuple[T, int, str]], token: str, entry: tuple[T, int, str]) -> None:
    memory.pop(token, None)
    if len(memory) >= KEYS_MAX:
        del memory[next(iter(memory))]
    memory[token] = entry
