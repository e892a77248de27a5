"""The local Galaxy: its starts, kills and stops, and the workflows that it runs."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from galaxy_jobs.adapters.embedded import galaxy_package
from galaxy_jobs.adapters.embedded.errors import EmbeddedError
from galaxy_jobs.adapters.embedded.galaxy import LocalGalaxy
from galaxy_jobs.adapters.embedded.galaxy_package import (
    RECIPE,
    RELEASES,
    GalaxyPackage,
)
from galaxy_jobs.adapters.embedded.samples import (
    SAMPLE_TEXT,
    SAMPLE_WORKFLOW,
    call,
    import_workflow,
    upload_text,
)
from galaxy_jobs.adapters.embedded.system import free_port
from tests.support.galaxy import port_for
from tests.support.service import service
from tests.support.truth import has_ended
from tests.support.wait import until


START = """
import sys
from pathlib import Path
from galaxy_jobs.adapters.embedded.galaxy import LocalGalaxy
home, port, release = sys.argv[1:]
access = LocalGalaxy(Path(home), port=int(port), release=release).start()
print(access.url, access.key)
"""


SQLITE_PATIENCE = 5
"""Seconds that SQLite waits for a lock unless it is told."""


# --- a Galaxy that these tests may kill ----------------------------------------------


@pytest.fixture(scope="module")
def taken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A port that is in use."""
    with socket.socket() as listener:
        # Below the range that the kernel uses for outgoing connections.
        port = free_port(port_for(tmp_path_factory.getbasetemp()))
        listener.bind(("127.0.0.1", port))
        listener.listen()
        yield port


@pytest.fixture(scope="module")
def victim(
    galaxy: LocalGalaxy, taken: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalGalaxy]:
    """A Galaxy for these tests alone; the installation is the shared one's."""
    home = tmp_path_factory.mktemp("galaxy")
    (home / "venv").symlink_to(galaxy.home / "venv")
    local = LocalGalaxy(home, port=taken, release=galaxy.release)
    yield local
    local.kill()


def test_two_starts_at_once_give_one_server_which_outlives_them(
    victim: LocalGalaxy, taken: int
) -> None:
    options = [str(victim.home), str(taken), victim.release]
    command = [sys.executable, "-c", START, *options]
    starters = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    first, second = (
        starter.communicate(timeout=120)[0].split() for starter in starters
    )
    assert first == second
    url, key = first
    assert victim.status().running
    assert call(url, key, "GET", "whoami")["username"] == "demo"
    # The port asked for belongs to another process.
    assert url != f"http://127.0.0.1:{taken}"
    # A lock or a pipe inherited from its starter would keep others waiting.
    files = [fd.readlink() for fd in Path(f"/proc/{victim.server()}/fd").iterdir()]
    assert not [path for path in files if path.name == "galaxy.lock"]


def test_starting_a_running_galaxy_changes_nothing(victim: LocalGalaxy) -> None:
    first = victim.start()
    server = victim.server()
    assert victim.start() == first
    assert victim.server() == server


def test_its_keys_are_readable_by_the_owner_only(victim: LocalGalaxy) -> None:
    victim.start()
    for name in ("galaxy.json", "galaxy.yml"):
        assert (victim.home / name).stat().st_mode & 0o077 == 0
    assert victim.start().key not in repr(victim.start())


def test_a_killed_galaxy_starts_again_with_all_its_data(victim: LocalGalaxy) -> None:
    before = victim.start()
    stranger = victim.user_key("stranger")
    dataset = upload_text(before.url, before.key, "kept", "b\na\n")
    import_workflow(before.url, before.key, SAMPLE_WORKFLOW)
    invoke(before.url, before.key, dataset, sleep_s=500)
    until(lambda: sleepers(victim), 60)
    server = victim.server()
    assert server
    os.kill(server, 9)
    until(lambda: victim.server() is None)
    assert not victim.status().running
    left = sleepers(victim)
    assert left, "the job outlives the killed server"

    assert victim.start() == before
    assert victim.user_key("stranger") == stranger != before.key
    assert call(before.url, before.key, "GET", f"datasets/{dataset}")["name"] == "kept"
    # Galaxy may run the job again, if it had not recorded yet that it ran.
    assert not set(left) & set(sleepers(victim)), "the old job was killed"


def test_killed_during_a_run_it_changes_no_state_and_the_run_ends_after(
    victim: LocalGalaxy, database_url: str, tmp_path: Path
) -> None:
    access = victim.start()
    fruits = upload_text(access.url, access.key, "fruits", SAMPLE_TEXT.read_text())
    name = import_workflow(access.url, access.key, SAMPLE_WORKFLOW)
    with service(
        tmp_path, database=database_url, galaxy=access.url, key=access.key
    ) as jobs:
        jobs.serve()
        poller = jobs.poll()
        invocation_id = jobs.submit(jobs.dataset("hda", fruits), name, {"sleep_s": 8})
        jobs.wait(invocation_id, "in_progress")
        victim.kill()
        cut = len(poller.logged())
        until(
            lambda: [
                line
                for line in poller.logged()[cut:]
                if line["event"] == "sweep cut short"
            ],
            60,
        )
        assert jobs.job(invocation_id)["state"] == "in_progress"
        victim.start()
        # A job that Galaxy itself was running dies with it, so the run may fail.
        job = jobs.wait(invocation_id, "completed", "failed", timeout=120)
        assert job["progress"]["running"] == job["progress"]["waiting"] == 0


def test_a_request_waits_for_a_long_transaction_of_another(victim: LocalGalaxy) -> None:
    access = victim.start()
    database = sqlite3.connect(victim.home / "data/galaxy.sqlite", isolation_level=None)
    with closing(database), ThreadPoolExecutor(1) as threads:
        database.execute("BEGIN IMMEDIATE")
        body = {"name": "made late"}
        made = threads.submit(call, access.url, access.key, "POST", "histories", body)
        with pytest.raises(TimeoutError):
            made.result(2 * SQLITE_PATIENCE)
        database.execute("ROLLBACK")
        assert made.result()["name"] == "made late"


def test_a_stop_leaves_no_process(victim: LocalGalaxy) -> None:
    victim.start()
    victim.stop()
    assert victim.processes() == set()
    assert str(victim.status()) == f"Galaxy {victim.release}: not running"
    victim.stop()


def sleepers(local: LocalGalaxy) -> list[int]:
    """Return the processes of jobs that sleep."""
    pids = []
    for pid in local.processes():
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if command.startswith(b"sleep"):
            pids.append(pid)
    return pids


# --- a Galaxy that cannot start ------------------------------------------------------


@pytest.fixture
def broken(tmp_path: Path) -> LocalGalaxy:
    """A Galaxy whose interpreter prints an error and ends."""
    python = tmp_path / "venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\necho out of luck\n")
    python.chmod(0o755)
    package = GalaxyPackage(RELEASES[-1], tmp_path / "venv", tmp_path / "install.log")
    package.marker.write_text(package.lock_digest)
    return LocalGalaxy(tmp_path)


def test_a_start_that_fails_quotes_the_log(broken: LocalGalaxy) -> None:
    with pytest.raises(EmbeddedError, match=r"out of luck.*galaxy\.log"):
        broken.start()


def test_a_failed_installation_is_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uv = tmp_path / "bin/uv"
    uv.parent.mkdir()
    uv.write_text(
        "#!/bin/sh\n"
        'case "$1" in\n'
        'venv) mkdir -p "$4/bin"; touch "$4/bin/python" ;;\n'
        f"pip) [ -e {tmp_path}/works ] || {{ echo no net; exit 1; }} ;;\n"
        "esac\n"
    )
    uv.chmod(0o755)
    monkeypatch.setenv("PATH", f"{uv.parent}:{os.environ['PATH']}")
    local = LocalGalaxy(tmp_path / "home")
    for _ in range(2):
        with pytest.raises(EmbeddedError, match=r"no net.*install\.log"):
            local.install()
        assert not local.status().installed
    (tmp_path / "works").touch()
    (local.home / "venv/half").touch()
    local.install()
    assert local.status().installed
    assert not (local.home / "venv/half").exists()


def test_where_our_uv_cannot_install_it_pip_tries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = "http://127.0.0.1:9/simple"
    for name, value in {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "UV_NO_CONFIG": "1",
        "UV_DEFAULT_INDEX": nowhere,
        "UV_HTTP_RETRIES": "0",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_INDEX_URL": nowhere,
        "PIP_RETRIES": "0",
    }.items():
        monkeypatch.setenv(name, value)
    reported: list[str] = []
    with pytest.raises(EmbeddedError, match=r"configured for pip"):
        LocalGalaxy(tmp_path / "home").install(reported.append)
    (trying,) = [stage for stage in reported if "Trying pip" in stage]
    assert "configured for uv" in trying
    assert not (tmp_path / "cache/uv").exists()


def test_an_installation_reports_its_progress(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uv = tmp_path / "bin/uv"
    uv.parent.mkdir()
    uv.write_text(
        "#!/bin/sh\n"
        'case "$1" in\n'
        'venv) mkdir -p "$4/bin"; touch "$4/bin/python" ;;\n'
        'pip) echo " Downloaded one"\n'
        f"     until [ -e {tmp_path}/works ]; do sleep 0.01; done ;;\n"
        "esac\n"
    )
    uv.chmod(0o755)
    monkeypatch.setenv("PATH", f"{uv.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(galaxy_package, "PROGRESS_INTERVAL", 0.01)
    reported: list[str] = []

    def report(stage: str) -> None:
        reported.append(stage)
        if stage == "Downloaded one (0 s)":
            (tmp_path / "works").touch()

    local = LocalGalaxy(tmp_path / "home")
    local.install(report)
    assert reported[0].startswith(f"installing Galaxy {local.release}: ")
    local.remove()
    assert not local.home.exists()
    local.remove()


def test_a_path_with_special_characters_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedError, match="GALAXY_JOBS_HOME"):
        LocalGalaxy(tmp_path / "with space").start()


# --- the workflows that it runs -------------------------------------------------


def invoke(url: str, key: str, dataset: str, **parameters: Any) -> str:
    """Run the sample workflow of that user, and return the invocation's id."""
    name = json.loads(SAMPLE_WORKFLOW.read_text())["name"]
    mine = call(url, key, "GET", "workflows?show_shared=false&show_published=false")
    workflow = next(stored["id"] for stored in mine if stored["name"] == name)
    inputs = {"text": {"src": "hda", "id": dataset}, **parameters}
    body = {"inputs": inputs, "inputs_by": "name", "new_history_name": "run"}
    made: str = call(url, key, "POST", f"workflows/{workflow}/invocations", body)["id"]
    return made


class User:
    """A new user of the shared Galaxy."""

    def __init__(self, galaxy: LocalGalaxy) -> None:
        self.url = galaxy.url
        self.key = galaxy.user_key(f"user-{uuid4().hex[:12]}")

    def call(self, method: str, path: str, body: object = None) -> Any:
        return call(self.url, self.key, method, path, body)

    def ended(self, invocation: str) -> Any:
        """Wait until *invocation* has ended, and return it."""

        def show(id_: str) -> Any:
            return self.call("GET", f"invocations/{id_}?step_details=true")

        until(lambda: has_ended(show, invocation), 60, every=0.2)
        return show(invocation)

    def states(self, invocation: str) -> Any:
        return self.call("GET", f"invocations/{invocation}/jobs_summary")["states"]

    def text(self, output: dict[str, str]) -> str:
        return str(
            self.call("GET", f"datasets/{output['id']}/get_content_as_text")[
                "item_data"
            ]
        )


@pytest.fixture(scope="module")
def user(galaxy: LocalGalaxy) -> User:
    return User(galaxy)


@pytest.fixture(scope="module")
def dataset(user: User) -> str:
    import_workflow(user.url, user.key, SAMPLE_WORKFLOW)
    return upload_text(user.url, user.key, "fruits", SAMPLE_TEXT.read_text())


def step(kind: str, label: str, state: dict[str, Any], **links: str) -> dict[str, Any]:
    """Return a step of a workflow; *links* are the source steps by input."""
    linked = {name: {"__class__": "ConnectedValue"} for name in links}
    made: dict[str, Any] = {
        "type": "tool" if kind.startswith(("gxj", "param_value")) else kind,
        "label": label,
        "tool_state": json.dumps({**state, **linked}),
        "links": links,
        "annotation": "",
        "inputs": [],
        "position": {"left": 0, "top": 0},
    }
    if made["type"] == "tool":
        output = "output1" if kind.startswith("gxj") else "boolean_param"
        outputs = [{"output_name": output, "label": label}]
        made |= {"tool_id": kind, "content_id": kind, "workflow_outputs": outputs}
    return made


def _output(of: dict[str, Any]) -> str:
    """Return the name of a step's output."""
    named = of.get("workflow_outputs")
    return named[0]["output_name"] if named else "output"


def workflow(*steps: dict[str, Any]) -> dict[str, Any]:
    indexes = {step["label"]: index for index, step in enumerate(steps)}
    linked = {}
    for index, step in enumerate(steps):
        links = {}
        for name, source in step.pop("links").items():
            output = _output(steps[indexes[source]])
            links[name] = {"id": indexes[source], "output_name": output}
        linked[str(index)] = {**step, "id": index, "input_connections": links}
    return {
        "a_galaxy_workflow": "true",
        "format-version": "0.1",
        "name": f"test {uuid4().hex}",
        "annotation": "",
        "steps": linked,
    }


def run(user: User, made: dict[str, Any], inputs: dict[str, Any]) -> str:
    stored = user.call("POST", "workflows", {"workflow": made})["id"]
    body = {"inputs": inputs, "inputs_by": "name", "new_history_name": "run"}
    started = user.call("POST", f"workflows/{stored}/invocations", body)
    return str(started["id"])


TEXT = {"optional": False}
COPY = {"operation": "copy", "sleep_s": 0, "exit_code": 0}


@pytest.fixture(scope="module")
def runs(user: User, dataset: str, address: str) -> dict[str, str]:
    """Invocations by name, all under way at once."""
    truth = upload_text(user.url, user.key, "truth", "false\n")
    parse = {"param_type": "boolean", "remove_newlines": True}
    conditional = step("gxj_text", "maybe", COPY, input1="text")
    # Not in the tool's own state: the condition belongs to the workflow.
    conditional["links"]["go"] = "parse"
    computed = workflow(
        step("data_input", "text", TEXT),
        step("param_value_from_file", "parse", parse, input1="text"),
        conditional | {"when": "$(inputs.go)"},
    )
    mapped = workflow(
        step("data_input", "text", TEXT),
        step("gxj_split", "split", {}, input1="text"),
        step("gxj_text", "each", COPY, input1="split"),
        step("gxj_join", "join", {}, input1="each"),
    )
    count = workflow(
        step("data_input", "text", TEXT),
        step("gxj_text", "count", COPY | {"operation": "count"}, input1="text"),
    )
    fetched = {"src": "url", "url": address, "ext": "txt"}
    return {
        "condition": run(user, computed, {"text": {"src": "hda", "id": truth}}),
        "mapped": run(user, mapped, {"text": {"src": "hda", "id": dataset}}),
        "sample": invoke(user.url, user.key, dataset),
        "failing": invoke(user.url, user.key, dataset, exit_code=7),
        "fetched": run(user, count, {"text": fetched}),
    }


def test_the_sample_workflow_sorts_and_counts(user: User, runs: dict[str, str]) -> None:
    outputs = user.ended(runs["sample"])["outputs"]
    lines = sorted(SAMPLE_TEXT.read_text().splitlines())
    assert user.text(outputs["sorted"]).splitlines() == lines
    assert user.text(outputs["lines"]) == f"{len(lines)}\n"


def test_a_failing_step_has_an_exit_code_and_stderr(
    user: User, runs: dict[str, str]
) -> None:
    user.ended(runs["failing"])
    assert user.states(runs["failing"]) == {"error": 1, "paused": 1}
    jobs = user.call("GET", f"jobs?invocation_id={runs['failing']}&state=error")
    job = user.call("GET", f"jobs/{jobs[0]['id']}?full=true")
    assert job["exit_code"] == 7
    assert job["tool_stderr"].splitlines()[-1] == "gxj_text: exit code 7"


def test_lists_made_by_a_run_are_mapped_over_and_joined(
    user: User, runs: dict[str, str]
) -> None:
    ended = user.ended(runs["mapped"])
    text = SAMPLE_TEXT.read_text()
    assert user.states(runs["mapped"]) == {"ok": 2 + len(text.splitlines())}
    assert user.text(ended["outputs"]["join"]) == text


def test_a_step_is_skipped_by_a_condition_computed_in_the_run(
    user: User, runs: dict[str, str]
) -> None:
    user.ended(runs["condition"])
    assert user.states(runs["condition"]) == {"ok": 1, "skipped": 1}


def test_an_input_may_be_an_address_on_this_machine(
    user: User, runs: dict[str, str]
) -> None:
    outputs = user.ended(runs["fetched"])["outputs"]
    assert user.text(outputs["count"]) == "2\n"


def test_a_workflow_is_imported_once_however_often(user: User, dataset: str) -> None:
    before = user.call("GET", "workflows")
    name = import_workflow(user.url, user.key, SAMPLE_WORKFLOW)
    assert name == "sort-and-count"
    assert user.call("GET", "workflows") == before


def test_another_user_sees_nothing_of_it(galaxy: LocalGalaxy, dataset: str) -> None:
    assert User(galaxy).call("GET", "workflows") == []


def test_the_recipe_is_complete() -> None:
    names = {path.name for path in RECIPE.rglob("*")}
    locks = {f"{release}.lock" for release in RELEASES}
    assert {"serve.py", "galaxy.yml", "gxj_text.xml"} | locks <= names
