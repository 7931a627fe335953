"""The production profile: what it sets, what wins over it, which servers it finds, and what it refuses."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tradepost.app import schema
from tradepost.kernel.errors import Refusal
from tradepost.settings import Mode, Profile, load_settings, signing_secret
from tradepost.surfaces.cli import profile
from tradepost.surfaces.cli.crews import PATH_CHARS_MAX, first_free, meeting_folder
from tradepost.surfaces.cli.profile import SERVERS, read_settings, servers_of

DATABASE = "mysql://tradepost:secret@127.0.0.1:3306/tradepost"
Found = dict[str, tuple[str, str]]


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("TRADEPOST_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("DATA_DIR", str(tmp_path))


def brought_up(monkeypatch: pytest.MonkeyPatch, found: Found) -> list[str]:
    """Let these be the servers of the data folder; the names that were asked for."""
    asked: list[str] = []

    def look(_: Any, names: list[str]) -> Found:
        asked.extend(names)
        return {name: known for name, known in found.items() if name in names}

    monkeypatch.setattr(profile, "_look", look)
    return asked


def test_it_finds_what_was_brought_up(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = brought_up(monkeypatch, {"mariadb": (DATABASE, ""), "redis": ("redis://:x@127.0.0.1:1/0", "")})
    settings = read_settings(profile="production", needs=tuple(SERVERS))
    assert asked == ["mariadb", "vitess", "redis", "etcd", "rocketmq"]
    assert (settings.mode, settings.profile) == (Mode.PRODUCTION, Profile.PRODUCTION)
    assert settings.server.works_elsewhere
    assert 2 <= settings.server.workers <= profile.WORKERS_MAX
    assert (settings.storage.url, settings.cache.url) == (DATABASE, "redis://:x@127.0.0.1:1/0")
    assert (settings.config.url, settings.messaging.url) == ("", "")
    told = servers_of(settings)
    assert told == {"storage": "mysql://127.0.0.1:3306/tradepost", "cache": "redis://127.0.0.1:1/0"}


def test_a_command_that_only_reads_asks_for_the_database_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRADEPOST_PROFILE", "production")
    asked = brought_up(monkeypatch, {"mariadb": ("", "not started"), "vitess": ("vitess://h:1/t", "")})
    assert read_settings().storage.url == "vitess://h:1/t"
    assert asked == ["mariadb", "vitess"]


def test_every_setting_wins_over_the_profile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = brought_up(monkeypatch, {})
    file = tmp_path / "shop.toml"
    file.write_text('[server]\nworkers = 5\n[cache]\nurl = "redis://file:1/0"\n')
    monkeypatch.setenv("TRADEPOST_STORAGE__URL", DATABASE)
    monkeypatch.setenv("TRADEPOST_SERVER__WORKS_ELSEWHERE", "false")
    settings = read_settings(file, profile="production", overrides={"server.host": "0.0.0.0"})  # noqa: S104
    assert (settings.server.workers, settings.server.works_elsewhere) == (5, False)
    assert (settings.storage.url, settings.cache.url, settings.server.host) == (
        DATABASE,
        "redis://file:1/0",
        "0.0.0.0",  # noqa: S104
    )
    assert asked == []


def test_a_demo_may_stand_on_servers_but_not_where_production_was_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TRADEPOST_STORAGE__URL", DATABASE)
    assert read_settings(profile="production", demo=True).mode is Mode.DEMO
    monkeypatch.setenv("TRADEPOST_MODE", "production")
    with pytest.raises(Refusal) as refused:
        read_settings(profile="production", demo=True)
    assert refused.value.code == "settings.demo_keys"


@pytest.mark.parametrize(
    ("found", "code", "field"),
    [
        ({}, "profile.database_missing", "storage.url"),
        ({"mariadb": ("", "not started")}, "profile.database_missing", "storage.url"),
        ({"mariadb": ("", "stopped")}, "profile.server_away", "storage.url"),
        ({"mariadb": (DATABASE, ""), "redis": ("", "stopped")}, "profile.server_away", "cache.url"),
        ({"mariadb": (DATABASE, ""), "rocketmq": ("", "silent")}, "profile.server_away", "messaging.url"),
    ],
)
def test_what_it_cannot_stand_on_is_refused(
    found: Found, code: str, field: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    brought_up(monkeypatch, found)
    with pytest.raises(Refusal) as refused:
        read_settings(profile="production", needs=tuple(SERVERS))
    assert (refused.value.code, refused.value.field) == (code, field)


def test_production_refuses_a_missing_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRADEPOST_STORAGE__URL", DATABASE)
    with pytest.raises(Refusal) as refused:
        signing_secret(read_settings(profile="production"))
    assert refused.value.code == "settings.secret_missing"


def test_processes_that_start_together_agree_on_a_secret(tmp_path: Path) -> None:
    settings = load_settings({}, None, {"server.data_dir": str(tmp_path / "new")})
    assert len(signing_secret(settings)) >= 32
    assert signing_secret(settings) == signing_secret(settings)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["signing-secret"]
    assert (tmp_path / "new" / "signing-secret").stat().st_mode & 0o077 == 0


def test_processes_of_two_commands_take_numbers_of_their_own() -> None:
    with tempfile.TemporaryDirectory() as short, socket.socket(socket.AF_UNIX) as living:
        settings = load_settings({}, None, {"server.data_dir": short})
        folder = meeting_folder(settings)
        assert first_free(folder, "work") == 1
        living.bind(f"{folder}/work-2.sock")
        living.listen()
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(f"{folder}/work-7.sock")
        assert first_free(folder, "work") == 3
        assert first_free(folder, "api") == 1
        assert [path.name for path in Path(folder).iterdir()] == ["work-2.sock"]


def test_where_a_path_is_too_long_for_sockets_two_commands_meet_in_a_short_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tempfile.TemporaryDirectory() as short:
        monkeypatch.setattr(tempfile, "tempdir", short)
        deep = load_settings({}, None, {"server.data_dir": str(tmp_path / ("d" * PATH_CHARS_MAX))})
        other = load_settings({}, None, {"server.data_dir": str(tmp_path / ("e" * PATH_CHARS_MAX))})
        folder = meeting_folder(deep)
        assert folder.startswith(short)
        assert meeting_folder(deep) == folder != meeting_folder(other)
        Path(folder).chmod(0o777)
        assert meeting_folder(deep) == "", "anybody could answer there"
    assert first_free("", "work") == 1


def test_a_secret_that_was_cut_off_signs_nothing(tmp_path: Path) -> None:
    settings = load_settings({}, None, {"server.data_dir": str(tmp_path)})
    signing_secret(settings)
    (tmp_path / "signing-secret").write_bytes(b"")
    with pytest.raises(Refusal, match=r"settings\.secret_missing"):
        signing_secret(settings)


def test_the_schema_is_looked_at_now_and_then(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    now_s, asked = 100.0, []
    monkeypatch.setattr(schema.time, "monotonic", lambda: now_s)
    monkeypatch.setattr(schema, "schema_fits", lambda where: asked.append(where) or False)
    watch = schema.SchemaWatch(load_settings({}, None, {"server.data_dir": str(tmp_path)}))
    assert watch.holds()
    assert asked == [], "the start has just migrated it"
    now_s += schema.LOOK_EVERY_S
    assert not watch.holds()
    assert not watch.holds()
    assert asked == [tmp_path / "tradepost.db"]
