"""What the Stripe adapter is configured with, where its secrets come from, and what it refuses to start with."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from tradepost.kernel.errors import Kind, Refusal, declare_problems
from tradepost.settings import StripeSettings

API_VERSION = "2026-10-28.endive"
"""Every request names this version; the webhook endpoint is registered with the same one."""
SECRET_BYTES_MAX = 4_096
_TEST_KEYS, _LIVE_KEYS = ("sk_test_", "rk_test_"), ("sk_live_", "rk_live_")

declare_problems(
    {
        "payments.stripe_secret_missing": (
            Kind.INVALID,
            "A secret of Stripe is missing or unfitting",
            "Put the secret where the setting points (env:NAME or file:PATH) and start again.",
        ),
        "payments.stripe_test_key": (
            Kind.CONFLICT,
            "Production must not charge with a test key",
            "Use a live key, or allow test keys in the settings for a rehearsal.",
        ),
        "payments.stripe_address": (
            Kind.INVALID,
            "Not an address that secrets may be sent to",
            "Use https; plain http is for this machine's loopback outside production only.",
        ),
    }
)


class Secret:
    """A text that never shows itself: its repr and str are stars, and it does not pickle."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself, for the one place that sends or compares it."""
        return self._text

    def __repr__(self) -> str:
        """Stars."""
        return "Secret(***)"

    __str__ = __repr__

    def __reduce__(self) -> tuple[object, ...]:
        """Refuse to travel."""
        raise TypeError("a secret is not pickled")


class StripeAccount(msgspec.Struct, frozen=True, kw_only=True):
    """Checked settings with their secrets, ready to open a provider with."""

    api_key: Secret
    webhook_secrets: tuple[Secret, ...]
    live: bool
    settings: StripeSettings


def read_secret(reference: str, environment: Mapping[str, str], field: str) -> str:
    """The secret a reference names, without surrounding blanks; "" when nothing is there.

    Raises Refusal `payments.stripe_secret_missing` for anything but env:NAME and file:PATH: a secret written
    into the settings themselves is refused, and not repeated in the message.
    """
    kind, _, place = reference.partition(":")
    if kind == "env" and place:
        return environment.get(place, "").strip()
    if kind == "file" and place:
        try:
            with Path(place).open("rb") as file:
                return file.read(SECRET_BYTES_MAX).decode("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise _missing(f"The file cannot be read: {type(error).__name__}.", field) from error
    raise _missing("The setting is not a reference.", field)


def _missing(detail: str, field: str) -> Refusal:
    return Refusal(
        "payments.stripe_secret_missing",
        detail,
        field=field,
        expected="env:NAME or file:PATH with a secret in it",
    )


def open_account(
    settings: StripeSettings, environment: Mapping[str, str], *, production: bool
) -> StripeAccount:
    """The account that the settings name.

    Raises Refusal `payments.stripe_secret_missing` for a key that is none or no webhook secret,
    `payments.stripe_test_key` for a test key in production, `payments.stripe_address` for a plain http address.
    """
    key = read_secret(settings.api_key, environment, "payments.stripe.api_key")
    live = key.startswith(_LIVE_KEYS)
    if not (live or key.startswith(_TEST_KEYS)):
        raise _missing("There is no secret key: one begins with sk_ or rk_.", "payments.stripe.api_key")
    if production and not live and not settings.allow_test_keys:
        raise Refusal("payments.stripe_test_key", "The key is a test key.", field="payments.stripe.api_key")
    secrets = read_secret(settings.webhook_secrets, environment, "payments.stripe.webhook_secrets").split()
    if not secrets or not all(secret.startswith("whsec_") and len(secret) >= 24 for secret in secrets):
        raise _missing("A webhook secret begins with whsec_.", "payments.stripe.webhook_secrets")
    rehearsal = not live and (settings.allow_test_keys or not production)
    _check_address(settings.base_url, "payments.stripe.base_url", loopback=rehearsal)
    _check_address(settings.return_url, "payments.stripe.return_url", loopback=rehearsal)
    return StripeAccount(
        api_key=Secret(key),
        webhook_secrets=tuple(Secret(secret) for secret in secrets),
        live=live,
        settings=settings,
    )


def _check_address(url: str, field: str, *, loopback: bool) -> None:
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return
    if parts.scheme == "http" and loopback and _is_loopback(parts.hostname or ""):
        return
    raise Refusal(
        "payments.stripe_address", f"{url[:120]!r} is not used.", field=field, expected="https://..."
    )


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
