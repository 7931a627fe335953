"""Idempotency-Key: one effect a key. The answer is kept in the commit of the effect and given again at a repeat."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Concatenate, ParamSpec

import msgspec

from tradepost.events import idempotency
from tradepost.events.idempotency import Kept, key_reused
from tradepost.kernel.errors import Refusal
from tradepost.kernel.tx import Taken, Tx
from tradepost.surfaces.api.operation import Answer, Call

P = ParamSpec("P")
_encode = msgspec.json.Encoder().encode
REPLAYED = ((b"idempotency-replayed", b"true"),)


class KeyFacts(msgspec.Struct, frozen=True):
    """Where a key lies and which request it stands for; `status` is that of the answer to keep."""

    gene: int
    scope: str
    key: str
    request_hash: str
    status: int
    at_ms: int


class KeptAnswer(msgspec.Struct, frozen=True):
    """An answer and whether it was given before."""

    status: int
    body: bytes
    replayed: bool


def with_key(
    tx: Tx, facts: KeyFacts, work: Callable[Concatenate[Tx, P], Any], /, *args: P.args, **kwargs: P.kwargs
) -> KeptAnswer:
    """Run `work(tx, ...)` under a key: its encoded result commits with its effect, or an earlier one is given.

    Raises Refusal `idempotency.key_reused` when the key stands for another request, and whatever `work` raises;
    refusals are not kept.
    """
    kept = _find(tx, facts)
    if kept is not None:
        return kept
    body = _encode(work(tx, *args, **kwargs))
    keep_answer(tx, facts, body)
    return KeptAnswer(facts.status, body, False)


def find_answer(tx: Tx, facts: KeyFacts) -> KeptAnswer | None:
    """The answer kept under a key. Raises Refusal `idempotency.key_reused`."""
    return _find(tx, facts)


def keep_answer(tx: Tx, facts: KeyFacts, body: bytes) -> None:
    """Keep an answer in this commit; one that is there already stays."""
    try:
        idempotency.keep(
            tx,
            Kept(facts.gene, facts.scope, facts.key, facts.request_hash, facts.status, body, facts.at_ms),
        )
    except Taken:
        raise Refusal("idempotency.in_progress", "Another process answers this key just now.") from None


def _find(tx: Tx, facts: KeyFacts) -> KeptAnswer | None:
    kept = idempotency.find(tx, facts.gene, facts.scope, facts.key)
    if kept is None:
        return None
    if kept.request_hash != facts.request_hash:
        raise key_reused()
    return KeptAnswer(kept.status, kept.response, True)


class InFlight:
    """Keys whose first request still runs in this process; the others wait for it, but not for ever."""

    def __init__(self) -> None:
        self._running: dict[tuple[str, str], asyncio.Future[None] | None] = {}
        """A future only once somebody waits: most requests are nobody's twin."""

    async def run(self, scope: str, key: str, wait_ms: int, act: Callable[[], Awaitable[Any]]) -> Any:
        """Run `act` alone under its key. Raises Refusal `idempotency.in_progress` after waiting in vain."""
        name = (scope, key)
        running = self._running
        if name in running:
            await self._wait(name, wait_ms)
        running[name] = None
        try:
            return await act()
        finally:
            waited = running.pop(name)
            if waited is not None:
                waited.set_result(None)

    async def _wait(self, name: tuple[str, str], wait_ms: int) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_ms / 1000
        while name in self._running:
            first = self._running[name]
            if first is None:
                first = self._running[name] = loop.create_future()
            done, _ = await asyncio.wait([first], timeout=max(deadline - loop.time(), 0))
            if not done:
                raise Refusal(
                    "idempotency.in_progress", "The first request still runs.", field="Idempotency-Key"
                )


def key_facts(call: Call, gene: int, status: int = 200) -> KeyFacts:
    """The key of a call on the shard of its effect's gene. The scope is the party, so keys never meet across."""
    return KeyFacts(gene, call.principal.party_id, call.key, call.request_hash, status, call.now_ms())


async def transact_once(
    call: Call,
    gene: int,
    status: int,
    work: Callable[Concatenate[Tx, P], Any],
    *args: P.args,
    **kwargs: P.kwargs,
) -> Answer:
    """Run one work on the shard of a gene under the call's key; its encoded result is the answer."""
    facts = key_facts(call, gene, status)
    kept = await call.platform.db.transact(call.shard(gene), with_key, facts, work, *args, **kwargs)
    return given(kept)


async def story_once(call: Call, gene: int, status: int, story: Callable[[], Awaitable[Any]]) -> Answer:
    """Run a story of several commits under the call's key.

    Each of its steps must be safe to repeat, because the answer is kept in a commit of its own after them.
    """
    facts = key_facts(call, gene, status)
    db, shard = call.platform.db, call.shard(gene)
    kept = await db.read(shard, find_answer, facts)
    if kept is None:
        body = _encode(await story())
        kept = await db.transact(shard, _keep_or_find, facts, body)
    return given(kept)


def _keep_or_find(tx: Tx, facts: KeyFacts, body: bytes) -> KeptAnswer:
    kept = _find(tx, facts)
    if kept is not None:
        return kept
    keep_answer(tx, facts, body)
    return KeptAnswer(facts.status, body, False)


def given(kept: KeptAnswer) -> Answer:
    """The answer to send, marked when it was given before."""
    return Answer(kept.body, kept.status, headers=REPLAYED if kept.replayed else ())
