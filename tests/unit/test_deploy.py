"""deploy/ says what the code says: commands, settings, routes, versions.

No container engine is at hand where these tests run, and no cluster. What a
container would do is done step by step in tests/integration/test_image.py.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from importlib.metadata import requires
from pathlib import Path
from typing import Any

import cyclopts
import pytest
import yaml
from packaging.requirements import Requirement

from galaxy_jobs.entrypoints import settings
from galaxy_jobs.entrypoints.cli import app
from galaxy_jobs.entrypoints.settings import SETTINGS
from tests.support.api import an_api
from tests.support.containerfile import instructions


ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
IMAGE = f"galaxy-jobs:{VERSION}"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
OURS = {
    name: one
    for name, one in COMPOSE["services"].items()
    if one["image"].startswith("galaxy-jobs")
}
MANIFESTS = [
    one
    for path in sorted((DEPLOY / "kubernetes").glob("*.yaml"))
    for one in yaml.safe_load_all(path.read_text())
]
PODS = {
    f"{one['kind']} {one['metadata']['name']}": pod
    for one in MANIFESTS
    for pod in [
        one.get("spec", {}).get("template")
        or one.get("spec", {}).get("jobTemplate", {}).get("spec", {}).get("template")
    ]
    if pod
}
STEPS = list(instructions((DEPLOY / "Containerfile").read_text()))


def containers() -> Iterator[tuple[str, Any]]:
    for name, pod in PODS.items():
        for container in pod["spec"]["containers"]:
            yield name, container


def of_kind(kind: str) -> dict[str, Any]:
    return {
        one["metadata"]["name"]: one.get("data")
        for one in MANIFESTS
        if one["kind"] == kind
    }


def parses(arguments: list[str]) -> None:
    try:
        app.parse_args(arguments, exit_on_error=False, print_error=False)
    except cyclopts.CycloptsError as error:
        pytest.fail(f"galaxy-jobs {shlex.join(arguments)}: {error}")


def test_there_is_one_image_and_it_is_of_this_version() -> None:
    assert {one["image"] for one in OURS.values()} == {IMAGE}
    assert {container["image"] for _, container in containers()} == {IMAGE}
    assert f"--tag {IMAGE} ." in (DEPLOY / "Containerfile").read_text()


def test_images_are_named_without_a_registry() -> None:
    images = [rest.split()[0] for word, rest in STEPS if word == "FROM"]
    images += [one["image"] for one in COMPOSE["services"].values()]
    assert all("/" not in image for image in images)


def test_every_command_is_one_of_ours() -> None:
    default = next(rest for word, rest in STEPS if word == "CMD")
    parses(yaml.safe_load(default))
    for one in OURS.values():
        parses(one.get("command", ["serve"]))
    for _, container in containers():
        parses(container["args"])


@pytest.mark.parametrize(
    "name", ["README.md", "compose.yaml", "kubernetes/galaxy-jobs.yaml"]
)
def test_every_command_that_is_to_be_typed_is_one_of_ours(name: str) -> None:
    text = (DEPLOY / name).read_text().replace("\\\n", " ")
    behind = r"(?:-- +#? *galaxy-jobs|run --rm api) ((?:[\w-]+ ?)+)"
    typed = re.findall(behind, text)
    assert typed
    for one in typed:
        parses(shlex.split(one))


def test_every_setting_is_one_of_ours() -> None:
    known = {setting["name"] for setting in SETTINGS}
    for one in OURS.values():
        assert set(one["environment"]) <= known
    for name, container in containers():
        given = {row["name"] for row in container.get("env", [])}
        for source in container.get("envFrom", []):
            if ref := source.get("configMapRef"):
                given |= set(of_kind("ConfigMap")[ref["name"]])
            elif ref := source.get("secretRef"):
                made = (DEPLOY / "kubernetes/galaxy-jobs.yaml").read_text()
                assert f"secret generic {ref['name']}" in made
                given |= set(re.findall(r"--from-literal=(\w+)=", made))
        assert given <= known, name
        assert {"DATABASE_URL", "GALAXY_URL", "GALAXY_API_KEY"} <= given, name


def test_the_files_of_settings_are_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [(DEPLOY / "galaxy-jobs.toml").read_text()]
    files += [
        data["galaxy-jobs.toml"]
        for data in of_kind("ConfigMap").values()
        if "galaxy-jobs.toml" in data
    ]
    assert len(files) == 2
    for text in files:
        path = tmp_path / "galaxy-jobs.toml"
        path.write_text(text)
        monkeypatch.setenv("GALAXY_JOBS_CONFIG", str(path))
        assert settings.load(None).allowlist.rows


def test_the_file_of_settings_is_where_the_setting_says() -> None:
    (where,) = {one["environment"]["GALAXY_JOBS_CONFIG"] for one in OURS.values()}
    for one in OURS.values():
        assert f"./galaxy-jobs.toml:{where}:ro" in one["volumes"]
    asked = Path(of_kind("ConfigMap")["galaxy-jobs"]["GALAXY_JOBS_CONFIG"])
    for name, pod in PODS.items():
        volumes = {
            one["name"]: one["configMap"]["name"] for one in pod["spec"]["volumes"]
        }
        for container in pod["spec"]["containers"]:
            (mount,) = container["volumeMounts"]
            held = of_kind("ConfigMap")[volumes[mount["name"]]]
            assert Path(mount["mountPath"]) == asked.parent, name
            assert asked.name in held, name


def test_no_secret_is_written_down() -> None:
    assert not of_kind("Secret")
    for one in COMPOSE["services"].values():
        for name, text in one["environment"].items():
            if "PASSWORD" in name or "KEY" in name or name == "DATABASE_URL":
                assert re.search(r"\$\{\w+:\?", text), name
    wanted = set(re.findall(r"\$\{(\w+)", (DEPLOY / "compose.yaml").read_text()))
    example = (DEPLOY / ".env.example").read_text()
    assert set(re.findall(r"^(\w+)=", example, re.MULTILINE)) == wanted


def blocks_of_timers() -> list[str]:
    """Return what is to be typed, and to be written down, for cron and systemd."""
    text = (DEPLOY / "README.md").read_text()
    text = text.partition("## A timer")[2].partition("\n## ")[0]
    return re.findall(r"^```sh\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def test_what_timers_need_is_there_once_the_commands_are_typed() -> None:
    typed = blocks_of_timers()[0]
    cron = (DEPLOY / "cron/galaxy-jobs").read_text().splitlines()[-1]
    *_, user, line = cron.split(maxsplit=6)
    needed = set(re.findall(r"(?:/etc|/var)/[\w./-]+", line.replace("poll.log", "")))
    for path in (DEPLOY / "systemd").glob("*.service"):
        text = path.read_text()
        assert f"User={user}\n" in text
        needed |= set(
            re.findall(r"^(?:ExecStart|EnvironmentFile)=(\S+)", text, re.MULTILINE)
        )
    assert len(needed) == 3
    for one in needed:
        assert f" {one.rstrip('/')}" in typed, one
    assert re.search(rf"^useradd --system .* {user}$", typed, re.MULTILINE)
    assert f"--owner {user} --group {user} /var/log" in typed
    assert f"--mode 600 --owner {user} /dev/null /etc" in typed


def test_a_shell_and_systemd_read_the_same_settings() -> None:
    _, written, migrate = blocks_of_timers()
    lines = dict(one.split("=", 1) for one in written.splitlines())
    assert lines.keys() <= {setting["name"] for setting in SETTINGS}
    assert "&" in lines["DATABASE_URL"]
    shown = "; ".join(f'echo "${name}"' for name in lines)
    told = subprocess.run(
        ["/bin/sh", "-c", f"{written}{shown}"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert told.stderr == ""
    # systemd takes what stands between two single quotes as it is.
    assert told.stdout.splitlines() == [one.strip("'") for one in lines.values()]
    assert all(one[0] == one[-1] == "'" for one in lines.values())
    assert ". /etc/galaxy-jobs.env; galaxy-jobs migrate" in migrate


def test_probes_ask_routes_that_there_are() -> None:
    with an_api() as api:
        routes = {route.path for route in api.app.routes}
    asked = {
        probe["httpGet"]["path"]
        for _, container in containers()
        for key, probe in container.items()
        if key.endswith("Probe")
    }
    health = next(rest for word, rest in STEPS if word == "HEALTHCHECK")
    asked |= set(re.findall(r"http://127.0.0.1:8000(/[\w/]+)", health))
    assert asked == {"/health/live", "/health/ready"}
    assert asked <= routes


def test_probes_and_the_service_find_the_port() -> None:
    (api,) = (one for name, one in containers() if name == "Deployment galaxy-jobs")
    (port,) = api["ports"]
    assert str(port["containerPort"]) in api["args"]
    for key in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert api[key]["httpGet"]["port"] == port["name"]
    (service,) = (one for one in MANIFESTS if one["kind"] == "Service")
    (row,) = service["spec"]["ports"]
    assert row["targetPort"] == port["name"]
    labels = PODS["Deployment galaxy-jobs"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()


def test_what_selects_pods_selects_its_own_alone() -> None:
    for one in MANIFESTS:
        if one["kind"] not in {"Deployment", "Service"}:
            continue
        wanted = one["spec"]["selector"].get("matchLabels", one["spec"]["selector"])
        found = [
            name
            for name, pod in PODS.items()
            if wanted.items() <= pod["metadata"]["labels"].items()
        ]
        assert found == [f"Deployment {one['metadata']['name']}"]


@pytest.mark.parametrize("name", PODS)
def test_pods_may_do_next_to_nothing(name: str) -> None:
    spec = PODS[name]["spec"]
    user = next(rest for word, rest in STEPS if word == "USER")
    pod = spec["securityContext"]
    assert pod["runAsNonRoot"] is True
    assert f"{pod['runAsUser']}:{pod['runAsGroup']}" == user
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    for container in spec["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert "memory" in container["resources"]["limits"]


def test_composed_services_may_do_next_to_nothing_and_wait_for_the_schema() -> None:
    for name, one in OURS.items():
        assert one["read_only"] is True
        assert one["cap_drop"] == ["ALL"]
        if name != "migrate":
            after = one["depends_on"]["migrate"]["condition"]
            assert after == "service_completed_successfully"
    assert OURS["migrate"]["depends_on"]["database"]["condition"] == "service_healthy"


def test_what_is_copied_is_in_the_context() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    let_in = {line[1:] for line in lines if line.startswith("!")}
    copied = {
        source
        for word, rest in STEPS
        if word == "COPY" and not rest.startswith("--from")
        for source in rest.split()[:-1]
    }
    assert copied == let_in
    assert all((ROOT / source).exists() for source in copied)


def test_the_image_holds_what_the_tests_run_on() -> None:
    pins = r"^([\w.-]+)==([^ ;\\]+)"
    image = dict(
        re.findall(pins, (DEPLOY / "requirements.lock").read_text(), re.MULTILINE)
    )
    tested = dict(
        re.findall(pins, (ROOT / ".dev/requirements.lock").read_text(), re.MULTILINE)
    )
    assert image.items() <= tested.items(), "run: .dev/lock.sh"
    needed = {
        requirement.name
        for line in requires("galaxy-jobs") or ()
        for requirement in [Requirement(line)]
        if requirement.marker is None
        or requirement.marker.evaluate({"extra": "server"})
    }
    assert needed <= set(image), "run: .dev/lock.sh"


@pytest.mark.parametrize(
    "unit", sorted((DEPLOY / "systemd").glob("*.service")), ids=lambda unit: unit.stem
)
def test_units_run_commands_of_ours(unit: Path) -> None:
    started = re.findall(r"^ExecStart\w*=(\S+) (.+)$", unit.read_text(), re.MULTILINE)
    assert started
    for program, arguments in started:
        assert Path(program).name == "galaxy-jobs"
        parses(shlex.split(arguments))


def test_images_are_pinned_by_the_digest_that_the_registry_gives(
    tmp_path: Path,
) -> None:
    for name in ("Containerfile", "compose.yaml"):
        (tmp_path / "deploy").mkdir(exist_ok=True)
        shutil.copy(ROOT / "deploy" / name, tmp_path / "deploy")
    (tmp_path / ".dev").mkdir()
    shutil.copy(ROOT / ".dev/pin-images.sh", tmp_path / ".dev")
    docker = tmp_path / "docker"
    for digit, code in [("a", 0), ("b", 0), ("", 1)]:
        digest = f"sha256:{digit * 64}"
        docker.write_text(f"#!/bin/sh\necho {digest}\n")
        docker.chmod(0o755)
        done = subprocess.run(
            [tmp_path / ".dev/pin-images.sh"],
            check=False,
            env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == code, done.stderr
        if code == 0:
            pinned = digest
        made = (tmp_path / "deploy/Containerfile").read_text()
        assert made.count(f"FROM python:3.11-slim@{pinned}") == 2
        run = yaml.safe_load((tmp_path / "deploy/compose.yaml").read_text())
        assert run["services"]["database"]["image"] == f"postgres:18@{pinned}"
