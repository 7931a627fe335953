"""Which payment providers the settings mean."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

from tradepost.infra.payments.sandbox import SandboxProvider
from tradepost.kernel.world import World
from tradepost.settings import Mode, Settings
from tradepost.stability.dependency import Dependency, DependencyTerms
from tradepost.trade.payments import Guarded, Providers


@contextlib.asynccontextmanager
async def providers(settings: Settings, world: World, sandbox: SandboxProvider) -> AsyncIterator[Providers]:
    """Every payment provider that may be asked; closed in the end. Raises Refusal `payments.stripe_*`."""
    limit_ms = settings.payments.call_timeout_ms
    if settings.payments.provider != "stripe":
        yield Providers(sandbox, call_timeout_ms=limit_ms)
        return
    # only where chosen: the library takes half a second to load
    from tradepost.infra.payments.stripe import StripeProvider  # noqa: PLC0415
    from tradepost.infra.payments.stripe_notices import NoticeBook  # noqa: PLC0415
    from tradepost.infra.payments.stripe_settings import open_account  # noqa: PLC0415

    account = open_account(settings.payments.stripe, os.environ, production=settings.mode is Mode.PRODUCTION)
    stripe = StripeProvider(
        world, account, NoticeBook(Path(settings.server.data_dir) / "stripe-notices.jsonl")
    )
    # the sandbox answers in this process: there is nothing to guard against
    terms = DependencyTerms(timeout_ms=limit_ms)
    guarded = Guarded(stripe, Dependency("stripe", terms, world.now_ms, world.chance))
    try:
        yield Providers(guarded, sandbox, call_timeout_ms=limit_ms)
    finally:
        await stripe.aclose()
