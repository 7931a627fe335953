"""How processes of one installation answer a scrape together: each listens on a socket file in a private folder.

Whoever is scraped asks all others, within a bound, and gives one text. Counters stay where they are counted, so a
request pays nothing for it, and a process that is killed takes only its own series with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from pathlib import Path
from typing import Any

from tradepost.telemetry.asgi import AsgiApp
from tradepost.telemetry.metrics import CONTENT_TYPE
from tradepost.telemetry.texts import merge

ASK_WAIT_S = 1.0
"""How long a neighbour may take; a frozen one is told as down."""
TEXT_BYTES_MAX = 16 << 20
NEIGHBOURS_MAX = 256
SUFFIX = ".sock"

log = logging.getLogger("tradepost.worker")


class Neighbours:
    """One process among its neighbours. Use it as a context; without a folder it answers for itself alone."""

    def __init__(self, folder: str, name: str, starts: int, app: AsgiApp | None) -> None:
        self._folder = Path(folder) if folder else None
        self._name = name
        self._starts = starts
        self._app = app
        self._server: asyncio.Server | None = None
        self._inode = 0

    async def __aenter__(self) -> Neighbours:
        """Listen for questions."""
        if self._folder is not None:
            path = self._folder / f"{self._name}{SUFFIX}"
            path.unlink(missing_ok=True)
            self._server = await asyncio.start_unix_server(self._tell, path)
            self._inode = path.stat().st_ino
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop listening. The file goes only if no successor has put its own there."""
        if self._folder is None or self._server is None:
            return
        self._server.close()
        path = self._folder / f"{self._name}{SUFFIX}"
        with contextlib.suppress(OSError):
            if path.stat().st_ino == self._inode:
                path.unlink()

    async def answer(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a scrape for all; asks the neighbours while it reads its own numbers."""
        (head, own), others = await asyncio.gather(self._own(scope, receive), self._ask_all())
        if head["status"] == 200:
            up = {name: found for name, found in others.items() if found[0]}
            texts = [(self._name, own), *((name, text) for name, (_, text) in up.items())]
            starts = {self._name: self._starts} | {name: count for name, (count, _) in up.items()}
            own = merge(texts, starts, sorted(others.keys() - up.keys()))
        headers = [pair for pair in head["headers"] if pair[0] != b"content-length"]
        await send({**head, "headers": [*headers, (b"content-length", b"%d" % len(own))]})
        await send({"type": "http.response.body", "body": own})

    async def _own(self, scope: Any, receive: Any) -> tuple[dict[str, Any], bytes]:
        if self._app is None:
            plain = (b"content-type", CONTENT_TYPE.encode())
            return {"type": "http.response.start", "status": 200, "headers": [plain]}, b""
        heads: list[dict[str, Any]] = []
        parts: list[bytes] = []

        async def keep(message: Any) -> None:
            if message["type"] == "http.response.start":
                heads.append(dict(message))
            else:
                parts.append(message.get("body", b""))

        await self._app(scope, receive, keep)
        return heads[0], b"".join(parts)

    async def _tell(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A neighbour asks: how often this place was filled, then the text."""
        try:
            async with asyncio.timeout(ASK_WAIT_S):
                head, own = await self._own(_scope(), _nothing)
                writer.write(b"%d\n" % self._starts + (own if head["status"] == 200 else b""))
                await writer.drain()
        except (OSError, TimeoutError) as error:
            log.warning("a neighbour got no numbers: %s", error)
        finally:
            writer.close()

    async def _ask_all(self) -> dict[str, tuple[int, bytes]]:
        if self._folder is None:
            return {}
        names = sorted(entry.name for entry in os.scandir(self._folder) if entry.name.endswith(SUFFIX))
        asked = [
            name.removesuffix(SUFFIX) for name in names[:NEIGHBOURS_MAX] if name != f"{self._name}{SUFFIX}"
        ]
        answers = await asyncio.gather(*(self._ask(name) for name in asked))
        return dict(zip(asked, answers, strict=True))

    async def _ask(self, name: str) -> tuple[int, bytes]:
        """(starts, text) of a neighbour; (0, nothing) when it does not answer."""
        assert self._folder is not None
        try:
            async with asyncio.timeout(ASK_WAIT_S):
                reader, writer = await asyncio.open_unix_connection(self._folder / f"{name}{SUFFIX}")
                try:
                    text = await reader.read(TEXT_BYTES_MAX)
                    while more := await reader.read(TEXT_BYTES_MAX - len(text)):
                        text += more
                finally:
                    writer.close()
        except (OSError, TimeoutError):
            return 0, b""
        starts, _, found = text.partition(b"\n")
        return int(starts or b"0"), found


def _scope() -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/metrics",
        "raw_path": b"/metrics",
        "root_path": "",
        "query_string": b"",
        "headers": [],
        "client": None,
        "server": None,
        "state": {},
    }


async def _nothing() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}
