"""Every server of the production profile really started, asked, started again, and stopped without a trace."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pymysql
import pytest

from tradepost.kernel.errors import Refusal
from tradepost.services import RECIPES, fleet, native, processes, running, testing
from tradepost.services.checks import check_redis, connect_mysql, get_json
from tradepost.services.model import Unready
from tradepost.services.ports import is_free, reserve_ports

OFF = {"SERVICES_COMPOSE": "off"}
SLOW = 900
"""Seconds: a first build of Vitess on a busy machine fits in."""


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A folder of servers, taken down whatever happens."""
    yield tmp_path / "services"
    fleet.down([], tmp_path / "services", purge=True)


def own_ports(name: str) -> dict[str, int]:
    purposes = list(RECIPES[name].ports)
    found = zip(purposes, reserve_ports(len(purposes), apart=16), strict=True)
    return {f"{name}.{purpose}": port for purpose, port in found}


@pytest.mark.timeout(SLOW)
@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.server(name)) for name in RECIPES])
def test_a_server_comes_up_once_and_goes_without_a_trace(name: str, root: Path) -> None:
    ports = own_ports(name)
    (first,) = fleet.up([name], root, ports=ports, environment=OFF, options=testing.QUICK)
    assert first.seen
    assert first.pids
    (second,) = fleet.up([name], root, ports=ports, environment=OFF, options=testing.QUICK)
    assert second.pids == first.pids, "the second `up` starts nothing"
    looked = {recipe.name: server for recipe, server, _ in fleet.status(root, environment=OFF)}
    assert looked[name] is not None
    assert (
        fleet.addresses(root, storage="vitess" if name == "vitess" else "mariadb")[RECIPES[name].environment]
        == first.url
    )

    assert fleet.down([name], root) == [name]
    assert not any(Path(f"/proc/{pid}").exists() for pid in first.pids.values())
    assert all(is_free(port) for port in ports.values())
    assert not list(root.glob("**/*.pid"))
    assert not list(root.glob("**/*.sock"))
    assert (root / name).is_dir(), "its data stays"
    assert fleet.down([name], root, purge=True) == []
    assert not root.exists()


@pytest.mark.server("redis")
def test_two_commands_at_once_start_one_server(root: Path) -> None:
    port = reserve_ports(1)[0]
    program = (
        "import sys; from pathlib import Path; from tradepost.services import fleet;"
        "(one,) = fleet.up(['redis'], Path(sys.argv[1]), ports={'redis': int(sys.argv[2])},"
        " environment={'SERVICES_COMPOSE': 'off'}); print(one.pids['redis-server'])"
    )
    both = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(root), str(port)], stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    pids = [each.communicate(timeout=60)[0].strip() for each in both]
    assert [each.returncode for each in both] == [0, 0]
    assert pids[0] == pids[1] != ""


@pytest.mark.server("redis")
def test_a_shared_server_ends_with_the_last_of_its_users_however_they_end(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from tradepost.services import running\n"
        "with running('redis', folder=Path(sys.argv[1]), shared=True) as servers:\n"
        "    print(servers['redis'].pids['redis-server'], flush=True); time.sleep(600)"
    )
    users = [
        subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [each.stdout.readline().strip() for each in users if each.stdout]
    assert said[0] == said[1] != ""
    server = Path(f"/proc/{said[0]}")
    users[0].kill()
    users[0].communicate()
    with running("redis", folder=tmp_path, shared=True) as servers:
        assert server.exists(), "another still uses it"
        users[1].kill()
        users[1].communicate()
        assert check_redis(servers["redis"].url) == "PONG"
        users[1] = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE)
        assert users[1].stdout
        assert users[1].stdout.readline().decode().strip() == said[0]
    assert server.exists()
    users[1].kill()
    users[1].communicate()
    deadline = time.monotonic() + 60
    while server.exists():
        assert time.monotonic() < deadline, "nobody ended it"
        time.sleep(0.05)


@pytest.mark.server("redis")
def test_a_port_of_another_server_is_refused_and_that_server_left_alone(root: Path, tmp_path: Path) -> None:
    with running("redis", folder=tmp_path / "other") as servers:
        other = servers["redis"]
        with pytest.raises(Refusal) as refused:
            fleet.up(["redis"], root, ports={"redis": other.ports["redis"]}, environment=OFF)
        assert refused.value.code == "services.port_taken"
        assert str(other.pids["redis-server"]) in refused.value.detail
        fleet.down([], root)
        assert check_redis(other.url) == "PONG"


@pytest.mark.server("redis")
def test_an_address_in_the_environment_is_used_as_it_is_and_never_stopped(root: Path, tmp_path: Path) -> None:
    with running("redis", folder=tmp_path / "other") as servers:
        url = servers["redis"].url
        (found,) = fleet.up(["redis"], root, environment={"TRADEPOST_CACHE__URL": url})
        assert (found.how.value, found.url, found.pids) == ("address", url, {})
        assert fleet.down([], root) == []
        assert check_redis(url) == "PONG"


@pytest.mark.server("mariadb")
def test_mariadb_is_durable_and_knows_no_default_password(tmp_path: Path) -> None:
    with running("mariadb", folder=tmp_path) as servers:
        server = servers["mariadb"]
        link = connect_mysql(server.url)
        with link.cursor() as cursor:
            cursor.execute("SHOW VARIABLES")
            told = dict(cursor.fetchall())
            cursor.execute("CREATE DATABASE tradepost_other")
        link.close()
        assert told["innodb_flush_log_at_trx_commit"] == "1"
        assert told["innodb_doublewrite"] == "ON"
        assert told["log_bin"] == "OFF" or told["sync_binlog"] == "1"
        assert told["character_set_server"] == "utf8mb4"
        for user in ("root", "mysql", "tradepost", ""):
            with pytest.raises(pymysql.MySQLError):
                pymysql.connect(host="127.0.0.1", port=server.ports["sql"], user=user, password="")
        password = server.url.split("@")[0].rpartition(":")[2]
        for pid in server.pids.values():
            assert password not in Path(f"/proc/{pid}/cmdline").read_text()


@pytest.mark.server("redis")
def test_redis_wants_its_password_and_bounds_its_memory(tmp_path: Path) -> None:
    with running("redis", folder=tmp_path, options={"redis": {"maxmemory": "8mb"}}) as servers:
        with pytest.raises(Unready):
            check_redis(f"redis://127.0.0.1:{servers['redis'].ports['redis']}")
        conf = (tmp_path / "redis" / "redis.conf").read_text()
        assert "maxmemory 8mb" in conf
        assert (tmp_path / "redis" / "redis.conf").stat().st_mode & 0o077 == 0


@pytest.mark.server("mariadb")
def test_a_killed_server_comes_back_on_its_port_with_its_data(tmp_path: Path) -> None:
    with running("mariadb", folder=tmp_path) as servers:
        before = servers["mariadb"]
        link = connect_mysql(before.url)
        with link.cursor() as cursor:
            cursor.execute("CREATE TABLE kept (a INT PRIMARY KEY)")
        link.close()
        subprocess.run(["kill", "-9", str(before.pids["mariadbd"])], check=True)
        after = testing.start("mariadb", tmp_path)
        assert (after.url, after.pids != before.pids) == (before.url, True)
        link = connect_mysql(after.url)
        with link.cursor() as cursor:
            cursor.execute("SHOW TABLES")
            assert cursor.fetchall() == (("kept",),)
        link.close()


@pytest.mark.server("toxiproxy")
@pytest.mark.timeout(SLOW)
def test_toxiproxy_carries_and_cuts_a_link(tmp_path: Path) -> None:
    import http.client
    import json

    with running("redis", "toxiproxy", folder=tmp_path) as servers:
        listening = reserve_ports(1)[0]
        api = http.client.HTTPConnection("127.0.0.1", servers["toxiproxy"].ports["http"], timeout=5)
        link = {
            "name": "redis",
            "listen": f"127.0.0.1:{listening}",
            "upstream": f"127.0.0.1:{servers['redis'].ports['redis']}",
        }
        api.request("POST", "/proxies", json.dumps({**link, "enabled": True}))
        assert api.getresponse().read()
        through = servers["redis"].url.replace(str(servers["redis"].ports["redis"]), str(listening))
        assert check_redis(through) == "PONG"
        api.request("POST", "/proxies/redis", json.dumps({**link, "enabled": False}))
        assert api.getresponse().read()
        with pytest.raises(Unready):
            check_redis(through)
        api.close()


@pytest.mark.server("stripe-mock")
@pytest.mark.timeout(SLOW)
def test_stripe_mock_answers_in_stripes_shapes(tmp_path: Path) -> None:
    with running("stripe-mock", folder=tmp_path) as servers:
        said = get_json(
            servers["stripe-mock"].url, "/v1/payment_intents/pi_1", {"Authorization": "Bearer sk_test_123"}
        )
        assert said["object"] == "payment_intent"


@pytest.mark.server("redis")
def test_a_start_that_fails_shows_the_servers_own_words(tmp_path: Path) -> None:
    with (
        pytest.raises(Refusal) as refused,
        running("redis", folder=tmp_path, options={"redis": {"maxmemory": "plenty"}}),
    ):
        pass
    assert refused.value.code == "services.start_failed"
    assert "maxmemory" in refused.value.detail
    place = native.place_of(RECIPES["redis"], tmp_path, tmp_path)
    assert processes.stages_of(place) == []
