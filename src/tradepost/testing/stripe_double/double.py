"""The double's front: who asks, under which key, what goes wrong on the way, and which webhooks leave."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlsplit

import msgspec

from tradepost.infra.payments import stripe_signature
from tradepost.testing.stripe_double import disputes, intents
from tradepost.testing.stripe_double.books import API_VERSION, Books, Document, Refused, missing, page
from tradepost.testing.stripe_double.methods import METHODS

Deliver = Callable[[Mapping[str, str], bytes], Awaitable[None]]
KEYS_KEPT_MS = 24 * 3_600_000
_INTENT = re.compile(r"/v1/payment_intents/(pi_\w+)(?:/(confirm|capture|cancel))?\Z")
_QUERY = re.compile(r"metadata\['(\w+)'\]:'([^']*)'\Z")


class Clock(Protocol):
    """What the double needs of a world."""

    def now_ms(self) -> int:
        """Milliseconds since 1970 UTC."""
        ...


class Fault(StrEnum):
    """What goes wrong with the next request: before it is done, after it is done, or instead of it."""

    LOST_REQUEST = "lost_request"
    LOST_ANSWER = "lost_answer"
    SILENCE = "silence"
    WEBHOOK_FIRST = "webhook_first"
    ERROR_500 = "error_500"
    ERROR_429 = "error_429"
    ERROR_409 = "error_409"
    ERROR_401 = "error_401"
    ERROR_400 = "error_400"


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One request as the double saw it."""

    method: str
    path: str
    params: Document
    key: str = ""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What goes back. `lost` closes the connection instead, `silent` never answers."""

    status: int = 200
    body: bytes = b""
    lost: bool = False
    silent: bool = False


_ERRORS: dict[Fault, tuple[int, Document]] = {
    Fault.ERROR_500: (500, {"type": "api_error", "message": "Something went wrong."}),
    Fault.ERROR_429: (429, {"type": "invalid_request_error", "code": "rate_limit"}),
    Fault.ERROR_409: (409, {"type": "invalid_request_error", "code": "idempotency_key_in_use"}),
    Fault.ERROR_400: (400, {"type": "invalid_request_error", "code": "parameter_unknown", "param": "frills"}),
    Fault.ERROR_401: (401, {"type": "invalid_request_error", "message": "Invalid API Key provided"}),
}


class _Kept(msgspec.Struct, frozen=True):
    asked: str
    status: int
    body: bytes
    at_ms: int


class StripeDouble:
    """One account in test mode. Nothing happens by itself: `deliver_all` sends the webhooks that are waiting.

    `search_lag_ms` is how far its search is behind; `faults` are used up by the requests that change something;
    `most_connections` were open at once.
    """

    def __init__(
        self,
        clock: Clock,
        api_key: str,
        webhook_secrets: tuple[str, ...],
        deliver: Deliver | None = None,
        *,
        search_lag_ms: int = 60_000,
    ) -> None:
        self.books = Books()
        self.faults: list[Fault] = []
        self.requests: list[Request] = []
        self.search_lag_ms = search_lag_ms
        self.most_connections = 0
        self._clock = clock
        self._api_key = api_key
        self._secrets = webhook_secrets
        self._deliver = deliver
        self._sent = 0
        self._keys: dict[str, _Kept] = {}

    def deliver_to(self, deliver: Deliver) -> None:
        """Name where webhooks go."""
        self._deliver = deliver

    async def handle(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """One request, headers in small letters."""
        self.books.now_s = self._clock.now_ms() // 1_000
        parts = urlsplit(target)
        params = read_form(body.decode() if method == "POST" else parts.query)
        request = Request(
            method=method, path=parts.path, params=params, key=headers.get("idempotency-key", "")
        )
        self.requests.append(request)
        fault = self.faults.pop(0) if self.faults and method == "POST" else None
        if fault is Fault.LOST_REQUEST:
            return Answer(lost=True)
        if fault in _ERRORS:
            status, error = _ERRORS[fault]
            return Answer(status=status, body=_encode({"error": error}))
        answer = self._answer(request, headers)
        if fault is Fault.WEBHOOK_FIRST:
            await self.deliver_all()
        return Answer(
            status=answer.status,
            body=answer.body,
            lost=fault is Fault.LOST_ANSWER,
            silent=fault is Fault.SILENCE,
        )

    def _answer(self, request: Request, headers: Mapping[str, str]) -> Answer:
        if headers.get("authorization") != f"Bearer {self._api_key}":
            return Answer(status=401, body=_encode({"error": _ERRORS[Fault.ERROR_401][1]}))
        asked = json.dumps([request.path, request.params], sort_keys=True)
        kept = self._keys.get(request.key) if request.key else None
        if kept is not None and self._clock.now_ms() - kept.at_ms < KEYS_KEPT_MS:
            if kept.asked != asked:
                return _error(Refused(400, type="idempotency_error", message="Keys are for one request."))
            return Answer(status=kept.status, body=kept.body)
        keep = True
        try:
            if headers.get("stripe-version") != API_VERSION:
                raise Refused(400, kept=False, message="Another version is expected.")
            answer = Answer(body=_encode(self._route(request)))
        except Refused as refused:
            answer, keep = _error(refused), refused.kept
        if request.key and keep:
            self._keys[request.key] = _Kept(asked, answer.status, answer.body, self._clock.now_ms())
        return answer

    def _route(self, request: Request) -> Document:
        books, params = self.books, request.params
        expand = list(params.get("expand", {}).values())
        match request.method, request.path:
            case "POST", "/v1/payment_intents":
                return books.shown(intents.create(books, params), expand)
            case "GET", "/v1/payment_intents":
                since = int(params.get("created", {}).get("gte", 0))
                found = [one for one in books.intents.values() if one["created"] >= since]
                return page(
                    found, request.path, int(params.get("limit", 10)), params.get("starting_after", "")
                )
            case "GET", "/v1/payment_intents/search":
                return self._search(params)
            case "POST", "/v1/refunds":
                return intents.refund(books, params)
            case "GET", "/v1/refunds" | "/v1/disputes":
                known = books.refunds if request.path == "/v1/refunds" else books.disputes
                mine = [
                    one for one in known.values() if one["payment_intent"] == params.get("payment_intent")
                ]
                return page(
                    mine, request.path, int(params.get("limit", 10)), params.get("starting_after", "")
                )
        return self._one_intent(request, expand)

    def _one_intent(self, request: Request, expand: list[str]) -> Document:
        found = _INTENT.match(request.path)
        if found is None:
            raise missing("route", request.path)
        intent, books, params = self.books.intent(found.group(1)), self.books, request.params
        match request.method, found.group(2):
            case "GET", None:
                pass
            case "POST", None:
                intents.update(books, intent, params)
            case "POST", "confirm":
                intents.confirm(books, intent, params)
            case "POST", "capture":
                intents.capture(books, intent, params)
            case "POST", "cancel":
                intents.cancel(books, intent)
            case _:
                raise missing("route", request.path)
        return books.shown(intent, expand)

    def _search(self, params: Document) -> Document:
        found = _QUERY.match(params.get("query", ""))
        if found is None:
            raise Refused(400, param="query", message="We were unable to parse your search query.")
        seen_s = (self._clock.now_ms() - self.search_lag_ms) // 1_000
        name, value = found.groups()
        hits = [
            one
            for one in self.books.intents.values()
            if one["metadata"].get(name) == value and one["created"] <= seen_s
        ]
        return {
            **page(hits, "/v1/payment_intents/search", int(params.get("limit", 10))),
            "object": "search_result",
        }

    def intent_of(self, payment_id: str) -> Document:
        """The one intent that carries a payment id. Raises ValueError for none or several."""
        (found,) = [
            one for one in self.books.intents.values() if one["metadata"].get("payment_id") == payment_id
        ]
        return found

    def settle(self, payment_id: str, *, paid: bool | None = None) -> None:
        """The bank or the buyer decides about an intent that waits; None leaves it to its method."""
        intent = self.intent_of(payment_id)
        if intent["status"] in ("requires_action", "processing"):
            decided = METHODS[intent["payment_method"]].decline is None if paid is None else paid
            intents.decide(self.books, intent, paid=decided)

    def settle_refunds(self, payment_id: str) -> None:
        """The bank's last word about every refund of a payment whose method leaves it open."""
        intent = self.intent_of(payment_id)
        for made in self.books.refunds.values():
            how = METHODS[self.books.charges[made["charge"]]["payment_method"]].refunds
            if made["payment_intent"] == intent["id"] and how != "succeeded" and made["status"] != "failed":
                intents.settle_refund(self.books, made, paid=how == "pending")

    def dispute(self, payment_id: str, amount: int = 0, *, inquiry: bool = False) -> Document:
        """A bank asks about the charge of a payment; 0 is all that was captured."""
        charge = self.books.charges[self.intent_of(payment_id)["latest_charge"]]
        return disputes.begin(self.books, charge, amount, inquiry=inquiry)

    def settle_due(self, after_s: int) -> None:
        """Everything that has waited so long is decided as its method says; a redirect is paid."""
        self.books.now_s = self._clock.now_ms() // 1_000
        for intent in list(self.books.intents.values()):
            payment_id = intent["metadata"].get("payment_id")
            if payment_id and intent["created"] + after_s <= self.books.now_s:
                self.settle(payment_id)
        for made in list(self.books.refunds.values()):
            if made["status"] == "pending" and made["created"] + after_s <= self.books.now_s:
                intents.settle_refund(self.books, made, paid=True)

    async def deliver_all(self, copies: int = 1) -> int:
        """Send the webhooks that wait, in the order of their events; the number sent.

        One whose delivery raises stays the next to be sent.
        """
        deliver, sent = self._deliver, 0
        if deliver is None:
            return 0
        while self._sent < len(self.books.events):
            body = _encode(self.books.events[self._sent])
            for _ in range(copies):
                headers = stripe_signature.sign(self._secrets, self._clock.now_ms() // 1_000, body)
                await deliver(headers, body)
                sent += 1
            self._sent += 1
        return sent


def read_form(text: str) -> Document:
    """The tree of a form: `metadata[a]=1` is {"metadata": {"a": "1"}}."""
    tree: Document = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        path = [part for part in re.split(r"[\[\]]+", name) if part]
        place: Any = tree
        for part in path[:-1]:
            place = place.setdefault(part, {})
        place[path[-1]] = value
    return tree


def _encode(document: Document) -> bytes:
    return json.dumps(document).encode()


def _error(refused: Refused) -> Answer:
    return Answer(status=refused.status, body=_encode({"error": refused.error}))
