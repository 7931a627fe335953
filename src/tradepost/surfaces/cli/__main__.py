"""`tradepost`: the one command, its groups and its exit codes."""

from __future__ import annotations

import sys

import cyclopts

from tradepost import __version__
from tradepost.kernel.errors import Refusal
from tradepost.surfaces.cli.output import INTERRUPTED, stop

app = cyclopts.App(
    name="tradepost",
    version=__version__,
    help="A trading centre for content commerce. Ends with 0 when done, 1 when a check failed, "
    "2 on bad usage, 3 when refused, 4 when interrupted.",
)
_order = cyclopts.App(name="order", help="Look at orders.")
_ledger = cyclopts.App(name="ledger", help="Prove the books.")
app.command(_order)
app.command(_ledger)

_COMMANDS: tuple[tuple[cyclopts.App, str, str], ...] = (
    (app, "serve", "tradepost.surfaces.cli.serve:serve"),
    (app, "work", "tradepost.surfaces.cli.serve:work"),
    (app, "replay", "tradepost.surfaces.cli.replay:replay"),
    (app, "simulate", "tradepost.surfaces.cli.simulate:simulate"),
    (app, "bench", "tradepost.surfaces.cli.bench:bench"),
    (app, "points", "tradepost.surfaces.cli.points:points"),
    (app, "export", "tradepost.surfaces.cli.export:export"),
    (_order, "show", "tradepost.surfaces.cli.order:show"),
    (_ledger, "check", "tradepost.surfaces.cli.ledger:check"),
)
"""Every command is imported only when it runs, so that `serve` starts without the bench and the simulator."""


def register() -> None:
    """Give cyclopts every command by its import path."""
    for group, name, path in _COMMANDS:
        group.command(path, name=name)


register()


def main() -> None:
    """Run the command line; refusals become sentences and exit code 3."""
    try:
        app()
    except Refusal as refusal:
        stop(refusal)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)


if __name__ == "__main__":
    main()
