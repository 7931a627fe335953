"""The calls to Stripe that payments need, as values in and values out; four exceptions are all that can go wrong."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec
import stripe

from tradepost.infra.payments.stripe_shapes import (
    ATTEMPT,
    CAPTURES,
    PAYMENT_ID,
    REFUND_ID,
    TOMBSTONE,
    Dispute,
    Intent,
    IntentPage,
    Listed,
    Page,
    Refund,
    Trouble,
)
from tradepost.trade.payments import AuthorizeCall, RefundCall

T = TypeVar("T", bound=msgspec.Struct)
PAGE = 100
PAGES_MAX = 10
CONFIRMATION = "ctoken_"
_EXPAND = ["latest_charge"]
_UNANSWERED_CODES = frozenset({"lock_timeout", "idempotency_key_in_use", "rate_limit"})


class Unanswered(Exception):
    """No answer, or one that says nothing of the outcome: ask what became of it."""


class Conflict(Exception):
    """The key was used for another request before: ask what became of that one."""


class Rejected(Exception):
    """Stripe does not do this; nothing was changed."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.reason())
        self.trouble = trouble


class Declined(Rejected):
    """The bank says no. `intent` is the payment as it stands now, where Stripe sends it."""

    def __init__(self, trouble: Trouble, intent: Intent | None) -> None:
        super().__init__(trouble)
        self.intent = intent


class _DeclinedBody(msgspec.Struct, frozen=True, kw_only=True):
    payment_intent: Intent | None = None


def _words(error: Exception) -> str:
    return type(error).__name__  # Stripe's own words may repeat what was sent


def _error_of(error: stripe.StripeError) -> dict[str, Any]:
    body = error.json_body
    found = body.get("error") if isinstance(body, dict) else None
    return found if isinstance(found, dict) else {}


def _trouble(error: stripe.StripeError) -> Trouble:
    return msgspec.convert(_error_of(error), Trouble)


def _body(error: stripe.StripeError) -> _DeclinedBody:
    return msgspec.convert(_error_of(error), _DeclinedBody)


class StripeCalls:
    """Stripe's endpoints. Everything raises `Unanswered` and `Rejected`; what has a key raises `Conflict` too.

    `locked_out` hears when the key is not accepted.
    """

    def __init__(
        self,
        client: stripe.StripeClient,
        *,
        return_url: str,
        multicapture: bool,
        locked_out: Callable[[str], None],
    ) -> None:
        self._intents = client.v1.payment_intents
        self._refunds = client.v1.refunds
        self._disputes = client.v1.disputes
        self._return_url = return_url
        self._multicapture = multicapture
        self._locked_out = locked_out

    async def _read(self, kind: type[T], call: Awaitable[Any]) -> T:
        """The answer's body as a shape; what went wrong as one of the four exceptions."""
        try:
            answer = await call
            return msgspec.json.decode(answer.last_response.body, type=kind)
        except stripe.CardError as error:
            raise Declined(_trouble(error), _body(error).payment_intent) from error
        except stripe.IdempotencyError as error:
            raise Conflict(_words(error)) from error
        except stripe.InvalidRequestError as error:
            if error.code in _UNANSWERED_CODES:
                raise Unanswered(_words(error)) from error
            raise Rejected(_trouble(error)) from error
        except (stripe.AuthenticationError, stripe.PermissionError) as error:
            self._locked_out(f"Stripe does not accept our key: {_words(error)}")
            raise Unanswered(_words(error)) from error
        except (stripe.StripeError, msgspec.DecodeError) as error:
            raise Unanswered(_words(error)) from error

    def _back_to(self, payment_id: str) -> str:
        return self._return_url.replace("{payment_id}", payment_id)

    async def create(self, call: AuthorizeCall, amount: int, key: str) -> Intent:
        """Make the intent and confirm it at once. Raises `Declined` with the intent, `Conflict`."""
        params: stripe.params.PaymentIntentCreateParams = {
            "amount": amount,
            "currency": call.currency.lower(),
            "confirm": True,
            "capture_method": "automatic" if call.capture else "manual",
            "automatic_payment_methods": {"enabled": True},
            "return_url": self._back_to(call.payment_id),
            "description": call.payment_id,
            "metadata": {PAYMENT_ID: call.payment_id, ATTEMPT: str(call.attempt)},
            "expand": _EXPAND,
        }
        if call.method.startswith(CONFIRMATION):
            params["confirmation_token"] = call.method
        else:
            params["payment_method"] = call.method
        if self._multicapture and not call.capture:
            params["payment_method_options"] = {"card": {"request_multicapture": "if_available"}}
        return await self._read(Intent, self._intents.create_async(params, {"idempotency_key": key}))

    async def create_tombstone(self, payment_id: str, currency: str, amount: int, key: str) -> Intent:
        """Make an intent that is never confirmed, so that its key cannot take money any more."""
        params: stripe.params.PaymentIntentCreateParams = {
            "amount": amount,
            "currency": currency.lower(),
            "metadata": {PAYMENT_ID: payment_id, TOMBSTONE: "1"},
        }
        return await self._read(Intent, self._intents.create_async(params, {"idempotency_key": key}))

    async def prepare(self, intent_id: str, call: AuthorizeCall) -> Intent:
        """Set an intent that was declined to the next attempt; that clears its last error."""
        params: stripe.params.PaymentIntentUpdateParams = {"metadata": {ATTEMPT: str(call.attempt)}}
        if not call.method.startswith(CONFIRMATION):
            params["payment_method"] = call.method
        options: stripe.RequestOptions = {"idempotency_key": f"{call.key}.prepare"}
        return await self._read(Intent, self._intents.update_async(intent_id, params, options))

    async def confirm(self, intent_id: str, call: AuthorizeCall) -> Intent:
        """Take the attempt that was prepared. Raises `Declined` with the intent, `Conflict`."""
        params: stripe.params.PaymentIntentConfirmParams = {
            "return_url": self._back_to(call.payment_id),
            "expand": _EXPAND,
        }
        if call.method.startswith(CONFIRMATION):
            params["confirmation_token"] = call.method
        else:
            params["payment_method"] = call.method
        options: stripe.RequestOptions = {"idempotency_key": call.key}
        return await self._read(Intent, self._intents.confirm_async(intent_id, params, options))

    async def retrieve(self, intent_id: str) -> Intent:
        """An intent as it is now, with its latest charge."""
        return await self._read(Intent, self._intents.retrieve_async(intent_id, {"expand": _EXPAND}))

    async def capture(self, intent: Intent, amount: int, key: str, *, final: bool) -> Intent:
        """Take part of what is set aside; `final` releases the rest. Another amount is another capture."""
        params: stripe.params.PaymentIntentCaptureParams = {"amount_to_capture": amount, "expand": _EXPAND}
        if not final:
            done = [*intent.captures, key]
            params["final_capture"] = False
            params["metadata"] = {CAPTURES: " ".join(one.rpartition(".")[2] for one in done)}
        options: stripe.RequestOptions = {"idempotency_key": f"{key}.{amount}"}
        return await self._read(Intent, self._intents.capture_async(intent.id, params, options))

    async def release(self, intent_id: str, key: str) -> Intent:
        """Give up what is left of an intent of which a part was taken."""
        params: stripe.params.PaymentIntentCaptureParams = {
            "amount_to_capture": 0,
            "final_capture": True,
            "expand": _EXPAND,
        }
        options: stripe.RequestOptions = {"idempotency_key": key}
        return await self._read(Intent, self._intents.capture_async(intent_id, params, options))

    async def cancel(self, intent_id: str, key: str) -> Intent:
        """Give up an intent of which nothing was taken."""
        return await self._read(
            Intent,
            self._intents.cancel_async(intent_id, {"expand": _EXPAND}, {"idempotency_key": key}),
        )

    async def search(self, payment_id: str) -> tuple[Intent, ...]:
        """Intents of a payment, as Stripe's index knows them: usually under a minute behind."""
        query = f"metadata['{PAYMENT_ID}']:'{payment_id}'"
        page = await self._read(IntentPage, self._intents.search_async({"query": query, "limit": 2}))
        return page.data

    async def list_since(self, since_s: int, pages_max: int) -> tuple[list[Intent], bool]:
        """All intents made since a moment, newest first, and whether that was all; nothing is behind here."""
        found: list[Intent] = []
        after = ""
        for _ in range(pages_max):
            params: stripe.params.PaymentIntentListParams = {"created": {"gte": since_s}, "limit": PAGE}
            if after:
                params["starting_after"] = after
            page = await self._read(IntentPage, self._intents.list_async(params))
            found += page.data
            if not page.has_more or not page.data:
                return found, True
            after = page.data[-1].id
        return found, False

    async def refund(self, intent_id: str, call: RefundCall, amount: int) -> Refund:
        """Give part of what was taken back. Raises `Conflict`."""
        params: stripe.params.RefundCreateParams = {
            "payment_intent": intent_id,
            "amount": amount,
            "metadata": {
                PAYMENT_ID: call.payment_id,
                REFUND_ID: call.refund_id,
                ATTEMPT: str(call.attempt),
            },
        }
        return await self._read(Refund, self._refunds.create_async(params, {"idempotency_key": call.key}))

    async def refunds(self, intent_id: str) -> list[Refund]:
        """The refunds of an intent, newest first, at most a thousand."""
        return await self._listed(Page[Refund], self._refunds.list_async, intent_id)

    async def disputes(self, intent_id: str) -> list[Dispute]:
        """The disputes about an intent's charges, newest first, at most a thousand."""
        return await self._listed(Page[Dispute], self._disputes.list_async, intent_id)

    async def _listed(
        self, kind: type[Page[Listed]], ask: Callable[[Any], Awaitable[Any]], intent_id: str
    ) -> list[Listed]:
        found: list[Listed] = []
        after = ""
        for _ in range(PAGES_MAX):
            params = {
                "payment_intent": intent_id,
                "limit": PAGE,
                **({"starting_after": after} if after else {}),
            }
            page = await self._read(kind, ask(params))
            found += page.data
            if not page.has_more or not page.data:
                break
            after = page.data[-1].id
        return found
