"""`tradepost chaos`: break one part after the other under load, and prove that nothing acknowledged was lost."""

from __future__ import annotations

import signal
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from tradepost.kernel.errors import Refusal
from tradepost.surfaces.cli.output import FAILED, console, errors, print_json, print_table
from tradepost.surfaces.cli.progress import bar
from tradepost.testing.chaos.faults import FAULTS, PAIRS, chosen
from tradepost.testing.chaos.model import Run, Trial
from tradepost.testing.chaos.page import answers_of, shown_s, write_page


def chaos(
    *,
    list_faults: Annotated[bool, Parameter(name="--list")] = False,
    only: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = (),
    pairs: bool = False,
    seed: int = 1,
    seconds: float = 4.0,
    freeze_seconds: float = 10.0,
    rate: float = 30.0,
    out: Path = Path("chaos-out"),
    json: bool = False,
) -> None:
    """Break one part after the other under load; write chaos.json and chaos.html.

    Starts servers and a shop of its own on free ports, in a folder that is gone afterwards. Ends with 1 when something
    that must hold did not.

    Parameters
    ----------
    list_faults
        List every fault instead.
    only
        These alone, separated by commas; A+B does two at once.
    pairs
        Two at once: the declared pairs instead of the single faults.
    seed
        Of what the crowd does.
    seconds
        How long a fault lasts.
    freeze_seconds
        How long a frozen process stays frozen.
    rate
        Actions a second that the crowd begins.
    out
        Folder of chaos.json and chaos.html.
    json
        Print the report as JSON.
    """
    if list_faults:
        _list(as_json=json)
        return
    names = [word for words in only for word in words.split(",") if word]
    trials = chosen(names, pairs=pairs)
    if find_spec("pymysql") is None or find_spec("rocketmq") is None:
        raise Refusal(
            "services.program_missing",
            "The shop of this rehearsal needs the drivers of production.",
            expected="pip install 'tradepost[production]'",
        )
    from tradepost.testing.chaos.run import Options, run_chaos

    options = Options(seed=seed, seconds=seconds, freeze_s=freeze_seconds, rate=rate)
    with bar("starting servers", len(trials), hidden=json) as show:

        def heard(text: str, done: int, whole: int) -> None:
            show(description=text[:60], completed=done, total=whole)

        signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was started is ended
        run = run_chaos(trials, options, heard)
    write_page(run, out)
    if json:
        print_json({"held": run.held, "run": run})
    else:
        _print(run, out)
    if not run.held:
        raise SystemExit(FAILED)


def _list(*, as_json: bool) -> None:
    rows = [(fault.name, fault.storage, fault.sentence) for fault in FAULTS.values()]
    if as_json:
        singles = [{"name": row[0], "storage": row[1], "sentence": row[2]} for row in rows]
        print_json({"faults": singles, "pairs": ["+".join(pair) for pair in PAIRS]})
        return
    print_table("Faults", ("fault", "shop on", "what is done"), rows)
    print_table("Two at once (--pairs)", ("pair",), [("+".join(pair),) for pair in PAIRS])


def _print(run: Run, out: Path) -> None:
    print_table(
        f"Chaos, seed {run.seed}, {run.elapsed_s:.0f} s; disk that fills: {run.disk}",
        ("fault", "users saw meanwhile", "worst wait", "trouble", "as usual after", "settled after", "held"),
        [_row(trial) for trial in run.trials],
    )
    for trial in run.trials:
        for text in trial.complaints():
            errors.print(f"[bold red]{trial.name}[/]: ", end="")
            errors.print(text, markup=False, highlight=False)
    verdict = "[bold green]everything held[/]" if run.held else "[bold red]BROKEN[/]"
    console.print(f"{verdict}; the page: {out / 'chaos.html'}", highlight=False)


def _row(trial: Trial) -> tuple[str, ...]:
    return (
        trial.name,
        answers_of(trial),
        shown_s(trial.worst_ms),
        shown_s(trial.trouble_ms),
        shown_s(trial.back_ms),
        shown_s(trial.settled_ms),
        "[green]yes[/]" if trial.held else "[bold red]NO[/]",
    )
