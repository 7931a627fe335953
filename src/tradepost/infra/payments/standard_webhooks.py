"""Standard Webhooks v1 signatures: HMAC-SHA256 over id, timestamp and body, several signatures in rotation."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping

from tradepost.kernel.errors import Refusal

TOLERANCE_S = 300
_PREFIX = "whsec_"


def decode_secret(secret: str) -> bytes:
    """The key inside a `whsec_` secret (the prefix may be left out). Raises ValueError for bad base64."""
    return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)


def encode_secret(key: bytes) -> str:
    """The text form of a key."""
    return _PREFIX + base64.b64encode(key).decode()


def sign(key: bytes, event_id: str, at_s: int, body: bytes) -> dict[str, str]:
    """The three headers of a webhook."""
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": f"v1,{_digest(key, event_id, str(at_s), body)}",
    }


def _digest(key: bytes, event_id: str, timestamp: str, body: bytes) -> str:
    signed = f"{event_id}.{timestamp}.".encode() + body
    return base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def verify(key: bytes, headers: Mapping[str, str], body: bytes, now_ms: int) -> str:
    """The webhook's id when it is signed with this key within five minutes of now.

    Raises Refusal `payments.webhook_unsigned`. Signatures are compared in constant time.
    """
    given = {name.lower(): value for name, value in headers.items()}
    event_id, timestamp = given.get("webhook-id", ""), given.get("webhook-timestamp", "")
    signatures = given.get("webhook-signature", "")
    if not (event_id and timestamp and signatures):
        raise _unsigned("A webhook-id, webhook-timestamp or webhook-signature header is missing.")
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        raise _unsigned("webhook-timestamp is not a count of seconds.")
    if abs(now_ms // 1000 - int(timestamp)) > TOLERANCE_S:
        raise _unsigned("The webhook is more than five minutes away from our clock.")
    wanted = _digest(key, event_id, timestamp, body).encode()
    found = False
    for signature in signatures.split(" "):
        version, _, value = signature.partition(",")
        found |= version == "v1" and hmac.compare_digest(wanted, value.encode())
    if not found:
        raise _unsigned("No signature fits.")
    return event_id


def _unsigned(detail: str) -> Refusal:
    return Refusal("payments.webhook_unsigned", detail, field="webhook-signature")


def is_secret(text: str) -> bool:
    """Whether a text can be used as a secret of at least 24 bytes."""
    try:
        return len(decode_secret(text)) >= 24
    except (binascii.Error, ValueError):
        return False
