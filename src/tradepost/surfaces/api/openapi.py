"""The OpenAPI 3.1 document, made from the table of operations: schemas, examples and every status there may be."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec

import tradepost
from tradepost.kernel.errors import problem_table
from tradepost.surfaces.api.metrics import Meter
from tradepost.surfaces.api.operation import JSON, Operation
from tradepost.surfaces.api.pages import page_operations
from tradepost.surfaces.api.problems import PROBLEM_JSON, ProblemDocument, status_of
from tradepost.surfaces.api.routes import OPERATIONS

_REF = "#/components/schemas/{name}"
_READING = (400, 404, 405, 429, 500, 503)
_GUARDED = (401, 403)
_WRITING = (409, 413, 415, 422)
_COMMON = {
    400: "input.invalid",
    401: "auth.missing",
    403: "auth.forbidden",
    404: "route.unknown",
    405: "route.method_not_allowed",
    409: "version.conflict",
    413: "input.body_too_large",
    415: "input.media_type",
    422: "idempotency.key_reused",
    429: "limit.exceeded",
    500: "internal",
    503: "storage.overloaded",
}
_PARAMETER = re.compile(r"\{(\w+)\}")


def document() -> dict[str, Any]:
    """The whole document as plain data."""
    operations = (*OPERATIONS, *page_operations(Meter()))
    types = _types(operations)
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    known = dict(zip(types, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(
            operation, known, components
        )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tradepost",
            "version": getattr(tradepost, "__version__", "0.1.0"),
            "description": (
                "Money is `amount_minor` in the currency's minor unit; unit prices are decimal strings. "
                "Every refusal is `application/problem+json` with a stable `code`, and changed nothing."
            ),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _types(operations: Iterable[Operation]) -> list[Any]:
    found: list[Any] = [ProblemDocument]
    for operation in operations:
        for one in (operation.body, operation.query, operation.returns):
            if one is not None and one not in found:
                found.append(one)
    return found


def _operation(operation: Operation, known: dict[Any, Any], components: dict[str, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": operation.summary,
    }
    if operation.description or operation.roles:
        described["description"] = operation.description + _who(operation)
    parameters = [*_path(operation), *_query(operation, known, components), *_key(operation)]
    if parameters:
        described["parameters"] = parameters
    if operation.reads_body:
        described["requestBody"] = _body(operation, known)
    described["responses"] = _responses(operation, known)
    if not operation.public:
        described["security"] = [{"key": []}]
    return described


def _who(operation: Operation) -> str:
    return f" For {' or '.join(operation.roles)} keys." if operation.roles else ""


def _path(operation: Operation) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string", "minLength": 1, "maxLength": 200},
        }
        for name in _PARAMETER.findall(operation.path)
    ]


def _query(operation: Operation, known: dict[Any, Any], components: dict[str, Any]) -> list[dict[str, Any]]:
    if operation.query is None:
        return []
    schema = components[known[operation.query]["$ref"].rpartition("/")[2]]
    required = schema.get("required", [])
    return [
        {"name": name, "in": "query", "required": name in required, "schema": field}
        for name, field in schema["properties"].items()
    ]


def _key(operation: Operation) -> list[dict[str, Any]]:
    if not operation.keyed:
        return []
    return [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": True,
            "description": "Makes repeating this request safe: the first answer is given again for 30 days.",
            "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
            "example": "order-4711-try",
        }
    ]


def _body(operation: Operation, known: dict[Any, Any]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for media_type in operation.accepts:
        schema = known[operation.body] if operation.body is not None else {"type": "string"}
        content[media_type] = {"schema": schema}
        example = operation.example
        if isinstance(example, dict) and media_type in example:
            example = example[media_type]
        if example is not None:
            content[media_type]["example"] = example
    return {"required": True, "content": content}


def statuses(operation: Operation) -> list[int]:
    """Every status but its own that an operation may answer."""
    found = set(_READING)
    if not operation.public:
        found |= set(_GUARDED)
    if operation.method != "GET":
        found |= set(_WRITING)
    table = problem_table()
    found |= {status_of(code, table[code]) for code in operation.codes}
    return sorted(found)


def _responses(operation: Operation, known: dict[Any, Any]) -> dict[str, Any]:
    media_type = operation.media_type.partition(";")[0]
    answer: dict[str, Any] = {"description": "Done."}
    if operation.status != 204:
        schema = known[operation.returns] if operation.returns is not None else _plain(media_type)
        answer["content"] = {media_type: {"schema": schema}}
        if operation.answer is not None:
            answer["content"][media_type]["example"] = operation.answer
        answer["content"] |= {other: {"schema": {"type": "string"}} for other in operation.also}
    responses = {str(operation.status): answer}
    for status in statuses(operation):
        responses[str(status)] = _problem(operation, status, known)
    if operation.path == "/health/ready":
        responses["503"]["content"][JSON] = {"schema": known[operation.returns]}
    return responses


def _plain(media_type: str) -> dict[str, Any]:
    return {"type": "object"} if media_type == JSON else {"type": "string"}


def _problem(operation: Operation, status: int, known: dict[Any, Any]) -> dict[str, Any]:
    table = problem_table()
    own = [code for code in operation.codes if status_of(code, table[code]) == status]
    codes = list(dict.fromkeys([*own, *([_COMMON[status]] if status in _COMMON else [])]))
    content: dict[str, Any] = {"schema": known[ProblemDocument]}
    if codes:
        problem = table[codes[0]]
        content["example"] = {
            "type": f"/problems/{codes[0]}",
            "title": problem.title,
            "status": status,
            "code": codes[0],
            "detail": problem.remedy,
            "trace_id": "8f14e45fceea167a",
        }
    named = ", ".join(f"`{code}`" for code in codes)
    return {
        "description": f"{named or 'Refused'}.",
        "content": {PROBLEM_JSON.decode(): content},
    }
