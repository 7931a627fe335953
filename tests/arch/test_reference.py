"""The committed reference pages say what the code says."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
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
    """Asked of a fresh interpreter: other tests of this one declare events and codes of their own."""
    script = ROOT / "tools/generate_reference.py"
    code = (
        "import importlib.util, json, sys;"
        "spec = importlib.util.spec_from_file_location('generate_reference', sys.argv[1]);"
        "made = importlib.util.module_from_spec(spec); spec.loader.exec_module(made);"
        "print(json.dumps(made.pages()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(script)], check=True, stdout=subprocess.PIPE, cwd=ROOT
    )
    stale = []
    for name, text in json.loads(done.stdout).items():
        path = generator.FOLDER / name
        if not path.exists() or path.read_text("utf-8") != text:
            stale.append(name)
    assert stale == [], "run `make docs` and commit the pages"


def test_every_setting_has_a_meaning(generator: ModuleType) -> None:
    settings = importlib.import_module("tradepost.settings")
    mute = [path for path, _, _, meaning in generator.leaves(settings.Settings, ()) if not meaning]
    assert mute == []
