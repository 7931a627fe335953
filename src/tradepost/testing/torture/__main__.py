"""`python -m tradepost.testing.torture kill|writer|full|hot|kits|limit`: the long forms, by command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

from tradepost.testing.torture.disk import fill_the_disk
from tradepost.testing.torture.hot import buyer_limit, hot_sku, kits_that_share
from tradepost.testing.torture.hot_servers import Race, hot_sku_on_servers
from tradepost.testing.torture.kill import kill_at_random_moments, kill_the_writer
from tradepost.testing.torture.report import Report, show


def main() -> int:
    """Run one torture and print what held; 1 when something did not."""
    given = _parser().parse_args()
    return max([show(report, as_json=given.json) for report in _run(given)])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tradepost.testing.torture", description=__doc__)
    tortures = parser.add_subparsers(dest="torture", required=True)
    every = argparse.ArgumentParser(add_help=False)
    every.add_argument("--json", action="store_true", help="print JSON instead of tables")
    every.add_argument("--writer", choices=("thread", "process", "both"), default="both")
    kill = tortures.add_parser("kill", parents=[every], help="kill -9 at random moments under load")
    kill.add_argument("--moments", type=int, default=20)
    kill.add_argument("--settle-every", type=int, default=5, help="kills between waits for all to settle")
    kill.add_argument("--seed", type=int, default=1)
    alone = tortures.add_parser("writer", help="kill -9 for the writer process alone")
    alone.add_argument("--moments", type=int, default=10)
    alone.add_argument("--seed", type=int, default=1)
    alone.add_argument("--json", action="store_true", help="print JSON instead of tables")
    full = tortures.add_parser("full", parents=[every], help="a disk that fills under load")
    full.add_argument("--seed", type=int, default=1)
    hot = tortures.add_parser("hot", parents=[every], help="many requests for few pieces of one SKU")
    hot.add_argument("--requests", type=int, default=20_000)
    hot.add_argument("--stock", type=int, default=5_000)
    hot.add_argument("--twins", action="store_true", help="send each request twice at once")
    hot.add_argument(
        "--database",
        default="",
        help="mariadb or vitess, which are started for it, or the address of an empty database",
    )
    hot.add_argument("--workers", type=int, default=2, help="API workers; with --database")
    hot.add_argument("--redis", action="store_true", help="with a Redis beside it; with --database")
    kits = tortures.add_parser("kits", parents=[every], help="two kits share a scarce component")
    kits.add_argument("--requests", type=int, default=4_000)
    kits.add_argument("--stock", type=int, default=1_000)
    limit = tortures.add_parser("limit", parents=[every], help="one buyer asks for more than the limit")
    limit.add_argument("--requests", type=int, default=1_000)
    limit.add_argument("--limit", type=int, default=3)
    for each, connections in ((hot, 256), (kits, 256), (limit, 64)):
        each.add_argument("--connections", type=int, default=connections)
    return parser


def _run(given: argparse.Namespace) -> Iterator[Report]:
    if given.torture == "writer":
        yield kill_the_writer(given.moments, given.seed)
        return
    if given.torture == "hot" and given.database:
        yield hot_sku_on_servers(
            Race(
                requests=given.requests,
                stock=given.stock,
                connections=given.connections,
                workers=given.workers,
                database=given.database,
                cache=given.redis,
                twins=given.twins,
            )
        )
        return
    for writer in ("thread", "process") if given.writer == "both" else (given.writer,):
        if given.torture == "kill":
            settle_every = given.settle_every
            yield kill_at_random_moments(
                given.moments, given.seed, writer=writer, settle_every=settle_every, tell=_tell
            )
        elif given.torture == "full":
            yield fill_the_disk(given.seed, writer=writer, tell=_tell)
        elif given.torture == "hot":
            twins = given.twins
            yield hot_sku(given.requests, given.stock, given.connections, twins=twins, writer=writer)
        elif given.torture == "kits":
            yield kits_that_share(given.requests, given.stock, given.connections, writer=writer)
        else:
            yield buyer_limit(given.requests, given.limit, given.connections, writer=writer)


def _tell(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    raise SystemExit(main())
