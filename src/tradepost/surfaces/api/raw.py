"""Raw ASGI: reading a bounded body, decoding with the field path, sending with few bytes and fewer calls."""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from functools import cache
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from tradepost.kernel.errors import Refusal
from tradepost.surfaces.api.problems import Headers, refuse_input

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

_KEY_HEADER = b"idempotency-key"
KEY_LENGTH_MAX = 255
_is_key = re.compile(b"[!-~]{1,%d}" % KEY_LENGTH_MAX).fullmatch
NOSNIFF = (b"x-content-type-options", b"nosniff")
LOOK_AHEAD = 2


class Disconnected(Exception):
    """The client went away before its body was complete."""


@cache
def decoder(body: Any) -> msgspec.json.Decoder[Any]:
    """The strict decoder of a body type, made once."""
    return msgspec.json.Decoder(body)


async def read_body(scope: Scope, receive: Receive, bytes_max: int) -> bytes:
    """The whole body. Raises Refusal `input.body_too_large` as soon as it is known, and Disconnected."""
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and int(value) > bytes_max:
            raise _too_large(bytes_max)
    message = await receive()
    if message["type"] == "http.disconnect":
        raise Disconnected
    body: bytes = message.get("body", b"")
    if message.get("more_body"):
        parts, size = [body], len(body)
        while message.get("more_body"):
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Disconnected
            part = message.get("body", b"")
            size += len(part)
            if size > bytes_max:
                raise _too_large(bytes_max)
            parts.append(part)
        body = b"".join(parts)
    if len(body) > bytes_max:
        raise _too_large(bytes_max)
    return body


def _too_large(bytes_max: int) -> Refusal:
    return Refusal("input.body_too_large", "The body is too large.", expected=f"at most {bytes_max} bytes")


def decode_body(body: Any, raw: bytes) -> Any:
    """The struct in a JSON body. Raises Refusal `input.malformed_json` or `input.invalid` with the field's path."""
    try:
        return decoder(body).decode(raw)
    except msgspec.ValidationError as error:
        raise refuse_input(error) from None
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise Refusal("input.malformed_json", f"The body is not JSON: {str(error)[:200]}") from None


def decode_query(query: Any, raw: bytes) -> Any:
    """The struct of a query string; the last of several equal names counts. Raises Refusal `input.invalid`."""
    try:
        given = dict(parse_qsl(raw.decode("latin-1"), keep_blank_values=True, max_num_fields=50))
        return msgspec.convert(given, query, strict=False)
    except msgspec.ValidationError as error:
        raise refuse_input(error) from None
    except ValueError:
        raise Refusal("input.invalid", "The query string has too many fields.", field="query") from None


def read_token(scope: Scope) -> str:
    """The bearer token, empty when there is none."""
    for name, value in scope["headers"]:
        if name == b"authorization":
            scheme, _, token = value.decode("latin-1").partition(" ")
            return token.strip() if scheme.lower() == "bearer" else ""
    return ""


def read_key(scope: Scope) -> str:
    """The Idempotency-Key. Raises Refusal `idempotency.key_required` without one of 1..255 visible ASCII letters."""
    for name, value in scope["headers"]:
        if name == _KEY_HEADER:
            if _is_key(value):
                return str(value.decode("ascii"))
            break
    raise Refusal(
        "idempotency.key_required",
        "This request needs a usable key, so that repeating it is safe.",
        field="Idempotency-Key",
        expected="1 to 255 visible ASCII letters",
    )


def check_media_type(scope: Scope, accepts: tuple[str, ...]) -> str:
    """The media type of the body. Raises Refusal `input.media_type` for one that is not accepted."""
    for name, value in scope["headers"]:
        if name == b"content-type":
            given = value.partition(b";")[0].strip().lower().decode("latin-1")
            if given in accepts:
                return str(given)
            raise Refusal(
                "input.media_type",
                f"{given[:60]!r} is not accepted here.",
                field="Content-Type",
                expected=" or ".join(accepts),
            )
    return accepts[0]


def hash_request(method: str, path: str, body: bytes) -> str:
    """What names exactly this request: 32 hexadecimal letters of SHA-256 over method, path and body."""
    return hashlib.sha256(f"{method} {path}\n".encode("utf-8", "replace") + body).hexdigest()[:32]


def plain_headers(scope: Scope) -> Mapping[str, str]:
    """The headers as text with small names."""
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


async def send_answer(send: Send, status: int, body: bytes, media_type: bytes, headers: Headers) -> None:
    """Send a whole answer in two messages."""
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [
                (b"content-type", media_type),
                (b"content-length", b"%d" % len(body)),
                NOSNIFF,
                *headers,
            ],
        }
    )
    await send({"type": "http.response.body", "body": body})


def whole_answer(status: int, body: bytes, media_type: bytes, headers: Headers) -> bytes:
    """The same answer as it goes over HTTP/1.1, for a place where no ASGI call is made."""
    lines = [b"HTTP/1.1 %d %s" % (status, HTTPStatus(status).phrase.encode())]
    given = [(b"content-type", media_type), (b"content-length", b"%d" % len(body)), NOSNIFF, *headers]
    lines += [b"%s: %s" % pair for pair in given]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


async def look_ahead(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same pieces, the first two of them made already: what they raise is raised here."""
    made = [piece async for piece in _first(pieces, LOOK_AHEAD)]

    async def replay() -> AsyncIterator[bytes]:
        for piece in made:
            yield piece
        async for piece in pieces:
            yield piece

    return replay()


async def _first(pieces: AsyncIterator[bytes], count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        try:
            yield await anext(pieces)
        except StopAsyncIteration:
            return


async def send_pieces(
    send: Send, status: int, pieces: AsyncIterator[bytes], media_type: bytes, headers: Headers
) -> None:
    """Send an answer whose length nobody knows yet; the server's flow control decides when the next piece is made."""
    start = [(b"content-type", media_type), NOSNIFF, *headers]
    await send({"type": "http.response.start", "status": status, "headers": start})
    async for piece in pieces:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
