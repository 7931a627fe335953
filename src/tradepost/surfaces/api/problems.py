"""RFC 9457: every refusal and every failure becomes one problem document with a stable code."""

from __future__ import annotations

import logging
from typing import Any

import msgspec

from tradepost.kernel.errors import Kind, Problem, Refusal, declare_problems, problem_table

declare_problems(
    {
        "route.unknown": (Kind.NOT_FOUND, "No such route", "See /docs for the routes there are."),
        "route.method_not_allowed": (
            Kind.INVALID,
            "The route has no such method",
            "Use one of the methods that the Allow header names.",
        ),
        "input.malformed_json": (
            Kind.INVALID,
            "The body is not JSON",
            "Send one valid JSON document in UTF-8.",
        ),
        "input.body_too_large": (
            Kind.TOO_LARGE,
            "The body is too large",
            "Split the request; `expected` names the bound.",
        ),
        "input.media_type": (
            Kind.INVALID,
            "Unsupported media type",
            "Send the Content-Type that `expected` names.",
        ),
        "input.cursor_invalid": (
            Kind.INVALID,
            "Not a cursor of this list",
            "Pass `next_cursor` as the page before gave it, or leave it out.",
        ),
        "idempotency.key_required": (
            Kind.INVALID,
            "Idempotency-Key is missing or unusable",
            "Send a header Idempotency-Key of 1 to 255 visible ASCII letters, the same one at every repeat.",
        ),
        "idempotency.in_progress": (
            Kind.CONFLICT,
            "The first request with this key still runs",
            "Repeat the same request with the same key in a moment.",
        ),
    }
)

STATUSES: dict[Kind, int] = {
    Kind.INVALID: 400,
    Kind.UNAUTHENTICATED: 401,
    Kind.FORBIDDEN: 403,
    Kind.NOT_FOUND: 404,
    Kind.CONFLICT: 409,
    Kind.TOO_LARGE: 413,
    Kind.UNPROCESSABLE: 422,
    Kind.LIMITED: 429,
    Kind.INTERNAL: 500,
    Kind.OVERLOADED: 503,
}
_SPECIAL = {"route.method_not_allowed": 405, "input.media_type": 415}
PROBLEM_JSON = b"application/problem+json"
RETRY_AFTER_S = b"1"
log = logging.getLogger("tradepost.api")
_encode = msgspec.json.Encoder().encode

Headers = list[tuple[bytes, bytes]]


class ProblemDocument(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What every answer that is no success looks like; `extra` members of a code stand beside these."""

    type: str
    title: str
    status: int
    code: str
    detail: str = ""
    field: str = ""
    expected: str = ""
    trace_id: str = ""


def status_of(code: str, problem: Problem) -> int:
    """The HTTP status of a problem code."""
    return _SPECIAL.get(code) or STATUSES[problem.kind]


def render_problem(refusal: Refusal, trace_id: str) -> tuple[int, bytes, Headers]:
    """Status, body and special headers of a refusal. An undeclared code is a defect and answers as `internal`."""
    try:
        problem = refusal.problem
    except KeyError:
        return render_defect(refusal, trace_id)
    status = status_of(refusal.code, problem)
    document: dict[str, Any] = {
        "type": f"/problems/{refusal.code}",
        "title": problem.title,
        "status": status,
        "code": refusal.code,
        "detail": refusal.detail,
    }
    if refusal.field:
        document["field"] = refusal.field
    if refusal.expected:
        document["expected"] = refusal.expected
    for name, value in refusal.extra.items():
        document.setdefault(name, value)
    document["trace_id"] = trace_id
    return status, _encode(document), _headers(status, refusal)


def _headers(status: int, refusal: Refusal) -> Headers:
    if status == 401:
        return [(b"www-authenticate", b'Bearer realm="tradepost"')]
    if status in (429, 503):
        return [(b"retry-after", str(refusal.extra.get("retry_after_s", 1)).encode())]
    if status == 405:
        return [(b"allow", refusal.expected.encode())]
    return []


def render_defect(error: BaseException, trace_id: str) -> tuple[int, bytes, Headers]:
    """A 500 that tells the trace id and nothing of the error, which goes to the log."""
    log.error("defect %s", trace_id, exc_info=error)
    problem = problem_table()["internal"]
    document = ProblemDocument(
        type="/problems/internal",
        title=problem.title,
        status=500,
        code="internal",
        detail="Something broke that should not. The log has it under this trace id.",
        trace_id=trace_id,
    )
    return 500, _encode(document), []


def refuse_input(error: msgspec.ValidationError) -> Refusal:
    """The refusal of a body or query that does not fit its schema, with the path of the field."""
    text, _, path = str(error).partition(" - at `$")
    path = path.rstrip("`").lstrip(".").replace("[...]", "")
    if "field `" in text:  # a missing or unknown field is named in the text, its parent in the path
        path = ".".join(part for part in (path, text.split("`")[-2]) if part)
    return Refusal("input.invalid", text, field=path, expected=text if text.startswith("Expected") else "")
