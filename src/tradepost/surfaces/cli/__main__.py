"""`tradepost`: the one command, its groups and its exit codes."""

from __future__ import annotations

import sqlite3
import sys

import cyclopts

from tradepost import __version__
from tradepost.kernel.errors import Refusal
from tradepost.surfaces.cli.output import DEFECT, INTERRUPTED, errors, stop

app = cyclopts.App(
    name="tradepost",
    version=__version__,
    help="A trading centre for content commerce. Ends with 0 when done, 1 when a check failed, "
    "2 on bad usage, 3 when refused, 4 when interrupted, 5 on a defect of ours.",
)
_order = cyclopts.App(name="order", help="Look at orders.")
_ledger = cyclopts.App(name="ledger", help="Prove the books.")
app.command(_order)
app.command(_ledger)

_HOME = "tradepost.surfaces.cli"
_COMMANDS: tuple[tuple[cyclopts.App, str, str, str], ...] = (
    (app, "serve", f"{_HOME}.serve:serve", "Serve the API on one SQLite file, with relay and timers."),
    (app, "work", f"{_HOME}.serve:work", "Run relay, deliveries and timers without HTTP."),
    (
        app,
        "replay",
        f"{_HOME}.replay:replay",
        "Run a real shop's history through the real path, and reconcile it.",
    ),
    (app, "simulate", f"{_HOME}.simulate:simulate", "Run the whole platform on virtual time with faults."),
    (app, "bench", f"{_HOME}.bench:bench", "Measure every figure in one run: JSON and a page with plots."),
    (app, "points", f"{_HOME}.points:points", "Print which strategy answers for a scene."),
    (app, "export", f"{_HOME}.export:export", "Write a seller's catalogue or the event stream."),
    (_order, "show", f"{_HOME}.order:show", "Show an order with everything that happened to it."),
    (_ledger, "check", f"{_HOME}.ledger:check", "Prove that ledger, payments, orders and stock agree."),
)
"""Every command is imported only when it runs, so that `serve` starts without the bench and the simulator."""


def register() -> None:
    """Give cyclopts every command by its import path."""
    for group, name, path, sentence in _COMMANDS:
        group.command(path, name=name, help=sentence)


register()


def main() -> None:
    """Run the command line; refusals become sentences and exit code 3."""
    try:
        app()
    except Refusal as refusal:
        stop(refusal)
    except (OSError, sqlite3.DatabaseError) as error:
        if isinstance(error, BrokenPipeError):
            sys.stderr.close()
            sys.exit(0)
        stop(Refusal("system.refused", f"{type(error).__name__}: {error}"))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except Exception:
        errors.print_exception()
        sys.exit(DEFECT)


if __name__ == "__main__":
    main()
