"""A disk that fills: no file of the server may grow any more, which needs no root and fails as a full disk does."""

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
from tradepost.testing.torture.shop import KEYS, ShopProcess, free_port, wait_until

ROOM_BYTES = 1 << 20
REFUSALS_WANTED = 40
WITHIN_S = 30.0
SETTLE_S = 120.0
CROWD = 8
FULL = "storage.unavailable"
BUSY = 503


def fill_the_disk(
    seed: int, *, writer: str = "thread", tell: Callable[[str], None] = lambda _: None
) -> Report:
    """Let the disk fill under load, make room while the server runs, fill it again, kill -9, restart, prove."""
    chance = random.Random(seed)
    report = Report(torture=f"a disk that fills, seed {seed}, writer {writer}")
    asks: list[Ask] = []
    with tempfile.TemporaryDirectory(prefix="tradepost-disk-") as folder:
        shop = ShopProcess(Path(folder), free_port(chance), writer=writer)
        try:
            shop.start()
            client = Client(shop.port)
            market = look_around(client)
            asks += _load_until_refused(shop, client, market, "first", seed, report)
            tell("the disk was full once")
            shop.limit_files(-1)
            asks += _orders_again(shop, market, seed, report)
            asks += _load_until_refused(shop, client, market, "second", seed, report)
            shop.kill(whole_group=True)
            tell("the disk was full twice and the server killed")
            _recover(shop, asks, report)
            code = shop.stop()
            report.look("it ends in order when asked to", [f"exit code {code}"] if code else [])
        finally:
            shop.kill(whole_group=True)
    report.facts["requests under a key"] = len(asks)
    return report


def _load_until_refused(
    shop: ShopProcess, client: Client, market: Market, name: str, seed: int, report: Report
) -> list[Ask]:
    crowd = Crowd(shop.port, market, name, seed, CROWD)
    with crowd.at_work():
        accepted = wait_until(lambda: sum(ask.accepted for ask in crowd.asks()) >= REFUSALS_WANTED, WITHIN_S)
        report.look("it sells while there is room", [] if accepted else [shop.last_words()])
        shop.limit_files(_largest_file(shop.folder) + ROOM_BYTES)
        refused = wait_until(lambda: crowd.refusals()[FULL] >= REFUSALS_WANTED, WITHIN_S)
        report.look("a full disk is told as storage.unavailable", [] if refused else [str(crowd.refusals())])
        _look_while_full(client, crowd, report)
    asks = crowd.asks()
    answers = Counter(f"{ask.status} {ask.code}".strip() for ask in asks)
    report.facts[f"answers, {name} time"] = dict(sorted(answers.items()))
    defects = [
        f"{ask.kind}: {ask.status} {ask.answer[:200]!r}"
        for ask in asks
        if ask.status >= 500 and ask.status != BUSY
    ]
    report.look("nothing breaks in an untyped way", defects, count=len(asks))
    report.look("the server stays up", ["it ended"] if shop.ended() else [])
    return asks


def _look_while_full(client: Client, crowd: Crowd, report: Report) -> None:
    placed = [ask for ask in crowd.asks() if ask.accepted and ask.path == proof.CHECKOUTS]
    for ask in placed[-20:]:
        order_id = ask.said()["orders"][0]["order_id"]
        read = client.send("GET", f"/v1/orders/{order_id}", token=KEYS["storefront"])
        report.look("orders can be read while it is full", [] if read.status == 200 else [str(read.status)])
    live = client.send("GET", "/health/live", token="")
    report.look("it says that it lives", [] if live.status == 200 else [str(live.status)])
    ready = client.send("GET", "/health/ready", token="")
    checks = ready.said()["checks"]
    report.facts["ready while full"] = f"{ready.status} {checks}"
    if checks:  # a server without checks of its readiness has nothing to say
        report.look(
            "it says that it is not ready", [] if ready.status == BUSY else [f"{ready.status} {checks}"]
        )


def _orders_again(shop: ShopProcess, market: Market, seed: int, report: Report) -> list[Ask]:
    """With room again, the same process takes orders, unasked."""
    crowd = Crowd(shop.port, market, "between", seed, 1)
    with crowd.at_work():
        well = wait_until(lambda: any(ask.accepted for ask in crowd.asks()), WITHIN_S)
    report.look("it sells again once there is room", [] if well else [shop.last_words()])
    return crowd.asks()


def _recover(shop: ShopProcess, asks: list[Ask], report: Report) -> None:
    shop.start()
    client = Client(shop.port)
    for ask in asks:
        if (
            ask.status == BUSY
        ):  # "repeat the same request": an order may stand whose payment could not be noted
            ask.status = 0
            report.add("unavailable requests repeated")
    left = proof.repeat_unanswered(client, asks, report)
    report.look("every request gets its answer in the end", [f"{ask.kind} {ask.key}" for ask in left])
    proof.prove_standing(shop.database, asks, report)
    proof.prove_readable(client, asks, report)
    client.close()
    if proof.settle(shop, SETTLE_S, report):
        proof.prove_settled(shop.database, shop.provider_book, report)


def _largest_file(folder: Path) -> int:
    return max(path.stat().st_size for path in folder.iterdir())
