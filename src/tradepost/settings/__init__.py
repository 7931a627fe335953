"""One typed tree of settings: defaults, then a TOML file, then the environment; later ones win.

An environment variable names the path of a setting: `TRADEPOST_CHECKOUT__QUOTE_TTL_MS=60000`. DATA_DIR, HOST and
PORT are short names that the Makefile uses. An unknown or unfitting value stops the start with its name.
"""

from __future__ import annotations

from tradepost.settings.loading import PREFIX, load_settings
from tradepost.settings.secrets import DEMO_KEYS, SECRET_BYTES_MIN, SECRET_FILE, signing_secret, write_private
from tradepost.settings.tree import (
    PUBLIC_URL,
    CacheSettings,
    CheckoutSettings,
    ConfigSettings,
    Limits,
    MessagingSettings,
    Mode,
    PaymentSettings,
    Profile,
    Security,
    Server,
    Settings,
    StorageSettings,
    StripeSettings,
    TelemetrySettings,
    WriterKind,
)

__all__ = [
    "DEMO_KEYS",
    "PREFIX",
    "PUBLIC_URL",
    "SECRET_BYTES_MIN",
    "SECRET_FILE",
    "CacheSettings",
    "CheckoutSettings",
    "ConfigSettings",
    "Limits",
    "MessagingSettings",
    "Mode",
    "PaymentSettings",
    "Profile",
    "Security",
    "Server",
    "Settings",
    "StorageSettings",
    "StripeSettings",
    "TelemetrySettings",
    "WriterKind",
    "load_settings",
    "signing_secret",
    "write_private",
]
