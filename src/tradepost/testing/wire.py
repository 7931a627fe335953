"""Prebuilt HTTP requests: their bytes, files of them, and the one place they may be sent to."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path


def build_request(
    method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
) -> bytes:
    """The bytes of one HTTP/1.1 request with a Content-Length."""
    given = {"Host": "localhost", **({"Content-Type": "application/json"} if body else {}), **(headers or {})}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items())]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


def write_requests(path: Path, requests: Iterable[bytes]) -> int:
    """Write length-prefixed requests for `--requests`; the number written."""
    count = 0
    with path.open("wb") as file:
        for request in requests:
            file.write(struct.pack(">I", len(request)) + request)
            count += 1
    return count


def read_requests(path: Path) -> list[bytes]:
    """The requests of a file that `write_requests` wrote."""
    data = path.read_bytes()
    found, at = [], 0
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        found.append(data[at + 4 : at + 4 + length])
        at += 4 + length
    return found


def check_loopback(host: str) -> str:
    """The address itself when it is this machine's loopback. Raises ValueError for any other host."""
    address = "127.0.0.1" if host == "localhost" else host
    try:
        local = ipaddress.ip_address(address).is_loopback
    except ValueError:
        local = False
    if not local:
        raise ValueError(f"{host} is not a loopback address: the load driver tests this machine only")
    return address
