"""Uploaded files on a real Galaxy, which fetches them from a folder or by S3."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from attrs import evolve

from galaxy_jobs.adapters.embedded.store import LocalStore, StoreAccess
from galaxy_jobs.adapters.galaxy import releases
from tests.support.galaxy import GALAXY, Lab
from tests.support.plates import POLL_AT_ONCE, World, files, lines
from tests.support.proxy import Proxy
from tests.support.service import service
from tests.support.swift import swift
from tests.support.truth import Truth
from tests.support.wait import until
from tests.support.workflows import collection, data, tool, workflow


SAMPLES = 96
LIMIT = 120.0
CONTENT = b"\xff\x00not UTF-8\r\n" + os.urandom(300_000)


@pytest.fixture(scope="module")
def proxy(lab: Lab) -> Iterator[Proxy]:
    lab.add(workflow("uploaded plate", collection("reads", "list:paired")))
    lab.add(workflow("copy upload", data("text"), tool("copy", "text")))
    lab.add(
        workflow(
            "join uploads", collection("texts"), tool("join", "texts", tool="gxj_join")
        )
    )
    with Proxy(lab.url).running() as running:
        yield running


@contextmanager
def seaweedfs(folder: Path) -> Iterator[StoreAccess]:
    local = LocalStore(folder, port=18433)
    try:
        yield local.start()
    finally:
        local.remove()


@pytest.fixture(scope="module", params=["folder", "seaweedfs", "swift", "push"])
def world(
    request: pytest.FixtureRequest,
    lab: Lab,
    proxy: Proxy,
    module_database_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[World]:
    folder = tmp_path_factory.mktemp(request.param)
    # Nothing here is lost on its way; a busy machine may be slow.
    config, secrets = POLL_AT_ONCE.replace("deadline = 8", "deadline = 120"), {}
    with ExitStack() as stack:
        address = stack.enter_context(files())
        if request.param in {"seaweedfs", "swift"}:
            access = stack.enter_context(
                swift(tmp_path_factory.mktemp("store"))
                if request.param == "swift"
                else seaweedfs(tmp_path_factory.mktemp("store"))
            )
            config += (
                f'[storage]\nbucket = "{access.bucket}"\nregion = "{access.region}"\n'
                f'endpoint = "{access.endpoint}"\n'
            )
            secrets = {
                "AWS_ACCESS_KEY_ID": access.key_id,
                "AWS_SECRET_ACCESS_KEY": access.secret,
            }
        elif request.param == "push":
            # Galaxy could not fetch from there.
            config += '[data]\nhand_over = "push"\npublic_url = "http://127.0.0.1:9"\n'
        (folder / "config.toml").write_text(config)
        jobs = stack.enter_context(
            service(
                folder,
                database=module_database_url,
                galaxy=proxy.url,
                key=lab.key,
                GALAXY_JOBS_CONFIG=str(folder / "config.toml"),
                **secrets,
            )
        )
        jobs.serve()
        jobs.poll()
        truth = Truth(lab.url, lab.key, module_database_url)
        yield World(jobs, proxy, truth, lab, address)


@pytest.fixture
def in_folder(world: World) -> World:
    """The world in which files are kept in the local folder."""
    if "folder" not in world.jobs.folder.name:
        pytest.skip("the same whatever the store is")
    return world


def upload(world: World, content: bytes, name: str, dataset_id: str) -> str:
    """Upload a file of one part, and return the id of the upload."""
    body = {
        "name": name,
        "size": len(content),
        "ext": "txt",
        "sha256": hashlib.sha256(content).hexdigest(),
        "dataset_id": dataset_id,
    }
    opened = world.jobs.post("/uploads", body)
    put = opened["put"]
    requests.put(
        put["url"], data=content, headers=put["headers"], timeout=60
    ).raise_for_status()
    id_: str = opened["upload_id"]
    shown = world.jobs.post(f"/uploads/{id_}/complete", None)
    assert shown["state"] == "complete"
    return id_


def content(world: World, dataset: str) -> bytes:
    """Return the bytes of a dataset, as Galaxy itself has them."""
    answer = requests.get(
        f"{world.lab.url}/api/datasets/{dataset}/display?raw=true",
        headers={"x-api-key": world.lab.key},
        timeout=60,
    )
    answer.raise_for_status()
    return answer.content


def output(world: World, job: Any) -> bytes:
    """Return the bytes of the one output of a job."""
    (item,) = world.jobs.get(f"/jobs/{job['invocation_id']}/outputs")["items"]
    return content(world, item["id"])


def is_pushed(world: World) -> bool:
    return "push" in world.jobs.folder.name


def signature_in(text: str) -> bool:
    return "signature=" in text.replace("signature=***", "")


def test_a_job_on_an_uploaded_file_runs_on_its_bytes(world: World) -> None:
    name = "reads 'ü%.txt"
    dataset_id = f"uploaded {world.jobs.folder.name}"
    upload(world, CONTENT, name, dataset_id)
    job = world.jobs.wait(world.jobs.submit(dataset_id, "copy upload"), timeout=LIMIT)
    assert job["state"] == "completed", job
    assert output(world, job) == CONTENT
    assert not signature_in(json.dumps(job))
    invocation = world.truth.ask(f"invocations/{job['invocation_id']}")
    given = world.truth.ask(f"datasets/{invocation['inputs']['0']['id']}")
    assert (given["name"], given["file_size"]) == (name, len(CONTENT))
    # Galaxy keeps the address, so it is none of the store's.
    addresses = [source["source_uri"] for source in given["sources"]]
    assert all(
        (text or "").startswith(f"{world.jobs.url}/data/") for text in addresses
    ) or is_pushed(world)


def test_a_collection_of_data_an_address_and_an_upload_is_run_on(
    world: World,
) -> None:
    mixed = f"mixed {world.jobs.folder.name}"
    upload_id = upload(world, b"an upload\n", "c.txt", mixed)
    digest = hashlib.sha256(lines("/b.txt")).hexdigest().upper()
    dataset_id = world.register(
        "list",
        {"name": "a", "source": {"src": "hda", "id": world.lab.text}},
        {"name": "b", "source": world.address("/b.txt", sha256=digest)},
        {"name": "c", "source": {"src": "upload", "upload_id": upload_id}},
        {"name": "d", "dataset_id": mixed},
    )
    id_ = world.jobs.submit(dataset_id, "join uploads")
    job = world.jobs.wait(id_, timeout=LIMIT)
    assert job["state"] == "completed", job
    text = b"banana\napple\ncherry\n"
    joined = text + lines("/b.txt") + 2 * b"an upload\n"
    assert output(world, job) == joined
    assert not signature_in(json.dumps(job))


def test_a_plate_of_uploaded_samples_is_run_on_in_few_requests(
    in_folder: World, record_property: Any
) -> None:
    world = in_folder
    ends = ("forward", "reverse")

    def element(sample: int, end: str) -> dict[str, Any]:
        content = f"{sample} {end}\n".encode()
        name = f"{sample} {end}"
        upload_id = upload(world, content, f"{name}.txt", name)
        return {"name": end, "source": {"src": "upload", "upload_id": upload_id}}

    dataset_id = world.register(
        "list:paired",
        *(
            {"name": f"sample {n}", "elements": [element(n, end) for end in ends]}
            for n in range(SAMPLES)
        ),
    )
    poller = next(each for each in world.jobs.commands if "poll" in each.log.name)
    poller.send(signal.SIGSTOP)  # only what the API asks is counted
    world.proxy.seen.clear()
    job_id = world.jobs.submit(dataset_id, "uploaded plate")
    trace = world.requests()
    poller.send(signal.SIGCONT)
    print(*trace, sep="\n")  # noqa: T201 - for a person who runs it with -s
    record_property("requests", trace)
    assert len(trace) <= 10, trace
    leaves = world.leaves(job_id)
    assert list(leaves) == [f"sample {n}/{end}" for n in range(SAMPLES) for end in ends]

    def fetched() -> bool:
        states = {shown["state"] for shown in world.leaves(job_id).values()}
        assert "error" not in states
        return states == {"ok"}

    until(fetched, LIMIT, every=1)
    for place in ("sample 0/forward", "sample 41/reverse", "sample 95/reverse"):
        wanted = place.removeprefix("sample ").replace("/", " ")
        assert content(world, leaves[place]["id"]) == f"{wanted}\n".encode()
    job = world.jobs.wait(job_id, timeout=LIMIT)
    assert job["state"] == "completed"


@pytest.mark.parametrize(
    ("path", "digest"),
    [
        ("/cut.txt", hashlib.sha256(lines("/cut.txt")).hexdigest()),
        ("/wrong.txt", "0" * 64),
    ],
)
def test_a_file_that_is_cut_off_or_another_one_fails_the_job(
    in_folder: World, path: str, digest: str
) -> None:
    world = in_folder
    if releases.CHECKSUMS.affects(GALAXY.release):
        pytest.skip("this release compares no checksums")
    source = world.address(path, sha256=digest)
    dataset_id = world.jobs.post("/datasets", {"name": "bad", "source": source})
    id_ = world.jobs.submit(dataset_id["dataset_id"], "copy upload")
    job = world.jobs.wait(id_, timeout=LIMIT)
    assert job["state"] == "failed"
    message = job["failure"]["message"]
    assert f"{world.files}{path}" in message
    assert "validate" in message or "hash" in message, message
    assert "secret" not in json.dumps(job)


def test_an_address_that_has_expired_fails_the_job_without_its_signature(
    in_folder: World,
) -> None:
    world, folder = in_folder, in_folder.jobs.folder
    upload(world, b"too late\n", "late.txt", "too late")
    config = folder / "config.toml"
    lasting, served = config.read_text(), world.jobs.url
    config.write_text(f"{lasting}[data]\ndata_lifetime = 1\n")
    try:
        brief = world.jobs.serve()
    finally:
        config.write_text(lasting)
        at, world.jobs.url = world.jobs.url, served
    gate = world.proxy.gate("POST", "/invocations", "before")
    body = {"dataset_id": "too late", "workflow_name": "copy upload"}
    answers: list[Any] = []

    def submit() -> None:
        answers.append(requests.post(f"{at}/jobs", json=body, timeout=60).json())

    client = threading.Thread(target=submit)
    client.start()
    gate.wait()
    threading.Event().wait(2)  # its lifetime
    gate.release()
    client.join(LIMIT)
    job = world.jobs.wait(answers[0]["invocation_id"], timeout=LIMIT)
    brief.stop()
    assert job["state"] == "failed"
    message = job["failure"]["message"]
    assert urlsplit(at).netloc in message
    assert "403" in message
    assert not signature_in(json.dumps(job))


def doctor(world: World, **data: str) -> Any:
    """Return what the doctor finds of uploads, with these settings in ``[data]``."""
    folder = world.jobs.folder
    lines = [f'{name} = "{text}"' for name, text in data.items()]
    settings, _, _ = (folder / "config.toml").read_text().partition("[data]")
    config = folder / "doctor.toml"
    config.write_text("\n".join([settings, "[data]", *lines]))
    env = {**world.jobs.env, "GALAXY_JOBS_CONFIG": str(config)}
    done = evolve(world.jobs, env=env).run("doctor", "--json", "--uploads")
    (finding,) = [
        finding
        for finding in json.loads(done.stdout)["checks"]
        if finding["check"] == "uploads"
    ]
    return finding


def test_the_doctor_finds_out_which_way_works(world: World) -> None:
    if is_pushed(world):
        found = doctor(world, hand_over="push")
        assert (found["verdict"], "takes them" in found["said"]) == ("ok", True), found
        return
    found = doctor(world, public_url=world.jobs.url)
    assert (found["verdict"], "fetches them" in found["said"]) == ("ok", True), found
    found = doctor(world, public_url="http://127.0.0.1:9")
    assert found["verdict"] == "fail"
    if "folder" not in world.jobs.folder.name:  # into which we could not send either
        assert "cannot fetch" in found["said"]
        assert 'hand_over = "push"' in found["remedy"]
    assert not signature_in(json.dumps(found))
