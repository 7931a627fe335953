"""More facts from other engines' test suites, gathered by us in the same schema, through the command itself."""

from __future__ import annotations

import json
import subprocess

import pytest
from tests.arch.tree import ROOT
from tests.demo_server import TRADEPOST

from tradepost.testing.conformance.running import read_cases

FILES = sorted((ROOT / "tests" / "data" / "calc" / "more").glob("*.json"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_case_is_right(path: object) -> None:
    done = subprocess.run(
        [TRADEPOST, "conformance", str(path), "--check"], capture_output=True, text=True, check=False
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["id"] for line in lines if "actual" not in line] == []
    assert done.returncode == 0, done.stderr


def test_every_case_names_its_source_once() -> None:
    cases = [case for path in FILES for case in read_cases(path)]
    assert len(cases) > 200
    assert len({case["id"] for case in cases}) == len(cases)
    for case in cases:
        source = case["source"]
        assert {"repo", "path", "commit", "licence", "locator"} <= source.keys()
        assert len(source["commit"]) == 40
