"""Telemetry: what the shop says about itself. Logs with traces, metrics with sentences, spans where they are wanted.

It knows the kernel alone; every other room may use it. Parts: `trace` (which request this is), `asgi` (binds it),
`logs` and `redact`, `metrics` (the table and the board), `delivery` (watches what follows a commit), `spans` and
`storage` (OpenTelemetry, the extra), `texts` (metrics of several processes as one answer).
"""
