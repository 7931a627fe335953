"""The docs: Python examples run, links lead somewhere, commands exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser
from tests.arch.tree import ROOT, capabilities

PAGES = sorted([*ROOT.glob("docs/**/*.md"), *ROOT.glob("*.md")])
LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)")
ADR_PARTS = ["## Context", "## Decision", "## Consequences", "## Alternatives"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_python_examples_run(page: Path) -> None:
    document = Sybil(parsers=[PythonCodeBlockParser()]).parse(page)
    for example in document.examples():
        example.evaluate()


def test_every_link_leads_somewhere() -> None:
    pages = [*PAGES, *(folder / "README.md" for folder in capabilities())]
    dead = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages
        if page.exists()
        for target in LINK.findall(page.read_text("utf-8"))
        if not (page.parent / target).exists()
    ]
    assert dead == []


def test_every_make_command_of_the_docs_is_a_target() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = {
        name
        for page in PAGES
        for name in re.findall(r"(?:^    |`)make ([a-z-]+)", page.read_text("utf-8"), re.MULTILINE)
    }
    assert {"run", "test"} <= named <= targets


def test_every_decision_has_its_four_parts_and_its_line_in_the_index() -> None:
    index = (ROOT / "docs/adr/index.md").read_text("utf-8")
    for page in ROOT.glob("docs/adr/0*.md"):
        text = page.read_text("utf-8")
        assert [part for part in ADR_PARTS if part not in text] == [], page.name
        assert page.name in index
