"""Spans for OpenTelemetry, the extra `tradepost[telemetry]`: nothing of it is imported or asked while it is off."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from tradepost.kernel.errors import Kind, Refusal, declare_problems
from tradepost.telemetry.trace import bound, parse, trace_id, write_parent

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span

QUEUE_SPANS_MAX = 4_096
"""Spans that wait to be sent; further ones are dropped while the collector is slow or away."""
SEND_EVERY_MS = 1_000
SEND_TIMEOUT_S = 3.0
ALL = 1 << 16
"""The share that records every request, in 65,536ths."""

declare_problems(
    {
        "telemetry.extra_missing": (
            Kind.INVALID,
            "Traces need the telemetry extra",
            "Install it with `pip install tradepost[telemetry]`, or switch traces off.",
        ),
    }
)


class RequestSpan:
    """The span of one HTTP request."""

    def __init__(self, span: Span, method: str) -> None:
        self._span = span
        self._method = method

    def answered(self, route: str, status: int) -> None:
        """Name the span by the route's template and note the status; 0 is a request that got no answer."""
        if route:
            self._span.update_name(f"{self._method} {route}")
            self._span.set_attribute("http.route", route)
        self._span.set_attribute("http.response.status_code", status)
        if status == 0 or status >= 500:
            _mark_failed(self._span, str(status))


class Spans:
    """Records a share of the requests and everything that followed from them; `share` is in 65,536ths.

    Spans hold names, routes, statuses and ids of events: no body, header, token or message of an exception.
    """

    def __init__(self, provider: TracerProvider, share: int = ALL) -> None:
        from opentelemetry import trace as otel  # noqa: PLC0415  only where it is switched on

        self._otel = otel
        self._provider = provider
        self._tracer = provider.get_tracer("tradepost")
        self._share = share
        self._kinds = {
            "server": otel.SpanKind.SERVER,
            "client": otel.SpanKind.CLIENT,
            "producer": otel.SpanKind.PRODUCER,
            "consumer": otel.SpanKind.CONSUMER,
            "internal": otel.SpanKind.INTERNAL,
        }

    def chooses(self, chance16: int) -> bool:
        """Whether the request with these 16 random bits is recorded."""
        return chance16 < self._share

    @contextlib.contextmanager
    def request(self, trace: str, parent: str, method: str) -> Iterator[RequestSpan]:
        """Record a request: a child of the caller's span where there is one, else the root of its trace."""
        with bound(trace), self._recorded(method, "server", parent, {"http.request.method": method}) as span:
            yield RequestSpan(span, method)

    @contextlib.contextmanager
    def step(
        self, name: str, kind: str, parent: str, facts: Mapping[str, str | int] | None = None
    ) -> Iterator[None]:
        """Record a step under a `traceparent`; what is done inside belongs to it."""
        found = parse(parent)
        with bound(found[0] if found else trace_id()), self._recorded(name, kind, parent, facts or {}):
            yield

    @contextlib.contextmanager
    def aside(
        self, name: str, kind: str, parent: str, facts: Mapping[str, str | int] | None = None
    ) -> Iterator[None]:
        """Record a step that many traces share: what is done inside belongs to none of them."""
        with self._started(name, kind, parent, facts or {}):
            yield

    def close(self) -> None:
        """Send what waits, for a few seconds at most, and end the sending thread. Blocks: call it from a thread."""
        self._provider.shutdown()

    @contextlib.contextmanager
    def _recorded(self, name: str, kind: str, parent: str, facts: Mapping[str, Any]) -> Iterator[Span]:
        with self._started(name, kind, parent, facts) as span:
            known = span.get_span_context()
            trace, own = f"{known.trace_id:032x}", f"{known.span_id:016x}"
            with bound(trace, write_parent(trace, own)):
                yield span

    @contextlib.contextmanager
    def _started(self, name: str, kind: str, parent: str, facts: Mapping[str, Any]) -> Iterator[Span]:
        span = self._tracer.start_span(
            name, self._context(parent), self._kinds[kind], attributes=facts, record_exception=False
        )
        try:
            yield span
        except BaseException as error:
            if not isinstance(error, Refusal):
                _mark_failed(span, type(error).__name__)
            else:
                span.set_attribute("tradepost.code", error.code)
            raise
        finally:
            span.end()

    def _context(self, parent: str) -> Context:
        from opentelemetry.context import Context  # noqa: PLC0415  only where it is switched on

        found = parse(parent)
        if found is None:
            return Context()
        flags = self._otel.TraceFlags(self._otel.TraceFlags.SAMPLED)
        known = self._otel.SpanContext(
            int(found[0], 16), int(found[1], 16), is_remote=True, trace_flags=flags
        )
        return self._otel.set_span_in_context(self._otel.NonRecordingSpan(known), Context())


def _mark_failed(span: Span, kind: str) -> None:
    from opentelemetry.trace import Status, StatusCode  # noqa: PLC0415  only where it is switched on

    span.set_attribute("error.type", kind)
    span.set_status(Status(StatusCode.ERROR))


def open_spans(
    endpoint: str = "", share: int = ALL, process: str = "", exporter: SpanExporter | None = None
) -> Spans:
    """Spans sent by OTLP over HTTP to `endpoint`, or where the OTEL_EXPORTER_OTLP_* environment says.

    The endpoint is the whole address, such as `http://127.0.0.1:4318/v1/traces`. `process` is the name of this
    process in the traces. A collector that is away costs dropped spans and a line in the log, nothing else. Raises
    Refusal `telemetry.extra_missing` where OpenTelemetry is not installed.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
        from opentelemetry.sdk.trace.id_generator import RandomIdGenerator  # noqa: PLC0415
        from opentelemetry.sdk.trace.sampling import ALWAYS_ON  # noqa: PLC0415
    except ImportError as error:
        raise Refusal("telemetry.extra_missing", f"There is no {error.name}.", field="telemetry") from error

    class Ids(RandomIdGenerator):
        """A root span takes the trace id that is bound already, so that logs and answers name the same."""

        def generate_trace_id(self) -> int:
            known = trace_id()
            return int(known, 16) if known else super().generate_trace_id()

    provider = TracerProvider(
        sampler=ALWAYS_ON,
        resource=Resource.create(
            {"service.name": "tradepost", "service.instance.id": process or "tradepost"}
        ),
        shutdown_on_exit=False,
        id_generator=Ids(),
    )
    sender = exporter or OTLPSpanExporter(endpoint or None, timeout=SEND_TIMEOUT_S)
    provider.add_span_processor(
        BatchSpanProcessor(
            sender,
            max_queue_size=QUEUE_SPANS_MAX,
            schedule_delay_millis=SEND_EVERY_MS,
            export_timeout_millis=SEND_TIMEOUT_S * 1000,
        )
    )
    logging.getLogger("tradepost.telemetry").info("traces are recorded: %s of 65536 requests", share)
    return Spans(provider, share)
