"""One typed tree of settings: defaults, then a TOML file, then the environment; later ones win.

An environment variable names the path of a setting: `TRADEPOST_CHECKOUT__QUOTE_TTL_MS=60000`. DATA_DIR, HOST and
PORT are short names that the Makefile uses. An unknown or unfitting value stops the start with its name.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from tradepost.kernel.errors import Kind, Refusal, declare_problems

PREFIX = "TRADEPOST_"
_SHORT = {"DATA_DIR": ("server", "data_dir"), "HOST": ("server", "host"), "PORT": ("server", "port")}
SECRET_BYTES_MIN = 32

declare_problems(
    {
        "settings.invalid": (
            Kind.INVALID,
            "A setting has no valid value",
            "Correct the named setting and start again.",
        ),
        "settings.demo_keys": (
            Kind.CONFLICT,
            "Production must not know the demo keys",
            "Give production a DATA_DIR of its own, without --demo; or revoke every demo key there first.",
        ),
        "settings.secret_missing": (
            Kind.INVALID,
            "Production needs its own secret",
            "Set TRADEPOST_SECURITY__SIGNING_SECRET to 32 random bytes or more; nothing starts with a default one.",
        ),
    }
)


DEMO_KEYS: dict[str, str] = {
    "storefront": "tp_storefront_demo",
    "operator": "tp_operator_demo",
    "buyer": "tp_buyer_demo",
    "creator": "tp_creator_demo",
    "seller": "tp_seller_demo",
    "seller_2": "tp_seller_demo_toys",
    "seller_3": "tp_seller_demo_paper",
}
"""Keys everybody knows: they exist in demo mode only, and production does not start beside one."""


class Mode(StrEnum):
    """What the process is for. Production refuses every default credential."""

    DEMO = "demo"
    DEVELOPMENT = "development"
    PRODUCTION = "production"


class WriterKind(StrEnum):
    """Where the database writer runs: a thread of the server, or a process of its own."""

    THREAD = "thread"
    PROCESS = "process"


class Server(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the process listens and keeps its files."""

    host: Annotated[str, Meta(description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="Port to listen on; 0 takes a free one.")] = 8700
    data_dir: Annotated[str, Meta(description="Folder of the database and the generated secret.")] = "data"


class StorageSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the database is written."""

    writer: Annotated[WriterKind, Meta(description="Run the writer in a thread or in its own process.")] = (
        WriterKind.PROCESS
    )
    group_max: Annotated[
        int, Meta(ge=1, le=4_096, description="Most writes committed together; 1 commits each alone.")
    ] = 64


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds of one request."""

    body_bytes_max: Annotated[
        int, Meta(ge=1024, le=64 << 20, description="Largest request body in bytes.")
    ] = 2 << 20
    lines_max: Annotated[
        int, Meta(ge=1, le=20_000, description="Most lines in one cart, quote or order.")
    ] = 2_000
    quantity_max: Annotated[int, Meta(ge=1, le=10_000_000, description="Most pieces in one line.")] = 100_000
    page_max: Annotated[int, Meta(ge=1, le=1_000, description="Largest page of a list.")] = 200
    import_bytes_max: Annotated[
        int, Meta(ge=1024, le=1 << 30, description="Largest bulk import in bytes.")
    ] = 64 << 20


class CheckoutSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Quotes and placing."""

    quote_ttl_ms: Annotated[
        int, Meta(ge=1_000, le=86_400_000, description="How long a quote may be placed.")
    ] = 900_000
    hold_ttl_ms: Annotated[
        int, Meta(ge=1_000, le=3_600_000, description="Deadline of a hold committed before its order, in ms.")
    ] = 45_000
    velocity_orders_max: Annotated[
        int, Meta(ge=0, description="Checkouts one buyer may place in a window; 0 switches the rule off.")
    ] = 60
    velocity_window_ms: Annotated[int, Meta(ge=1_000, description="Length of the velocity window in ms.")] = (
        60_000
    )
    remorse_ms: Annotated[
        int, Meta(ge=-1, description="Remorse window of every market in ms; -1 leaves it to the market file.")
    ] = -1
    complete_after_ms: Annotated[
        int,
        Meta(ge=-1, description="Time from delivery to completion in ms; -1 leaves it to the market file."),
    ] = -1
    return_window_ms: Annotated[
        int,
        Meta(
            ge=-1,
            description="How long delivered goods may come back, in ms; -1 leaves it to the market file.",
        ),
    ] = -1
    amount_review_minor: Annotated[
        int,
        Meta(ge=0, description="Checkouts above this many minor units are marked for review; 0 is no rule."),
    ] = 0
    amount_max_minor: Annotated[
        int, Meta(ge=0, description="Checkouts above this many minor units are refused; 0 is no rule.")
    ] = 0
    capture_on_shipment_scenes: Annotated[
        tuple[str, ...], Meta(description="Scenes whose payment is captured when goods leave, not at once.")
    ] = ("presale",)


class PaymentSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Calls to payment providers."""

    provider: Annotated[str, Meta(description="Provider of new payments.")] = "sandbox"
    call_timeout_ms: Annotated[int, Meta(ge=10, le=120_000, description="Longest wait for a provider.")] = (
        10_000
    )


class Security(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Secrets. Empty ones are generated into the data folder, except in production."""

    signing_secret: Annotated[str, Meta(description="Signs quotes and guest tokens; 32 bytes or more.")] = ""
    operator_key: Annotated[
        str, Meta(description="API key of the first operator, stored hashed at start.")
    ] = ""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole tree."""

    mode: Annotated[Mode, Meta(description="demo, development or production.")] = Mode.DEVELOPMENT
    server: Server = Server()
    storage: StorageSettings = StorageSettings()
    limits: Limits = Limits()
    checkout: CheckoutSettings = CheckoutSettings()
    payments: PaymentSettings = PaymentSettings()
    security: Security = Security()


def load_settings(
    environment: Mapping[str, str], toml_file: Path | None = None, overrides: Mapping[str, Any] | None = None
) -> Settings:
    """The tree from defaults, file, environment and overrides, validated as a whole.

    Raises Refusal `settings.invalid` naming what does not fit and where.
    """
    try:
        tree: dict[str, Any] = tomllib.loads(toml_file.read_text("utf-8")) if toml_file else {}
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise Refusal("settings.invalid", f"{toml_file}: {error}", field=str(toml_file)) from error
    for name, value in sorted(environment.items()):
        path = _SHORT.get(name) or (
            tuple(name[len(PREFIX) :].lower().split("__")) if name.startswith(PREFIX) else None
        )
        if path and value:
            _put(tree, path, value)
    for dotted, value in (overrides or {}).items():
        _put(tree, tuple(dotted.split(".")), value)
    try:
        return msgspec.convert(tree, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise Refusal("settings.invalid", str(error), field=str(error).rpartition(" - at ")[2]) from error


def _put(tree: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for part in path[:-1]:
        tree = tree.setdefault(part, {})
    tree[path[-1]] = value


def signing_secret(settings: Settings) -> bytes:
    """The secret that signs quotes and guest tokens.

    Outside production an empty one is made once and kept in the data folder, readable by its owner alone. Raises
    Refusal `settings.secret_missing` in production without one of 32 bytes or more.
    """
    configured = settings.security.signing_secret.encode()
    if configured or settings.mode is Mode.PRODUCTION:
        if len(configured) < SECRET_BYTES_MIN:
            raise Refusal(
                "settings.secret_missing",
                f"The signing secret has {len(configured)} bytes.",
                field="security.signing_secret",
                expected=f"{SECRET_BYTES_MIN} bytes or more",
            )
        return configured
    path = Path(settings.server.data_dir) / "signing-secret"
    try:
        return path.read_bytes()
    except FileNotFoundError:
        secret = os.urandom(SECRET_BYTES_MIN).hex().encode()
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600)
        with os.fdopen(file, "wb") as opened:
            opened.write(secret)
        return secret
