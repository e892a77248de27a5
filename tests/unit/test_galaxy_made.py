"""Collections, as they are made in Galaxy before a run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from math import ceil
from pathlib import Path
from typing import Any

import pytest

from galaxy_jobs.adapters.galaxy import Galaxy
from galaxy_jobs.adapters.galaxy import adapter as adapter_module
from galaxy_jobs.adapters.galaxy.made import FETCH_SIZE
from galaxy_jobs.adapters.testing.memory import (
    ManualClock,
    MemoryDatasets,
    MemoryStore,
    MemorySubmissions,
)
from galaxy_jobs.domain import (
    CollectionData,
    DatasetId,
    Failure,
    GalaxyData,
    HistoryId,
    InvocationId,
    JobId,
    Json,
    Request,
    Source,
    SourceElement,
    Src,
    SubmissionState,
    UrlData,
    WorkflowId,
)
from galaxy_jobs.domain.errors import RunnerUnavailable, RunRejected
from galaxy_jobs.domain.model.viewer import SERVICE
from galaxy_jobs.domain.model.workflow import AllowedWorkflow, Allowlist
from galaxy_jobs.domain.use_cases import Check, RegisterDataset, Submit, SubmitPolicy
from tests.support.hostile_galaxy import (
    WORKFLOW,
    HostileGalaxy,
    hostile_galaxy,
    http,
    recorded,
)


HDA = GalaxyData(Src.HDA, "a1")
HDCA = GalaxyData(Src.HDCA, "c1")
OLDER = http('{"version_major": "24.1", "version_minor": "4"}')


@pytest.fixture
def server() -> Iterator[HostileGalaxy]:
    with hostile_galaxy() as server:
        yield server


def adapter(server: HostileGalaxy) -> Galaxy:
    return Galaxy(server.url, "key", timeout=5)


def address(n: int | str, **options: Any) -> UrlData:
    return UrlData(f"http://x.test/{n}.fq", "fastq", **options)


def invoke(server: HostileGalaxy, **inputs: Source | Json) -> InvocationId:
    return adapter(server).invoke(WorkflowId("w1"), inputs, HistoryId("f00d"))


def pair(name: str, forward: Any, reverse: Any) -> SourceElement:
    ends = (SourceElement("forward", forward), SourceElement("reverse", reverse))
    return SourceElement(name, ends)


def test_a_collection_of_any_data_is_made_in_the_history_of_the_run(
    server: HostileGalaxy,
) -> None:
    plate = CollectionData(
        "list:paired",
        (
            pair("s1", address(1, sha256="0a" * 32, md5="0b" * 16), HDA),
            pair(
                "s2", address(2, name="2.fq", dbkey="hg38", deferred=True), address(3)
            ),
            SourceElement("s3", HDCA),
        ),
    )
    ldda = GalaxyData(Src.LDDA, "b1")
    library = CollectionData("list", (SourceElement("l", ldda),))
    assert invoke(server, reads=plate, more=library, n=1, one=HDA)
    fetch, made, more = server.made
    assert fetch == {
        "history_id": "f00d",
        "targets": [
            {
                "destination": {"type": "hdas"},
                "items": [
                    {
                        "src": "url",
                        "url": "http://x.test/1.fq",
                        "ext": "fastq",
                        "name": "s1/forward",
                        "hashes": [
                            {"hash_function": "SHA-256", "hash_value": "0a" * 32},
                            {"hash_function": "MD5", "hash_value": "0b" * 16},
                        ],
                    },
                    {
                        "src": "url",
                        "url": "http://x.test/2.fq",
                        "ext": "fastq",
                        "name": "s2/forward (2.fq)",
                        "dbkey": "hg38",
                        "deferred": True,
                    },
                    {
                        "src": "url",
                        "url": "http://x.test/3.fq",
                        "ext": "fastq",
                        "name": "s2/reverse",
                    },
                ],
            }
        ],
    }
    first, second, third = (f"{2**40 + n:016x}" for n in range(3))

    def made_pair(name: str, forward: str, reverse: str) -> dict[str, Any]:
        ends = {"forward": forward, "reverse": reverse}.items()
        return {
            "name": name,
            "src": "new_collection",
            "collection_type": "paired",
            "element_identifiers": [
                {"name": end, "src": "hda", "id": id_} for end, id_ in ends
            ],
        }

    assert made == {
        "history_id": "f00d",
        "type": "dataset_collection",
        "instance_type": "history",
        "name": "reads",
        "collection_type": "list:paired",
        "element_identifiers": [
            made_pair("s1", first, "a1"),
            made_pair("s2", second, third),
            {"name": "s3", "src": "hdca", "id": "c1"},
        ],
        "copy_elements": False,
        "hide_source_items": False,
    }
    assert more["element_identifiers"] == [{"name": "l", "src": "ldda", "id": "b1"}]
    (invoked,) = server.invoked
    assert invoked["inputs"] == {
        "reads": {"src": "hdca", "id": f"{2**40 + 3:016x}"},
        "more": {"src": "hdca", "id": f"{2**40 + 4:016x}"},
        "n": 1,
        "one": {"src": "hda", "id": "a1"},
    }


@pytest.mark.parametrize("src", [Src.HDA, Src.LDDA, Src.HDCA])
def test_only_what_was_made_for_the_run_is_hidden(
    server: HostileGalaxy, src: Src
) -> None:
    ours, other = pair("s1", address(1), address(2)), GalaxyData(src, "a1")
    content = other if src is Src.HDCA else pair("s2", address(3), other).content
    theirs = SourceElement("s2", content)
    made = CollectionData("list:paired", (ours,))
    mixed = CollectionData("list:paired", (ours, theirs))
    invoke(server, made=made, mixed=mixed)
    _, *bodies = server.made
    assert [body["hide_source_items"] for body in bodies] == [True, False]


def test_data_of_another_user_is_copied(server: HostileGalaxy) -> None:
    message = {"err_msg": "User does not own item.", "err_code": 403003}
    copies = [
        {"element_identifier": name, "object": {"id": id_}}
        for name, id_ in (("1", "b2"), ("0", "b1"))
    ]
    answers = iter(
        [
            http(json.dumps(message), 403),
            http(json.dumps({"id": "c1", "elements": copies})),
            http('{"id": "c2"}'),
        ]
    )

    def answer(write: Any) -> None:
        write(next(answers))

    server.garbage["make"] = answer
    reads = (pair("s1", HDA, address(1)), pair("s2", HDA, GalaxyData(Src.LDDA, "l1")))
    invoke(server, reads=CollectionData("list:paired", reads))
    _, refused, copied, made = server.made
    assert copied["element_identifiers"] == [
        {"name": name, "src": "hda", "id": "a1"} for name in "01"
    ]
    assert (copied["history_id"], copied["copy_elements"]) == ("f00d", True)
    as_text = json.dumps(refused)
    for id_ in ("b1", "b2"):
        as_text = as_text.replace('"a1"', f'"{id_}"', 1)
    assert json.dumps(made) == as_text
    (invoked,) = server.invoked
    assert invoked["inputs"]["reads"] == {"src": "hdca", "id": "c2"}


def test_an_address_is_given_to_the_run_as_it_is(server: HostileGalaxy) -> None:
    invoke(server, text=address(1, name="reads", sha256="0a" * 32, deferred=True))
    assert not server.made
    (invoked,) = server.invoked
    assert invoked["inputs"]["text"] == {
        "src": "url",
        "url": "http://x.test/1.fq",
        "ext": "fastq",
        "name": "reads",
        "hashes": [{"hash_function": "SHA-256", "hash_value": "0a" * 32}],
        "deferred": True,
    }


def test_an_older_galaxy_fetches_what_no_run_of_it_takes(server: HostileGalaxy) -> None:
    server.garbage["version"] = OLDER
    hashed = address(1, sha256="0a" * 32, md5="0b" * 16)
    plate = CollectionData("list", (SourceElement("s", hashed),))
    invoke(server, text=address(2, name="reads"), reads=plate, more=address(3))
    (fetch, _) = server.made
    assert "hashes" not in json.dumps(fetch)  # which it would refuse
    items = fetch["targets"][0]["items"]
    assert [item["url"][-4:] for item in items] == ["2.fq", "1.fq", "3.fq"]
    assert [item.get("name") for item in items] == ["reads", "s", None]
    (invoked,) = server.invoked
    ids = [f"{2**40 + n:016x}" for n in (0, 3, 2)]
    assert [given["id"] for given in invoked["inputs"].values()] == ids


@pytest.mark.parametrize(
    ("garbage", "error"),
    [
        ({"fetch": http('{"outputs": []}')}, RunnerUnavailable),
        ({"fetch": http("", 502)}, RunnerUnavailable),
        ({"fetch": http('{"err_msg": "no such format"}', 400)}, RunRejected),
        ({"make": http("", 500)}, RunnerUnavailable),
        ({"make": http('{"err_msg": "not accessible: a1"}', 403)}, RunRejected),
        ({"make": http("[]")}, RunnerUnavailable),
    ],
    ids=str,
)
def test_nothing_is_invoked_without_its_collections(
    server: HostileGalaxy, garbage: dict[str, Any], error: type[Exception]
) -> None:
    server.garbage |= garbage
    plate = CollectionData(
        "list", (SourceElement("s", address(1)), SourceElement("t", HDA))
    )
    with pytest.raises(error):
        invoke(server, reads=plate)
    assert not server.invoked


def test_no_collection_takes_for_ever(
    server: HostileGalaxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter_module, "MAKING_TIMEOUTS", 1e-9)
    plate = CollectionData("list", (SourceElement("s", address(1)),))
    with pytest.raises(
        RunnerUnavailable, match=r"took more than .* the data of the run"
    ):
        invoke(server, reads=plate)
    assert not server.invoked


# --- through the core ---------------------------------------------------------------


class Core:
    """The use cases on that Galaxy; each is wired as in the container."""

    def __init__(self, server: HostileGalaxy) -> None:
        clock = ManualClock()
        store = MemoryStore(clock)
        galaxy, datasets = adapter(server), MemoryDatasets(store)
        self.server, self.submissions = server, MemorySubmissions(store)
        allowed = AllowedWorkflow(name=WORKFLOW, input="text")
        check = Check(datasets, galaxy, Allowlist((allowed,)), clock, galaxy)
        self.register = RegisterDataset(datasets, clock, galaxy)
        self.submit = Submit(
            check=check,
            submissions=self.submissions,
            runner=galaxy,
            histories=galaxy,
            identity=galaxy.identity,
            clock=clock,
            policy=SubmitPolicy(),
        )
        self.store = store

    def run(self, source: Source) -> Any:
        self.register("plate", source, SERVICE, DatasetId("plate"))
        return self.submit(
            Request(dataset_id=DatasetId("plate"), workflow_name=WORKFLOW), SERVICE
        )


def test_a_collection_of_a_thousand_takes_ten_requests_at_most(
    server: HostileGalaxy,
) -> None:
    core = Core(server)
    elements = (
        SourceElement(f"s{n}", HDA if n % 4 == 0 else address(n)) for n in range(1000)
    )
    core.run(CollectionData("list", tuple(elements)))
    assert core.server.requests["fetch"] == ceil(750 / FETCH_SIZE)
    assert core.server.requests["make"] == core.server.requests["invoke"] == 1
    assert core.server.requests.total() <= 10, core.server.requests


def test_a_thousand_addresses_take_ten_requests_at_most(server: HostileGalaxy) -> None:
    core = Core(server)
    pairs = (pair(f"s{n}", address(f"{n}_1"), address(f"{n}_2")) for n in range(500))
    core.run(CollectionData("list:paired", tuple(pairs)))
    assert core.server.requests.total() <= 10, core.server.requests
    items = [item for made in server.made[:-1] for item in made["targets"][0]["items"]]
    assert len(items) == 1000
    identifiers = server.made[-1]["element_identifiers"]
    first = int(identifiers[0]["element_identifiers"][0]["id"], 16)
    assert [
        (f"{outer['name']}/{inner['name']}", inner["id"])
        for outer in identifiers
        for inner in outer["element_identifiers"]
    ] == [(item["name"], f"{first + n:016x}") for n, item in enumerate(items)]


def test_a_refused_element_is_named_and_its_history_is_deleted(
    server: HostileGalaxy,
) -> None:
    core = Core(server)
    message = "Wrong id ( a1 ) specified, unable to decode."
    server.garbage["make"] = http(json.dumps({"err_msg": message}), 400)
    source = CollectionData(
        "list:list", (SourceElement("x", (SourceElement("y", HDA),)),)
    )
    with pytest.raises(
        RunRejected, match=r"Element 'x/y' of dataset 'plate' is hda a1"
    ):
        core.run(source)
    (opened,) = core.store.submissions.values()
    assert opened.submission.state is SubmissionState.REJECTED
    assert server.requests["history"] == 1  # deleted
    assert not server.invoked


def test_a_submission_with_collections_is_left_alone_for_longer(
    server: HostileGalaxy,
) -> None:
    core, deadline = Core(server), SubmitPolicy().deadline
    server.garbage["invoke"] = http("", 502)
    seen = []

    class Watched(MemorySubmissions):
        def save(self, *args: Any, **kwargs: Any) -> None:
            seen.append(kwargs["look_in"])
            super().save(*args, **kwargs)

    object.__setattr__(core.submit, "submissions", Watched(core.store))
    with pytest.raises(Exception, match="Submission"):
        core.run(CollectionData("list", (SourceElement("y", HDA),)))
    assert seen[0] == 2 * deadline


# --- the reason of a failure --------------------------------------------------------

JOB = JobId("b0b1")
SENTENCE = "Input dataset 's2/forward' is in error state. To resume this job fix it."


def show_paused_job(
    server: HostileGalaxy, inputs: dict[str, Any], **failed: Any
) -> str:
    """Show a paused job and what failed in its history; return the reason."""
    job = {
        **recorded("job_never_run"),
        "id": JOB,
        "state": "paused",
        "history_id": "f00d",
        "inputs": inputs,
        "outputs": {"output1": {"src": "hda", "id": "d1"}},
        "output_collections": {},
    }
    output = {"id": "d1", "state": "paused", "misc_info": SENTENCE, "creating_job": JOB}
    server.garbage[f"details {JOB}"] = http(json.dumps(job))
    server.garbage["dataset d1"] = http(json.dumps(output))
    server.garbage["datasets"] = http(
        json.dumps([{"id": "e1", "name": "s1/forward"}, {"id": "e2", **failed}])
    )
    return adapter(server).details(JOB).message or ""


HASH = "Failed to validate upload with [SHA-256] - expected [00] got [11]"


@pytest.mark.parametrize(
    ("failed", "reason"),
    [
        (
            {
                "name": "s2/forward",
                "misc_info": HASH,
                "sources": [{"source_uri": "http://me:pw@x.test/2.fq?sig=pw"}],
            },
            f"'s2/forward' from 'http://***@x.test/2.fq?sig=***': {HASH}",
        ),
        (
            {
                "name": "s2/forward",
                "misc_info": "Failed to fetch url: HTTP Error 404: Not Found "
                "(http://x.test/2.fq?sig=pw)",
                "sources": [],
            },
            "'s2/forward': Failed to fetch url: HTTP Error 404: Not Found (http://x.te",
        ),
    ],
    ids=["checksum", "absent"],
)
def test_an_element_that_could_not_be_fetched_is_named_with_its_address(
    server: HostileGalaxy, failed: dict[str, Any], reason: str
) -> None:
    inputs = {"input1": {"src": "hda", "id": "e2"}}
    message = show_paused_job(server, inputs, **failed)
    assert message.startswith(f"{SENTENCE} {reason}")
    shown = str(Failure(reason="job-failed", message=message))
    assert reason[:40] in shown
    assert "pw" not in shown


def test_what_failed_and_is_no_input_is_no_reason(server: HostileGalaxy) -> None:
    inputs = {"input1": {"src": "hda", "id": "e9"}}
    assert show_paused_job(server, inputs, misc_info=HASH) == SENTENCE


# --- as real Galaxies answer --------------------------------------------------------

RECORDED = Path(__file__).with_name("recorded")
RELEASES = sorted(path.parent.name for path in RECORDED.glob("*/made_fetch.json"))


def played(release: str, name: str) -> Any:
    """Return an answer of a Galaxy; see ``record_collections.py``."""
    return json.loads((RECORDED / release / f"{name}.json").read_text())["answer"]


@pytest.mark.parametrize("release", RELEASES)
def test_a_collection_is_made_as_real_galaxies_answer(
    server: HostileGalaxy, release: str
) -> None:
    fetched, made = (
        played(release, f"made_{what}") for what in ("fetch", "collection")
    )
    server.garbage["fetch"] = http(json.dumps(fetched))
    server.garbage["make"] = http(json.dumps(made))
    plate = CollectionData(
        "list:paired", (pair("s1", address(1), HDA), pair("s2", address(2), HDA))
    )
    invoke(server, text=plate)
    ids = [
        inner["id"]
        for outer in server.made[-1]["element_identifiers"]
        for inner in outer["element_identifiers"]
    ]
    first, second = (output["id"] for output in fetched["outputs"])
    assert ids == [first, "a1", second, "a1"]
    (invoked,) = server.invoked
    assert invoked["inputs"]["text"] == {"src": "hdca", "id": made["id"]}
    # Galaxy has put them where they were to be.
    shown = [
        inner["object"]["id"]
        for outer in made["elements"]
        for inner in outer["object"]["elements"]
    ]
    assert [shown[0], shown[2]] == [first, second]


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize(
    ("what", "place", "reason"),
    [
        ("wrong", "'s1/forward'", "Failed to validate"),
        ("absent", "'s2/forward'", "404"),
    ],
)
def test_what_real_galaxies_could_not_fetch_is_named(
    server: HostileGalaxy, release: str, what: str, place: str, reason: str
) -> None:
    job, output = (played(release, f"made_{kind}_{what}") for kind in ("job", "output"))
    server.garbage[f"details {job['id']}"] = http(json.dumps(job))
    server.garbage[f"dataset {output['id']}"] = http(json.dumps(output))
    server.garbage["datasets"] = http(json.dumps(played(release, "made_failed")))
    message = adapter(server).details(job["id"]).message
    shown = str(Failure(reason="job-failed", message=message).message)
    assert place in shown
    assert f"/{what}.txt?sig=***" in shown
    assert reason in shown
    assert "secret" not in shown


def test_several_releases_are_recorded() -> None:
    assert set(RELEASES) >= {"24.2", "26.1"}
