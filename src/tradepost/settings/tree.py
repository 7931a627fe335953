"""The tree of settings: every one with its default, unit, bounds and a sentence."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

PUBLIC_URL = "https://api.stripe.com"


class Mode(StrEnum):
    """What the process is for. Production refuses every default credential."""

    DEMO = "demo"
    DEVELOPMENT = "development"
    PRODUCTION = "production"


class Profile(StrEnum):
    """What the shop stands on: one process and one file, or servers that many processes share."""

    EMBEDDED = "embedded"
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
    workers: Annotated[
        int,
        Meta(ge=1, le=64, description="API processes on one port; more than one needs a shared database."),
    ] = 1
    work: Annotated[
        int,
        Meta(ge=0, le=64, description="Processes beside them for relays, consumers and timers; see workers."),
    ] = 0
    works_elsewhere: Annotated[
        bool,
        Meta(description="API processes only answer: relays, consumers and timers run in `tradepost work`."),
    ] = False
    request_deadline_ms: Annotated[
        int,
        Meta(
            ge=0,
            le=600_000,
            description="Longest wait for an answer in ms, but for bulk operations; then 503 `request.deadline`, while"
            " the work goes on. Waiting for a payment provider comes on top. 0 is no bound.",
        ),
    ] = 10_000


class StorageSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the database is and how it is written."""

    url: Annotated[
        str,
        Meta(
            description="mysql://user:password@host:port/database or vitess://...; empty is one SQLite file in the"
            " data folder."
        ),
    ] = ""
    writers: Annotated[
        int, Meta(ge=1, le=16, description="Transactions at once for each shard; a SQLite file has one.")
    ] = 2
    writer: Annotated[WriterKind, Meta(description="Run the writer in a thread or in its own process.")] = (
        WriterKind.PROCESS
    )
    group_max: Annotated[
        int,
        Meta(
            ge=0,
            le=4_096,
            description="Most writes committed together; 1 commits each alone, 0 is 64 for a file and 128 for servers.",
        ),
    ] = 0
    statement_timeout_s: Annotated[
        int,
        Meta(
            ge=1,
            le=600,
            description="Longest wait for one statement of a server before the connection is dropped.",
        ),
    ] = 10


class CacheSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What several processes share for speed."""

    url: Annotated[
        str, Meta(description="redis://:password@host:port/0; empty keeps it in each process's own memory.")
    ] = ""


class MessagingSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How events travel."""

    url: Annotated[
        str,
        Meta(
            description="rocketmq://[access:secret@]host:port[/prefix] of the proxy; empty delivers inside the process."
        ),
    ] = ""
    alarm_age_ms: Annotated[
        int, Meta(ge=100, description="Alarm when the oldest event waits longer for the broker, in ms.")
    ] = 60_000
    alarm_events: Annotated[int, Meta(ge=1, description="Alarm when more events wait for the broker.")] = (
        100_000
    )


class ConfigSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where values that change while the shop runs are kept."""

    url: Annotated[
        str, Meta(description="http://host:port of etcd; empty is a watched file in the data folder.")
    ] = ""
    prefix: Annotated[
        str,
        Meta(min_length=1, description="Beginning of every key in etcd; shops that share one differ in it."),
    ] = "/tradepost/config/"
    instance: Annotated[str, Meta(description="Name of this process in rules that choose by instance.")] = (
        "main"
    )


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


class StripeSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Charging through Stripe. Secrets are named by reference only: env:NAME or file:PATH."""

    api_key: Annotated[str, Meta(description="Where the secret key is: env:NAME or file:PATH.")] = (
        "env:STRIPE_API_KEY"
    )
    webhook_secrets: Annotated[
        str,
        Meta(description="Where the endpoint's secrets are, separated by blanks; several while one rotates."),
    ] = "env:STRIPE_WEBHOOK_SECRETS"
    return_url: Annotated[
        str,
        Meta(description="Where buyers come back from their bank; {payment_id} is filled in."),
    ] = ""
    multicapture: Annotated[
        bool,
        Meta(description="Ask for several captures of one authorization; the account must have the feature."),
    ] = False
    allow_test_keys: Annotated[bool, Meta(description="Let production start with a test key.")] = False
    base_url: Annotated[str, Meta(description="Stripe's API; another address is for tests.")] = PUBLIC_URL
    connections_max: Annotated[
        int, Meta(ge=1, le=1_000, description="Most connections to Stripe; further calls wait for one.")
    ] = 64
    connect_timeout_ms: Annotated[int, Meta(ge=10, le=60_000, description="Longest wait to connect.")] = 2_500
    read_timeout_ms: Annotated[
        int, Meta(ge=10, le=120_000, description="Longest silence within one answer of Stripe.")
    ] = 8_000


class PaymentSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Calls to payment providers."""

    provider: Annotated[str, Meta(description="Provider of new payments.")] = "sandbox"
    call_timeout_ms: Annotated[int, Meta(ge=10, le=120_000, description="Longest wait for a provider.")] = (
        10_000
    )
    stripe: StripeSettings = StripeSettings()


class PayoutSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How sellers and creators are paid."""

    bank: Annotated[
        str,
        Meta(
            pattern="^(|sandbox|file)$",
            description="sandbox pays at once, file writes orders for a bank; empty is file in production.",
        ),
    ] = ""
    folder: Annotated[
        str, Meta(description="Where payout files lie; empty is `payouts` in the data folder.")
    ] = ""


class Security(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Secrets. Empty ones are generated into the data folder, except in production."""

    signing_secret: Annotated[str, Meta(description="Signs quotes and guest tokens; 32 bytes or more.")] = ""
    operator_key: Annotated[
        str, Meta(description="API key of the first operator, stored hashed at start.")
    ] = ""


class TelemetrySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the shop says about itself beside logs and metrics, which are always on."""

    trace_permille: Annotated[
        int, Meta(ge=0, le=1_000, description="Requests of a thousand whose traces are recorded; 0 is off.")
    ] = 0
    otlp_endpoint: Annotated[
        str,
        Meta(description="Where traces go, OTLP over HTTP; empty leaves it to OTEL_EXPORTER_OTLP_ENDPOINT."),
    ] = ""
    prove_every_ms: Annotated[
        int, Meta(ge=0, description="Time between proofs of books and stock beside the shop; 0 is never.")
    ] = 900_000


class RetentionSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long the shop keeps what it no longer needs. Timers delete at most 256 rows a step."""

    answers_days: Annotated[
        int, Meta(ge=1, le=3_650, description="Days an answer under an Idempotency-Key is kept.")
    ] = 30
    inbox_days: Annotated[
        int, Meta(ge=7, le=3_650, description="Days it is kept that a consumer has had an event.")
    ] = 30
    webhooks_days: Annotated[
        int, Meta(ge=1, le=3_650, description="Days it is kept that a provider's webhook was heard.")
    ] = 30
    tombstones_days: Annotated[
        int, Meta(ge=2, le=3_650, description="Days the tombstone of a checkout that was given up is kept.")
    ] = 30
    events_days: Annotated[
        int,
        Meta(
            ge=0,
            le=3_650,
            description="Days delivered events are kept that belong to no order's timeline; 0 keeps them for ever.",
        ),
    ] = 0
    orders_days: Annotated[
        int,
        Meta(
            ge=0,
            le=36_500,
            description="Days after which `tradepost archive` takes finished orders without --before; 0 has none.",
        ),
    ] = 0


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole tree."""

    profile: Annotated[
        Profile, Meta(description="embedded: one process, one file. production: servers and many processes.")
    ] = Profile.EMBEDDED
    mode: Annotated[Mode, Meta(description="demo, development or production.")] = Mode.DEVELOPMENT
    server: Server = Server()
    storage: StorageSettings = StorageSettings()
    cache: CacheSettings = CacheSettings()
    messaging: MessagingSettings = MessagingSettings()
    config: ConfigSettings = ConfigSettings()
    limits: Limits = Limits()
    checkout: CheckoutSettings = CheckoutSettings()
    payments: PaymentSettings = PaymentSettings()
    payouts: PayoutSettings = PayoutSettings()
    security: Security = Security()
    telemetry: TelemetrySettings = TelemetrySettings()
    retention: RetentionSettings = RetentionSettings()
