"""Quote tokens: the quote itself, packed and signed, so that no row is written before an order is."""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import hmac
import operator
import types
import typing
import zlib
from typing import Any

import msgspec

from tradepost.kernel.errors import Refusal
from tradepost.trade.checkout.model import Quote

TOKEN_BYTES_MAX = 4 << 20
PLAIN_BYTES_MAX = 2_048
"""Quotes packed into more are compressed: a few lines are short without, and compressing costs more than all else."""
_TAG = b"tradepost.quote.v2"
_FIRST_TAG = b"tradepost.quote.v1"
_MARK = "v2."
_PLAIN, _COMPRESSED = b"\0", b"\1"


def _wire_type(known: Any) -> Any:
    """The type with every struct in it written as an array: the names of the fields stay at home.

    Fields are told by their places, so new ones go to the end and have a default; a test keeps a token to see to it.
    """
    if isinstance(known, type) and issubclass(known, msgspec.Struct):
        return _wire_struct(known)
    inner = typing.get_args(known)
    if not inner:
        return known
    wired = tuple([one if one is Ellipsis else _wire_type(one) for one in inner])
    origin = typing.get_origin(known)
    return functools.reduce(operator.or_, wired) if origin is types.UnionType else origin[wired]


@functools.cache
def _wire_struct(known: type[msgspec.Struct]) -> type[msgspec.Struct]:
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
    for one in msgspec.structs.fields(known):
        wire = _wire_type(one.type)
        fields.append((one.name, wire) if one.required else (one.name, wire, one.default))
    return msgspec.defstruct(f"Wire{known.__name__}", fields, array_like=True, frozen=True, kw_only=True)


_WIRE = _wire_struct(Quote)
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_WIRE).decode
_decode_first = msgspec.msgpack.Decoder(Quote).decode


def sign_quote(quote: Quote, secret: bytes) -> str:
    """The token of a quote: a mark, base64url of its packed bytes, a dot, an HMAC-SHA256 over them."""
    packed = _encode(msgspec.convert(quote, _WIRE, from_attributes=True))
    plain = len(packed) <= PLAIN_BYTES_MAX
    payload = base64.urlsafe_b64encode(_PLAIN + packed if plain else _COMPRESSED + zlib.compress(packed, 1))
    payload = payload.rstrip(b"=")
    return f"{_MARK}{payload.decode()}.{_signature(_TAG, payload, secret)}"


def read_quote(token: str, secret: bytes) -> Quote:
    """The quote inside a token of ours, or of the release before.

    Raises Refusal `checkout.quote_forged` for anything else.
    """
    first = not token.startswith(_MARK)
    payload, _, signature = token.removeprefix(_MARK).partition(".")
    wanted = _signature(_FIRST_TAG if first else _TAG, payload.encode(), secret)
    if not hmac.compare_digest(signature.encode(), wanted.encode()):
        raise _forged()
    try:
        packed = base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
        if first:
            return _decode_first(_unpack(packed))
        body = packed[1:] if packed[:1] == _PLAIN else _unpack(packed[1:])
        return msgspec.convert(_decode(body), Quote, from_attributes=True)
    except (binascii.Error, zlib.error, msgspec.DecodeError) as error:
        raise _forged() from error


def _unpack(packed: bytes) -> bytes:
    return zlib.decompressobj().decompress(packed, TOKEN_BYTES_MAX)


def quote_hash(token: str) -> str:
    """A short name for exactly this quote."""
    return hashlib.blake2b(token.encode(), digest_size=16).hexdigest()


@functools.lru_cache(maxsize=8)
def _keyed(tag: bytes, secret: bytes) -> hmac.HMAC:
    return hmac.new(secret, tag, hashlib.sha256)


def _signature(tag: bytes, payload: bytes, secret: bytes) -> str:
    # Not hmac.digest: that lets go of the interpreter, and coming back means to wait for the writer thread's turn.
    signer = _keyed(tag, secret).copy()
    signer.update(payload)
    return base64.urlsafe_b64encode(signer.digest()).rstrip(b"=").decode()


def _forged() -> Refusal:
    return Refusal(
        "checkout.quote_forged",
        "The token carries no signature of ours.",
        field="quote",
        expected="the token that POST /v1/quotes returned",
    )
