"""A client that writes down what it asks before it asks, and every answer it got."""

from __future__ import annotations

import http.client
import time
from typing import Any

import msgspec

ANSWER_S = 30.0
IDLE_S = 2.0
_encode = msgspec.json.Encoder().encode


class Ask(msgspec.Struct, kw_only=True):
    """One request. `status` 0 means that no answer came: it may have been done or not."""

    kind: str
    method: str
    path: str
    body: bytes
    key: str
    token: str
    status: int = 0
    answer: bytes = b""
    replayed: bool = False

    @property
    def accepted(self) -> bool:
        """Whether the server said that it is done."""
        return 200 <= self.status < 300

    @property
    def code(self) -> str:
        """The problem code of a refusal, empty otherwise."""
        return "" if self.status < 400 else str(self.said().get("code", "?"))

    def said(self) -> Any:
        """The answer, decoded."""
        return msgspec.json.decode(self.answer) if self.answer else {}


class Unanswered(Exception):
    """The connection broke before the answer came."""


class Client:
    """One connection, one request at a time. `journal` keeps every request that had a key."""

    def __init__(self, port: int, journal: list[Ask] | None = None, *, patience_s: float = ANSWER_S) -> None:
        self.journal: list[Ask] = [] if journal is None else journal
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=patience_s)
        self._used_at = time.monotonic()

    def send(
        self, method: str, path: str, body: Any = None, *, token: str, key: str = "", kind: str = ""
    ) -> Ask:
        """Ask and wait. Raises Unanswered; the request then stands in the journal without a status."""
        raw = b"" if body is None else _encode(body)
        ask = Ask(kind=kind or path, method=method, path=path, body=raw, key=key, token=token)
        if key:
            self.journal.append(ask)
        return self.repeat(ask)

    def repeat(self, ask: Ask) -> Ask:
        """Send a request as it stands, byte by byte; its answer is written into it. Raises Unanswered."""
        headers = {"Authorization": f"Bearer {ask.token}", "Content-Type": "application/json"}
        if ask.key:
            headers["Idempotency-Key"] = ask.key
        if time.monotonic() - self._used_at > IDLE_S:
            self._connection.close()  # the server hangs up on the idle; this one is opened anew by itself
        self._used_at = time.monotonic()
        try:
            self._connection.request(ask.method, ask.path, ask.body, headers)
            answer = self._connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise Unanswered(str(error)) from error
        ask.answer, ask.status = body, answer.status
        ask.replayed = answer.headers.get("idempotency-replayed") == "true"
        return ask

    def turn_to(self, port: int) -> None:
        """Hang up; the next request goes to this port."""
        self._connection.close()
        self._connection.port = port

    def close(self) -> None:
        """Hang up."""
        self._connection.close()


def again(ask: Ask) -> Ask:
    """The same request, not answered yet."""
    return Ask(kind=ask.kind, method=ask.method, path=ask.path, body=ask.body, key=ask.key, token=ask.token)
