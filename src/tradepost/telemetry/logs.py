"""Logs: one JSON object a line on standard error, with the trace it belongs to and nothing secret in it."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

from tradepost.telemetry.redact import clean, clean_value, describe, mask
from tradepost.telemetry.trace import trace_id

Entry = MutableMapping[str, Any]
CHATTY = ("uvicorn", "alembic", "urllib3", "httpx", "httpcore", "opentelemetry")


def configure_logs(level: int = logging.INFO, *, process: str = "", stream: TextIO | None = None) -> None:
    """Send every library's and our own records through one JSON formatter that masks what must not be told.

    `process` is the name of this process in each line, such as `api-2`. structlog loads on the first record.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines(process))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for chatty in CHATTY:
        logging.getLogger(chatty).setLevel(logging.WARNING)
    logging.captureWarnings(True)


class JsonLines(logging.Formatter):
    """structlog's formatter, made when it is first needed: a quiet start does not pay for it."""

    def __init__(self, process: str = "") -> None:
        super().__init__()
        self._process = process
        self._formatter: logging.Formatter | None = None

    def format(self, record: logging.LogRecord) -> str:
        """One JSON line. A record that cannot be formatted is told by its template alone, never raised."""
        if self._formatter is None:
            self._formatter = self._make()
        return self._formatter.format(_fit(record))

    def _make(self) -> logging.Formatter:
        import structlog  # noqa: PLC0415  a quiet start does not pay for it

        return structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
            ],
            processors=[
                self._add_facts,
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(ensure_ascii=False),
            ],
        )

    def _add_facts(self, _: Any, __: str, entry: Entry) -> Entry:
        if self._process:
            entry["process"] = self._process
        trace = trace_id()
        if trace:
            entry["trace_id"] = trace
        told = getattr(entry.get("_record"), "tradepost_error", None)
        if told:
            entry["error"] = told
        return entry


def _fit(record: logging.LogRecord) -> logging.LogRecord:
    """A copy of a record with its words cleaned and its exception told by type and place."""
    fit = logging.makeLogRecord(record.__dict__)
    try:
        fit.msg = _message(record)
    except Exception:
        fit.msg = clean(str(record.msg)) + " (its arguments do not fit)"
    fit.args = None
    error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
    if error is not None:
        fit.tradepost_error = describe(error)
    fit.exc_info = fit.exc_text = fit.stack_info = None
    return fit


def _message(record: logging.LogRecord) -> str:
    text = record.msg if isinstance(record.msg, str) else str(clean_value(record.msg))
    if not record.args:
        return clean(text)
    if isinstance(record.args, dict) and "%(" in text:
        return mask(text % {name: clean_value(value) for name, value in record.args.items()})
    # logging unpacks a lone mapping, whether the template names its members or not
    args = (record.args,) if isinstance(record.args, dict) else record.args
    return mask(text % tuple(clean_value(value) for value in args))
