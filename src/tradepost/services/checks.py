"""Whether a server answers, asked in its own protocol. Each check takes an address and returns what it saw."""

from __future__ import annotations

import http.client
import socket
from contextlib import closing
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

import msgspec

from tradepost.services.model import Unready

TIMEOUT_S = 5


def check_redis(url: str) -> str:
    """PING, after AUTH where the address holds a password."""
    place = urlsplit(url)
    lines = []
    if place.password:
        words = [b"AUTH", *([unquote(place.username).encode()] if place.username else [])]
        lines.append(_redis_words(*words, unquote(place.password).encode()))
    lines.append(_redis_words(b"PING"))
    try:
        with socket.create_connection(_host(place, 6379), TIMEOUT_S) as link, link.makefile("rb") as answers:
            link.sendall(b"".join(lines))
            for _ in lines:
                said = answers.readline().strip()
    except OSError as error:
        raise Unready(str(error)) from error
    if said != b"+PONG":
        raise Unready(said.decode(errors="replace") or "it closed the connection")
    return "PONG"


def _redis_words(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


def check_etcd(url: str) -> str:
    """Its health, which includes a quorum read."""
    said = get_json(url, "/health")
    if str(said.get("health")) != "true":
        raise Unready(f"health: {said}")
    return f"healthy, version {get_json(url, '/version').get('etcdserver', '?')}"


def check_mysql(url: str) -> str:
    """A SQL ping with the user and password of the address."""
    with closing(connect_mysql(url)) as link:
        return f"version {str(link.get_server_info()).removeprefix('5.5.5-')}"


def check_vitess(url: str) -> str:
    """SHOW VITESS_SHARDS and SHOW VITESS_TABLETS: every shard of the gateway has a primary that serves."""
    shards = [str(row[0]) for row in _ask_vitess(url, "SHOW VITESS_SHARDS")]
    tablets = _ask_vitess(url, "SHOW VITESS_TABLETS")
    serving = {f"{row[1]}/{row[2]}" for row in tablets if (row[3], row[4]) == ("PRIMARY", "SERVING")}
    silent = [shard for shard in shards if shard not in serving]
    if not shards or silent:
        raise Unready(f"no primary serves {', '.join(silent)}" if shards else "it serves no shard")
    return "shards " + ", ".join(shards)


def _ask_vitess(url: str, question: str) -> list[Any]:
    import pymysql  # noqa: PLC0415  the driver is needed by those who ask a database only

    with closing(connect_mysql(url)) as link, link.cursor() as cursor:
        try:
            cursor.execute(question)
            return list(cursor.fetchall())
        except pymysql.MySQLError as error:
            raise Unready(str(error)) from error


def connect_mysql(url: str) -> Any:
    """A connection to the database that a mysql:// or vitess:// address names. Raises Unready."""
    import pymysql  # noqa: PLC0415

    place = urlsplit(url)
    host, port = _host(place, 3306)
    try:
        return pymysql.connect(
            host=host,
            port=port,
            user=unquote(place.username or ""),
            password=unquote(place.password or ""),
            database=place.path.strip("/") or None,
            connect_timeout=TIMEOUT_S,
            read_timeout=TIMEOUT_S,
            autocommit=True,
        )
    except (OSError, pymysql.MySQLError) as error:
        raise Unready(str(error)) from error


def check_port(url: str) -> str:
    """Something accepts connections there: the least that can be asked."""
    place = urlsplit(url)
    try:
        socket.create_connection(_host(place, 0), TIMEOUT_S).close()
    except OSError as error:
        raise Unready(str(error)) from error
    return "accepts connections"


def check_stripe_mock(url: str) -> str:
    """It answers a Stripe request with a Stripe object."""
    said = get_json(url, "/v1/balance", {"Authorization": "Bearer sk_test_123"})
    if said.get("object") != "balance":
        raise Unready(f"not Stripe's answer: {str(said)[:100]}")
    return "speaks Stripe"


def check_toxiproxy(url: str) -> str:
    """Its version, from its API."""
    return f"version {get_json(url, '/version').get('version', '?')}"


def get_json(url: str, path: str, headers: dict[str, str] | None = None) -> dict[str, Any]:
    """One GET of a JSON object within the bound of a check. Raises Unready."""
    place = urlsplit(url)
    kind = http.client.HTTPSConnection if place.scheme == "https" else http.client.HTTPConnection
    with closing(kind(*_host(place, 443 if place.scheme == "https" else 80), timeout=TIMEOUT_S)) as link:
        try:
            link.request("GET", path, headers=headers or {})
            answer = link.getresponse()
            body = answer.read(1 << 20)
        except (OSError, http.client.HTTPException) as error:
            raise Unready(str(error) or type(error).__name__) from error
    if answer.status != http.client.OK:
        raise Unready(f"status {answer.status}")
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise Unready(f"no JSON object: {body[:60]!r}") from error


def _host(place: SplitResult, port: int) -> tuple[str, int]:
    return place.hostname or "127.0.0.1", place.port or port
