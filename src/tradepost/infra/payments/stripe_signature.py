"""Stripe's webhook signatures: HMAC-SHA256 over the moment and the raw body, several secrets during rotation."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence

from tradepost.kernel.errors import Refusal

TOLERANCE_S = 300
HEADER = "stripe-signature"
_SCHEME = "v1"
_PARTS_MAX = 16


def sign(secrets: Sequence[str], at_s: int, body: bytes) -> dict[str, str]:
    """The header of a webhook, with one signature for each secret."""
    signatures = [f"{_SCHEME}={_digest(secret, str(at_s), body)}" for secret in secrets]
    return {"Stripe-Signature": ",".join([f"t={at_s}", *signatures])}


def _digest(secret: str, timestamp: str, body: bytes) -> str:
    return hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def verify(secrets: Sequence[str], headers: Mapping[str, str], body: bytes, now_ms: int) -> None:
    """Pass when one signature fits one of the secrets and its moment is within five minutes of now.

    Raises Refusal `payments.webhook_unsigned`. All pairs are compared, each in constant time; at most 16 parts of
    the header are read.
    """
    given = next((value for name, value in headers.items() if name.lower() == HEADER), "")
    timestamp, signatures = "", []
    for part in given.split(",")[:_PARTS_MAX]:
        name, _, value = part.strip().partition("=")
        if name == "t" and not timestamp:
            timestamp = value
        elif name == _SCHEME:
            signatures.append(value)
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12 and signatures):
        raise _unsigned("The Stripe-Signature header is missing or has no t= and v1=.")
    if abs(now_ms // 1000 - int(timestamp)) > TOLERANCE_S:
        raise _unsigned("The webhook is more than five minutes away from our clock.")
    found = False
    for secret in secrets:
        wanted = _digest(secret, timestamp, body).encode()
        for signature in signatures:
            found |= hmac.compare_digest(wanted, signature.encode())
    if not found:
        raise _unsigned("No signature fits.")


def _unsigned(detail: str) -> Refusal:
    return Refusal("payments.webhook_unsigned", detail, field=HEADER)
