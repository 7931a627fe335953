"""What a server says when it is up: where it listens, what it stands on, and a first order for a demo shop."""

from __future__ import annotations

import socket
from collections.abc import Mapping

from tradepost.app import App
from tradepost.kernel.money import line_total
from tradepost.settings import DEMO_KEYS, Profile, Settings
from tradepost.surfaces.cli.profile import servers_of


def address_of(listening: socket.socket) -> str:
    """Where the socket listens, as a browser wants it."""
    host, port = listening.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def greeting(settings: Settings, address: str, warnings: Mapping[str, str], notes: str = "") -> str:
    """Several lines for people; `notes` may say ADDRESS."""
    lines = [
        f"Tradepost listens on {address}",
        f"  API documents   {address}/docs",
        f"  problem codes   {address}/problems",
        f"  health          {address}/health/ready",
        f"  metrics         {address}/metrics",
    ]
    if settings.profile is Profile.PRODUCTION:
        lines += _processes(settings)
    lines += [f"WARNING, {part}: {words}" for part, words in warnings.items()]
    return "\n".join(lines) + notes.replace("ADDRESS", address)


def _processes(settings: Settings) -> list[str]:
    chosen = settings.server
    lines = [f"  {part:<15} {where}" for part, where in servers_of(settings).items()]
    lines.append(
        f"  processes       {chosen.workers} for the API, {chosen.work} for relays, consumers and timers"
    )
    if chosen.works_elsewhere and not chosen.work:
        lines.append("Orders are taken; what follows them is done by: tradepost work --profile production")
    return lines


async def prepare_demo(app: App) -> str:
    """Enter the demo shop unless it is there; the words that place a first order in it."""
    from tradepost.demo.load import load_demo

    shop = await load_demo(app.platform.db)
    body = (
        '{"market":"GB","lines":[{"offer_id":"%s","quantity":2}],"total":{"amount_minor":%d,"currency":"GBP"},'
        '"address":{"name":"Ada Lovelace","line1":"12 St James Square","city":"London",'
        '"postcode":"SW1Y 4JH","country":"GB"},"payment":{"method":"sandbox_succeeds"}}'
    )
    offer_id = shop.offers["first"]
    view = (await app.platform.checkout.book.get([offer_id]))[offer_id]
    price_e4 = next(window.price_e4 for window in view.prices if window.currency == "GBP")
    return (
        f"\nThe demo shop is open: {', '.join(shop.sellers)}. Place a first order:\n\n"
        f"curl -s ADDRESS/v1/checkouts -H 'Authorization: Bearer {DEMO_KEYS['storefront']}'"
        f" -H 'Idempotency-Key: first-order' -H 'Content-Type: application/json'"
        f" -d '{body % (offer_id, line_total(price_e4, 2))}'\n"
    )
