"""Chaos, in short: each kind of fault once under a few seconds of load, and a planted bug that it must find."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tradepost.testing.chaos.faults import FAULTS, MARIADB, PAIRS, VITESS, chosen
from tradepost.testing.chaos.ground import Ground, Grounds, grounds
from tradepost.testing.chaos.run import Options, make_trial

pytestmark = [pytest.mark.xdist_group("chaos"), pytest.mark.timeout(480)]

SHORT = Options(seconds=2.0, freeze_s=3.0, rate=20.0, shoppers=12)
LONG = Options(seed=2, seconds=6.0, rate=25.0)
KINDS = (
    "kill-api",
    "kill-work",
    "kill-mariadb",
    "kill-redis",
    "kill-broker",
    "kill-etcd",
    "freeze-mariadb",
    "slow-mariadb",
    "cut-mariadb",
    "cut-broker",
    "disk-full",
    "clock-ahead-work",
    "kill-redis+kill-api",
)
PLANTED = Path(__file__).with_name("planted_faults.py")


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grounds]:
    """Servers that may be killed: nobody else uses them."""
    with grounds(tmp_path_factory.mktemp("chaos"), [MARIADB, VITESS], lambda _: None) as ready:
        yield ready


@pytest.fixture(scope="module")
def ground(request: pytest.FixtureRequest, servers: Grounds) -> Iterator[Ground]:
    """A shop of two API workers and a work process on one of them; only one is open at a time."""
    storage, planted = request.param
    with servers.opened(storage, planted) as opened:
        yield opened


on_mariadb = pytest.mark.parametrize("ground", [(MARIADB, ())], indirect=True, ids=["mariadb"])
on_vitess = pytest.mark.parametrize("ground", [(VITESS, ())], indirect=True, ids=["vitess"])
on_planted = pytest.mark.parametrize("ground", [(MARIADB, (PLANTED,))], indirect=True, ids=["planted"])


def rehearse(ground: Ground, name: str, options: Options) -> None:
    """Fail with everything that did not hold."""
    trial = make_trial(ground, chosen([name], pairs=False)[0], options, name)
    assert trial.held, "\n".join([trial.name, str(trial.seen), *trial.complaints()])
    assert sum(trial.seen.values()) >= 5, "the crowd was there while it happened"


@on_mariadb
@pytest.mark.parametrize("name", KINDS)
def test_nothing_acknowledged_is_lost(name: str, ground: Ground) -> None:
    rehearse(ground, name, SHORT)


@on_vitess
def test_nothing_acknowledged_is_lost_behind_a_gateway(ground: Ground) -> None:
    rehearse(ground, "kill-vtcombo", SHORT)


@on_planted
def test_a_planted_double_charge_is_found(ground: Ground) -> None:
    hurried = msgspec.structs.replace(SHORT, settle_s=3.0)  # it never does
    trial = make_trial(ground, chosen(["kill-redis"], pairs=False)[0], hurried, "planted")
    assert not trial.failure
    assert trial.checks["one charge per order"].broken
    assert trial.checks["the provider's book agrees with ours"].broken


@pytest.mark.long
@pytest.mark.timeout(600)
@on_mariadb
@pytest.mark.parametrize(
    "name", [*(one.name for one in FAULTS.values() if one.storage == MARIADB), *map("+".join, PAIRS)]
)
def test_nothing_acknowledged_is_lost_under_any_fault(name: str, ground: Ground) -> None:
    rehearse(ground, name, LONG)


@pytest.mark.long
@pytest.mark.timeout(600)
@on_vitess
@pytest.mark.parametrize("name", [one.name for one in FAULTS.values() if one.storage == VITESS])
def test_nothing_acknowledged_is_lost_by_the_distributed_database(name: str, ground: Ground) -> None:
    rehearse(ground, name, LONG)
