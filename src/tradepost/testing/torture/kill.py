"""kill -9 at random moments of a busy server, again and again on the same file."""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tradepost.testing.torture import proof
from tradepost.testing.torture.client import Ask, Client
from tradepost.testing.torture.crowd import Crowd, Market, look_around
from tradepost.testing.torture.report import Report
from tradepost.testing.torture.shop import ShopProcess, free_port, pause, wait_until

SETTLE_S = 120.0
GO_ON_S = 20.0
CROWD = 12
LONGEST_S = 1.5
ACCEPTED_AGAIN = 40
POLITE = 0.15
UNAVAILABLE = 503


def kill_at_random_moments(
    moments: int,
    seed: int,
    *,
    writer: str = "thread",
    settle_every: int = 0,
    tell: Callable[[str], None] = lambda _: None,
) -> Report:
    """Kill the server `moments` times under load; after each restart and at the end, prove that nothing is wrong.

    `settle_every` also waits for every payment and event to come to rest after so many kills, and proves what must
    hold then; it is done once at the end in any case.
    """
    chance = random.Random(seed)
    report = Report(torture=f"kill -9 at {moments} moments, seed {seed}, writer {writer}")
    asks: list[Ask] = []
    refusals: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="tradepost-kill-") as folder:
        shop = ShopProcess(Path(folder), free_port(chance), writer=writer)
        try:
            shop.start()
            client = Client(shop.port)
            market = look_around(client)
            client.close()
            for moment in range(1, moments + 1):
                crowd = _crowd_until_killed(shop, market, moment, seed, chance, report)
                asks += crowd.asks()
                refusals += crowd.refusals()
                _recover(shop, asks, chance, report)
                if settle_every and moment % settle_every == 0:
                    _settle(shop, report)
                tell(
                    f"kill {moment} of {moments}: {len(asks):,} requests, {len(report.complaints())} complaints"
                )
            if not settle_every or moments % settle_every:
                _settle(shop, report)
            code = shop.stop()
            report.look("it ends in order when asked to", [f"exit code {code}"] if code else [])
        finally:
            shop.kill(whole_group=True)
    report.facts["requests under a key"] = len(asks)
    report.facts["answers"] = dict(sorted(Counter(f"{ask.kind} {ask.status}" for ask in asks).items()))
    report.facts["refusals"] = dict(refusals.most_common())
    return report


def _crowd_until_killed(
    shop: ShopProcess, market: Market, moment: int, seed: int, chance: random.Random, report: Report
) -> Crowd:
    """Load for a random while, then SIGKILL for the server or for its writer with it; sometimes a polite SIGTERM."""
    crowd = Crowd(shop.port, market, f"k{moment}", seed, CROWD)
    with crowd.at_work():
        pause(chance.uniform(0.05, LONGEST_S))
        draw = chance.random()
        if draw < POLITE:
            code = shop.stop()
            report.look("it ends in order when asked to", [f"exit code {code} under load"] if code else [])
            report.add("polite ends under load")
        else:
            whole = draw < (1 + POLITE) / 2
            shop.kill(whole_group=whole)
            report.add("kills of everything at once" if whole else "kills of the server")
    return crowd


def _recover(shop: ShopProcess, asks: list[Ask], chance: random.Random, report: Report) -> None:
    """Start again, repeat what stayed unanswered (and be killed once in a while in the middle of that), prove."""
    start_ms = int(shop.start() * 1000)
    report.facts["slowest restart in ms"] = max(
        start_ms, int(str(report.facts.get("slowest restart in ms", 0)))
    )
    client = Client(shop.port)
    if chance.random() < 0.2:
        open_asks = [ask for ask in asks if not ask.status]
        proof.repeat_unanswered(client, open_asks[: len(open_asks) // 2], report)
        shop.kill(whole_group=True)
        report.add("kills while recovering")
        client.close()
        shop.start()
    left = proof.repeat_unanswered(client, asks, report)
    report.look("every request gets its answer in the end", [f"{ask.kind} {ask.key}" for ask in left])
    accepted = [ask for ask in asks if ask.accepted]
    proof.repeat_acknowledged(client, chance.sample(accepted, min(ACCEPTED_AGAIN, len(accepted))), report)
    proof.prove_standing(shop.database, asks, report)
    proof.prove_readable(client, asks, report)
    client.close()


def _settle(shop: ShopProcess, report: Report) -> None:
    if proof.settle(shop, SETTLE_S, report):
        proof.prove_settled(shop.database, shop.provider_book, report)


def kill_the_writer(moments: int, seed: int) -> Report:
    """SIGKILL for the writer process alone, under load, while the server stays: it must start another and go on."""
    chance = random.Random(seed)
    report = Report(torture=f"kill -9 for the writer process at {moments} moments, seed {seed}")
    with tempfile.TemporaryDirectory(prefix="tradepost-writer-") as folder:
        shop = ShopProcess(Path(folder), free_port(chance), writer="process")
        try:
            shop.start()
            client = Client(shop.port)
            crowd = Crowd(shop.port, look_around(client), "w", seed, CROWD)
            with crowd.at_work():
                for _ in range(moments):
                    pause(chance.uniform(0.1, 0.6))
                    report.look("there is a writer to kill", [] if shop.kill_writer() else ["none"])
                    wanted = _accepted(crowd) + 1
                    well = wait_until(partial(_has_sold, crowd, wanted), GO_ON_S)
                    report.look(
                        "it sells again without its first writer", [] if well else [shop.last_words()]
                    )
            report.look("the server stays up", ["it ended"] if shop.ended() else [])
            _prove_alive(shop, client, crowd, report)
        finally:
            shop.kill(whole_group=True)
    report.facts["refusals"] = dict(crowd.refusals().most_common())
    return report


def _accepted(crowd: Crowd) -> int:
    return sum(ask.accepted for ask in crowd.asks())


def _has_sold(crowd: Crowd, wanted: int) -> bool:
    return _accepted(crowd) >= wanted


def _prove_alive(shop: ShopProcess, client: Client, crowd: Crowd, report: Report) -> None:
    asks = crowd.asks()
    for ask in asks:
        if ask.status == UNAVAILABLE:  # "repeat the same request": it may have been done
            ask.status = 0
    left = proof.repeat_unanswered(client, asks, report)
    report.look("every request gets its answer in the end", [f"{ask.kind} {ask.key}" for ask in left])
    proof.prove_standing(shop.database, asks, report)
    proof.prove_readable(client, asks, report)
    _settle(shop, report)
    client.close()
