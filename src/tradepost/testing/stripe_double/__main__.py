"""`python -m tradepost.testing.stripe_double PORT [WEBHOOK_URL]`: the double for a rehearsal on this machine.

The key is sk_test_double, the webhook secret whsec_double_rehearsal_secret. What waits (slow methods, redirects,
open refunds) is decided two seconds later, and webhooks are sent as they fall due, again until they are taken.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Mapping

import httpx

from tradepost.testing.stripe_double.double import StripeDouble
from tradepost.testing.stripe_double.server import serving

KEY, SECRET = "sk_test_double", "whsec_double_rehearsal_secret"
DECIDE_AFTER_S = 2
TICK_S = 0.2


class _Clock:
    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000


async def _run(port: int, webhook_url: str) -> None:
    async with httpx.AsyncClient(timeout=10) as client:

        async def deliver(headers: Mapping[str, str], body: bytes) -> None:
            sent = {**headers, "Content-Type": "application/json"}
            (await client.post(webhook_url, headers=sent, content=body)).raise_for_status()

        double = StripeDouble(_Clock(), KEY, (SECRET,), deliver if webhook_url else None)
        async with serving(double, port) as url:
            print(f"the double answers at {url}, key {KEY}, webhook secret {SECRET}", flush=True)
            while True:
                await asyncio.sleep(TICK_S)
                double.settle_due(DECIDE_AFTER_S)
                try:
                    await double.deliver_all()
                except httpx.HTTPError as error:
                    print(f"a webhook was not taken: {type(error).__name__}", flush=True)


def main(arguments: list[str]) -> None:
    """Serve until interrupted."""
    port, webhook_url = int(arguments[0]), arguments[1] if len(arguments) > 1 else ""
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_run(port, webhook_url))


if __name__ == "__main__":
    main(sys.argv[1:])
