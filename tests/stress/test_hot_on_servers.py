"""The hot SKU on MariaDB and through Vitess, with two API workers, with and without Redis; the whole race by
`python -m tradepost.testing.torture hot --database mariadb` (`make test-long`)."""

from __future__ import annotations

import pytest

from tradepost.testing.torture.hot_servers import Race, hot_sku_on_servers
from tradepost.testing.torture.report import Report

pytestmark = pytest.mark.timeout(240)


def held(report: Report) -> None:
    """Fail with everything that did not hold."""
    assert report.held, "\n".join([report.torture, *report.complaints()])


@pytest.mark.parametrize("cache", [False, True], ids=["alone", "redis"])
def test_two_workers_on_mariadb_sell_exactly_what_there_is(cache: bool) -> None:
    held(hot_sku_on_servers(Race(requests=1_200, stock=300, connections=128, cache=cache)))


def test_two_workers_through_vitess_sell_exactly_what_there_is() -> None:
    held(hot_sku_on_servers(Race(requests=600, stock=150, connections=64, database="vitess")))


@pytest.mark.long
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("cache", [False, True], ids=["alone", "redis"])
@pytest.mark.parametrize("database", ["mariadb", "vitess"])
def test_twenty_thousand_want_five_thousand(database: str, cache: bool) -> None:
    held(hot_sku_on_servers(Race(database=database, cache=cache)))


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("database", ["mariadb", "vitess"])
def test_each_request_twice(database: str) -> None:
    held(hot_sku_on_servers(Race(requests=2_000, stock=500, database=database, twins=True)))
