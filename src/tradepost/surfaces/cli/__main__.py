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
_letters = cyclopts.App(name="letters", help="List and replay what could not be delivered.")
_ledger = cyclopts.App(name="ledger", help="Prove the books.")
_config = cyclopts.App(name="config", help="Change settings of a running shop.")
_services = cyclopts.App(name="services", help="Bring up, look at and take down the servers of production.")
_pricing = cyclopts.App(name="pricing", help="Explain prices, and price past orders again.")
app.command(_order)
app.command(_pricing)
_campaign = cyclopts.App(name="campaign", help="Check, publish, pause and end campaigns of a running shop.")
app.command(_campaign)
_settle = cyclopts.App(name="settle", help="What sellers and creators are owed, day by day.")
_payouts = cyclopts.App(name="payouts", help="Money on its way to banks.")
app.command(_settle)
app.command(_payouts)
app.command(_config)
app.command(_services)
app.command(_ledger)
app.command(_letters)
_market = cyclopts.App(name="market", help="Look at market files and check them.")
app.command(_market)
_fx = cyclopts.App(name="fx", help="Exchange rates of a running shop.")
app.command(_fx)

_HOME = "tradepost.surfaces.cli"
_COMMANDS: tuple[tuple[cyclopts.App, str, str, str], ...] = (
    (app, "serve", f"{_HOME}.serve:serve", "Serve the API: one process on a file, many on servers."),
    (app, "work", f"{_HOME}.work:work", "Run relay, deliveries and timers without HTTP."),
    (app, "migrate", f"{_HOME}.migrate:migrate", "Create or upgrade the schema of the shop's database."),
    (
        app,
        "replay",
        f"{_HOME}.replay:replay",
        "Run a real shop's history through the real path, and reconcile it.",
    ),
    (app, "simulate", f"{_HOME}.simulate:simulate", "Run the whole platform on virtual time with faults."),
    (app, "bench", f"{_HOME}.bench:bench", "Measure every figure in one run: JSON and a page with plots."),
    (app, "points", f"{_HOME}.points:points", "Print which strategy answers for a scene."),
    (
        app,
        "conformance",
        f"{_HOME}.conformance:conformance",
        "Run other engines' calculation cases through ours, and compare.",
    ),
    (app, "export", f"{_HOME}.export:export", "Write a seller's catalogue or the event stream."),
    (
        app,
        "migrate-data",
        f"{_HOME}.move:migrate_data",
        "Copy a SQLite shop into MySQL or Vitess, and prove it.",
    ),
    (app, "backup", f"{_HOME}.backup:backup", "Copy a running shop, and prove the copy."),
    (app, "restore", f"{_HOME}.backup:restore", "Make a shop from a copy, and prove it."),
    (
        app,
        "archive",
        f"{_HOME}.archive:archive",
        "Move finished orders of old into files, books still right.",
    ),
    (
        app,
        "drill",
        f"{_HOME}.drill:drill",
        "Flip a degradation switch under load and check what it promises.",
    ),
    (
        app,
        "chaos",
        f"{_HOME}.chaos:chaos",
        "Break one part after the other under load, and prove that nothing acknowledged was lost.",
    ),
    (_config, "list", f"{_HOME}.config:list_keys", "Every key with its value and bounds."),
    (_config, "get", f"{_HOME}.config:get", "One key: its value, version and rules."),
    (_config, "set", f"{_HOME}.config:set_value", "Set a key in every process, with a reason."),
    (_config, "diff", f"{_HOME}.config:diff", "What differs between two versions of a key."),
    (_config, "history", f"{_HOME}.config:history", "Who set what, when and why."),
    (_config, "rollback", f"{_HOME}.config:rollback", "Set a key back to an earlier version."),
    (_config, "watch", f"{_HOME}.config:watch", "Print changes as they come."),
    (_services, "up", f"{_HOME}.services:up", "Start servers, or find those there are."),
    (_services, "status", f"{_HOME}.services:status", "Which servers run, and where."),
    (_services, "fetch", f"{_HOME}.services:fetch", "Fetch and build what servers need, and start nothing."),
    (_services, "down", f"{_HOME}.services:down", "Stop what `up` started."),
    (_market, "check", f"{_HOME}.market:check", "Whether market files hold what every market must."),
    (_market, "show", f"{_HOME}.market:show", "The rates of a market on a day, and who remits them."),
    (_letters, "list", f"{_HOME}.letters:list_letters", "What failed too often, or nobody could read."),
    (_letters, "replay", f"{_HOME}.letters:replay", "Deliver dead letters again."),
    (_letters, "discard", f"{_HOME}.letters:discard", "Take a message off the broker's dead-letter topic."),
    (
        _pricing,
        "explain",
        f"{_HOME}.pricing:explain",
        "Which rules lowered an order, which did not, and why.",
    ),
    (
        _pricing,
        "replay",
        f"{_HOME}.pricing:replay",
        "Price past orders again, by the rules of their day or with a draft.",
    ),
    (_campaign, "list", f"{_HOME}.campaign:list_campaigns", "Campaigns and where they stand."),
    (_campaign, "show", f"{_HOME}.campaign:show", "A campaign's rules, limits and versions."),
    (_campaign, "check", f"{_HOME}.campaign:check", "Whether a file's campaigns would be published."),
    (_campaign, "publish", f"{_HOME}.campaign:publish", "Put a campaign, or a file's, in force."),
    (_campaign, "pause", f"{_HOME}.campaign:pause", "Stop a campaign for a while."),
    (_campaign, "resume", f"{_HOME}.campaign:resume", "Let a paused campaign go on."),
    (_campaign, "end", f"{_HOME}.campaign:end", "End a campaign for good."),
    (_settle, "run", f"{_HOME}.settle:run", "Settle what is due and cut what is over, now."),
    (_settle, "revalue", f"{_HOME}.settle:revalue", "Post what open exchanges are worth more or less now."),
    (_settle, "show", f"{_HOME}.settle:show", "What every party is to be paid, or all about one."),
    (_settle, "statement", f"{_HOME}.settle:statement", "A day's statement line by line, or as a page."),
    (_fx, "publish", f"{_HOME}.fx:publish", "Put an exchange rate in force in every process."),
    (_fx, "list", f"{_HOME}.fx:list_rates", "The exchange rates in force, and those that ran out."),
    (_fx, "withdraw", f"{_HOME}.fx:withdraw", "Convert a pair no more."),
    (_payouts, "list", f"{_HOME}.settle:list_payouts", "Payouts and how far they are."),
    (_payouts, "tell", f"{_HOME}.settle:tell", "Say what the bank said about a payout."),
    (app, "reconcile", f"{_HOME}.reconcile:run", "Compare what every side says about the money."),
    (app, "income", f"{_HOME}.reconcile:income", "What sellers and creators earned, for tax reports."),
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
