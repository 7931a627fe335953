"""Helm, which lints and renders our chart: built once from its pinned Go module."""

from __future__ import annotations

from pathlib import Path

import pytest

from tradepost.kernel.errors import Refusal
from tradepost.services.model import Progress
from tradepost.services.programs import built_go, cache_folder, missing_go

MODULE = Path(__file__).parent / "helm"
PACKAGE = "helm.sh/helm/v3/cmd/helm"


def built_helm(progress: Progress) -> Path:
    """The program, built if the cache lacks it. Raises Refusal `services.program_missing` without a Go toolchain."""
    for lacking in missing_go("helm", MODULE, cache_folder()):
        raise Refusal("services.program_missing", f"helm needs {lacking.program}.", expected=lacking.install)
    return built_go("helm", MODULE, PACKAGE, cache_folder(), progress)


@pytest.fixture(scope="session")
def helm() -> Path:
    """Helm's path."""
    return built_helm(lambda _: None)
