"""Links between the shop and its servers that can be made slow or cut, over toxiproxy's API."""

from __future__ import annotations

import http.client
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import msgspec

API_TIMEOUT_S = 10.0


class LinkRefused(RuntimeError):
    """toxiproxy did not do what was asked."""


class Links:
    """Named links, each from a port of its own to a server's port on this machine."""

    def __init__(self, api_url: str) -> None:
        self._host = urlsplit(api_url).netloc

    def lead(self, name: str, url: str, port: int) -> str:
        """The address that leads to the same server over a link that listens on `port`. Raises LinkRefused."""
        parts = urlsplit(url)
        link = {"name": name, "listen": f"127.0.0.1:{port}", "upstream": f"127.0.0.1:{parts.port}"}
        self._ask("POST", "/proxies", {**link, "enabled": True})
        place = parts.netloc.rpartition(":")[0]
        return urlunsplit(parts._replace(netloc=f"{place}:{port}"))

    def slow_down(self, name: str, latency_ms: int, jitter_ms: int = 0) -> None:
        """Every answer takes so much longer. Raises LinkRefused."""
        self._poison(name, "latency", {"latency": latency_ms, "jitter": jitter_ms})

    def cut(self, name: str) -> None:
        """Nothing passes in either direction, and nobody is told. Raises LinkRefused."""
        self._poison(name, "timeout", {"timeout": 0}, "upstream")
        self._poison(name, "timeout", {"timeout": 0}, "downstream")

    def heal(self) -> None:
        """Every link is as it was; connections over one that was cut are closed. Raises LinkRefused."""
        self._ask("POST", "/reset", None)

    def _poison(self, name: str, kind: str, attributes: dict[str, int], stream: str = "downstream") -> None:
        toxic = {"name": f"{kind}_{stream}", "type": kind, "stream": stream, "attributes": attributes}
        self._ask("POST", f"/proxies/{name}/toxics", toxic)

    def _ask(self, method: str, path: str, body: Any) -> None:
        connection = http.client.HTTPConnection(self._host, timeout=API_TIMEOUT_S)
        try:
            raw = b"" if body is None else msgspec.json.encode(body)
            connection.request(method, path, raw, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            said = answer.read()
        except OSError as error:
            raise LinkRefused(f"{method} {path}: {error}") from error
        finally:
            connection.close()
        if answer.status >= 300:
            raise LinkRefused(f"{method} {path}: {answer.status} {said[:200]!r}")
