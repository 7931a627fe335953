"""A tiny application in place of the platform, and the parent process that the process tests signal."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec

from tradepost.kernel.errors import Refusal
from tradepost.settings import Server, Settings
from tradepost.surfaces.cli.logs import configure_logs
from tradepost.surfaces.cli.processes import API, WORK, Crew, Plan, run_plan


class App:
    """Answers with its pid; `/slow` takes its time, `/stuck` blocks the loop, `/metrics` counts."""

    def __init__(self, number: int, settings: Settings) -> None:
        self.number, self.settings, self.count = number, settings, 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"]
        if path == "/slow":
            await asyncio.sleep(float(scope["query_string"] or b"0.3"))
        elif path == "/stuck":
            os.kill(os.getpid(), signal.SIGSTOP)
        body = msgspec.json.encode({"pid": os.getpid(), "host": self.settings.server.data_dir})
        if path == "/metrics":
            lines = [
                "# HELP tradepost_requests_total Answers given.",
                "# TYPE tradepost_requests_total counter",
                f'tradepost_requests_total{{route="/",status="200"}} {self.count}',
                "# HELP tradepost_outbox_lag_events Events not relayed yet.",
                "# TYPE tradepost_outbox_lag_events gauge",
                "tradepost_outbox_lag_events 7",
            ]
            body = ("\n".join(lines) + "\n").encode()
        else:
            self.count += 1
        headers = [(b"content-length", b"%d" % len(body)), (b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


@contextlib.asynccontextmanager
async def open_worker(settings: Settings, number: int) -> AsyncIterator[App]:
    """An API worker; notes its opening and its orderly closing in the data folder."""
    folder = Path(settings.server.data_dir)
    if (folder / "refuse").exists():
        raise Refusal("server.one_process", "told to refuse")
    with (folder / "opened").open("a") as file:
        file.write(f"{number} {os.getpid()}\n")
    yield App(number, settings)
    with (folder / "closed").open("a") as file:
        file.write(f"api {os.getpid()}\n")


@contextlib.asynccontextmanager
async def open_work(settings: Settings, number: int) -> AsyncIterator[None]:
    """A work process without an application."""
    folder = Path(settings.server.data_dir)
    (folder / f"work-{number}").write_text(str(os.getpid()))
    yield None
    with (folder / "closed").open("a") as file:
        file.write(f"work {os.getpid()}\n")


@contextlib.asynccontextmanager
async def open_broken(settings: Settings, number: int) -> AsyncIterator[None]:
    """A work process that dies right after it got ready."""
    yield None
    os._exit(9)


def main() -> None:
    """Run a parent: data folder, workers, work processes, then flags."""
    folder, workers, work, *flags = sys.argv[1:]
    configure_logs(process="parent")
    listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
    plan = Plan(
        settings=Settings(server=Server(data_dir=folder)),
        crews=[
            Crew(kind=API, factory="tests.stand_in:open_worker", count=int(workers), listening=listening),
            Crew(kind=WORK, factory="tests.stand_in:open_work", count=int(work)),
        ],
        overlap="alone" not in flags,
        linger_s=0.5,
        drain_s=3.0,
        silent_max_s=2.5 if "watch" in flags else 60.0,
    )
    sys.exit(run_plan(plan, f"port {listening.getsockname()[1]}"))


if __name__ == "__main__":
    main()
