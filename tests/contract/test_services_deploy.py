"""The files that deploy: image, compose and chart agree with the code, pin what they use and run without root."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tradepost.kernel.errors import Refusal
from tradepost.services import RECIPES
from tradepost.settings import load_settings

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy" / "helm" / "tradepost"
FLOATING = {"latest", "stable", "edge", "main", "master"}


def compose() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))


# --- image ---


def stages() -> list[list[str]]:
    text = (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
    lines = [
        " ".join(line.split()) for line in text.splitlines() if line.strip() and not line.startswith("#")
    ]
    starts = [number for number, line in enumerate(lines) if line.startswith("FROM ")]
    return [lines[begin:end] for begin, end in zip(starts, [*starts[1:], None], strict=True)]


def test_the_image_is_pinned_and_built_in_stages() -> None:
    bases = [stage[0].split()[1] for stage in stages()]
    assert len(bases) == 2
    for base in bases:
        name, _, tag = base.partition(":")
        assert name
        assert tag.count(".") >= 2, f"{base} names no exact version"


def test_the_image_runs_without_root_tools_or_secrets() -> None:
    final = stages()[-1]
    users = [line for line in final if line.startswith("USER ")]
    assert users
    assert users[-1].split()[1].split(":")[0].isdigit(), "a number, so that Kubernetes can see it is not root"
    assert users[-1].split()[1].split(":")[0] != "0"
    assert any(line.startswith("HEALTHCHECK") for line in final)
    assert final[-2].startswith("ENTRYPOINT [")
    text = "\n".join(final)
    assert "apt-get" not in text
    assert "pip install" not in text
    assert not any(line.startswith("ADD ") for stage in stages() for line in stage)
    everything = "\n".join(line for stage in stages() for line in stage)
    assert "--require-hashes" in everything
    assert not any(word in everything.upper() for word in ("PASSWORD=", "SECRET=", "TOKEN="))


def test_what_the_image_copies_is_let_through() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = [
        word
        for stage in stages()
        for line in stage
        if line.startswith("COPY ") and "--from" not in line
        for word in line.split()[1:-1]
        if not word.startswith("--")
    ]
    assert {word.split("/")[0] for word in copied} <= allowed
    assert all((ROOT / word).exists() for word in copied)


# --- compose ---


def test_compose_has_every_server_that_comes_by_it() -> None:
    wanted = {name for name, recipe in RECIPES.items() if recipe.compose}
    assert wanted <= set(compose()["services"])


def test_compose_servers_are_pinned_healthy_bounded_and_on_loopback() -> None:
    for name, server in compose()["services"].items():
        tag = server["image"].partition(":")[2]
        assert tag, name
        assert tag not in FLOATING, name
        assert all(port.startswith("127.0.0.1:") for port in server.get("ports", [])), name
        assert "no-new-privileges:true" in server["security_opt"], name
        if "profiles" not in server:
            assert server["healthcheck"]["test"], name
            assert server["stop_grace_period"], name


def test_compose_publishes_the_ports_that_services_ask_for() -> None:
    for name, recipe in RECIPES.items():
        if recipe.compose:
            for port in compose()["services"][name]["ports"]:
                variable, _, default = port.partition("${")[2].partition("}")[0].partition(":-")
                purpose = variable.removeprefix(f"{name.upper()}_").removesuffix("_PORT").lower()
                assert recipe.ports[purpose] == int(default), port


def test_compose_keeps_mariadb_durable() -> None:
    told = " ".join(compose()["services"]["mariadb"]["command"])
    for word in (
        "--innodb-flush-log-at-trx-commit=1",
        "--innodb-doublewrite=1",
        "--sync-binlog=1",
        "utf8mb4",
    ):
        assert word in told
    assert "SYNC_FLUSH" in compose()["configs"]["rocketmq-broker"]["content"]


def test_compose_and_chart_name_settings_that_exist() -> None:
    environment = dict(compose()["services"]["api"]["environment"])
    environment["TRADEPOST_SERVER__WORKERS"] = "2"
    load_settings(environment)
    values = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
    load_settings({**values["settings"], "TRADEPOST_SERVER__WORKERS": str(values["api"]["workers"])})
    with pytest.raises(Refusal):
        load_settings({"TRADEPOST_CACHE__NOWHERE": "x"})


# --- chart ---


def run(helm: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(helm), *words], capture_output=True, text=True, timeout=60, check=False)


def rendered(helm: Path, *choices: str) -> dict[str, list[dict[str, Any]]]:
    given = [
        "--set",
        "existingSecret=shop-secrets",
        *(word for choice in choices for word in ("--set", choice)),
    ]
    done = run(helm, "template", "shop", str(CHART), "--kube-version", "1.30.0", *given)
    assert done.returncode == 0, done.stderr
    kinds: dict[str, list[dict[str, Any]]] = {}
    for document in yaml.safe_load_all(done.stdout):
        if document:
            kinds.setdefault(document["kind"], []).append(document)
    return kinds


@pytest.mark.timeout(900)
def test_the_chart_passes_its_lint(helm: Path) -> None:
    done = run(helm, "lint", "--strict", str(CHART), "--set", "existingSecret=s", "--kube-version", "1.30.0")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.timeout(900)
def test_the_chart_refuses_to_render_without_its_secret(helm: Path) -> None:
    done = run(helm, "template", "shop", str(CHART), "--kube-version", "1.30.0")
    assert done.returncode != 0
    assert "existingSecret" in done.stderr


@pytest.mark.timeout(900)
def test_the_chart_renders_what_production_needs(helm: Path) -> None:
    kinds = rendered(helm, "ingress.enabled=true", "ingress.host=shop.example")
    names = {deployment["metadata"]["name"] for deployment in kinds["Deployment"]}
    assert names == {"shop-api", "shop-work"}
    assert {"HorizontalPodAutoscaler", "PodDisruptionBudget", "NetworkPolicy", "ConfigMap", "Ingress"} <= set(
        kinds
    )
    assert "Secret" not in kinds, "secrets are named, never written"
    (job,) = kinds["Job"]
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    without = rendered(helm, "api.autoscaling.enabled=false", "api.replicas=3", "migration.enabled=false")
    assert "HorizontalPodAutoscaler" not in without
    assert "Job" not in without
    (api,) = [each for each in without["Deployment"] if each["metadata"]["name"] == "shop-api"]
    assert api["spec"]["replicas"] == 3


@pytest.mark.timeout(900)
def test_every_pod_is_bounded_and_unprivileged(helm: Path) -> None:
    kinds = rendered(helm)
    for owner in [*kinds["Deployment"], *kinds["Job"]]:
        pod = owner["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsUser"] == 10001
        assert pod["automountServiceAccountToken"] is False
        for container in pod["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["limits"]["memory"]
            assert container["image"].partition(":")[2] not in {"", *FLOATING}
    (api,) = [each for each in kinds["Deployment"] if each["metadata"]["name"] == "shop-api"]
    container = api["spec"]["template"]["spec"]["containers"][0]
    assert container["readinessProbe"]["httpGet"]["path"] == "/health/ready"
    assert container["livenessProbe"]["httpGet"]["path"] == "/health/live"
    assert (
        api["spec"]["selector"]["matchLabels"].items()
        <= api["spec"]["template"]["metadata"]["labels"].items()
    )
