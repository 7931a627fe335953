"""The proof of books and stock as an alarm: run again and again beside the shop, its result a metric.

A proof reads everything, so it runs in a process of its own at the lowest priority, on a reader connection, within a
bound of time. What it cannot finish it says by its age.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from tradepost.kernel.events import Sweep
from tradepost.kernel.world import World
from tradepost.telemetry.metrics import Family, Sample, declare_metrics

EVERY_MS = 15 * 60_000
PROOF_MAX_S = 600.0
ASK_MS = 5_000
OUTPUT_BYTES_MAX = 64 << 20
NICE = 19

log = logging.getLogger("tradepost.books")

declare_metrics(
    [
        Family("proof_findings", "gauge", "Disagreements found by the last proof of the books.", ("proof",)),
        Family("proof_age_seconds", "gauge", "Time since a proof was last finished here.", ("proof",)),
        Family("proof_seconds", "gauge", "How long the last proof took.", ("proof",)),
        Family("proof_unfinished", "counter", "Proofs that broke or took too long.", ("proof",)),
    ]
)


class Proof(msgspec.Struct, frozen=True):
    """A name and the command that prints `{"report": {"findings": [...]}}` as JSON and ends with 0 or 1.

    `environment` is what it is told beside what this process was told; secrets stand there and in no command line.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = {}


class _Result(msgspec.Struct):
    findings: int = 0
    at_ms: int = 0
    took_ms: int = 0
    unfinished: int = 0


class _Report(msgspec.Struct):
    findings: list[Any]


class _Printed(msgspec.Struct):
    report: _Report


class BooksAlarm:
    """Runs proofs in turn, one at a time. Register `samples` with the board and give `sweep` to the runtime.

    The runtime that leads shard 0 runs them, so an installation proves itself once, however many processes it has.
    The first run is a whole interval after the start. An interval of 0 switches it off.
    """

    def __init__(
        self,
        world: World,
        proofs: Sequence[Proof],
        *,
        every_ms: int = EVERY_MS,
        proof_max_s: float = PROOF_MAX_S,
    ) -> None:
        self._world = world
        self._proofs = {proof.name: proof for proof in proofs}
        self._results = {proof.name: _Result() for proof in proofs}
        self._every_ms = every_ms
        self._proof_max_s = proof_max_s
        self._next_ms = world.now_ms() + every_ms
        self._running = False

    def sweep(self) -> Sweep:
        """The timer for the runtime."""
        return Sweep("books.prove", self.due, self.prove, ASK_MS)

    def due(self, tx: Any, now_ms: int, limit: int) -> list[str]:
        """The names of the proofs when it is time for them."""
        if not self._every_ms or tx.shard != 0 or self._running or now_ms < self._next_ms:
            return []
        return list(self._proofs)

    async def prove(self, names: Sequence[str]) -> None:
        """Run these proofs one after the other; whatever happens, the next turn comes an interval later."""
        self._running = True
        try:
            for name in names:
                await self._prove(self._proofs[name], self._results[name])
        finally:
            self._running = False
            self._next_ms = self._world.now_ms() + self._every_ms

    def samples(self) -> list[Sample]:
        """What the last runs found; nothing of a proof that never ran here, but how often it did not finish."""
        now_ms = self._world.now_ms()
        found: list[Sample] = []
        for name, result in self._results.items():
            labels = {"proof": name}
            if result.at_ms:
                found += [
                    Sample("proof_findings", result.findings, labels),
                    Sample("proof_age_seconds", max(0, now_ms - result.at_ms) / 1000, labels),
                    Sample("proof_seconds", result.took_ms / 1000, labels),
                ]
            if result.at_ms or result.unfinished:
                found.append(Sample("proof_unfinished", result.unfinished, labels))
        return found

    async def _prove(self, proof: Proof, result: _Result) -> None:
        started_ms = self._world.now_ms()
        try:
            async with asyncio.timeout(self._proof_max_s):
                printed = await _run(proof.command, proof.environment)
            findings = msgspec.json.decode(printed, type=_Printed).report.findings
        except (OSError, TimeoutError, msgspec.MsgspecError) as error:
            result.unfinished += 1
            log.error("the proof of %s did not finish: %s", proof.name, error)
            return
        result.findings, result.at_ms = len(findings), self._world.now_ms()
        result.took_ms = result.at_ms - started_ms
        if findings:
            log.error("ALARM: the proof of %s found %s disagreements", proof.name, len(findings))


async def _run(command: Sequence[str], environment: Mapping[str, str]) -> bytes:
    """What a command prints. It is killed when the caller is called off; what it prints is bounded."""
    process = await asyncio.create_subprocess_exec(
        *_gently(command),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, **environment},
        limit=1 << 20,
    )
    assert process.stdout is not None
    printed = bytearray()
    try:
        while part := await process.stdout.read(1 << 16):
            printed += part
            if len(printed) > OUTPUT_BYTES_MAX:
                raise OSError("it printed too much")
        status = await process.wait()
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if status not in (0, 1):
        raise OSError(f"it ended with status {status}")
    return bytes(printed)


def _gently(command: Sequence[str]) -> Sequence[str]:
    return ("nice", "-n", str(NICE), *command) if os.name == "posix" else command
