"""kill -9 at random moments of a busy server, again and again on the same file."""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tradepost.testing.torture import proof
from tradepost.testing.torture.client import Ask, Client
from tradepost.testing.torture.crowd import Crowd, Market, look_around
from tradepost.testing.torture.report import Report
from tradepost.testing.torture.shop import ShopProcess, free_port, pause

SETTLE_S = 120.0
CROWD = 12
LONGEST_S = 1.5
ACCEPTED_AGAIN = 40


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
    """Load for a random while, then SIGKILL: mostly for the server, sometimes for its writer process with it."""
    crowd = Crowd(shop.port, market, f"k{moment}", seed, CROWD)
    with crowd.at_work():
        pause(chance.uniform(0.05, LONGEST_S))
        whole = chance.random() < 0.5
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
