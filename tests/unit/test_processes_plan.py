"""How many processes a database bears."""

from __future__ import annotations

import pytest

from tradepost.kernel.errors import Refusal
from tradepost.surfaces.cli.processes import check_counts


@pytest.mark.parametrize(("workers", "work"), [(2, 0), (1, 1), (4, 2)])
def test_one_file_has_one_process(workers: int, work: int) -> None:
    check_counts(shared=True, workers=workers, work=work)
    with pytest.raises(Refusal) as refused:
        check_counts(shared=False, workers=workers, work=work)
    assert refused.value.code == "server.one_process"


def test_one_process_is_what_a_file_bears() -> None:
    check_counts(shared=False, workers=1, work=0)
