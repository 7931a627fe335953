"""The HTTP surface: `create_asgi(platform)` is the whole API as one ASGI application."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tradepost.surfaces.api.front import Front, create_litestar
from tradepost.surfaces.api.pages import page_operations
from tradepost.surfaces.api.platform import Limits, Platform
from tradepost.surfaces.api.routes import OPERATIONS
from tradepost.surfaces.api.serve import Server
from tradepost.telemetry.asgi import Traced


def create_asgi(platform: Platform, lifespan: Sequence[Any] = ()) -> Traced:
    """The application: API, problem pages, documents, health and metrics. `lifespan` as Litestar takes it."""
    server = Server(platform)
    operations = (*OPERATIONS, *page_operations(server.meter))
    front = Front(server, operations, create_litestar(server, operations, lifespan))  # type: ignore[arg-type]
    return Traced(front, platform.world, platform.spans)


__all__ = ["Limits", "Platform", "create_asgi"]
