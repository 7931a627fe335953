"""Logs of a command: JSON lines on standard error; see `tradepost.telemetry.logs`."""

from __future__ import annotations

from tradepost.telemetry.logs import configure_logs

__all__ = ["configure_logs"]
