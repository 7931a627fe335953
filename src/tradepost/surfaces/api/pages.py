"""What is no API route: health, metrics, the OpenAPI document and its page, and one page a problem code."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from html import escape
from importlib import resources

import msgspec

from tradepost.kernel.errors import Refusal, problem_table
from tradepost.surfaces.api import metrics
from tradepost.surfaces.api.operation import Answer, Call, Operation, Routes
from tradepost.surfaces.api.problems import status_of

ROUTES = Routes("platform", priority=None)
HTML = "text/html; charset=utf-8"
_ASSETS = {
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "swagger-ui.css": "text/css; charset=utf-8",
}
_WORD_END = re.compile("([._])")
_CODE = re.compile("`([^`]+)`")
_KEPT = ((b"cache-control", b"public, max-age=86400"),)
_STYLE = """body{font:1rem/1.5 system-ui,sans-serif;max-width:44rem;margin:2rem auto;padding:0 1rem;color:#1b1f24}
a{color:#0b57a4} code{background:#f0f2f5;padding:.1em .3em;overflow-wrap:break-word}
table{border-collapse:collapse;width:100%} tr{border-bottom:1px solid #e3e6ea}
td,th{text-align:left;vertical-align:top;padding:.4rem .8rem .4rem 0}"""
_SCRIPT = 'SwaggerUIBundle({url: "/openapi.json", dom_id: "#api", deepLinking: true, validatorUrl: null})'
_SHELL = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} - Tradepost</title>
<link rel="icon" href="data:,">
<style>{style}</style>
<main>{body}</main>
</html>
"""
_DOCS = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Tradepost API</title>
<link rel="stylesheet" href="/docs/assets/swagger-ui.css">
<link rel="icon" href="data:,">
<div id="api"></div>
<script src="/docs/assets/swagger-ui-bundle.js"></script>
<script>SCRIPT</script>
</html>
""".replace("SCRIPT", _SCRIPT)


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _policy(*allowed: str) -> tuple[tuple[bytes, bytes], ...]:
    """The headers of a page: nothing runs or loads but what is named, and no other site may frame it."""
    rules = (
        "default-src 'none'",
        *allowed,
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
    return (
        (b"content-security-policy", "; ".join(rules).encode()),
        (b"referrer-policy", b"no-referrer"),
    )


PAGE = _policy(f"style-src {_hash(_STYLE)}", "img-src data:")
# Swagger UI sets style attributes, which no hash can name.
_DOCS_PAGE = _policy(
    f"script-src 'self' {_hash(_SCRIPT)}",
    "style-src 'self' 'unsafe-inline'",
    "img-src 'self' data:",
    "connect-src 'self'",
)


def show_page(title: str, body: str) -> bytes:
    """A page of ours. Title and body are HTML: escape what comes from outside."""
    return _SHELL.format(title=title, style=_STYLE, body=body).encode()


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the process is up, and what of its checks holds."""

    status: str
    checks: dict[str, bool] = {}


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """Whether traffic is welcome, which switches are on, and alarms that do not stop traffic, by kind.

    `parts` says which of those answer that the shop goes on without.
    """

    status: str
    checks: dict[str, bool]
    parts: dict[str, bool]
    degraded: tuple[str, ...]
    alarms: dict[str, str]


@ROUTES.add("GET", "/health/live", public=True, returns=Health, answer={"status": "up", "checks": {}})
async def live(call: Call) -> Health:
    """Whether the process runs

    Restart it when this does not answer.
    """
    return Health(status="up")


@ROUTES.add(
    "GET",
    "/health/ready",
    public=True,
    returns=Readiness,
    answer={"status": "ready", "checks": {"db": True}, "parts": {}, "degraded": [], "alarms": {}},
)
async def ready(call: Call) -> Answer:
    """Whether traffic is welcome now

    503 names the checks that fail; the process itself is healthy and will be back.
    """
    checks = dict(await call.platform.checks())
    well = all(checks.values())
    platform = call.platform
    alarms = (
        {} if platform.config is None else {one.kind: one.detail for one in platform.config.live.alarms()}
    )
    found = Readiness(
        status="ready" if well else "waiting",
        checks=checks,
        parts=dict(platform.conditions()),
        degraded=tuple(sorted(platform.switches.active)),
        alarms={**platform.warnings(), **alarms},
    )
    body = msgspec.json.encode(found)
    return Answer(body, 200 if well else 503, headers=() if well else ((b"retry-after", b"1"),))


@ROUTES.add("GET", "/openapi.json", public=True)
async def openapi(call: Call) -> Answer:
    """This document"""
    return Answer(_document())


@cache
def _document() -> bytes:
    from tradepost.surfaces.api.openapi import document  # noqa: PLC0415  it needs every operation, this one too

    return msgspec.json.encode(document())


@ROUTES.add("GET", "/docs", public=True, media_type=HTML)
async def docs(call: Call) -> Answer:
    """The document as a page to try requests from"""
    return Answer(_DOCS.encode(), media_type=HTML, headers=_DOCS_PAGE)


@ROUTES.add("GET", "/docs/assets/{name}", public=True, media_type="text/javascript")
async def asset(call: Call) -> Answer:
    """Script and style of the page, served from here: nothing is loaded from elsewhere"""
    media_type = _ASSETS.get(call.path["name"])
    if media_type is None:
        raise Refusal("route.unknown", "There is no such asset.", expected="/docs")
    return Answer(_asset(call.path["name"]), media_type=media_type, headers=_KEPT)


@cache
def _asset(name: str) -> bytes:
    return resources.files(__package__).joinpath("assets", name).read_bytes()


@ROUTES.add("GET", "/problems", public=True, media_type=HTML)
async def problems(call: Call) -> Answer:
    """Every problem code with its page"""
    rows = "".join(
        f'<tr><td><a href="/problems/{escape(code)}"><code>{_breakable(code)}</code></a>'
        f"<td>{status_of(code, problem)}<td>{escape(problem.title)}"
        for code, problem in problem_table().items()
    )
    body = f"<h1>Problem codes</h1><table><tr><th>Code<th>Status<th>Meaning{rows}</table>"
    return Answer(show_page("Problem codes", body), media_type=HTML, headers=PAGE)


def _breakable(code: str) -> str:
    """A code as HTML that may end a line between its words."""
    return _WORD_END.sub(r"\1<wbr>", escape(code))


def _marked(text: str) -> str:
    """Text as HTML, its `words in backticks` as code."""
    return _CODE.sub(r"<code>\1</code>", escape(text))


@ROUTES.add("GET", "/problems/{code}", public=True, media_type=HTML)
async def problem(call: Call) -> Answer:
    """What one problem code means and what to do about it"""
    code = call.path["code"]
    row = problem_table().get(code)
    if row is None:
        raise Refusal("route.unknown", "There is no such problem code.", expected="/problems")
    body = (
        f"<h1>{escape(row.title)}</h1><p><code>{escape(code)}</code>, status {status_of(code, row)}"
        f" ({escape(row.kind.value)})</p><h2>What to do</h2><p>{_marked(row.remedy)}</p>"
        "<p>A refusal changed nothing.</p>"
        '<p><a href="/problems">All codes</a></p>'
    )
    return Answer(show_page(escape(code), body), media_type=HTML, headers=PAGE)


def page_operations(meter: metrics.Meter) -> tuple[Operation, ...]:
    """The operations above, and /metrics over this application's meter."""

    async def read_metrics(call: Call) -> Answer:
        platform = call.platform
        text = meter.text(await platform.gauges(), platform.groups())
        return Answer(text, media_type=metrics.CONTENT_TYPE)

    scrape = Operation(
        method="GET",
        path="/metrics",
        priority=None,
        act=read_metrics,
        summary="Numbers for Prometheus",
        description="",
        tag="platform",
        public=True,
        media_type=metrics.CONTENT_TYPE,
    )
    return (*ROUTES.operations, scrape)
