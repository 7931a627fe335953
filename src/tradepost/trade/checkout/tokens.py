"""Quote tokens: the quote itself, compressed and signed, so that no row is written before an order is."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import zlib

import msgspec

from tradepost.kernel.errors import Refusal
from tradepost.trade.checkout.model import Quote

_TAG = b"tradepost.quote.v1"
TOKEN_BYTES_MAX = 4 << 20
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Quote).decode


def sign_quote(quote: Quote, secret: bytes) -> str:
    """The token of a quote: base64url of its compressed bytes, a dot, an HMAC-SHA256 over them."""
    payload = base64.urlsafe_b64encode(zlib.compress(_encode(quote), 1)).rstrip(b"=")
    return f"{payload.decode()}.{_signature(payload, secret)}"


def read_quote(token: str, secret: bytes) -> Quote:
    """The quote inside a token of ours. Raises Refusal `checkout.quote_forged` for anything else."""
    payload, _, signature = token.partition(".")
    if not hmac.compare_digest(signature.encode(), _signature(payload.encode(), secret).encode()):
        raise _forged()
    try:
        packed = base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
        return _decode(zlib.decompressobj().decompress(packed, TOKEN_BYTES_MAX))
    except (binascii.Error, zlib.error, msgspec.DecodeError) as error:
        raise _forged() from error


def quote_hash(token: str) -> str:
    """A short name for exactly this quote."""
    return hashlib.blake2b(token.encode(), digest_size=16).hexdigest()


def _signature(payload: bytes, secret: bytes) -> str:
    # Not hmac.digest: that lets go of the interpreter, and coming back means to wait for the writer thread's turn.
    digest = hmac.new(secret, _TAG + payload, hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _forged() -> Refusal:
    return Refusal(
        "checkout.quote_forged",
        "The token carries no signature of ours.",
        field="quote",
        expected="the token that POST /v1/quotes returned",
    )
