"""The command line in this process: words in, exit code and what it said out."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from tradepost.surfaces.cli import __main__ as cli
from tradepost.surfaces.cli import output

Run = Callable[..., tuple[int, str]]


def commands_for(
    address: str, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> Run:
    """How to run a command against the shop at an address; (exit code, what it said)."""

    def run(*words: object) -> tuple[int, str]:
        given = [str(word) for word in words]
        monkeypatch.setattr(sys, "argv", ["tradepost", *given, "--server", address])
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        caught = capsysbinary.readouterr()
        return code, caught.out.decode() + caught.err.decode()

    # it may have read its width from the environment already
    monkeypatch.setattr(output.console, "_width", 240)
    return run
