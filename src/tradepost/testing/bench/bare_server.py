"""`python -m tradepost.testing.bench.bare_server PORT`: uvicorn with nothing behind it."""

from __future__ import annotations

import sys

import uvicorn
import uvloop

from tradepost.surfaces.api.raw import Receive, Scope, Send


async def answer_ok(scope: Scope, receive: Receive, send: Send) -> None:
    """The bare ASGI application."""
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


def main() -> None:
    """Serve it on uvicorn as it comes, without the shop's joined writes."""
    config = uvicorn.Config(
        answer_ok,
        port=int(sys.argv[1]),
        http="httptools",
        loop="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=False,
    )
    uvloop.run(uvicorn.Server(config).serve())


if __name__ == "__main__":
    main()
