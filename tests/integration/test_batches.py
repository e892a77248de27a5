"""Batches by the real commands, as processes that are killed, on a small Galaxy."""

from __future__ import annotations

import json
import queue
import signal
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from galaxy_jobs.domain.model.submission import MAX_ATTEMPTS
from tests.support.hostile_galaxy import (
    KEY,
    WORKFLOW,
    HostileGalaxy,
    hostile_galaxy,
    http,
    recorded,
)
from tests.support.service import Command, Service, service
from tests.support.terminal import Terminal
from tests.support.wait import until


SIZE = 24

# Without the time that a submitter may take, the reconciler looks at once.
CONFIG = "[submit]\ndeadline = 4\ngrace = 2\nfence_wait = 1\nretry_in = 1\n"


@pytest.fixture
def small() -> Iterator[HostileGalaxy]:
    with hostile_galaxy() as galaxy:
        galaxy._running = recorded("run_success")
        yield galaxy


@pytest.fixture
def jobs(database_url: str, tmp_path: Path, small: HostileGalaxy) -> Iterator[Service]:
    config = tmp_path / "galaxy-jobs.toml"
    config.write_text(CONFIG)
    with service(
        tmp_path,
        database=database_url,
        galaxy=small.url,
        key=KEY,
        GALAXY_JOBS_CONFIG=str(config),
    ) as jobs:
        yield jobs


def served(jobs: Service) -> None:
    jobs.serve()
    jobs.env = {**jobs.env, "GALAXY_JOBS_URL": jobs.url}


def sheet(jobs: Service, size: int = SIZE) -> str:
    lines = ["dataset\tlabel:plate"]
    for number in range(size):
        source = {"src": "hda", "id": f"{number:016x}"}
        body = {"dataset_id": f"s{number}", "name": f"S{number}", "source": source}
        jobs.post("/datasets?check=false", body)
        lines.append(f"s{number}\tp7")
    path = jobs.folder / "samples.tsv"
    path.write_text("\n".join(lines))
    return str(path)


def the_batch(jobs: Service) -> Any:
    (batch,) = jobs.get("/batches")["items"]
    return batch


def has_invoked(small: HostileGalaxy, size: int) -> bool:
    return len(small.invoked) >= size


def each_ran_once(small: HostileGalaxy, size: int = SIZE) -> None:
    """Check that Galaxy was invoked once for each sample."""
    data = Counter(json.dumps(body["inputs"], sort_keys=True) for body in small.invoked)
    assert (len(data), max(data.values())) == (size, 1)


def test_a_sheet_is_submitted_once_however_often_it_is_typed(
    jobs: Service, small: HostileGalaxy
) -> None:
    served(jobs)
    typed = ("submit-many", WORKFLOW, "--sheet", sheet(jobs))
    terminal = Terminal(typed, jobs.env, jobs.folder)
    terminal.read_until(f"/{SIZE}")
    terminal.interrupt()
    assert terminal.end() == 130
    assert "It goes on" in terminal.text
    jobs.poll()
    done = jobs.run(*typed)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "(it was submitted before)" in done.stdout
    assert f"{SIZE}: {SIZE} completed" in done.stdout
    each_ran_once(small)
    batch = the_batch(jobs)
    assert batch["ended_at"] is not None
    listed = jobs.run("batches", "list")
    assert batch["batch_id"] in listed.stdout
    shown = json.loads(jobs.run("batches", "show", batch["batch_id"], "--json").stdout)
    assert shown["counts"] == {"completed": SIZE}
    job = jobs.get("/jobs?limit=1")["items"][0]
    assert job["labels"] == {"plate": "p7"}
    refused = jobs.run("batches", "cancel", batch["batch_id"])
    assert refused.returncode == 1
    assert "has ended" in refused.stderr


def test_killed_in_the_middle_each_item_runs_once(
    jobs: Service, small: HostileGalaxy
) -> None:
    served(jobs)
    typed = ("submit-many", WORKFLOW, "--sheet", sheet(jobs), "--no-wait")
    assert jobs.run(*typed).returncode == 0
    serving = jobs.commands[-1]
    jobs.poll()  # which frees what the killed ones had begun
    for size in (2, 8, 14):
        until(partial(has_invoked, small, size), 60, every=0.01)
        serving.stop(signal.SIGKILL)
        served(jobs)
        serving = jobs.commands[-1]
    batch = until(lambda: the_batch(jobs)["ended_at"] and the_batch(jobs), 60)
    counts = batch["counts"]
    # What was under way may be refused, with the reason that nothing was started.
    items = jobs.get(f"/batches/{batch['batch_id']}/items?limit=200")["items"]
    for item in items:
        if item["state"] == "rejected":
            assert "safe to submit it again" in item["problem"]["detail"]
    assert counts["completed"] + counts.get("rejected", 0) == SIZE
    assert counts["completed"] >= SIZE - 12
    adopted = Counter(item["invocation_id"] for item in items)
    assert max(adopted[id_] for id_ in adopted if id_) == 1
    if "rejected" in counts:
        again = jobs.run("batches", "rerun", batch["batch_id"])
        assert again.returncode == 0, again.stdout + again.stderr


def test_an_item_at_which_its_process_ends_each_time_is_given_up(
    jobs: Service, small: HostileGalaxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    served(jobs)
    typed = ("submit-many", WORKFLOW, "--sheet", sheet(jobs, 8), "--no-wait")
    alive = queue.Queue[Command]()
    killed = queue.Queue[Command]()
    respond = HostileGalaxy.respond

    def kill(galaxy: HostileGalaxy, *request: Any) -> bool:
        if request[0] == "POST" and b" on s3 (" in request[2]:
            victim = alive.get(timeout=60)
            victim.stop(signal.SIGKILL)
            killed.put(victim)
            return False
        return respond(galaxy, *request)

    monkeypatch.setattr(HostileGalaxy, "respond", kill)
    assert jobs.run(*typed).returncode == 0
    serving = jobs.commands[-1]
    jobs.poll()
    for _ in range(MAX_ATTEMPTS):
        alive.put(serving)
        assert killed.get(timeout=120) is serving
        served(jobs)
        serving = jobs.commands[-1]
    batch = until(lambda: the_batch(jobs)["ended_at"] and the_batch(jobs), 120)
    items = jobs.get(f"/batches/{batch['batch_id']}/items")["items"]
    refused = {
        item["dataset_id"]: item["problem"]["detail"]
        for item in items
        if item["state"] == "rejected"
    }
    assert f"begun {MAX_ATTEMPTS} times" in refused.pop("s3")
    # What was under way may be refused, with the reason that nothing was started.
    assert all("safe to submit it again" in detail for detail in refused.values())
    assert batch["counts"]["completed"] == 7 - len(refused) >= 4
    assert (alive.qsize(), killed.qsize()) == (0, 0)
    each_ran_once(small, 7 - len(refused))


def test_items_wait_while_galaxy_is_down_and_refusals_keep_none_back(
    jobs: Service, small: HostileGalaxy
) -> None:
    served(jobs)
    small.garbage["create"] = http(b"{}", 429, Retry_After="0")
    typed = ("submit-many", WORKFLOW, "--dataset", "s0", "s1", "s2", "--no-wait")
    sheet(jobs, 3)
    assert jobs.run(*typed).returncode == 0
    until(lambda: small.requests["create"] > 2, 60)
    assert set(the_batch(jobs)["counts"]) <= {"waiting", "submitting"}
    refusal = json.dumps({"err_msg": "No such workflow.", "err_code": 400008})
    small.garbage["invoke"] = http(refusal, 400)
    del small.garbage["create"]
    until(lambda: the_batch(jobs)["counts"].get("rejected"), 60)
    done = jobs.run("batches", "show", the_batch(jobs)["batch_id"])
    assert "No such workflow." in done.stdout
    del small.garbage["invoke"]
    jobs.poll()
    batch = until(lambda: the_batch(jobs)["ended_at"] and the_batch(jobs), 60)
    # The small Galaxy has started what it refused: a run is a fact, and is adopted.
    assert set(batch["counts"]) <= {"completed", "rejected"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "expected the column dataset"),
        ("name\na", "expected the column dataset"),
        ("dataset,dataset\na,b", "expected the column dataset"),
        ("dataset,n\n,1", "line 2: dataset is empty"),
        ("dataset\na,1", "line 2: 2 cells in 1 columns"),
        ("dataset\n", "has no samples"),
    ],
)
def test_what_is_wrong_with_a_sheet_is_said(
    jobs: Service, text: str, problem: str
) -> None:
    if not jobs.url:
        served(jobs)
    path = jobs.folder / "wrong.csv"
    path.write_text(text)
    done = jobs.run("submit-many", WORKFLOW, "--sheet", str(path))
    assert done.returncode == 2
    assert problem in " ".join(done.stderr.split())
