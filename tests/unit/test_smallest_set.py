"""The shop on one file runs in the smallest environment: nothing it loads is one of the extras."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_ALONE = """
import asyncio, sys
for name in ("redis", "hiredis", "pymysql", "stripe", "rocketmq", "grpc", "opentelemetry", "requests"):
    sys.modules[name] = None
from tradepost.app import open_app, running
from tradepost.settings import Server, Settings
from tradepost.surfaces.api import create_asgi
import tradepost.surfaces.cli.ledger, tradepost.surfaces.cli.order, tradepost.surfaces.cli.serve

async def story():
    async with open_app(Settings(server=Server(data_dir=sys.argv[1]))) as app, running(app):
        create_asgi(app.platform)
        print("opened")

asyncio.run(story())
"""

_BENCH = """
import sys
from pathlib import Path
for name in ("redis", "hiredis", "pymysql", "stripe", "rocketmq", "grpc", "opentelemetry", "requests"):
    sys.modules[name] = None
import tradepost.surfaces.cli.bench
from tradepost.testing.bench import Options, run_bench

chosen = ("quote", "mariadb", "broker")
found = run_bench(Options(out=Path(sys.argv[1]), quick=True, only=chosen), lambda *_: None)
print(*[figure.name for figure in found.figures], sep=",")
for name, why in found.failures.items():
    print(name, why)
"""


def test_a_shop_on_one_file_needs_no_client_of_a_server(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _ALONE, str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.returncode) == ("opened\n", 0), done.stderr


def test_the_bench_measures_what_it_can_and_says_what_the_rest_needs(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _BENCH, str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    needs = "ImportError: it needs the production set, for {}: pip install 'tradepost[production]'"
    assert done.stdout.splitlines() == [
        "quote_100,quote_100_many",
        f"mariadb {needs.format('pymysql')}",
        f"broker {needs.format('pymysql and rocketmq')}",
    ]
