"""How many processes a database bears, and what one of them refuses before there is a request."""

from __future__ import annotations

from typing import Any, cast

import pytest

from tradepost.kernel.errors import Refusal
from tradepost.surfaces.cli.processes import check_counts
from tradepost.surfaces.cli.worker import Front


@pytest.mark.parametrize(("workers", "work"), [(2, 0), (1, 1), (4, 2)])
def test_one_file_has_one_process(workers: int, work: int) -> None:
    check_counts(shared=True, workers=workers, work=work)
    with pytest.raises(Refusal) as refused:
        check_counts(shared=False, workers=workers, work=work)
    assert refused.value.code == "server.one_process"


def test_one_process_is_what_a_file_bears() -> None:
    check_counts(shared=False, workers=1, work=0)


class Full:
    """An application with no room for orders."""

    def refuse_early(self, method: bytes, url: bytes) -> bytes | None:
        return b"full" if (method, url) == (b"POST", b"/v1/checkouts") else None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("nothing is served here")


def test_a_worker_refuses_early_what_its_application_does_until_it_drains() -> None:
    front = Front(Full(), cast(Any, None))
    assert front.refuse_early(b"POST", b"/v1/checkouts") == b"full"
    assert front.refuse_early(b"GET", b"/v1/offers") is None
    front.draining = True  # an answer that closes the connection is the draining front's own
    assert front.refuse_early(b"POST", b"/v1/checkouts") is None


def test_an_application_that_refuses_nothing_early_is_served_as_it_is() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("nothing is served here")

    assert Front(app, cast(Any, None)).refuse_early(b"POST", b"/v1/checkouts") is None
