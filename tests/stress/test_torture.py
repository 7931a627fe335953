"""The short forms of the tortures, and their long forms by command (`make test-long`)."""

from __future__ import annotations

import pytest

from tradepost.testing.torture.disk import fill_the_disk
from tradepost.testing.torture.hot import buyer_limit, hot_sku, kits_that_share
from tradepost.testing.torture.kill import kill_at_random_moments, kill_the_writer
from tradepost.testing.torture.report import Report


def held(report: Report) -> None:
    """Fail with everything that did not hold."""
    assert report.held, "\n".join([report.torture, *report.complaints()])


@pytest.mark.parametrize(("writer", "moments"), [("thread", 3), ("process", 2)])
def test_nothing_acknowledged_is_lost_by_kill_9(writer: str, moments: int) -> None:
    held(kill_at_random_moments(moments, 7, writer=writer))


def test_a_server_outlives_its_writer_process() -> None:
    held(kill_the_writer(3, 7))


def test_nothing_acknowledged_is_lost_when_the_disk_fills() -> None:
    held(fill_the_disk(7))


def test_a_hot_sku_sells_exactly_what_there_is() -> None:
    held(hot_sku(2_000, 500, 256))


def test_a_request_sent_twice_at_once_is_one_order() -> None:
    held(hot_sku(500, 200, 128, twins=True))


def test_kits_that_share_a_component_never_oversell_it() -> None:
    held(kits_that_share(600, 150, 128))


def test_a_buyer_gets_no_more_than_the_limit() -> None:
    held(buyer_limit(128, 3, 64))


WRITERS = pytest.mark.parametrize("writer", ["thread", "process"])


@pytest.mark.long
@pytest.mark.timeout(1_200)
@WRITERS
def test_twenty_kills(writer: str) -> None:
    held(kill_at_random_moments(20, 1, writer=writer, settle_every=5))


@pytest.mark.long
@WRITERS
def test_twenty_thousand_want_five_thousand(writer: str) -> None:
    held(hot_sku(20_000, 5_000, 256, writer=writer))


@pytest.mark.long
@pytest.mark.parametrize("twins", [False, True])
def test_the_crowd_at_a_writer_process(twins: bool) -> None:
    held(hot_sku(4_000, 1_000, 256, twins=twins, writer="process"))


@pytest.mark.long
def test_the_disk_fills_under_a_writer_process() -> None:
    held(fill_the_disk(1, writer="process"))
