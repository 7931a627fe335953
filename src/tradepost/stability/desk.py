"""The desk where keys are changed: judged, written down with author and reason, then pushed through the centre.

The rows of our own database are the truth about who wanted what; the centre is how every process hears of it. What
was written down and not pushed, because the centre went away in between, is pushed when it is back.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tradepost.kernel.errors import Kind, Refusal, declare_problems
from tradepost.kernel.tx import Storage, Taken, Tx
from tradepost.kernel.world import World
from tradepost.stability import store
from tradepost.stability.centre import CentreUnavailable, ConfigCentre, Entry, WriteRaced
from tradepost.stability.keys import (
    RULES_MAX,
    Document,
    Rule,
    decode_document,
    encode_document,
    find_key,
    judge,
)
from tradepost.stability.live import LiveConfig
from tradepost.stability.store import DrillRecord, Version
from tradepost.stability.switches import find_switch

SET = "set"
ROLLBACK = "rollback"
PUSH_TRIES = 5
LOOK_EVERY_S = 5.0
OWN_WAIT_S = 1.0
REASON_LETTERS_MAX = 500
HISTORY_MAX = 200
log = logging.getLogger("tradepost.config")

declare_problems(
    {
        "config.version_unknown": (
            Kind.NOT_FOUND,
            "The key has no such version",
            "See `tradepost config history KEY` for its versions.",
        ),
        "config.reason_missing": (
            Kind.INVALID,
            "A change needs a reason",
            "Say in a sentence of at most 500 letters why; it stays in the history.",
        ),
    }
)


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """The whole document that shall be in force: UNSET is the default, rules come first. `seen` is the version seen."""

    value: Any | UnsetType = UNSET
    rules: Annotated[tuple[Rule, ...], Meta(max_length=RULES_MAX)] = ()
    seen: int = 0


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What is wanted for a key now, the centre's revision of its entry, and whether the history has it."""

    document: Document
    entry_revision: int
    recorded: bool


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """A version that is in the history. Not `pushed`: the centre went away; it will be pushed when it is back."""

    version: Version
    pushed: bool


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One member that two documents have differently; None where one of them has none."""

    path: str
    before: Any
    after: Any


class ConfigDesk:
    """Reads and writes of one platform. Any number of processes may have one: writers are told apart by versions."""

    def __init__(self, db: Storage, world: World, centre: ConfigCentre, live: LiveConfig) -> None:
        self.live = live
        self._db = db
        self._world = world
        self._centre = centre
        self._shard = db.shard_of(store.GENE)
        self._wake = asyncio.Event()
        live.on_return(self._wake.set)

    async def stand(self, name: str) -> Standing:
        """What is wanted for a key, by the centre and the history together; version 0 when it was never written.

        Raises Refusal `config.key_unknown` and `config.centre_unavailable`.
        """
        find_key(name)
        entry = await self._entry(name)
        newest = await self._db.read(self._shard, store.select_newest, name)
        document = Document(version=0)
        recorded = True
        if entry is not None and entry.text is not None:
            try:
                document = decode_document(entry.text)
            except Refusal:
                log.warning("the centre's document of %s is not one", name)
            recorded = newest is not None and newest.document == encode_document(document)
        if newest is not None and newest.version > document.version:
            document, recorded = decode_document(newest.document), True
        revision = entry.revision if entry is not None and entry.text is not None else 0
        return Standing(document=document, entry_revision=revision, recorded=recorded)

    async def set(self, name: str, wish: Wish, author: str, reason: str) -> Written:
        """Put a document in force everywhere, as the next version.

        Raises Refusal `config.key_unknown`, `config.value_invalid`, `config.audience_not_allowed`,
        `config.reason_missing`, `config.version_conflict` and `config.centre_unavailable`; nothing was changed then.
        """
        return await self._write(name, wish, author, reason, SET, 0)

    async def rollback(self, name: str, to: int, seen: int, author: str, reason: str) -> Written:
        """Put an earlier version's document in force again, as a new version; to 0 is the default.

        Raises Refusal as `set` does, and `config.version_unknown`.
        """
        document = Document(version=0)
        if to:
            document = decode_document((await self._version(name, to)).document)
        wish = Wish(value=document.value, rules=document.rules, seen=seen)
        return await self._write(name, wish, author, reason, ROLLBACK, to)

    async def _write(
        self, name: str, wish: Wish, author: str, reason: str, kind: str, from_version: int
    ) -> Written:
        key = find_key(name)
        _check_reason(reason)
        document = Document(version=wish.seen + 1, value=wish.value, rules=wish.rules)
        judge(key, document)
        stands = await self.stand(name)
        if stands.document.version != wish.seen:
            raise _conflict(name, stands.document.version)
        version = Version(
            key=name,
            version=document.version,
            kind=kind,
            document=encode_document(document),
            author=author,
            reason=reason,
            from_version=from_version,
            at_ms=self._world.now_ms(),
        )
        await self._db.transact(self._shard, _add_version, version)
        return Written(version=version, pushed=await self._push(version, stands.entry_revision))

    async def _push(self, version: Version, seen: int) -> bool:
        """Bring a version to the centre unless it has a newer one; whether that is done."""
        for _ in range(PUSH_TRIES):
            try:
                revision = await self._centre.write(version.key, version.document, seen)
                if self.live.following:  # whoever asks the process that wrote it gets it
                    await self.live.wait(revision - 1, OWN_WAIT_S)
                break
            except WriteRaced:
                entry = await self._entry(version.key)
                seen = entry.revision if entry is not None and entry.text is not None else 0
                if _version_of(entry) >= version.version:
                    break
            except CentreUnavailable as error:
                log.error("version %s of %s waits for the centre: %s", version.version, version.key, error)
                return False
        else:
            return False
        await self._db.transact(
            self._shard, store.note_pushed, version.key, version.version, self._world.now_ms()
        )
        return True

    async def push_waiting(self) -> int:
        """Push what the history has and the centre lacks; how many documents. Raises CentreUnavailable."""
        heads = await self._db.read(self._shard, store.select_heads)
        if not heads:
            return 0
        entries = (await self._centre.read()).entries
        pushed = 0
        for head in heads:
            entry = entries.get(head.key)
            if _version_of(entry) < head.version:
                log.warning("pushing version %s of %s, which the centre lacks", head.version, head.key)
                pushed += await self._push(head, entry.revision if entry and entry.text is not None else 0)
        return pushed

    async def run(self, stop: asyncio.Event) -> None:
        """Push what waits, every 5 s and whenever the centre comes back, until `stop` is set."""
        ending = asyncio.create_task(stop.wait())
        while not stop.is_set():
            try:
                await self.push_waiting()
            except (CentreUnavailable, Refusal) as error:
                log.debug("nothing is pushed just now: %s", error)
            self._wake.clear()
            waking = asyncio.create_task(self._wake.wait())
            await asyncio.wait((ending, waking), timeout=LOOK_EVERY_S, return_when=asyncio.FIRST_COMPLETED)
            waking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await ending

    async def history(self, name: str, before: int = 0, limit: int = 50) -> list[Version]:
        """Versions of a key, newest first; of every key without a name. At most 200."""
        limit = min(limit, HISTORY_MAX)
        if not name:
            return await self._db.read(self._shard, store.select_latest, limit)
        find_key(name)
        return await self._db.read(self._shard, store.select_versions, name, before, limit)

    async def diff(self, name: str, old: int, new: int) -> tuple[Difference, ...]:
        """What changed between two versions of a key; 0 is the default. Raises Refusal `config.version_unknown`."""
        find_key(name)
        documents = []
        for version in (old, new):
            documents.append(
                decode_document((await self._version(name, version)).document)
                if version
                else Document(version=0)
            )
        return compare(*documents)

    async def record_drill(self, record: DrillRecord) -> None:
        """Write down how a drill went. Raises Refusal `switch.unknown`."""
        find_switch(record.switch)
        await self._db.transact(self._shard, _add_drill, record)

    async def drills(self, switch: str, limit: int = 1) -> list[DrillRecord]:
        """The last drills of a switch, newest first."""
        return await self._db.read(self._shard, store.select_drills, find_switch(switch).name, limit)

    async def _version(self, name: str, version: int) -> Version:
        found = await self._db.read(self._shard, store.select_version, name, version)
        if found is None:
            raise Refusal("config.version_unknown", f"{name} has no version {version}.", field="version")
        return found

    async def _entry(self, name: str) -> Entry | None:
        try:
            return (await self._centre.read()).entries.get(name)
        except CentreUnavailable as error:
            raise Refusal("config.centre_unavailable", str(error)[:300]) from error


def _check_reason(reason: str) -> None:
    if not 0 < len(reason.strip()) <= REASON_LETTERS_MAX:
        raise Refusal(
            "config.reason_missing",
            "There is no reason, or a very long one.",
            field="reason",
            expected=f"1 to {REASON_LETTERS_MAX} letters",
        )


def _conflict(name: str, version: int) -> Refusal:
    return Refusal(
        "config.version_conflict",
        f"{name} is at version {version}.",
        field="seen_version",
        expected=str(version),
        extra={"version": version},
    )


def _add_version(tx: Tx, version: Version) -> None:
    try:
        store.insert_version(tx, version)
    except Taken:
        raise _conflict(version.key, version.version) from None


def _add_drill(tx: Tx, record: DrillRecord) -> None:
    with contextlib.suppress(Taken):  # the same record again
        store.insert_drill(tx, record)


def _version_of(entry: Entry | None) -> int:
    if entry is None or entry.text is None:
        return -1
    try:
        return decode_document(entry.text).version
    except Refusal:
        return -1


def compare(old: Document, new: Document) -> tuple[Difference, ...]:
    """The members that differ, by path."""
    before, after = _flat(old), _flat(new)
    return tuple(
        Difference(path=path, before=before.get(path), after=after.get(path))
        for path in sorted({*before, *after})
        if before.get(path, UNSET) != after.get(path, UNSET)
    )


def _flat(document: Document) -> Mapping[str, Any]:
    found: dict[str, Any] = {} if document.value is UNSET else {"value": document.value}
    for index, rule in enumerate(document.rules):
        for name, member in msgspec.to_builtins(rule).items():
            found[f"rules[{index}].{name}"] = member
    return found
