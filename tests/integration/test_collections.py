"""Collections on a real Galaxy: made from any data, and failing with a reason."""

from __future__ import annotations

import hashlib
import json
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests

from galaxy_jobs.adapters.embedded.galaxy import LocalGalaxy
from galaxy_jobs.adapters.embedded.samples import call, upload_text
from galaxy_jobs.adapters.galaxy import releases
from tests.support.galaxy import GALAXY, Lab
from tests.support.plates import POLL_AT_ONCE, World, files, lines
from tests.support.proxy import Fate, Proxy
from tests.support.service import service
from tests.support.truth import Truth
from tests.support.wait import until
from tests.support.workflows import collection, data, tool, workflow


SAMPLES = 96
LIMIT = 120.0


@pytest.fixture(scope="module")
def world(
    lab: Lab, module_database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    lab.add(workflow("plate", collection("reads", "list:paired")))
    lab.add(workflow("copy each", data("text"), tool("copy", "text")))
    lab.add(
        workflow(
            "join all", collection("texts"), tool("join", "texts", tool="gxj_join")
        )
    )
    folder = tmp_path_factory.mktemp("service")
    (folder / "config.toml").write_text(POLL_AT_ONCE)
    with (
        files() as address,
        Proxy(lab.url).running() as proxy,
        service(
            folder,
            database=module_database_url,
            galaxy=proxy.url,
            key=lab.key,
            GALAXY_JOBS_CONFIG=str(folder / "config.toml"),
        ) as jobs,
    ):
        jobs.serve()
        truth = Truth(lab.url, lab.key, module_database_url)
        yield World(jobs, proxy, truth, lab, address)


@pytest.fixture(scope="module")
def polled(world: World) -> World:
    """The world with a poller: what was asked before is only the API's."""
    world.jobs.poll()
    return world


def test_a_plate_of_samples_is_fetched_and_run_on_in_few_requests(
    world: World, tmp_path: Path
) -> None:
    ends = {"forward": 1, "reverse": 2}
    world.proxy.seen.clear()
    dataset_id = world.register(
        "list:paired",
        *(
            {
                "name": f"sample {n}",
                "elements": [
                    {"name": end, "source": world.address(f"/{n}_R{number}.txt")}
                    for end, number in ends.items()
                ],
            }
            for n in range(SAMPLES)
        ),
    )
    job_id = world.jobs.submit(dataset_id, "plate")
    trace = world.requests()
    (tmp_path / "trace.txt").write_text("\n".join(trace))
    assert [line for line in trace if line.startswith("POST")] == [
        "POST /api/histories",
        "POST /api/tools/fetch",
        "POST /api/dataset_collections",
        trace[-1],
    ]
    assert trace[-1].endswith("/invocations")
    assert len(trace) <= 10, trace
    leaves = world.leaves(job_id)
    assert list(leaves) == [f"sample {n}/{end}" for n in range(SAMPLES) for end in ends]

    def fetched() -> bool:
        states = {shown["state"] for shown in world.leaves(job_id).values()}
        assert "error" not in states
        return states == {"ok"}

    until(fetched, LIMIT, every=1)
    for place, path in (
        ("sample 0/forward", "/0_R1.txt"),
        ("sample 41/reverse", "/41_R2.txt"),
        (f"sample {SAMPLES - 1}/reverse", f"/{SAMPLES - 1}_R2.txt"),
    ):
        shown = world.truth.ask(f"datasets/{leaves[place]['id']}")
        assert shown["name"] == place
        assert shown["file_size"] == len(lines(path))
        assert path in json.dumps(shown["sources"])


def test_a_collection_of_data_of_several_kinds_is_run_on(polled: World) -> None:
    world = polled
    registered = world.jobs.dataset("hda", world.lab.text)
    digest = hashlib.sha256(lines("/b.txt")).hexdigest().upper()
    source = world.address("/b.txt", sha256=digest, name="b.txt")
    dataset_id = world.register(
        "list",
        {"name": "a", "source": {"src": "hda", "id": world.lab.text}},
        {"name": "b", "source": source},
        {"name": "c", "dataset_id": registered},
    )
    job = world.jobs.wait(world.jobs.submit(dataset_id, "join all"), timeout=LIMIT)
    assert job["state"] == "completed"
    assert job["request"]["texts"]["count"] == 3
    assert "secret" not in json.dumps(job)
    leaves = world.leaves(job["invocation_id"])
    # Referred to where it is, and not copied.
    assert [leaves[name]["id"] for name in "ac"] == [world.lab.text] * 2
    (joined,) = world.jobs.get(f"/jobs/{job['invocation_id']}/outputs")["items"]
    text = world.truth.ask(f"datasets/{world.lab.text}")
    assert text["visible"]
    assert joined["size"] == 2 * text["file_size"] + len(lines("/b.txt"))


def test_public_data_of_another_user_is_run_on(
    polled: World, galaxy: LocalGalaxy
) -> None:
    world, other = polled, galaxy.user_key(f"other-{uuid4().hex[:8]}")
    history = call(galaxy.url, other, "POST", "histories", {"name": "shared"})["id"]
    shared = upload_text(galaxy.url, other, "shared.txt", "one\ntwo\n", history)
    dataset_id = world.register(
        "list",
        {"name": "a", "source": {"src": "hda", "id": shared}},
        {"name": "b", "source": {"src": "hda", "id": world.lab.text}},
        {"name": "c", "source": world.address("/c.txt")},
    )
    job = world.jobs.wait(world.jobs.submit(dataset_id, "join all"), timeout=LIMIT)
    assert job["state"] == "completed", job
    text = world.truth.ask(f"datasets/{world.lab.text}")
    assert text["visible"]
    (joined,) = world.jobs.get(f"/jobs/{job['invocation_id']}/outputs")["items"]
    own_size = text["file_size"]
    assert joined["size"] == len("one\ntwo\n") + own_size + len(lines("/c.txt"))


@pytest.mark.parametrize(
    ("path", "digest", "reason", "name"),
    [
        (
            "/cut.txt",
            hashlib.sha256(lines("/cut.txt")).hexdigest(),
            "validate",
            "copy each",
        ),
        ("/wrong.txt", "0" * 64, "validate", "join all"),
        ("/absent.txt", None, "404", "join all"),
    ],
)
def test_what_cannot_be_fetched_fails_the_job_with_its_place_and_address(
    polled: World, path: str, digest: str | None, reason: str, name: str
) -> None:
    world = polled
    if digest and releases.CHECKSUMS.affects(GALAXY.release):
        pytest.skip("this release compares no checksums")
    dataset_id = world.register(
        "list",
        {"name": "good", "source": world.address("/good.txt")},
        {"name": "bad", "source": world.address(path, sha256=digest)},
    )
    job = world.jobs.wait(world.jobs.submit(dataset_id, name), timeout=LIMIT)
    assert job["state"] == "failed"
    message = job["failure"]["message"]
    assert "'bad'" in message
    assert f"{world.files}{path}" in message
    assert reason in message
    assert "secret" not in json.dumps(job)


def test_an_element_that_galaxy_refuses_is_named_and_nothing_runs(
    polled: World,
) -> None:
    world = polled
    dataset_id = world.register(
        "list", {"name": "gone", "source": {"src": "hda", "id": "f" * 16}}
    )
    body = {"dataset_id": dataset_id, "workflow_name": "join all"}
    answer = world.jobs.request("POST", "/jobs", body)
    assert answer.status_code == 422
    assert answer.json()["type"].endswith("galaxy-rejected")
    assert "Element 'gone' of dataset" in answer.json()["detail"]


def test_a_process_that_dies_in_between_leaves_nothing_that_runs(
    polled: World,
) -> None:
    world = polled
    dataset_id = world.register(
        "list", {"name": "a", "source": world.address("/a.txt")}
    )
    safe = world.jobs.url
    victim = world.jobs.serve()
    doomed, world.jobs.url = world.jobs.url, safe
    gate = world.proxy.gate("POST", "/api/dataset_collections", "after")
    body = {"dataset_id": dataset_id, "workflow_name": "join all"}
    key = {"Idempotency-Key": "dies in between"}

    def submit() -> None:
        with pytest.raises(requests.ConnectionError):
            requests.post(f"{doomed}/jobs", json=body, headers=key, timeout=60)

    client = threading.Thread(target=submit)
    client.start()
    gate.wait()
    victim.stop(signal.SIGKILL)
    gate.release(Fate.PASS)
    client.join(LIMIT)

    def rejected() -> list[tuple[Any, ...]]:
        return world.truth.rows(
            "SELECT history_id FROM submissions WHERE key = %s AND state = 'rejected'",
            "dies in between",
        )

    ((history_id,),) = until(rejected, LIMIT, every=0.3)
    assert world.truth.ask("invocations", history_id=history_id) == []
    assert world.truth.ask(f"histories/{history_id}")["deleted"]
    answer = world.jobs.request("POST", "/jobs", body, **key)
    assert answer.status_code == 201, answer.text
    job = world.jobs.wait(answer.json()["invocation_id"], timeout=LIMIT)
    assert job["state"] == "completed"
