"""Drills and config commands against a demo shop that really serves, as an operator would type them."""

from __future__ import annotations

import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from sqlalchemy import create_engine
from tests.demo_server import TRADEPOST, DemoServer, demo_server, surroundings

from tradepost.infra.storage.migrate import upgrade
from tradepost.infra.storage.tables import config
from tradepost.kernel.errors import Refusal
from tradepost.stability.switches import declared_switches
from tradepost.surfaces.cli import drill as module
from tradepost.surfaces.cli.__main__ import app
from tradepost.surfaces.cli.asking import Asking
from tradepost.surfaces.cli.output import stop

OPERATOR = "tp_operator_demo"
DONE, FAILED, REFUSED = 0, 1, 3


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoServer]:
    folder = tmp_path_factory.mktemp("drill") / "data"
    folder.mkdir()
    path = folder / "tradepost.db"
    upgrade(path)
    engine = create_engine(f"sqlite:///{path}")
    config.METADATA.create_all(engine, tables=[config.CONFIG_VERSIONS, config.DRILLS])
    engine.dispose()
    with demo_server(folder) as served:
        yield served


Run = Callable[..., Ended]


@pytest.fixture
def run(server: DemoServer, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command line in this process: a process of its own for each word would take a second a word."""

    def call(*words: str, address: str = server.address) -> Ended:
        code = DONE
        try:
            try:
                app([*words, "--server", address])
            except Refusal as refusal:
                stop(refusal)
        except SystemExit as ended:
            code = int(ended.code or 0)
        out, err = capsys.readouterr()
        return Ended(code, out, err)

    return call


@pytest.mark.parametrize("switch", sorted(declared_switches()))
def test_every_switch_keeps_its_promise_under_load(run: Run, switch: str) -> None:
    ended = run("drill", switch, "--seconds", "1", "--orders", "--json")
    assert ended.code == DONE, ended.out + ended.err
    result = ended.json
    assert [name for name, kept in result["checks"].items() if not kept] == []
    assert result["wrong"] == {}
    assert result["figures"]["felt_ms"] < 1_000
    stands = run("config", "get", f"switch.{switch}", "--json").json
    assert stands["in_force"] is False
    listed = run("drill", "--list", "--json").json["items"]
    last = next(one["last_drill"] for one in listed if one["switch"] == switch)
    assert (last["passed"], last["at_ms"]) == (True, result["started_at_ms"])


def test_a_switch_that_was_never_drilled_says_so(server: DemoServer) -> None:
    with Asking(server.address, OPERATOR) as asking:
        items = asking.get("/v1/config/switches")["items"]
    assert module._last(None) == "never drilled"
    assert {one["switch"] for one in items} == set(declared_switches())


def test_a_switch_that_is_on_is_not_drilled(run: Run) -> None:
    assert run("config", "set", "switch.timeline_off", "true", "--reason", "needed").code == DONE
    refused = run("drill", "timeline_off", "--seconds", "1")
    assert (refused.code, refused.err.split(":")[0]) == (REFUSED, "drill.switched_on")
    assert run("config", "get", "switch.timeline_off", "--json").json["in_force"] is True
    assert run("config", "rollback", "switch.timeline_off", "--reason", "over").code == DONE


def test_a_broken_promise_ends_with_1_and_flips_back(
    server: DemoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(shop: Any, facts: Any) -> dict[str, bool]:
        return {"promise": False}

    async def breaking(shop: Any, facts: Any) -> dict[str, bool]:
        raise RuntimeError("a defect of the drill")

    with Asking(server.address, OPERATOR) as asking:
        for during in (broken, breaking):
            proof = module.PROOFS["timeline_off"]
            monkeypatch.setitem(
                module.PROOFS, "timeline_off", type(proof)(switch=proof.switch, during=during)
            )
            one = module.Drill(asking, "timeline_off", 0, 1, orders=False)
            if during is broken:
                result = module.asyncio.run(one.run())
                assert (result.passed, result.checks["promise"]) == (False, False)
            else:
                with pytest.raises(RuntimeError, match="defect"):
                    module.asyncio.run(one.run())
            assert asking.get("/v1/config/keys/switch.timeline_off")["in_force"] is False


def test_a_curl_loop_is_refused_after_set_and_free_after_rollback(run: Run, server: DemoServer) -> None:
    def open_cart() -> int:
        request = urllib.request.Request(  # noqa: S310  our own server
            f"{server.address}/v1/carts",
            data=b'{"market":"GB"}',
            headers={"Authorization": f"Bearer {OPERATOR}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    assert open_cart() == 201
    assert run("config", "set", "switch.new_carts_off", "true", "--reason", "a crowd").code == DONE
    assert open_cart() == 503
    assert run("config", "rollback", "switch.new_carts_off", "--reason", "it left").code == DONE
    assert open_cart() == 201


def test_config_commands_tell_all_they_know(run: Run) -> None:
    key = "switch.coupons_off"
    seen = run("config", "get", key, "--json").json["version"]
    only_here = ("--instance", "somewhere-else")
    written = run("config", "set", key, "true", "--reason", "try", *only_here, "--json").json
    assert (written["version"], written["rules"][0]["instances"]) == (seen + 1, ["somewhere-else"])
    there = run("config", "get", key, *only_here, "--json").json
    assert (there["in_force"], run("config", "get", key, "--json").json["in_force"]) == (True, False)
    differences = run("config", "diff", key, "--json").json
    assert (differences["old"], differences["new"]) == (seen, seen + 1)
    assert "rules[0].instances" in {one["path"] for one in differences["items"]}
    history = run("config", "history", key, "--limit", "1", "--json").json["items"]
    assert [(one["version"], one["reason"], one["pushed"]) for one in history] == [(seen + 1, "try", True)]
    conflict = run("config", "set", key, "true", "--reason", "late", "--seen", str(seen))
    assert (conflict.code, conflict.err.split(":")[0]) == (REFUSED, "config.version_conflict")
    unfit = run("config", "set", key, "maybe", "--reason", "x")
    assert (unfit.code, unfit.err.split(":")[0]) == (REFUSED, "config.value_invalid")
    assert run("config", "set", key, "--default", "--reason", "done").code == DONE
    for words in (("list",), ("get", key), ("diff", key), ("history",)):
        assert run("config", *words).code == DONE


def test_watch_prints_changes_as_they_come(run: Run, server: DemoServer) -> None:
    watching = subprocess.Popen(
        [TRADEPOST, "config", "watch", "--json", "--count", "1", "--server", server.address],
        env=surroundings(server.data_dir),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        value = True
        while watching.poll() is None:
            # The watch begins whenever its process is up: change until it has seen one.
            words = ("config", "set", "switch.coupons_off", str(value).lower(), "--reason", "watch")
            assert run(*words).code == DONE
            value = not value
        assert watching.stdout is not None
        assert json.loads(watching.stdout.readline())["key"] == "switch.coupons_off"
    finally:
        watching.kill()
        watching.wait()
    assert run("config", "set", "switch.coupons_off", "--default", "--reason", "done").code == DONE


def test_without_a_server_the_command_says_so(run: Run) -> None:
    ended = run("config", "list", address="http://127.0.0.1:9")
    assert (ended.code, ended.err.split(":")[0]) == (REFUSED, "server.unreachable")
