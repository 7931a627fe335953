"""What a process tells about itself, wired: numbers, traces, conditions, and the proof of books and stock."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import cast

from tradepost.app.parts import Parts
from tradepost.books.alarm import BooksAlarm, Proof
from tradepost.events.bus import Bus, DirectBus
from tradepost.kernel.events import Sweep
from tradepost.settings import Settings
from tradepost.telemetry.delivery import WatchedBus
from tradepost.telemetry.spans import ALL, Spans, open_spans


def register(parts: Parts) -> None:
    """Let every room whose numbers stand in memory tell them at a scrape."""
    parts.board.add(parts.switches.gauges)
    parts.board.add(parts.providers.gauges)
    if parts.config is not None:
        parts.board.add(parts.config.live.gauges)
    if parts.kit is not None:
        parts.board.add(parts.kit.gauges)
    if parts.bus is not None:
        parts.board.add(parts.bus.gauges)
    if parts.outbox is not None:
        parts.board.add(parts.outbox.gauges)


def watched_bus(parts: Parts) -> Bus | None:
    """The bus, counted. Without one consumers take events inside the writer; traces need to see them on a bus."""
    if parts.bus is None and parts.spans is None:
        return None
    return cast(Bus, WatchedBus(parts.bus or DirectBus(), parts.world, parts.board, parts.spans))


def proofs(parts: Parts) -> list[Sweep]:
    """Books and stock proved again and again by the command line, in a process of its own."""
    if not parts.prove_every_ms or not parts.works:
        return []
    command = (sys.executable, "-m", "tradepost.surfaces.cli", "ledger", "check", "--json")
    where = ("--data-dir", parts.settings.server.data_dir)
    url = parts.settings.storage.url
    environment = {"TRADEPOST_STORAGE__URL": url} if url else {}
    alarm = BooksAlarm(
        parts.world,
        [
            Proof("books", (*command, *where), environment),
            Proof("stock", (*command, "--stock", *where), environment),
        ],
        every_ms=parts.prove_every_ms,
    )
    parts.board.add(alarm.samples)
    return [alarm.sweep()]


def open_traces(settings: Settings, process: str) -> Spans | None:
    """The traces the settings ask for, None for none. Raises Refusal `telemetry.extra_missing`."""
    chosen = settings.telemetry
    if not chosen.trace_permille:
        return None
    return open_spans(chosen.otlp_endpoint, ALL * chosen.trace_permille // 1_000, process)


def conditions(parts: Parts) -> Mapping[str, bool]:
    """Whether the parts answer without which the shop goes on, by name; from memory alone."""
    found: dict[str, bool] = {} if parts.kit is None else dict(parts.kit.conditions())
    if parts.config is not None and parts.settings.config.url:
        found["config"] = bool(parts.config.live.gauges()["config_centre_up"])
    if parts.bus is not None:
        told = parts.bus.gauges()
        if "messaging_up" in told:
            found["messaging"] = bool(told["messaging_up"])
    return found


def warnings(parts: Parts) -> Mapping[str, str]:
    """What is to be said in words although it stops nothing: databases that may forget, events that wait."""
    told = [] if parts.counted is None else parts.counted.warnings
    late = {} if parts.outbox is None else parts.outbox.warnings()
    return {**({"storage": " ".join(told)} if told else {}), **late}
