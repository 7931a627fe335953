"""`tradepost drill`: flip a switch under load, check what it promised, flip it back, write the date down."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from tradepost.kernel.errors import Kind, Refusal, declare_problems
from tradepost.kernel.world import SystemWorld
from tradepost.stability.switches import find_switch
from tradepost.surfaces.cli.asking import HERE, Asking, Where, ask
from tradepost.surfaces.cli.drill_proofs import PROOFS, Facts
from tradepost.surfaces.cli.drill_shop import DrillShop
from tradepost.surfaces.cli.output import (
    FAILED,
    console,
    errors,
    moment,
    print_facts,
    print_json,
    print_table,
)

FELT_MS_MAX = 1_000
FLIP_WAIT_S = 10.0
BACK_TRIES = 30
SECONDS_MAX = 120
WORKERS_MAX = 32

declare_problems(
    {
        "drill.switched_on": (
            Kind.CONFLICT,
            "The switch is on already",
            "Somebody needs it: `tradepost config history switch.NAME` tells who. Drill when it is off.",
        ),
    }
)


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """How a drill went. `figures` are milliseconds and counts; `wrong` what must not happen, how often."""

    switch: str
    passed: bool
    started_at_ms: int
    took_ms: int
    checks: dict[str, bool]
    figures: dict[str, int]
    answers: dict[str, int]
    wrong: dict[str, int]


def drill(
    switch: str = "",
    *,
    list_switches: Annotated[bool, Parameter(name="--list")] = False,
    seconds: int = 4,
    workers: int = 4,
    orders: bool = False,
    where: Where = HERE,
) -> None:
    """Flip one switch under a small load on a running server, check what it promises, and flip it back in any case.

    Ends with 1 when a promise was not kept. The date and the result are written down.

    Parameters
    ----------
    switch
        The switch, such as read_only.
    list_switches
        List every switch with its last drill instead; one that was never drilled says so.
    seconds
        How long the load runs while the switch is on, at most 120.
    workers
        How many requests are under way at once, at most 32.
    orders
        Place orders with the sandbox's payment method too: at most 200, for shops without real buyers.
    """
    with ask(where) as asking:
        if list_switches or not switch:
            _list(asking, as_json=where.json)
            return
        name = find_switch(switch).name
        run = Drill(asking, name, min(seconds, SECONDS_MAX), min(workers, WORKERS_MAX), orders=orders)
        result = asyncio.run(run.run())
        asking.send(
            "POST",
            f"/v1/config/switches/{name}/drills",
            {
                "passed": result.passed,
                "started_at_ms": result.started_at_ms,
                "took_ms": result.took_ms,
                "checks": result.checks,
                "figures": result.figures,
            },
        )
    if where.json:
        print_json(result)
    else:
        _print(result)
    if not result.passed:
        raise SystemExit(FAILED)


class Drill:
    """One drill from the first look to the switch being off again."""

    def __init__(self, asking: Asking, name: str, seconds: int, workers: int, *, orders: bool) -> None:
        self._asking = asking
        self._name = name
        self._key = f"switch.{name}"
        self._seconds = seconds
        self._workers = workers
        self._shop = DrillShop(asking.address, asking.key, name, places_orders=orders)
        self._before = 0
        self._checks: dict[str, bool] = {}
        self._figures: dict[str, int] = {}

    async def run(self) -> Result:
        """Everything, and the result. Raises Refusal when the drill could not begin or the server is gone."""
        task = asyncio.current_task()
        if task is not None:
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        started_at_ms, began = SystemWorld().now_ms(), time.monotonic()
        try:
            await self._shop.find_offer()
            await self._under_load()
            await self._check_orders()
        finally:
            await self._shop.close()
        wrong = dict(self._shop.wrong)
        self._checks["nothing_wrong"] = not wrong
        self._figures["requests"] = sum(self._shop.answers.values())
        self._figures["orders_placed"] = len(self._shop.placed)
        self._figures["slowest_ms"] = self._shop.slowest_ms
        return Result(
            switch=self._name,
            passed=all(self._checks.values()),
            started_at_ms=started_at_ms,
            took_ms=int((time.monotonic() - began) * 1000),
            checks=self._checks,
            figures=self._figures,
            answers=dict(self._shop.answers),
            wrong=wrong,
        )

    async def _under_load(self) -> None:
        proof, shop = PROOFS[self._name], self._shop
        facts: Facts = {}
        stop = asyncio.Event()
        self._checks |= await proof.prepare(shop, facts)
        load = asyncio.create_task(shop.load(self._workers, stop))
        try:
            seen = await self._flip_on()
            try:
                self._figures["felt_ms"] = await self._felt(wanted=True)
                self._checks["felt_within_1_s"] = self._figures["felt_ms"] <= FELT_MS_MAX
                shop.expect_header(True)
                ends = time.monotonic() + self._seconds
                self._checks |= await proof.during(shop, facts)
                await asyncio.sleep(max(0.0, ends - time.monotonic()))
            finally:
                shop.expect_header(None)
                self._checks["flipped_back"] = await self._flip_back(seen)
            self._figures["gone_ms"] = await self._felt(wanted=False)
            self._checks["gone_within_1_s"] = self._figures["gone_ms"] <= FELT_MS_MAX
            shop.expect_header(False)
            self._checks |= await proof.after(shop, facts)
        finally:
            stop.set()
            await load

    async def _flip_on(self) -> int:
        """Set the switch; the version that is on. Raises Refusal `drill.switched_on`."""
        stands = await self._ask("GET", f"/v1/config/keys/{self._key}")
        if stands["in_force"] or stands["value"]:
            raise Refusal("drill.switched_on", f"{self._key} is on at version {stands['version']}.")
        self._before = int(stands["version"])
        body = {
            "value": True,
            "rules": stands["rules"],
            "seen_version": stands["version"],
            "reason": "drill: on",
        }
        return int((await self._ask("PUT", f"/v1/config/keys/{self._key}", body))["version"])

    async def _flip_back(self, seen: int) -> bool:
        """Put the document of before in force, however often it takes; not when somebody set the switch meanwhile."""
        body = {"to_version": self._before, "seen_version": seen, "reason": "drill: off again"}
        for _ in range(BACK_TRIES):
            try:
                await self._ask("POST", f"/v1/config/keys/{self._key}/rollback", body)
            except Refusal as refusal:
                if refusal.code == "config.version_conflict":
                    errors.print(f"Somebody set {self._key} during the drill; it stays as they set it.")
                    return False
                errors.print(f"{self._key} is still on: {refusal.code}: {refusal.detail} Trying again.")
                await asyncio.sleep(1)
            else:
                return True
        errors.print(f"[bold red]{self._key} is still on.[/] Run: tradepost config rollback {self._key}")
        return False

    async def _felt(self, *, wanted: bool) -> int:
        """Milliseconds until the server's answers name the switch, or no longer do."""
        began = time.monotonic()
        while time.monotonic() - began < FLIP_WAIT_S:
            reply = await self._shop.ask("GET", "/v1/markets")
            if reply.status and (self._name in reply.degraded) is wanted:
                break
        return int((time.monotonic() - began) * 1000)

    async def _check_orders(self) -> None:
        """Every order that was acknowledged is there, once."""
        found = [(await self._shop.read_order(one)).fine for one in self._shop.placed]
        self._checks["orders_kept"] = all(found) and len(set(self._shop.placed)) == len(found)

    async def _ask(self, method: str, path: str, body: Any = None) -> Any:
        call: Callable[[], Any] = (
            (lambda: self._asking.get(path))
            if method == "GET"
            else lambda: self._asking.send(method, path, body)
        )
        return await asyncio.to_thread(call)


def _list(asking: Asking, *, as_json: bool) -> None:
    found = asking.get("/v1/config/switches")
    if as_json:
        print_json(found)
        return
    print_table(
        "Switches",
        ("switch", "now", "last drill", "drops", "what stays true"),
        [
            (
                one["switch"],
                "on" if one["on"] else "off",
                _last(one["last_drill"]),
                one["drops"],
                one["keeps"],
            )
            for one in found["items"]
        ],
    )


def _last(last: Any) -> str:
    if last is None:
        return "never drilled"
    return f"{moment(last['at_ms'])} {'kept' if last['passed'] else 'BROKEN'}"


def _print(result: Result) -> None:
    print_facts(f"Drill of {result.switch}", {**result.checks, **result.figures})
    print_table("Answers", ("answer", "times"), result.answers.items())
    if result.wrong:
        print_table("What must not happen", ("what", "times"), result.wrong.items())
    verdict = (
        "[bold green]Every promise was kept.[/]" if result.passed else "[bold red]A promise was broken.[/]"
    )
    with contextlib.suppress(BrokenPipeError):
        console.print(verdict)
