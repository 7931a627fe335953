"""From an operation and a request to an answer: the same steps for raw routes and for those behind Litestar."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress

import msgspec

from tradepost.kernel.errors import Refusal
from tradepost.stability.limiter import Limiter
from tradepost.stability.limits import Asker, By
from tradepost.surfaces.api import raw
from tradepost.surfaces.api.deadlines import Deadlines, Waiting
from tradepost.surfaces.api.degrading import refuse_or_pass
from tradepost.surfaces.api.metrics import Meter
from tradepost.surfaces.api.once import InFlight
from tradepost.surfaces.api.operation import ANYBODY, FORM, JSON, Answer, Call, Operation
from tradepost.surfaces.api.platform import Platform
from tradepost.surfaces.api.problems import PROBLEM_JSON, Headers, render_defect, render_problem
from tradepost.telemetry.asgi import ROUTE
from tradepost.telemetry.trace import trace_id
from tradepost.trade.parties import Principal, Role, require

_JSON = JSON.encode()
_encode = msgspec.json.Encoder().encode
SHED_STATUS = 503
Sent = tuple[int, bytes | AsyncIterator[bytes], bytes, Headers]
"""Status, body or its pieces, media type, headers."""


class Server:
    """Answers operations of one platform."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.meter = Meter(platform.board)
        self._in_flight = InFlight()
        self._deadlines = Deadlines(platform.limits.deadline_ms, platform.providers, self._tell_late)
        self._switches = platform.switches
        self._shed: dict[int, tuple[int, bytes, Headers]] = {}
        self._shed_bytes: dict[int, bytes] = {}

    def trace_id(self) -> str:
        """The name of the request under way, for the log and the caller."""
        return trace_id() or f"{self.platform.world.chance(128):032x}"

    async def serve(
        self,
        operation: Operation,
        path: Mapping[str, str],
        scope: raw.Scope,
        receive: raw.Receive,
        send: raw.Send,
    ) -> None:
        """Answer one request; nothing is raised but what the server itself broke."""
        started = time.perf_counter()
        scope[ROUTE] = operation.path
        admission, priority = self.platform.admission, operation.priority
        if admission is None or priority is None:
            admission = None
        else:
            shed = admission.decide(priority, started)
            if shed is not None:
                await self._send_shed(operation, shed, send, started)
                return
        waiting = self._deadlines.begin(operation, send, started)
        try:
            status, body, media_type, headers = await self.answer(operation, path, scope, receive)
            if waiting.late:
                return
            self._deadlines.end(waiting)
            self.meter.count(operation.path, status, time.perf_counter() - started)
            if self._switches.active:
                headers = [*headers, self._switches.header]
            if isinstance(body, bytes):
                await raw.send_answer(send, status, body, media_type, headers)
            else:
                await raw.send_pieces(send, status, body, media_type, headers)
        except (raw.Disconnected, OSError):  # nobody hears the answer; an OSError of the work became one
            return
        finally:
            self._deadlines.end(waiting)
            if admission is not None and priority is not None:
                admission.done(priority, started, time.perf_counter())

    def refuse_early(self, operation: Operation) -> bytes | None:
        """The bytes of the refusal that admission has for this operation now, made once; None when there is room."""
        admission, priority = self.platform.admission, operation.priority
        if admission is None or priority is None:
            return None
        shed = admission.foresee(priority, time.perf_counter())
        if shed is None:
            return None
        self.meter.count(operation.path, SHED_STATUS, 0.0)
        answer = self._shed_bytes.get(id(shed))
        if answer is None:
            status, problem, headers = render_problem(shed, "")
            answer = self._shed_bytes[id(shed)] = raw.whole_answer(status, problem, PROBLEM_JSON, headers)
        return answer

    async def _send_shed(self, operation: Operation, shed: Refusal, send: raw.Send, started: float) -> None:
        """Answer without reading the body; the few refusals there are were made once, and so are their answers."""
        answer = self._shed.get(id(shed))
        if answer is None:
            answer = self._shed[id(shed)] = render_problem(shed, "")
        status, problem, headers = answer
        with suppress(OSError):
            await raw.send_answer(send, status, problem, PROBLEM_JSON, headers)
        self.meter.count(operation.path, status, time.perf_counter() - started)

    async def _tell_late(self, waiting: Waiting) -> None:
        """Answer for a request that goes on; its own answer is kept under its key and sent to whoever repeats it."""
        status, problem, headers = render_problem(self._deadlines.refusal(waiting), waiting.trace)
        self.meter.count(waiting.operation.path, status, time.perf_counter() - waiting.started)
        with suppress(OSError):
            await raw.send_answer(waiting.send, status, problem, PROBLEM_JSON, headers)

    async def answer(
        self, operation: Operation, path: Mapping[str, str], scope: raw.Scope, receive: raw.Receive
    ) -> Sent:
        """The answer, a problem document when something was refused or broke."""
        try:
            if self._switches.active:
                refuse_or_pass(operation, self._switches)
            call = await self._read(operation, path, scope, receive)
            if operation.keyed:
                limits = self.platform.limits
                result = await self._in_flight.run(
                    call.principal.party_id, call.key, limits.key_wait_ms, lambda: operation.act(call)
                )
            else:
                result = await operation.act(call)
            if isinstance(result, Answer):
                body: bytes | AsyncIterator[bytes] = result.body
                if not isinstance(body, bytes):
                    body = await raw.look_ahead(body)
                return (
                    result.status or operation.status,
                    body,
                    result.media_type.encode(),
                    [*result.headers],
                )
            return operation.status, _encode(result), _JSON, []
        except Refusal as refusal:
            status, problem, headers = render_problem(refusal, self.trace_id())
            refusal.__traceback__ = None  # its frames name it: without this only the collector frees both
            return status, problem, PROBLEM_JSON, headers
        except raw.Disconnected:
            raise
        except Exception as error:
            status, problem, headers = render_defect(error, self.trace_id())
            return status, problem, PROBLEM_JSON, headers

    async def _read(
        self, operation: Operation, path: Mapping[str, str], scope: raw.Scope, receive: raw.Receive
    ) -> Call:
        principal = ANYBODY
        if not operation.public:
            token, keyring = raw.read_token(scope), self.platform.keyring
            found = keyring.peek(token) or await keyring.find(token)
            principal = require(found, scope=operation.scope, roles=operation.roles)
        key = raw.read_key(scope) if operation.keyed else ""
        limits = self.platform.limits
        body, decoded = b"", None
        if operation.reads_body:
            raw.check_media_type(scope, operation.accepts)
            bound = limits.import_bytes_max if operation.bulk else limits.body_bytes_max
            body = await raw.read_body(scope, receive, operation.body_bytes_max or bound)
            if operation.body is not None:
                is_form = operation.accepts == (FORM,)
                decoded = (raw.decode_query if is_form else raw.decode_body)(operation.body, body)
        limiter = self.platform.limiter
        if limiter is not None and operation.priority is not None:
            asked = limiter.asks(operation.route)
            if asked:
                await self._limit(limiter, asked, operation, principal, scope, decoded)
        query = None if operation.query is None else raw.decode_query(operation.query, scope["query_string"])
        return Call(
            platform=self.platform,
            principal=principal,
            path=path,
            query=query,
            body=decoded,
            raw=body,
            headers=raw.plain_headers(scope) if operation.public or operation.bulk else {},
            key=key,
            request_hash=raw.hash_request(operation.method, scope["path"], body) if key else "",
        )

    async def _limit(
        self,
        limiter: Limiter,
        asked: frozenset[By],
        operation: Operation,
        principal: Principal,
        scope: raw.Scope,
        body: object,
    ) -> None:
        """Raise Refusal `limit.exceeded` when one of the limits of this request says no."""
        party, skus = principal.party_id, operation.skus
        cells = limiter.cells(
            Asker(
                operation.route,
                app=principal.key_id,
                buyer=party if principal.role in (Role.BUYER, Role.GUEST) else "",
                seller=party if principal.role == Role.SELLER else "",
                ip=(scope.get("client") or ("",))[0],
                skus=skus(self.platform, body) if skus is not None and By.SKU in asked else (),
            )
        )
        refusal = await limiter.refuse(cells) if cells else None
        if refusal is not None:
            raise refusal
