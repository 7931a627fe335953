"""How the official library reaches Stripe here: httpx with a bounded pool and short timeouts, no retries of its own.

The library's own httpx client has neither a bound on connections nor separate timeouts, and retrying is the
house's business: it asks what became of a call, and repeats it under the same key.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any, NoReturn

import httpx
import stripe

from tradepost.infra.payments.stripe_settings import API_VERSION, StripeAccount
from tradepost.settings import StripeSettings

ANSWER_BYTES_MAX = 4 << 20


class BoundedClient(stripe.HTTPClient):
    """The library's asynchronous transport. A call that finds no free connection in time fails as unanswered."""

    name = "httpx"

    def __init__(self, settings: StripeSettings) -> None:
        super().__init__()
        connect_s = settings.connect_timeout_ms / 1_000
        self._http = httpx.AsyncClient(
            limits=httpx.Limits(
                max_connections=settings.connections_max,
                max_keepalive_connections=settings.connections_max,
                keepalive_expiry=30,
            ),
            timeout=httpx.Timeout(settings.read_timeout_ms / 1_000, connect=connect_s, pool=connect_s),
            verify=ssl.create_default_context(cafile=stripe.ca_bundle_path),
            follow_redirects=False,
            trust_env=False,  # a proxy of the environment would see the key's requests
        )

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        """One request, whole answer. Raises stripe.APIConnectionError when there is none."""
        try:
            async with self._http.stream(
                method.upper(), url, headers=dict(headers), content=_bytes(post_data)
            ) as answer:
                body = b""
                async for part in answer.aiter_bytes():
                    body += part
                    if len(body) > ANSWER_BYTES_MAX:
                        raise httpx.DecodingError("the answer is longer than any of Stripe's")
                return body, answer.status_code, answer.headers
        except httpx.HTTPError as error:
            self._unanswered(error)

    def _unanswered(self, error: Exception) -> NoReturn:
        raise stripe.APIConnectionError(  # type: ignore[no-untyped-call]
            f"no answer: {type(error).__name__}"
        ) from error

    async def close_async(self) -> None:
        """Close the pool."""
        await self._http.aclose()


def _bytes(post_data: Any) -> bytes | None:
    return post_data.encode() if isinstance(post_data, str) else post_data


def open_client(account: StripeAccount) -> tuple[stripe.StripeClient, BoundedClient]:
    """The library's client for this account, and its transport, which the caller closes."""
    stripe.enable_telemetry = False
    transport = BoundedClient(account.settings)
    client = stripe.StripeClient(
        account.api_key.reveal(),
        stripe_version=API_VERSION,
        base_addresses={"api": account.settings.base_url},
        max_network_retries=0,
        http_client=transport,
    )
    return client, transport
