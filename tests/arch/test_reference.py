"""The committed reference pages say what the code says."""

from __future__ import annotations

import importlib.util
from types import ModuleType

import pytest
from tests.arch.tree import ROOT


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_reference", ROOT / "tools/generate_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_committed_page_is_fresh(generator: ModuleType) -> None:
    stale = []
    for name, text in generator.pages().items():
        path = generator.FOLDER / name
        if not path.exists() or path.read_text("utf-8") != text:
            stale.append(name)
    assert stale == [], "run `make docs` and commit the pages"


def test_every_setting_has_a_meaning(generator: ModuleType) -> None:
    settings = importlib.import_module("tradepost.settings")
    mute = [path for path, _, _, meaning in generator.leaves(settings.Settings, ()) if not meaning]
    assert mute == []
