"""The config centre of production: etcd 3.4 or newer through its JSON gateway.

Everything lies under one prefix, an entry's revision is its MOD revision, and a write is a transaction that
compares it. The watch starts behind a revision; while it is silent, the newest revision is asked for, so a frozen
server, a dead link and a watch that lost its way are noticed within a few seconds.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import httpx
import msgspec

from tradepost.stability.centre import (
    ENTRIES_MAX,
    CentreForgot,
    CentreUnavailable,
    Entry,
    Snapshot,
    WriteRaced,
)

PREFIX = "/tradepost/config/"
CALL_S = 2.0
CONNECT_S = 1.0
SILENT_S = 2.0
LINES_WAITING_MAX = 1_000


def _encode(text: bytes) -> str:
    return base64.b64encode(text).decode()


class EtcdCentre:
    """The port on a cluster. `addresses` are tried in turn, each call at one that answered last.

    `headers` go with each request (a gateway's credentials); TLS is what the address says, `verify` as httpx
    takes it. Every call ends within 2 s an address.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        *,
        prefix: str = PREFIX,
        headers: Mapping[str, str] | None = None,
        verify: Any = True,
        call_s: float = CALL_S,
        silent_s: float = SILENT_S,
    ) -> None:
        if not addresses:
            raise ValueError("a centre needs an address")
        self._addresses = [address.rstrip("/") for address in addresses]
        self._prefix = prefix.encode()
        self._call_s, self._silent_s = call_s, silent_s
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(call_s, connect=min(CONNECT_S, call_s)),
            limits=httpx.Limits(max_connections=8, max_keepalive_connections=4),
            headers=dict(headers or {}),
            verify=verify,
            trust_env=False,
        )

    async def read(self) -> Snapshot:
        """See `ConfigCentre.read`. More than 1,000 entries are refused as `CentreUnavailable`."""
        found = await self._call("/v3/kv/range", {**self._span(), "limit": ENTRIES_MAX})
        if found.get("more"):
            raise CentreUnavailable(f"more than {ENTRIES_MAX} entries under {self._prefix.decode()}")
        return Snapshot(_revision(found), self._entries(found.get("kvs", ())))

    async def write(self, name: str, text: bytes, seen: int) -> int:
        """See `ConfigCentre.write`."""
        key = _encode(self._prefix + name.encode())
        found = await self._call(
            "/v3/kv/txn",
            {
                "compare": [{"key": key, "target": "MOD", "result": "EQUAL", "mod_revision": str(seen)}],
                "success": [{"request_put": {"key": key, "value": _encode(text)}}],
            },
            repeat=False,
        )
        if not found.get("succeeded"):
            raise WriteRaced(name)
        return _revision(found)

    async def watch(self, after: int) -> AsyncIterator[Snapshot]:
        """See `ConfigCentre.watch`."""
        lines: asyncio.Queue[bytes | Exception] = asyncio.Queue(LINES_WAITING_MAX)
        reading = asyncio.create_task(self._stream(after, lines))
        seen, suspected = after, 0
        try:
            while True:
                try:
                    line = await asyncio.wait_for(lines.get(), self._silent_s)
                except TimeoutError:
                    newest = await self._newest()
                    if suspected > seen:
                        raise CentreUnavailable("the watch fell behind") from None
                    suspected = newest
                    continue
                if isinstance(line, Exception):
                    raise line
                change = self._change(line)
                if change is not None:
                    seen = max(seen, change.revision)
                    yield change
        finally:
            reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reading

    async def close(self) -> None:
        """Close every connection."""
        await self._client.aclose()

    async def _stream(self, after: int, lines: asyncio.Queue[bytes | Exception]) -> None:
        """Put the lines of one watch into the queue, and why it ended."""
        wish = {"create_request": {**self._span(), "start_revision": str(after + 1)}}
        timeout = httpx.Timeout(self._call_s, connect=min(CONNECT_S, self._call_s), read=None)
        try:
            async with self._client.stream(
                "POST", f"{self._addresses[0]}/v3/watch", json=wish, timeout=timeout
            ) as answer:
                if answer.status_code != 200:
                    raise CentreUnavailable(f"watch answered {answer.status_code}")
                async for line in answer.aiter_lines():
                    await lines.put(line.encode())
            await lines.put(CentreUnavailable("the watch ended"))
        except CentreUnavailable as error:
            await lines.put(error)
        except (httpx.HTTPError, OSError, ValueError) as error:
            self._turn()
            await lines.put(CentreUnavailable(_words(error)))

    def _change(self, line: bytes) -> Snapshot | None:
        """What a line of the watch tells, None for a mere sign of life."""
        try:
            message = msgspec.json.decode(line)
            if "error" in message:
                raise CentreUnavailable(str(message["error"])[:300])
            result = message["result"]
            if int(result.get("compact_revision", 0)):
                raise CentreForgot(f"compacted at {result['compact_revision']}")
            if result.get("canceled"):
                raise CentreUnavailable(f"the watch was cancelled: {result.get('cancel_reason', '')}")
            events = result.get("events", ())
            if not events:
                return None
            changes = {}
            for event in events:
                [entry] = self._entries([event["kv"]]).values()
                gone = event.get("type") == "DELETE"
                changes[entry.name] = Entry(entry.name, None, entry.revision) if gone else entry
            return Snapshot(max(entry.revision for entry in changes.values()), changes)
        except (msgspec.DecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise CentreUnavailable(f"the watch said {line[:100]!r}: {_words(error)}") from error

    async def _newest(self) -> int:
        """The newest revision of any entry: one key, no values."""
        found = await self._call(
            "/v3/kv/range",
            {**self._span(), "limit": 1, "keys_only": True, "sort_target": "MOD", "sort_order": "DESCEND"},
        )
        return max((entry.revision for entry in self._entries(found.get("kvs", ())).values()), default=0)

    async def _call(self, path: str, body: Mapping[str, Any], *, repeat: bool = True) -> dict[str, Any]:
        """One request; reads are repeated at the other addresses, writes never, because they may have happened."""
        error: Exception | None = None
        for _ in self._addresses if repeat else self._addresses[:1]:
            try:
                async with asyncio.timeout(self._call_s):
                    answer = await self._client.post(self._addresses[0] + path, json=body)
                if answer.status_code == 200:
                    found = msgspec.json.decode(answer.content)
                    if isinstance(found, dict):
                        return found
                error = CentreUnavailable(f"{path} answered {answer.status_code}: {answer.text[:200]}")
            except (httpx.HTTPError, OSError, TimeoutError, ValueError, msgspec.DecodeError) as raised:
                error = raised
            self._turn()
        raise CentreUnavailable(_words(error)) from error

    def _turn(self) -> None:
        """Try another address next."""
        self._addresses.append(self._addresses.pop(0))

    def _span(self) -> dict[str, str]:
        """Every key under the prefix."""
        end = self._prefix[:-1] + bytes([self._prefix[-1] + 1])
        return {"key": _encode(self._prefix), "range_end": _encode(end)}

    def _entries(self, rows: Sequence[Mapping[str, str]]) -> dict[str, Entry]:
        found = {}
        for row in rows:
            name = base64.b64decode(row["key"])[len(self._prefix) :].decode("utf-8", "replace")
            text = base64.b64decode(row.get("value", ""))
            found[name] = Entry(name, text, int(row.get("mod_revision", 0)))
        return found


def _revision(found: Mapping[str, Any]) -> int:
    return int(found.get("header", {}).get("revision", 0))


def _words(error: BaseException | None) -> str:
    return (str(error) or type(error).__name__)[:300]
