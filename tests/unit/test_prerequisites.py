"""What `make test` says and does before it begins, for somebody who may not install anything."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from tests.arch.tree import ROOT

SCRIPT = ROOT / "tools" / "test_prerequisites.sh"
SHELL = ("bash", "dirname", "sort", "sed", "cat", "rm", "chmod")
PROGRAMS = ("mariadbd", "mariadb-install-db", "redis-server", "etcd", "java", "javac", "mvn")
PROGRAMS += ("cc", "curl", "chromium", "setpriv")


def write(path: Path, body: str) -> None:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def ask(
    folder: Path, *absent: str, user: str = "1000", apt: str = "exit 9", **more: str
) -> subprocess.CompletedProcess[str]:
    """Run the script as a user in a world of a few programs, its Python steps replaced by nothing."""
    programs = folder / "programs"
    programs.mkdir()
    for name in SHELL:
        (programs / name).symlink_to(shutil.which(name) or "")
    for name in set(PROGRAMS) - set(absent):
        write(programs / name, "exit 0")
    write(programs / "id", f"echo {user}")
    write(programs / "apt-get", apt)
    python = folder / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    write(python, 'echo "python $*" >&2')
    script = folder / "tools" / SCRIPT.name
    script.parent.mkdir()
    text = SCRIPT.read_text("utf-8").replace("PATH=$PATH:/usr/sbin:/sbin:/usr/local/go/bin\n", "")
    script.write_text(text.replace("POLICY=/usr/sbin/policy-rc.d", f"POLICY={folder}/policy"), "utf-8")
    return subprocess.run(
        [str(programs / "bash"), str(script), "venv"],
        env={"PATH": str(programs), **more},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_nothing_is_said_where_nothing_is_missing(tmp_path: Path) -> None:
    done = ask(tmp_path)
    assert done.returncode == 0
    assert "apt-get" not in done.stderr
    assert "python tools/fetch_test_programs.py" in done.stderr


def test_a_user_is_told_the_command_and_the_tests_go_on(tmp_path: Path) -> None:
    done = ask(tmp_path, "mariadbd", "mariadb-install-db", "java", "javac", "mvn")
    assert done.returncode == 0
    wanted = (
        "sudo apt-get install --no-install-recommends mariadb-server-core maven openjdk-17-jdk-headless\n"
    )
    assert wanted in done.stderr


def test_in_ci_a_missing_program_is_a_failure(tmp_path: Path) -> None:
    done = ask(tmp_path, "etcd", CI="true")
    assert done.returncode == 1
    assert "etcd-server" in done.stderr
    assert "fetch_test_programs" not in done.stderr


@pytest.mark.parametrize("works", [True, False])
def test_root_installs_with_services_held_back_and_leaves_no_policy(tmp_path: Path, works: bool) -> None:
    said = tmp_path / "apt"
    apt = (
        f'echo "$*" >>{said}; [ "$1" = update ] && exit 0; {tmp_path}/policy && exit 9; '
        f'echo "policy said $?" >>{said}; echo "Setting up redis-server (7) ..."; exit {0 if works else 3}'
    )
    done = ask(tmp_path, "redis-server", user="0", apt=apt)
    assert done.returncode == (0 if works else 3)
    assert "install -yq --no-install-recommends redis-server\npolicy said 101" in said.read_text()
    assert "Setting up redis-server (7)" in done.stderr
    assert not (tmp_path / "policy").exists()
