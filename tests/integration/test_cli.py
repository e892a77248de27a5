"""The client commands as processes, against the real service on a real Galaxy."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.client import Client
from tests.support.galaxy import Lab
from tests.support.service import Service, service
from tests.support.wait import until


@pytest.fixture(scope="module")
def jobs(
    lab: Lab, module_database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("service")
    with service(
        folder, database=module_database_url, galaxy=lab.url, key=lab.key
    ) as running:
        running.serve()
        running.poll()
        yield running


@pytest.fixture(scope="module")
def gj(jobs: Service) -> Client:
    return Client.of(jobs.url, jobs.folder)


@pytest.fixture(scope="module")
def text(jobs: Service, lab: Lab) -> str:
    return jobs.dataset("hda", lab.text)


def submitted(gj: Client, *arguments: str) -> str:
    job: str = gj.json("submit", *arguments)["invocation_id"]
    return job


def test_a_dataset_is_renamed_found_and_removed(gj: Client, lab: Lab) -> None:
    source = ("--hda", lab.text, "--id", "to-rename")
    done = gj("datasets", "add", "before", *source, "--no-check")
    assert done.stdout == "Dataset to-rename is registered.\n"
    assert (
        "Quite another" in gj("datasets", "rename", "to-rename", "Quite another").stdout
    )
    found = gj.json("datasets", "list", "--search", "QUITE AN")["items"]
    assert [item["dataset_id"] for item in found] == ["to-rename"]
    done = gj("datasets", "remove", "to-rename")
    assert done.stdout == "Dataset to-rename is removed.\n"
    done = gj("datasets", "list", "--search", "to-rename")
    assert done.stdout == "There are no such datasets.\n"
    gj("datasets", "remove", "to-rename", code=1)


def test_from_a_dataset_to_the_results(gj: Client, jobs: Service, lab: Lab) -> None:
    done = gj("datasets", "add", "fruits.txt", "--hda", lab.text, "--id", "früchte/1")
    line = "Dataset früchte/1 is registered: 0.txt, txt, ok.\n"
    assert done.stdout == line
    assert re.search(r"früchte/1 +fruits.txt +txt, ok ", gj("datasets", "list").stdout)
    assert lab.text in gj("datasets", "show", "früchte/1").stdout
    done = gj("submit", "früchte/1", "two steps", "-p", "sleep_s=1", "--wait")
    job = re.search(r"Job (\w+) is queued", done.stdout)
    assert job is not None
    lines = done.stdout.splitlines()
    assert any(
        re.fullmatch(r"\d\d:\d\d:\d\d  completed    2 of 2 .*", x) for x in lines
    )
    assert lines[-1] == f"Results: galaxy-jobs outputs {job[1]}"
    assert len(lines) == len(set(lines))
    assert jobs.job(job[1])["parameters"] == {"sleep_s": 1}
    shown = gj("show", job[1]).stdout
    assert "completed" in shown
    assert "früchte/1" in shown
    assert "count_out" in gj("outputs", job[1]).stdout
    assert gj("history", job[1]).stdout.splitlines()[1].split()[-1] != ""
    assert job[1] in gj("list", "--dataset", "früchte/1").stdout
    assert gj("watch", job[1]).stdout.count("completed") == 1


def test_json_is_what_the_api_says(gj: Client, jobs: Service, text: str) -> None:
    job = submitted(gj, text, "no jobs")
    jobs.wait(job)
    for arguments, address in [
        (["show", job], f"/jobs/{job}"),
        (["outputs", job], f"/jobs/{job}/outputs"),
        (["history", job], f"/jobs/{job}/history"),
        (
            ["list", "--dataset", text, "--limit", "1"],
            f"/jobs?dataset_id={text}&limit=1",
        ),
        (["datasets", "list"], "/datasets"),
        (["datasets", "show", text], f"/datasets/{text}"),
        (["workflows", "list"], "/workflows"),
        (["workflows", "show", "two steps"], "/workflows/two%20steps"),
    ]:
        printed = gj(*arguments, "--json").stdout
        assert json.loads(printed) == jobs.get(address)
        # One spelling, whatever is printed.
        spelled = json.dumps(
            json.loads(printed), ensure_ascii=False, separators=(",", ":")
        )
        assert printed == f"{spelled}\n"


def test_a_failing_job_says_where_and_why_and_exits_with_1(
    gj: Client, text: str
) -> None:
    done = gj("submit", text, "first fails", "--wait", code=1)
    assert "Failed at step bad, tool gxj_text, exit code 3  (job-failed)" in done.stdout
    assert re.search(r"stderr:\n(  .*\n)*  .*exit code 3", done.stdout)
    job = re.search(r"Job (\w+)", done.stdout)
    assert job is not None
    shown = gj("show", job[1]).stdout
    assert "Failed at step bad, tool gxj_text, exit code 3" in shown
    assert re.search(r"behind +gxj_text +blocked", shown)
    last = gj("watch", job[1], "--json", code=1).stdout.splitlines()[-1]
    assert json.loads(last)["state"] == "failed"
    again = json.loads(gj("rerun", job[1], "--wait", "--json", code=1).stdout)
    assert (again["rerun_of"], again["state"]) == (job[1], "failed")


def test_values_are_of_the_types_that_the_workflow_asks_for(
    gj: Client, jobs: Service, text: str
) -> None:
    job = submitted(gj, text, "two steps", "-p", "sleep_s=0", "-p", "exit_code=0")
    assert jobs.job(job)["parameters"] == {"sleep_s": 0, "exit_code": 0}
    again = gj.json("rerun", job, "-p", "sleep_s=1", "--overwrite")["invocation_id"]
    known = jobs.job(again)
    assert known["parameters"] == {"sleep_s": 1, "exit_code": 0}
    assert known["overwrite"] is True
    done = gj("submit", text, "two steps", "-p", "sleep_s=long", code=1)
    assert "'sleep_s' takes an integer from 0 to 60, got \"long\"" in done.stderr
    assert "galaxy-jobs workflows show 'two steps'" in done.stderr
    problem = json.loads(
        gj("submit", text, "two steps", "-p", "slep_s=1", "--json", code=1).stdout
    )
    assert problem["type"].endswith("invalid-parameters")
    assert "slep_s" in problem["parameters"]


def test_the_same_key_runs_nothing_twice(gj: Client, jobs: Service, text: str) -> None:
    first = gj("submit", text, "no jobs", "--key", "once")
    again = gj("submit", text, "no jobs", "--key", "once")
    assert first.stdout.split()[1] == again.stdout.split()[1]
    assert "(it was submitted before)" in again.stdout
    done = gj("submit", text, "success", "--key", "once", code=1)
    assert "another --key" in done.stderr


def test_cancel(gj: Client, jobs: Service, text: str) -> None:
    job = submitted(gj, text, "slow")
    jobs.wait(job, "in_progress")
    assert gj("cancel", job).stdout.startswith(f"Job {job} is cancelling.")
    watched = gj("watch", job, code=1).stdout
    assert "cancelled" in watched
    assert "2 stopped or failed" in watched
    done = gj.json("submit", text, "no jobs")
    jobs.wait(done["invocation_id"])
    refused = gj("cancel", done["invocation_id"], code=1)
    assert "what has ended cannot be cancelled" in refused.stderr
    assert f"galaxy-jobs rerun {done['invocation_id']}" in refused.stderr


def test_lists_are_filtered_and_paged(gj: Client, jobs: Service, text: str) -> None:
    submitted(gj, text, "no jobs")
    failed = submitted(gj, text, "wrong when")
    jobs.wait(failed)
    done = gj(
        "list", "--state", "failed", "--state", "cancelled", "--workflow", "wrong when"
    )
    assert done.stdout.splitlines()[1].split()[0] == failed
    assert len(done.stdout.splitlines()) == 2
    page = gj("list", "--limit", "1")
    cursor = re.search(r"--cursor (\S+)", page.stderr)
    assert cursor is not None
    following = gj("list", "--limit", "1", "--cursor", cursor[1])
    assert following.stdout.splitlines()[1] != page.stdout.splitlines()[1]
    assert gj("list", "--dataset", "nobody's").stdout == "There are no such jobs.\n"


def test_lists_fit_a_terminal_and_cut_no_id(
    gj: Client, jobs: Service, text: str
) -> None:
    job = submitted(gj, text, "waits for its turn")
    jobs.wait(job)
    url = f"https://example.org/{'far/' * 30}reads.txt"
    gj("datasets", "add", "from elsewhere", "--url", url, "--ext", "txt")
    for command in (
        *(["list"], ["show", job], ["datasets", "list"]),
        *(["outputs", job], ["history", job]),
    ):
        terminal = gj.on_terminal(*command)
        assert terminal.end() == 0
        lines = terminal.text.splitlines()
        assert max(len(line) for line in lines) <= 80, terminal.text
        if command[0] == "history":
            assert "…" not in terminal.text
        if command[0] == "datasets":
            source = jobs.get(f"/datasets/{text}")["source"]
            assert f"{source['src']}:{source['id']} " in terminal.text
        if command[0] not in {"outputs", "history"}:
            assert any(word in terminal.text for word in (job, text))
    terminal = gj.on_terminal("list", "--dataset", text)
    terminal.end()
    assert "\x1b[" in terminal.written
    assert all(
        len(row.split()[0]) == len(job) for row in terminal.text.splitlines()[1:]
    )
    plain = gj.on_terminal("list", NO_COLOR="1")
    plain.end()
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", plain.written)
    assert re.search(r"\x1b\[[0-9;]*3[0-7]m", terminal.written)


def test_watch_on_a_terminal_shows_steps_in_place(
    gj: Client, jobs: Service, text: str
) -> None:
    job = submitted(gj, text, "two steps", "-p", "sleep_s=2")
    terminal = gj.on_terminal("watch", job)
    assert terminal.end() == 0
    assert "\x1b[1A" in terminal.written  # the cursor went up: it was redrawn
    assert "running" in terminal.text
    assert re.search(r"completed .*2 of 2 jobs ok", terminal.text)
    assert re.search(r"\d +sort +gxj_text +ok", terminal.text)
    assert f"Results: galaxy-jobs outputs {job}" in terminal.text
    assert "\x1b[?25h" in terminal.written  # the cursor is back
    clock = [int(seconds) for seconds in re.findall(r"  (\d+) s\b", terminal.text)]
    assert clock[-1] >= 2
    assert clock == sorted(clock)


def test_ctrl_c_leaves_the_job_running(gj: Client, jobs: Service, text: str) -> None:
    job = submitted(gj, text, "two steps", "-p", "sleep_s=4")
    terminal = gj.on_terminal("watch", job)
    terminal.read_until("in_progress")
    terminal.interrupt()
    assert terminal.end() == 130
    assert f"galaxy-jobs watch {job}" in terminal.text
    assert f"galaxy-jobs cancel {job}" in terminal.text
    assert "Traceback" not in terminal.text
    assert jobs.wait(job)["state"] == "completed"


def test_what_is_not_there_is_said_with_what_to_type(gj: Client, text: str) -> None:
    for arguments, message, hint in [
        (["show", "nope"], "There is no job 'nope'", "galaxy-jobs list"),
        (["watch", "nope"], "There is no job 'nope'", "galaxy-jobs list"),
        (["rerun", "nope", "-p", "a=1"], "There is no job", "galaxy-jobs list"),
        (["submit", "nope", "success"], "no dataset 'nope'", "datasets list"),
        (["submit", text, "nope"], "no workflow named 'nope'", "workflows list"),
        (["submit", text, "nope", "-p", "a=1"], "'nope'", "workflows list"),
        (["workflows", "show", "a/b ü"], "'a/b ü'", "workflows list"),
        (["datasets", "show", "a/b ü"], "'a/b ü'", "datasets list"),
    ]:
        done = gj(*arguments, code=1)
        assert message in done.stderr
        assert hint in done.stderr
        assert done.stdout == ""


def test_a_service_that_is_not_there(gj: Client) -> None:
    terminal = gj.on_terminal("list", GALAXY_JOBS_URL="http://127.0.0.1:9")
    assert terminal.end() == 3
    assert max(map(len, terminal.text.splitlines())) <= 80
    for arguments in (["list"], ["submit", "a", "b"], ["watch", "a"]):
        done = gj(*arguments, code=3, GALAXY_JOBS_URL="http://127.0.0.1:9")
        assert "http://127.0.0.1:9: connection refused" in done.stderr
        assert "galaxy-jobs serve" in done.stderr


def test_something_else_is_there(gj: Client, lab: Lab) -> None:
    done = gj("list", code=3, GALAXY_JOBS_URL=lab.url)
    assert "no galaxy-jobs is there" in done.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [("GALAXY_JOBS_URL", "localhost:8000"), ("GALAXY_JOBS_TOKEN", "a\nb")],
)
def test_malformed_settings_are_one_line(gj: Client, name: str, value: str) -> None:
    done = gj("list", code=2, **{name: value})
    assert name in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_list_imports_nothing_that_it_does_not_need(gj: Client) -> None:
    heavy = {
        *("alembic", "bioblend", "dependency_injector", "litestar", "psycopg"),
        *("requests", "sqlalchemy", "structlog", "uvicorn"),
        *("galaxy_jobs.domain", "galaxy_jobs.adapters", "galaxy_jobs.entrypoints.api"),
    }
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "galaxy_jobs.entrypoints", "list"],
        check=True,
        env=gj.env,
        cwd=gj.folder,
        capture_output=True,
        text=True,
    )
    loaded = set(re.findall(r"\| +([\w.]+)$", done.stderr, re.MULTILINE))
    assert "galaxy_jobs.entrypoints.client.job_views" in loaded
    assert heavy & loaded == set()


def test_usage(gj: Client) -> None:
    for arguments in (
        ["submit", "a"],
        ["submit", "a", "b", "-p", "x"],
        ["list", "--state", "done"],
        ["list", "--limit", "0"],
        ["datasets", "add", "x"],
        ["datasets", "add", "x", "--hda", "a", "--url", "http://b"],
        ["nonsense"],
    ):
        assert gj(*arguments, code=2).stdout == ""


def test_who_reads_only_the_first_line_hears_no_complaint(
    gj: Client, jobs: Service
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "galaxy_jobs.entrypoints", "list", "--json"],
        env=gj.env,
        cwd=jobs.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(30) == 141
    process.stderr.close()


def test_a_service_that_is_restarted_meanwhile_does_not_end_a_watch(
    gj: Client, jobs: Service, text: str, tmp_path: Path
) -> None:
    port = jobs.url.rpartition(":")[2]
    job = submitted(gj, text, "two steps", "-p", "sleep_s=6")
    out = (tmp_path / "out").open("w+")
    watching = subprocess.Popen(
        [sys.executable, "-m", "galaxy_jobs.entrypoints", "watch", job],
        env=gj.env,
        cwd=jobs.folder,
        stdout=out,
        stderr=out,
        text=True,
    )
    seen = tmp_path / "out"
    until(lambda: "in_progress" in seen.read_text())
    jobs.commands[0].stop()
    until(lambda: "No answer" in seen.read_text())
    jobs.start("serve", "--port", port)
    assert watching.wait(120) == 0
    out.close()
    assert "completed" in seen.read_text()
