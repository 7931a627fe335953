"""A real `tradepost serve` as a process of its own, on a free port and a folder of the test's own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

TRADEPOST = Path(sys.executable).with_name("tradepost")
END_S = 20


class DemoServer(NamedTuple):
    """A server that answers: where it listens, where its file lies, and what it printed."""

    address: str
    data_dir: Path
    process: subprocess.Popen[str]
    greeting: str


def surroundings(data_dir: Path, **settings: str) -> dict[str, str]:
    """The environment of a command: nothing of the machine's own settings, this folder, a free port."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TRADEPOST_")}
    return kept | {"DATA_DIR": str(data_dir), "PORT": "0", "HOST": "127.0.0.1", "COLUMNS": "200"} | settings


@contextmanager
def demo_server(data_dir: Path, *options: str, **settings: str) -> Iterator[DemoServer]:
    """A demo shop that has greeted; told to end with SIGINT afterwards, which it must do well and soon."""
    with (data_dir.parent / f"{data_dir.name}.stderr").open("w+") as errors:
        process = subprocess.Popen(
            [TRADEPOST, "serve", "--demo", *options],
            env=surroundings(data_dir, **settings),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        assert process.stdout is not None
        printed = []
        for line in process.stdout:  # ends early only when the server ends
            printed.append(line)
            if line.startswith("curl "):
                break
        errors.seek(0)
        assert process.poll() is None, errors.read()
        try:
            yield DemoServer(printed[0].split()[-1], data_dir, process, "".join(printed))
        finally:
            process.send_signal(signal.SIGINT)
            try:
                code = process.wait(END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
            finally:
                process.stdout.close()
        errors.seek(0)
        assert code == 0, errors.read()
