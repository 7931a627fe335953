"""A run: each trial puts the shop under load, does the fault, waits until all is as usual, and proves."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from tradepost.kernel.errors import Refusal
from tradepost.testing.chaos import proof, timeline
from tradepost.testing.chaos.crowd import Crowd
from tradepost.testing.chaos.faults import Fault
from tradepost.testing.chaos.ground import Ground, grounds
from tradepost.testing.chaos.links import LinkRefused
from tradepost.testing.chaos.model import Run, Trial
from tradepost.testing.torture.client import Client
from tradepost.testing.torture.goods import Good, enter_good
from tradepost.testing.torture.report import Report
from tradepost.testing.torture.shop import ShopLost, pause, wait_until

SCARCE_PIECES = 25
BACK_S = 60.0
SETTLE_S = 100.0
WARM_SHARE = 0.75
"""Share of the length of a fault for which it is watched how things usually are."""
WARM_S_MIN = 2.0
GOING_SHARE = 0.2
"""Proper answers for each action begun, below which the shop has not got going: nothing is usual yet."""

Heard = Callable[[str, int, int], None]
"""Told what is going on, how many trials are done, and of how many."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How hard. `seconds` is how long a fault lasts, `freeze_s` how long a frozen process stays so; `rate`
    the actions begun a second, each of one to four requests; `settle_s` the longest wait for everything to settle."""

    seed: int = 1
    seconds: float = 4.0
    freeze_s: float = 10.0
    rate: float = 30.0
    shoppers: int = 16
    settle_s: float = SETTLE_S
    folder: Path | None = None


def run_chaos(trials: Sequence[Sequence[Fault]], options: Options, heard: Heard = lambda *_: None) -> Run:
    """Every trial, those on one database together. Raises the refusals of a native start."""
    began = time.monotonic()
    started = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    run = Run(started_at=started, seed=options.seed, seconds=options.seconds, rate=options.rate)
    storages = list(dict.fromkeys(faults[0].storage for faults in trials))

    def tell(text: str) -> None:
        heard(text, len(run.trials), len(trials))

    with contextlib.ExitStack() as stack:
        folder = options.folder or Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="tradepost-chaos-"))
        )
        ready = stack.enter_context(grounds(folder, storages, tell))
        for storage in storages:
            with ready.opened(storage) as ground:
                run.disk = ground.disk.kind
                for number, faults in enumerate(trials):
                    if faults[0].storage == storage:
                        run.trials.append(make_trial(ground, faults, options, f"t{number}", tell))
    run.elapsed_s = round(time.monotonic() - began, 1)
    return run


def make_trial(
    ground: Ground,
    faults: Sequence[Fault],
    options: Options,
    name: str,
    tell: Callable[[str], None] = lambda _: None,
) -> Trial:
    """One trial under a name of its own on this ground; what goes wrong with the rehearsal itself is its `failure`."""
    trial = Trial(
        faults=tuple(fault.name for fault in faults),
        storage=ground.storage,
        sentence="; ".join(fault.sentence for fault in faults),
    )
    try:
        _try(ground, faults, options, name, trial, tell)
    except (ShopLost, LinkRefused, Refusal, AssertionError, OSError, KeyError, IndexError) as error:
        trial.failure = f"{type(error).__name__}: {error}"
    finally:
        _restore(ground)
    return trial


def _restore(ground: Ground) -> None:
    """Whatever a broken trial left behind."""
    with contextlib.suppress(LinkRefused):
        ground.links.heal()
    ground.disk.clear()
    for server in (ground.storage, "redis", "etcd", "rocketmq"):
        ground.thaw(server)
        with contextlib.suppress(Refusal):
            ground.revive(server)
    ground.shop.whole()


def _try(
    ground: Ground,
    faults: Sequence[Fault],
    options: Options,
    name: str,
    trial: Trial,
    tell: Callable[[str], None],
) -> None:
    if not ground.shop.whole():
        raise ShopLost(f"the shop was not whole before: {ground.shop.members[0].last_words()}")
    client = Client(ground.shop.port)
    code = f"CHAOS-{name}-{options.seed}".upper()
    good = _enter_scarce(client, code)
    crowd = Crowd([ground.shop.port], ground.market, good, code, options.seed, options.shoppers, options.rate)
    report = Report(torture=trial.name)
    with crowd.at_work():
        tell(f"{trial.name}: as usual")
        _hurt(crowd, ground, faults, options, trial, lambda: tell(f"{trial.name}: now"))
        tell(f"{trial.name}: getting well")
        _get_well(crowd, trial, report)
    tell(f"{trial.name}: proving")
    _judge_answers(crowd, trial, report)
    whole = ground.shop.whole()
    report.look("every process is there again", [] if whole else [ground.shop.members[0].last_words()])
    asks = crowd.asks()
    trial.repeated = proof.repeat_open(client, asks, report)
    trial.settled_ms = proof.settle(ground.url, ground.shop.provider_book, options.settle_s, report)
    proof.prove(ground.url, ground.shop.provider_book, asks, (good.sku_id, SCARCE_PIECES), report)
    client.close()
    trial.checks = report.checks


def _enter_scarce(client: Client, code: str) -> Good:
    """Something there are few of, that every process sells."""
    return enter_good(client, code, SCARCE_PIECES)


def _hurt(
    crowd: Crowd,
    ground: Ground,
    faults: Sequence[Fault],
    options: Options,
    trial: Trial,
    now: Callable[[], None],
) -> None:
    watch_usual(crowd, options, trial)
    now()
    undoing = [(length_of(fault, options), fault.begin(ground)) for fault in faults]
    began = time.monotonic()
    for lasts_s, end in sorted(undoing, key=lambda one: one[0]):
        pause(max(0.0, began + lasts_s - time.monotonic()))
        end()
    trial.to_ms = crowd.watch.now_ms()


def watch_usual(crowd: Crowd, options: Options, trial: Trial) -> None:
    """See how things usually are; a shop that just opened is given time to get going. Raises ShopLost."""
    warm_s = max(WARM_S_MIN, options.seconds * WARM_SHARE)
    watched_ms = int(warm_s * 1000) * 2 // 3

    def is_going() -> bool:
        now_ms = crowd.watch.now_ms()
        rate = timeline.rate_per_s(list(crowd.watch.samples), now_ms - watched_ms, now_ms)
        trial.from_ms, trial.usual_per_s = now_ms, round(rate, 1)
        return rate >= options.rate * GOING_SHARE

    pause(warm_s)
    if not wait_until(is_going, BACK_S):
        raise ShopLost(
            f"before the fault only {trial.usual_per_s} proper answers a second for {BACK_S:.0f} s"
        )
    trial.usual_worst_ms = timeline.worst_ms(list(crowd.watch.samples))


def length_of(fault: Fault, options: Options) -> float:
    """Seconds a fault lasts in this run."""
    return max(options.freeze_s if fault.freezes else options.seconds, fault.least_s)


def _get_well(crowd: Crowd, trial: Trial, report: Report) -> None:
    """Go on until all was as usual for a while."""

    def is_well() -> bool:
        now_ms = crowd.watch.now_ms()
        well = timeline.usual_from(list(crowd.watch.samples), trial.to_ms, now_ms, trial.usual_per_s)
        if well is None or crowd.watch.oldest_ms() < well:
            return False
        trial.back_ms = well - trial.to_ms
        return True

    well = wait_until(is_well, BACK_S)
    report.look("all is as usual again", [] if well else [f"not within {BACK_S:.0f} s"])


def _judge_answers(crowd: Crowd, trial: Trial, report: Report) -> None:
    """Write down what users saw, and what they must not see whatever happens."""
    samples = list(crowd.watch.samples)
    until_ms = trial.to_ms + (timeline.STEADY_MS if trial.back_ms is None else trial.back_ms)
    trial.requests = len(samples)
    trial.bins = timeline.bins_of(samples)
    meanwhile = timeline.touched(samples, trial.from_ms, until_ms)
    trial.seen = timeline.answers(meanwhile)
    trial.worst_ms = timeline.worst_ms(meanwhile)
    trial.trouble_ms = timeline.trouble_ms(samples, trial.from_ms)
    untyped = [one.name for one in samples if one.status >= 500 and one.status not in timeline.AWAY]
    report.look("nothing breaks in an untyped way", untyped, count=len(samples))
    report.look("an acknowledged order can be read", crowd.missing(), count=len(samples))
    report.look("the crowd understands every answer", crowd.defects, count=len(samples))
    usual = [one for one in samples if one.sent_ms + one.took_ms < trial.from_ms]
    early = [one.name for one in usual if not one.is_fine]
    report.look("all is well before the fault", early, count=len(usual))
