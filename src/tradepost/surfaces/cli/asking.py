"""Ask a running server as an operator: what commands that change a live shop are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx
import msgspec
from cyclopts import Parameter

from tradepost.kernel.errors import Kind, Refusal, declare_problems, problem_table
from tradepost.kernel.world import SystemWorld
from tradepost.settings import DEMO_KEYS
from tradepost.surfaces.cli.serve import read_settings

CALL_S = 10.0
EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104  what a server that listens everywhere hears

declare_problems(
    {
        "server.unreachable": (
            Kind.OVERLOADED,
            "No server answers at this address",
            "Start it, or name another one with --server http://HOST:PORT.",
        ),
        "server.refused": (
            Kind.INTERNAL,
            "The server refused in words that this version does not know",
            "Use a command of the server's version.",
        ),
    }
)


class Asking:
    """One server and one key. Raises the server's own Refusal, or `server.unreachable`."""

    def __init__(self, address: str, key: str) -> None:
        self.address = address.rstrip("/")
        self.key = key
        self._world = SystemWorld()
        self._client = httpx.Client(
            base_url=self.address,
            headers={"authorization": f"Bearer {key}"},
            timeout=CALL_S,
            trust_env=False,
        )

    def __enter__(self) -> Asking:
        """Itself; it connects when it asks."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connection."""
        self._client.close()

    def get(self, path: str, *, wait_s: float = 0, **query: object) -> Any:
        """The answer to a GET; empty and zero members of the query are left out."""
        return self._ask("GET", path, None, {}, {n: str(v) for n, v in query.items() if v}, CALL_S + wait_s)

    def send(self, method: str, path: str, body: Any) -> Any:
        """The answer to a write, under a key of its own that is used again when the connection breaks once."""
        headers = {"idempotency-key": f"cli-{self._world.chance(96):024x}"}
        return self._ask(method, path, body, headers, {}, CALL_S)

    def _ask(
        self,
        method: str,
        path: str,
        body: Any,
        headers: Mapping[str, str],
        query: Mapping[str, str],
        timeout_s: float,
    ) -> Any:
        content = None if body is None else msgspec.json.encode(body)
        sent = dict(headers) | ({"content-type": "application/json"} if content else {})
        try:
            try:
                answer = self._client.request(
                    method, path, content=content, headers=sent, params=query, timeout=timeout_s
                )
            except httpx.RemoteProtocolError:  # a connection that was closed while it rested
                answer = self._client.request(
                    method, path, content=content, headers=sent, params=query, timeout=timeout_s
                )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            words = str(error) or type(error).__name__
            raise Refusal(
                "server.unreachable", f"{self.address}: {words}.", expected="a running server"
            ) from error
        return read_answer(answer.status_code, answer.content)


def read_answer(status: int, body: bytes) -> Any:
    """The decoded body of a good answer; any other is raised as the Refusal it tells."""
    try:
        found = msgspec.json.decode(body)
    except msgspec.DecodeError:
        raise Refusal("server.refused", f"{status}: {body[:200]!r}") from None
    if status < 400:
        return found
    code, detail = str(found.get("code", "")), str(found.get("detail", ""))
    if code not in problem_table():
        raise Refusal("server.refused", f"{status} {code}: {detail}")
    raise Refusal(code, detail, field=str(found.get("field", "")), expected=str(found.get("expected", "")))


@Parameter(name="*")
@dataclass(frozen=True)
class Where:
    """Which server a command asks, as whom, and how it answers.

    Parameters
    ----------
    server
        Address of a running server; the one of the settings when left out.
    key
        An operator's API key; the one of the settings, else the demo shop's, when left out.
    config
        A TOML file of settings.
    json
        Print JSON instead of tables and sentences.
    """

    server: str = ""
    key: str = ""
    config: Path | None = None
    json: bool = False


HERE = Where()


def ask(where: Where) -> Asking:
    """The server and operator key of a command: as given, else as the settings say, else the demo shop's."""
    settings = read_settings(where.config)
    host = EVERY_ADDRESS.get(settings.server.host, settings.server.host)
    address = where.server or f"http://{host}:{settings.server.port}"
    return Asking(address, where.key or settings.security.operator_key or DEMO_KEYS["operator"])
