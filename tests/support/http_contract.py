"""The HTTP interface, row by row, as it was promised to those who build on it.

It uses HTTP, and the container for what HTTP cannot bring about. The worlds that it
holds in are those of ``http_world.py``. A change to an assertion here breaks a client.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any
from urllib.parse import quote
from uuid import uuid4
from zipfile import ZipFile

import httpx
import pytest
from attrs import evolve

from galaxy_jobs import domain
from galaxy_jobs.adapters.testing.memory.galaxy import FAILURE, TEXT
from galaxy_jobs.domain import (
    AllowedWorkflow,
    DatasetId,
    Failure,
    Identity,
    InvocationId,
    InvocationState,
    Problem,
    Progress,
    Request,
    Sighting,
    StepSummary,
    Submission,
    SubmissionId,
    UrlData,
)
from galaxy_jobs.domain.errors import (
    OutcomeUnknown,
    RunnerRefusedUs,
    RunnerUnavailable,
    RunRejected,
)
from galaxy_jobs.domain.model.invoke_options import InvokeOptions
from galaxy_jobs.domain.model.token import Scope
from galaxy_jobs.domain.model.viewer import SERVICE
from galaxy_jobs.domain.model.workflow import Allowlist
from galaxy_jobs.entrypoints.settings import HttpTable
from tests.support.http_world import MORE, SORTS, N, World, furnished
from tests.support.page import WHO
from tests.support.wait import until


Opened = Callable[..., AbstractContextManager[World]]
"""Opens a world of its own, with replaced providers of the container."""

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z")

LIST = domain.DataDescription(
    name="plate 1",
    state="queued",
    extensions=("bam", "txt"),
    collection_type="list:paired",
)

LISTED = [
    "invocation_id",
    "dataset_id",
    "workflow_name",
    "workflow_id",
    "workflow_version",
    "version_note",
    "state",
    "galaxy_state",
    "parameters",
    "parameters_truncated",
    "overwrite",
    "rerun_of",
    "superseded_by",
    "labels",
    "created_at",
    "updated_at",
    "observed_at",
    "stale",
    "results",
    "results_deleted_at",
    "attention",
    "owner",
    "progress",
    "failure",
]
JOB = [
    *LISTED,
    "dataset_input",
    "use_cached_job",
    "request",
    "intermediates_deleted_at",
    "steps",
    "history_id",
]
SORT = {"dataset_id": "reads", "workflow_name": "sort"}
DAY = timedelta(days=1)


def problem(answer: httpx.Response, status: int, code: str) -> Any:
    """Return a problem document, once its form has been checked (RFC 9457)."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert document["type"] == f"urn:galaxy-jobs:problem:{code}"
    assert document["status"] == status
    assert document["title"]
    assert document["detail"]
    assert document["instance"].startswith("/")
    assert document["request_id"] == answer.headers["x-request-id"]
    for word in ("Traceback", "psycopg", "SELECT ", "sqlalchemy"):
        assert word not in answer.text
    return document


def element(name: str, *elements: Any, **known: Any) -> dict[str, Any]:
    """Return an element of a collection as it is shown."""
    fields = dict.fromkeys(("id", "state", "extension", "size", "file"))
    return {"name": name, **fields, **known, "elements": list(elements)}


def unzipped(answer: httpx.Response) -> dict[str, bytes]:
    """Return the files of a zip, in its order."""
    with ZipFile(BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        return {info.filename: archive.read(info) for info in archive.infolist()}


def in_order(json: Any) -> Any:
    """Return JSON in which the order of fields counts."""
    if isinstance(json, dict):
        return [(name, in_order(inner)) for name, inner in json.items()]
    return [in_order(inner) for inner in json] if isinstance(json, list) else json


def as_text(at: datetime) -> str:
    """Write a time as the API does."""
    return at.isoformat().replace("+00:00", "Z")


def ids(page: Any) -> list[str]:
    return [item["invocation_id"] for item in page["items"]]


def percent_encoded(text: bytes) -> str:
    """Encode every byte: a client may spell a path as it likes."""
    return "".join(f"%{byte:02X}" for byte in text)


class HttpContract:
    """What every client may rely on.

    A module that subclasses it has two fixtures: ``world``, furnished and impatient,
    for all tests together; and ``opened``, which opens a world of a test's own that
    is not furnished.
    """

    # --- POST /jobs ---------------------------------------------------------------

    def test_a_job_is_submitted(self, world: World) -> None:
        body = {**SORT, "overwrite": False, "parameters": {"n": 2}}
        answer = world.ask("POST", "/jobs", body)
        assert answer.status_code == 201
        assert list(answer.json()) == ["invocation_id", "state"]
        assert answer.json()["state"] == "queued"
        assert answer.headers["location"] == f"/jobs/{answer.json()['invocation_id']}"
        assert "idempotent-replayed" not in answer.headers
        job = world.get(answer.headers["location"])
        assert (job["state"], job["parameters"]) == ("queued", {"n": 2})
        for name in ("failure", "rerun_of", "superseded_by", "attention"):
            assert job[name] is None

    def test_a_request_repeated_with_its_key_is_answered_again_and_runs_once(
        self, world: World
    ) -> None:
        key = uuid4().hex.ljust(255, "k")
        runs = len(world.galaxy.runs)
        first, second = (
            world.ask("POST", "/jobs", SORT, Idempotency_Key=key) for _ in range(2)
        )
        assert (first.status_code, second.status_code) == (201, 201)
        assert first.json() == second.json()
        assert "idempotent-replayed" not in first.headers
        assert second.headers["idempotent-replayed"] == "true"
        assert second.headers["location"] == first.headers["location"]
        assert len(world.galaxy.runs) == runs + 1
        for more in ({"parameters": {"n": 3}}, {"overwrite": True}):
            answer = world.ask("POST", "/jobs", {**SORT, **more}, Idempotency_Key=key)
            problem(answer, 422, "idempotency-key-reused")
        other = world.ask("POST", "/jobs", SORT, Idempotency_Key=uuid4().hex)
        assert other.json() != first.json()

    def test_a_job_can_be_checked_without_being_run(self, world: World) -> None:
        source = {"src": "url", "url": "https://h.example/f", "ext": "fa"}
        added = world.ask("POST", "/datasets", {"name": "reference", "source": source})
        runs = len(world.galaxy.runs)
        body: dict[str, Any] = {
            "dataset_id": "reads",
            "workflow_name": "strict",
            "parameters": {"n": 2, "mode": "fast", "more": {"dataset_id": "other"}},
        }
        answer = world.ask("POST", "/jobs?validate_only=true", body)
        assert answer.status_code == 200
        assert "location" not in answer.headers
        plan = answer.json()
        keys = ["dataset_id", "workflow_name", "workflow_id", "workflow_version"]
        keys += ["dataset_input"]
        assert list(plan) == [*keys, "inputs", "data"]
        assert plan["data"]["text"] == {
            "name": "",
            "state": "ok",
            "extension": None,
            "collection_type": None,
        }
        assert list(plan["data"]) == ["text", "more"]
        assert plan["dataset_input"] == "text"
        assert plan["inputs"] == {
            "text": {"src": "hda", "id": "hda-reads"},
            "n": 2,
            "mode": "fast",
            "more": {"src": "hda", "id": "hda-other"},
        }
        body["parameters"]["more"] = {"dataset_id": added.json()["dataset_id"]}
        answer = world.ask("POST", "/jobs/validate", body)
        assert answer.json()["inputs"]["more"] == source
        assert (
            answer.json() == world.ask("POST", "/jobs?validate_only=true", body).json()
        )
        body["parameters"] = {"mode": "slow"}
        answer = world.ask("POST", "/jobs?validate_only=true", body)
        problem(answer, 422, "invalid-parameters")
        assert len(world.galaxy.runs) == runs

    @pytest.mark.parametrize(
        ("parameters", "named"),
        [
            ({"n": 2}, "mode"),  # a required one is missing
            ({"mode": "fast", "nn": 2}, "nn"),  # an unknown name
            ({"mode": "fast", "n": "two"}, "n"),  # a wrong type
            ({"mode": "fast", "n": True}, "n"),
            ({"mode": "fast", "n": 1.5}, "n"),
            ({"mode": "slow"}, "mode"),  # no option
            ({"mode": "fast", "n": 10}, "n"),  # out of range
            ({"mode": "fast", "more": "x"}, "more"),  # no data
            ({"mode": "fast", "more": {"src": "url", "id": "x"}}, "more"),
        ],
    )
    @pytest.mark.parametrize(
        "path", ["/jobs", "/jobs/validate", "/jobs?validate_only=true"]
    )
    def test_a_parameter_that_does_not_fit_is_named_and_nothing_is_invoked(
        self, world: World, path: str, parameters: dict[str, Any], named: str
    ) -> None:
        runs = len(world.galaxy.runs)
        body = {
            "dataset_id": "reads",
            "workflow_name": "strict",
            "parameters": parameters,
        }
        document = problem(world.ask("POST", path, body), 422, "invalid-parameters")
        assert list(document["parameters"]) == [named]
        assert repr(named) in document["parameters"][named]
        assert len(world.galaxy.runs) == runs

    @pytest.mark.parametrize(
        "path", ["/jobs", "/jobs/validate", "/jobs?validate_only=true"]
    )
    def test_data_that_no_job_can_run_on_is_refused_and_nothing_is_invoked(
        self, world: World, path: str
    ) -> None:
        runs = len(world.galaxy.runs)
        world.site.dataset("deleted")
        data = domain.GalaxyData(domain.Src.HDA, "hda-deleted")
        world.galaxy.data[data] = domain.DataDescription(state="deleted")
        answer = world.ask("POST", path, {**SORT, "dataset_id": "deleted"})
        document = problem(answer, 422, "invalid-parameters")
        assert "'deleted' (hda 'hda-deleted'), which is" in document["detail"]
        assert list(document["parameters"]) == ["text"]
        assert len(world.galaxy.runs) == runs
        world.galaxy.data[data] = domain.DataDescription(state="deferred")
        world.submit(dataset_id="deleted")

    def test_all_parameters_that_do_not_fit_are_named(self, world: World) -> None:
        answer = world.ask("POST", "/jobs", {**SORT, "parameters": {"n": 10, "m": 1}})
        document = problem(answer, 422, "invalid-parameters")
        assert set(document["parameters"]) == {"n", "m"}
        assert "from 1 to 9" in document["parameters"]["n"]
        twice = {"text": {"dataset_id": "other"}}  # which the dataset is for
        body = {**SORT, "dataset_input": "text", "parameters": twice}
        problem(world.ask("POST", "/jobs", body), 422, "invalid-parameters")

    def test_of_several_data_inputs_one_is_named_or_left_over(
        self, world: World
    ) -> None:
        pair = {"dataset_id": "reads", "workflow_name": "two"}
        other = {"dataset_id": "other"}
        reads, others = ({"src": "hda", "id": f"hda-{n}"} for n in ("reads", "other"))

        def plan(**more: Any) -> Any:
            path = "/jobs?validate_only=true"
            answer = world.ask("POST", path, {**pair, **more})
            assert answer.status_code == 200, answer.text
            return answer.json()["dataset_input"], answer.json()["inputs"]

        left_over = plan(parameters={"left": other})
        assert left_over == ("right", {"left": others, "right": reads})
        named = plan(parameters={"right": other}, dataset_input="left")
        assert named == ("left", {"left": reads, "right": others})
        none = plan(parameters={"left": other, "right": other})
        assert none == (None, {"left": others, "right": others})
        document = problem(world.ask("POST", "/jobs", pair), 422, "invalid-parameters")
        assert "Fill all but one of them in `parameters`" in document["detail"]
        assert "name one in `dataset_input`" in document["detail"]
        assert "onfigur" not in document["detail"]
        unknown = {**pair, "dataset_input": "middle"}
        answer = world.ask("POST", "/jobs", unknown)
        document = problem(answer, 422, "invalid-parameters")
        assert list(document["parameters"]) == ["dataset_input"]

    def test_a_rerun_puts_the_dataset_on_the_same_input(self, world: World) -> None:
        body = {
            "dataset_id": "reads",
            "workflow_name": "two",
            "dataset_input": "right",
            "parameters": {"left": {"dataset_id": "other"}},
        }
        key = uuid4().hex
        first = world.ask("POST", "/jobs", body, Idempotency_Key=key).json()
        again = world.ask("POST", "/jobs", body, Idempotency_Key=key)
        assert again.json() == first
        del body["dataset_input"]  # another request, though it would run the same
        answer = world.ask("POST", "/jobs", body, Idempotency_Key=key)
        problem(answer, 422, "idempotency-key-reused")
        id_ = first["invocation_id"]
        rerun = world.ask("POST", f"/jobs/{id_}/rerun").json()["invocation_id"]
        assert world.get(f"/jobs/{rerun}")["dataset_input"] == "right"
        before, after = (
            next(run for run in world.galaxy.runs if run.invocation_id == each)
            for each in (id_, rerun)
        )
        assert before.inputs == after.inputs
        changes = {
            "dataset_input": "left",
            "parameters": {"right": {"dataset_id": "other"}},
        }
        answer = world.ask("POST", f"/jobs/{id_}/rerun", changes)
        changed = world.get(answer.headers["location"])
        assert changed["dataset_input"] == "left"
        left, right = (before.inputs[name] for name in ("left", "right"))
        assert world.galaxy.runs[-1].inputs == {"left": right, "right": left}
        answer = world.ask("POST", f"/jobs/{id_}/rerun", {"dataset_input": "middle"})
        document = problem(answer, 422, "invalid-parameters")
        assert list(document["parameters"]) == ["dataset_input"]

    def test_galaxy_may_be_let_copy_the_results_of_equal_jobs(
        self, world: World
    ) -> None:
        chosen: tuple[bool | None, ...] = (True, False, None)
        for use_cached_job in chosen:
            body = {**SORT, "use_cached_job": use_cached_job}
            id_ = world.ask("POST", "/jobs", body).json()["invocation_id"]
            assert world.get(f"/jobs/{id_}")["use_cached_job"] is use_cached_job
            assert world.galaxy.runs[-1].options.use_cached_job is bool(use_cached_job)
            world.ask("POST", f"/jobs/{id_}/rerun")
            assert world.galaxy.runs[-1].options.use_cached_job is bool(use_cached_job)

    def test_a_workflow_is_invoked_as_it_is_configured_or_as_is_asked(
        self, opened: Opened
    ) -> None:
        options = InvokeOptions(use_cached_job=True, exact_tool_versions=False)
        row = AllowedWorkflow(name="w", options=options)
        with opened(allowlist=Allowlist((row,))) as own:
            own.galaxy.add_workflow("w")
            own.site.dataset("reads")
            body = {"dataset_id": "reads", "workflow_name": "w"}
            for more in ({}, {"use_cached_job": False}):
                answer = own.ask("POST", "/jobs", {**body, **more})
                assert answer.status_code == 201
            configured, asked = (run.options for run in own.galaxy.runs)
        assert configured == evolve(options, version=0)
        assert asked == InvokeOptions(version=0, exact_tool_versions=False)

    def test_a_job_shows_the_version_that_runs_and_what_it_was_given(
        self, world: World
    ) -> None:
        workflow_id = world.galaxy.add_workflow(name := f"versions {uuid4()}", TEXT, N)
        body = {"dataset_id": "reads", "workflow_name": name, "parameters": {"n": 2}}
        first = world.ask("POST", "/jobs", body).json()["invocation_id"]
        job = world.get(f"/jobs/{first}")
        assert (job["workflow_id"], job["workflow_version"]) == (workflow_id, 0)
        assert job["version_note"] is None
        assert job["request"] == {"text": {"src": "hda", "id": "hda-reads"}, "n": 2}
        world.galaxy.add_version(workflow_id, TEXT, N, MORE)
        assert world.get(f"/workflows/{quote(name)}")["version"] == 1
        chosen: dict[str, Any]
        for chosen, version in (
            ({}, 1),
            ({"workflow_version": "same"}, 0),
            ({"workflow_version": 0}, 0),
            ({"workflow_version": 1}, 1),
        ):
            answer = world.ask("POST", f"/jobs/{first}/rerun", chosen)
            again = world.get(answer.headers["location"])
            assert (again["workflow_version"], again["rerun_of"]) == (version, first)
            assert world.galaxy.runs[-1].options.version == version
            note = f"Job {first} ran version 0 of this workflow; this job runs "
            assert again["version_note"] == (f"{note}version 1." if version else None)
        pinned = {**body, "workflow_version": 0}
        plan = world.ask("POST", "/jobs?validate_only=true", pinned).json()
        assert plan["workflow_version"] == 0
        for path, wanted in (
            ("/jobs", {**body, "workflow_version": 2}),
            (f"/jobs/{first}/rerun", {"workflow_version": 2}),
        ):
            document = problem(
                world.ask("POST", path, wanted), 422, "workflow-version-not-found"
            )
            assert "The newest is version 1" in document["detail"]

    @pytest.mark.parametrize("version", [-1, "1", 1.5, True])
    def test_a_version_is_a_whole_number(self, world: World, version: Any) -> None:
        answer = world.ask("POST", "/jobs", {**SORT, "workflow_version": version})
        problem(answer, 400, "malformed-request")

    def test_a_version_may_be_configured(self, opened: Opened) -> None:
        row = AllowedWorkflow(name="w", options=InvokeOptions(version=0))
        with opened(allowlist=Allowlist((row,))) as own:
            own.galaxy.add_version(own.galaxy.add_workflow("w"))
            own.site.dataset("reads")
            body = {"dataset_id": "reads", "workflow_name": "w"}
            job = own.get(own.ask("POST", "/jobs", body).headers["location"])
            assert job["workflow_version"] == own.get("/workflows/w")["version"] == 0
            answer = own.ask("POST", "/jobs", {**body, "workflow_version": 1})
            document = problem(answer, 422, "workflow-version-not-found")
        assert "Only version 0 may be run here" in document["detail"]

    def test_a_value_of_the_repeated_job_without_a_place_is_named(
        self, world: World
    ) -> None:
        workflow_id = world.galaxy.add_workflow(name := f"lost {uuid4()}", TEXT, N)
        body = {"dataset_id": "reads", "workflow_name": name, "parameters": {"n": 2}}
        first = world.ask("POST", "/jobs", body).json()["invocation_id"]
        world.galaxy.add_version(workflow_id, TEXT, MORE)
        answer = world.ask("POST", f"/jobs/{first}/rerun")
        document = problem(answer, 422, "invalid-parameters")
        sentence = document["parameters"]["n"]
        assert "has no input 'n'" in sentence
        assert "that of the repeated job, which ran version 0" in sentence
        same = world.ask("POST", f"/jobs/{first}/rerun", {"workflow_version": "same"})
        assert same.status_code == 201

    def test_same_is_refused_where_another_workflow_has_the_name(
        self, world: World
    ) -> None:
        workflow_id = world.galaxy.add_workflow(name := f"replaced {uuid4()}")
        body = {"dataset_id": "reads", "workflow_name": name}
        first = world.ask("POST", "/jobs", body).json()["invocation_id"]
        world.galaxy.delete_workflow(workflow_id)
        later = world.galaxy.add_workflow(name)
        same = {"workflow_version": "same"}
        answer = world.ask("POST", f"/jobs/{first}/rerun", same)
        document = problem(answer, 422, "workflow-version-not-found")
        assert later in document["detail"]
        again = world.get(world.ask("POST", f"/jobs/{first}/rerun").headers["location"])
        assert "ran another workflow by this name" in again["version_note"]

    def test_a_workflow_without_a_data_input_runs(self, world: World) -> None:
        shown = world.get("/workflows/accessions")
        assert (shown["dataset_input"], shown["dataset_inputs"]) == (None, [])
        body = {
            "dataset_id": "reads",
            "workflow_name": "accessions",
            "parameters": {"accession": "SRR1"},
        }
        id_ = world.ask("POST", "/jobs", body).json()["invocation_id"]
        assert world.get(f"/jobs/{id_}")["dataset_id"] == "reads"
        assert world.galaxy.runs[-1].inputs == {"accession": "SRR1"}

    @pytest.mark.parametrize(
        "empty", [{"workflow_name": ""}, {"dataset_id": " "}, {"dataset_input": ""}]
    )
    def test_an_empty_name_is_refused(
        self, world: World, empty: dict[str, str]
    ) -> None:
        answer = world.ask("POST", "/jobs", {**SORT, **empty})
        document = problem(answer, 400, "malformed-request")
        assert f"{next(iter(empty))} is empty" in document["detail"]
        answer = world.ask("GET", "/workflows/%20")
        problem(answer, 400, "malformed-request")

    def test_of_many_parameters_that_do_not_fit_twenty_are_named(
        self, world: World
    ) -> None:
        names = [f"{number}{'x' * 1000}" for number in range(50)]
        body = {**SORT, "parameters": dict.fromkeys(names, 1)}
        answer = world.ask("POST", "/jobs", body)
        document = problem(answer, 422, "invalid-parameters")
        assert list(document["parameters"]) == [f"{n[:255]}…" for n in names[:20]]
        assert document["more_problems"] == 30
        assert document["detail"].endswith("And 30 more problems.")
        assert len(answer.content) < 20_000

    def test_parameters_take_64_kib_at_most(self, world: World) -> None:
        id_, runs = world.submit(), len(world.galaxy.runs)
        large = {"n": 1, "x": "é" * 32_768}
        for path, body in {
            "/jobs": {**SORT, "parameters": large},
            "/jobs?validate_only=true": {**SORT, "parameters": large},
            f"/jobs/{id_}/rerun": {"parameters": large},
        }.items():
            answer = world.ask("POST", path, body)
            document = problem(answer, 422, "invalid-parameters")
            assert list(document["parameters"]) == ["x"]
            assert "at most 65536" in document["parameters"]["x"]
        assert len(world.galaxy.runs) == runs

    def test_lists_leave_out_large_parameters(self, world: World) -> None:
        dataset = f"large {uuid4()}"
        world.site.dataset(dataset)
        values: list[dict[str, Any]] = [{"x": "é" * 2043}, {"x": "é" * 2044}]
        values.append({"x": "x" * 2**20})  # of an earlier version
        for value in values:
            id_ = world.site.job("w", dataset, parameters=value)
            job = world.get(f"/jobs/{id_}")
            assert (job["parameters"], job["parameters_truncated"]) == (value, False)
        listed = world.get(f"/jobs?dataset_id={quote(dataset)}")["items"]
        assert [(job["parameters"], job["parameters_truncated"]) for job in listed] == [
            (None, True),
            (None, True),
            (values[0], False),
        ]

    @pytest.mark.parametrize(
        ("path", "body"),
        [
            ("/jobs", {**SORT, "dataset_id": "d" * 256}),
            ("/jobs", {**SORT, "workflow_name": "w" * 256}),
            ("/jobs?validate_only=true", {**SORT, "workflow_name": "w" * 256}),
            ("/datasets", {"name": "n" * 256, "source": {"src": "hda", "id": "1"}}),
            ("/datasets", {"name": "n", "source": {"src": "hda", "id": "1" * 256}}),
            (
                "/datasets",
                {
                    "name": "n",
                    "source": {"src": "url", "url": "http://a.b", "ext": "e" * 256},
                },
            ),
        ],
    )
    def test_400_names_have_255_characters_at_most(
        self, world: World, path: str, body: dict[str, Any]
    ) -> None:
        document = problem(world.ask("POST", path, body), 400, "malformed-request")
        assert "has 256 characters" in document["detail"]
        assert "at most 255" in document["detail"]
        assert len(document["detail"]) < 200
        for name in ("dataset_id", "workflow_name"):
            answer = world.ask("GET", f"/jobs?{name}={'x' * 256}")
            problem(answer, 400, "malformed-request")

    def test_an_address_is_shown_without_its_credentials(self, world: World) -> None:
        url = "https://me:secret@h.example/f?X-Amz-Signature=secret&versionId=3"
        shown = "https://***@h.example/f?X-Amz-Signature=***&versionId=3"
        source = {"src": "url", "url": url, "ext": "fa"}
        body = {"dataset_id": f"s3 {uuid4()}", "name": "n", "source": source}
        first, same = (world.ask("POST", "/datasets", body) for _ in range(2))
        assert (first.status_code, same.status_code) == (201, 201)
        id_ = quote(first.json()["dataset_id"])
        answers = [
            first,
            same,
            world.ask("GET", f"/datasets/{id_}"),
            world.ask("GET", "/datasets?limit=200"),
            world.ask(
                "POST",
                "/jobs?validate_only=true",
                {**SORT, "dataset_id": body["dataset_id"]},
            ),
        ]
        for answer in answers:
            assert answer.is_success
            assert shown in answer.text
            assert "secret" not in answer.text
        other = {**body, "source": {**source, "url": f"{url[:-1]}4"}}
        answer = world.ask("POST", "/datasets", other)
        problem(answer, 409, "dataset-exists")
        assert "secret" not in answer.text
        malformed = {**source, "url": url.replace("https", "gopher")}
        answer = world.ask("POST", "/datasets", {"name": "n", "source": malformed})
        problem(answer, 400, "malformed-request")
        assert "secret" not in answer.text
        world.submit(dataset_id=body["dataset_id"])
        assert UrlData(url, "fa") in world.galaxy.runs[-1].inputs.values()

    # --- what is wrong with what was sent, or cannot be done ------------------------

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"workflow_name": "sort"}, "dataset_id"),
            ({**SORT, "x": 1}, "x"),
            ({**SORT, "dataset_id": 1}, "dataset_id"),
            ({**SORT, "overwrite": 1}, "overwrite"),
            ({**SORT, "parameters": []}, "parameters"),
        ],
    )
    def test_400_malformed_request_names_the_field(
        self, world: World, body: object, field: str
    ) -> None:
        answer = world.ask("POST", "/jobs", body)
        document = problem(answer, 400, "malformed-request")
        assert document["field"] == field
        assert field in document["detail"]

    def test_400_malformed_request_for_what_is_not_json_and_for_a_bad_cursor(
        self, world: World
    ) -> None:
        json_ = {"Content-Type": "application/json"}
        answer = world.api.post("/jobs", content=b"{no", headers=json_)
        problem(answer, 400, "malformed-request")
        for cursor in ("x", "", "WzFd", "%ff"):
            answer = world.ask("GET", f"/jobs?cursor={cursor}")
            problem(answer, 400, "malformed-request")
        problem(world.ask("GET", "/jobs?state=done"), 400, "malformed-request")
        problem(world.ask("GET", "/jobs?limit=201"), 400, "malformed-request")

    def test_404_where_the_address_names_what_is_not_there(self, world: World) -> None:
        for path, code in (
            ("/jobs/none", "job-not-found"),
            ("/jobs/none/history", "job-not-found"),
            ("/jobs/none/outputs", "job-not-found"),
            ("/submissions/none", "submission-not-found"),
            (f"/submissions/{uuid4()}", "submission-not-found"),
            ("/datasets/none", "dataset-not-found"),
            ("/workflows/none", "workflow-not-found"),
            ("/none", "not-found"),
        ):
            problem(world.ask("GET", path), 404, code)
        for action in ("cancel", "refresh", "rerun"):
            answer = world.ask("POST", f"/jobs/none/{action}")
            problem(answer, 404, "job-not-found")
        answer = self._review(world, "/jobs/none/steps/1/review")
        problem(answer, 404, "job-not-found")

    @pytest.mark.parametrize(
        "id_", ["a/b", "a b", "%", "..", "é", "a?b#c", "%2F", "x" * 999]
    )
    def test_an_id_in_a_path_may_be_any_text(self, world: World, id_: str) -> None:
        for below, code in (("jobs", "job"), ("datasets", "dataset")):
            answer = world.ask("GET", f"/{below}/{percent_encoded(id_.encode())}")
            document = problem(answer, 404, f"{code}-not-found")
            assert repr(id_)[:100] in document["detail"]

    def test_405_names_the_methods_that_there_are(self, world: World) -> None:
        answer = world.ask("PUT", "/jobs")
        problem(answer, 405, "method-not-allowed")
        allowed = set(answer.headers["allow"].replace(" ", "").split(","))
        assert {"GET", "POST"} <= allowed

    @pytest.mark.parametrize(
        ("path", "methods"),
        [
            ("/jobs", "GET, HEAD, OPTIONS, POST"),
            ("/datasets", "GET, HEAD, OPTIONS, POST"),
            ("/datasets/d", "DELETE, GET, HEAD, OPTIONS, PATCH"),
            ("/jobs/1/cancel", "OPTIONS, POST"),
        ],
    )
    def test_options_names_the_methods_that_there_are(
        self, world: World, path: str, methods: str
    ) -> None:
        answer = world.ask("OPTIONS", path)
        assert (answer.status_code, answer.headers["allow"]) == (204, methods)

    def test_413_over_one_mebibyte(self, world: World) -> None:
        body = {**SORT, "dataset_id": "x" * (1024 * 1024)}
        problem(world.ask("POST", "/jobs", body), 413, "too-large")

    def test_415_what_is_not_json(self, world: World) -> None:
        answer = world.api.post("/jobs", data={"a": "b"})
        problem(answer, 415, "unsupported-media-type")

    @pytest.mark.parametrize(
        ("dataset", "workflow", "code"),
        [
            ("none", "sort", "dataset-not-found"),
            ("reads", "none", "workflow-not-found"),
            ("reads", "twice", "workflow-ambiguous"),
        ],
    )
    @pytest.mark.parametrize(
        "path", ["/jobs", "/jobs/validate", "/jobs?validate_only=true"]
    )
    def test_422_where_the_body_names_what_is_not_there(
        self, world: World, path: str, dataset: str, workflow: str, code: str
    ) -> None:
        body = {"dataset_id": dataset, "workflow_name": workflow}
        problem(world.ask("POST", path, body), 422, code)

    def test_422_workflow_not_allowed(self, opened: Opened) -> None:
        only = Allowlist((AllowedWorkflow(name="other"),))
        with opened(allowlist=only) as world:
            world.site.dataset("reads")
            answer = world.ask("POST", "/jobs", SORT)
            document = problem(answer, 422, "workflow-not-allowed")
            assert "'other'" in document["detail"]
            [item] = world.get("/workflows")["items"]
            assert (item["name"], item["available"]) == ("other", False)
            assert "no workflow named 'other'" in item["problem"]

    def test_422_galaxy_rejected_carries_galaxys_own_words_and_frees_the_key(
        self, world: World
    ) -> None:
        key = uuid4().hex
        world.galaxy.fail_next("invoke", RunRejected("no such tool", 400008))
        answer = world.ask("POST", "/jobs", SORT, Idempotency_Key=key)
        document = problem(answer, 422, "galaxy-rejected")
        assert document["galaxy_message"] == "no such tool"
        assert document["galaxy_code"] == 400008
        again = world.ask("POST", "/jobs", SORT, Idempotency_Key=key)
        assert again.status_code == 201

    def test_502_and_503_where_nothing_was_started(self, world: World) -> None:
        runs = len(world.galaxy.runs)
        refused = RunnerRefusedUs("Galaxy refuses the key.")
        world.galaxy.fail_next("invoke", refused)
        problem(world.ask("POST", "/jobs", SORT), 502, "galaxy-refused-us")
        down = RunnerUnavailable("Galaxy is down.", retry_after=7)
        world.galaxy.fail_next("invoke", down)
        answer = world.ask("POST", "/jobs", SORT)
        problem(answer, 503, "galaxy-unavailable")
        assert answer.headers["retry-after"] == "7"
        assert len(world.galaxy.runs) == runs

    def test_504_and_409_until_the_outcome_is_known_and_the_submission_has_it(
        self, world: World
    ) -> None:
        key = uuid4().hex
        runs = len(world.galaxy.runs)
        world.galaxy.fail_next("invoke", OutcomeUnknown("lost"), after=True)
        lost = world.ask("POST", "/jobs", SORT, Idempotency_Key=key)
        id_ = problem(lost, 504, "outcome-unknown")["submission_id"]
        again = world.ask("POST", "/jobs", SORT, Idempotency_Key=key)
        assert problem(again, 409, "in-progress")["submission_id"] == id_
        assert int(again.headers["retry-after"]) >= 1
        submission = world.get(f"/submissions/{id_}")
        assert in_order(submission) == in_order(
            {
                "submission_id": id_,
                "state": "unknown",
                "invocation_id": None,
                "problem": None,
            }
        )

        def accepted() -> Any:
            world.sweep()
            submission = world.get(f"/submissions/{id_}")
            return submission if submission["state"] != "unknown" else None

        submission = until(accepted)
        assert submission["state"] == "accepted"
        assert submission["invocation_id"] == world.galaxy.runs[runs].invocation_id
        replay = world.ask("POST", "/jobs", SORT, Idempotency_Key=key)
        assert replay.json()["invocation_id"] == submission["invocation_id"]
        assert len(world.galaxy.runs) == runs + 1

    # --- submissions ----------------------------------------------------------------

    def test_a_submission_that_was_rejected_has_the_problem(self, world: World) -> None:
        now = datetime.now(UTC)
        begun = Submission(
            submission_id=SubmissionId(uuid4()),
            identity=WHO,
            request=Request(dataset_id=DatasetId("reads"), workflow_name="sort"),
            created_at=now,
            updated_at=now,
        )
        why = Problem(
            "galaxy-rejected", "Galaxy refused: no.", {"galaxy_message": "no"}
        )
        submissions = world.container.submissions()
        submissions.open(begun, deadline=DAY, key_lifetime=DAY)
        path = f"/submissions/{begun.submission_id}"
        assert world.get(path) == {
            "submission_id": str(begun.submission_id),
            "state": "submitting",
            "invocation_id": None,
            "problem": None,
        }
        submissions.save(begun, begun.rejected(why, now), look_in=None)
        submission = world.get(path)
        assert submission["state"] == "rejected"
        assert submission["problem"] == {
            "type": "urn:galaxy-jobs:problem:galaxy-rejected",
            "title": "Galaxy rejected",
            "status": 422,
            "detail": "Galaxy refused: no.",
            "galaxy_message": "no",
        }

    # --- labels -----------------------------------------------------------------------

    def test_labels_are_shown_changed_and_inherited(self, world: World) -> None:
        labels = {"project": "plate-7", "a/b.c-d_e": "x:y 日本"}
        id_ = world.submit(labels=labels)
        job = world.get(f"/jobs/{id_}")
        assert job["labels"] == labels
        listed = world.get("/jobs?limit=1")["items"][0]
        assert (listed["invocation_id"], listed["labels"]) == (id_, labels)
        before = world.ask("GET", "/jobs?limit=1").headers["etag"]
        patches: tuple[tuple[dict[str, object], dict[str, str]], ...] = (
            ({}, labels),
            ({"labels": {}}, labels),
            ({"labels": {"project": None, "none": None}}, {"a/b.c-d_e": "x:y 日本"}),
            ({"labels": {"a/b.c-d_e": "", "n": "1"}}, {"a/b.c-d_e": "", "n": "1"}),
            ({"labels": None}, {}),
            ({"labels": {"kept": "yes"}}, {"kept": "yes"}),
        )
        for patch, after in patches:
            answer = world.ask("PATCH", f"/jobs/{id_}", patch)
            assert answer.status_code == 200, answer.text
            assert answer.json()["labels"] == after
            assert world.get(f"/jobs/{id_}")["labels"] == after
        assert world.ask("GET", "/jobs?limit=1").headers["etag"] != before
        again = world.ask("POST", f"/jobs/{id_}/rerun", idempotency_key="labels")
        rerun = world.get(again.headers["location"])
        assert rerun["labels"] == {"kept": "yes"}
        # Repeated after a change, it is still known.
        world.ask("PATCH", f"/jobs/{id_}", {"labels": {"kept": "no"}})
        repeated = world.ask("POST", f"/jobs/{id_}/rerun", idempotency_key="labels")
        assert repeated.headers["idempotent-replayed"] == "true"
        assert repeated.json() == again.json()

    def test_wrong_labels_are_refused(self, world: World) -> None:
        id_ = world.submit(labels={"k": "v"})
        many = {f"k{n}": "v" for n in range(33)}
        wrong: object
        for wrong in (
            [],
            "a",
            1,
            {"a": 1},
            {"a": ["b"]},
            {"a": {}},
            {"": "b"},
            {"a b": "c"},
            {"ä": "c"},
            {"a\x1b": "c"},
            {"a" * 64: "b"},
            {"a": "b" * 256},
            {"a": "b\u0000"},
            {"a": "b\n"},
            many,
        ):
            wish: object = {**SORT, "labels": wrong}
            problem(world.ask("POST", "/jobs", wish), 400, "malformed-request")
            answer = world.ask("PATCH", f"/jobs/{id_}", {"labels": wrong})
            problem(answer, 400, "malformed-request")
        for body in ({**SORT, "labels": None}, {**SORT, "labels": {"a": None}}):
            problem(world.ask("POST", "/jobs", body), 400, "malformed-request")
        answer = world.ask("PATCH", f"/jobs/{id_}", {"state": "failed"})
        problem(answer, 400, "malformed-request")
        for kind in ("application/json", "text/plain", "application/json-patch+json"):
            answer = world.ask("PATCH", f"/jobs/{id_}", {}, content_type=kind)
            problem(answer, 415, "unsupported-media-type")
        answer = world.ask("PATCH", "/jobs/none", {"labels": {"a": "b"}})
        problem(answer, 404, "job-not-found")
        assert world.get(f"/jobs/{id_}")["labels"] == {"k": "v"}

    def test_lists_are_filtered_by_labels_times_and_a_text(self, world: World) -> None:
        mark = uuid4().hex
        dataset = f"searched {mark}"
        world.site.dataset(dataset, f"Sample of {mark[:20]} MAI")
        ids = []
        for n in range(5):
            labels = {"mark": mark, "even": str(n % 2 == 0), "n": f"no. {n}"}
            ago = timedelta(hours=5 - n)
            ids.append(world.site.job(f"w{n % 3}", dataset, ago=ago, labels=labels))
        made = [world.get(f"/jobs/{id_}")["created_at"] for id_ in ids]
        for query, found in (
            (f"label=mark:{mark}", "43210"),
            (f"label=mark:{mark}&label=even:True", "420"),
            (f"label=mark:{mark}&label=even:true", ""),
            (f"label=mark:{mark}&state=failed", ""),
            (f"label=mark:{mark}&state=queued&workflow_name=w0", "30"),
            (f"label=mark:{mark}&dataset_id={quote(dataset)}&label=n:no.%203", "3"),
            (f"label=mark:{mark}&owner=none", ""),
            (f"label=mark:{mark}&created_after={made[1]}", "4321"),
            (f"label=mark:{mark}&created_before={made[1]}", "0"),
            (f"dataset_id={quote(dataset)}&created_after={made[3]}", "43"),
            (f"search={mark}", "43210"),
            (f"search={mark[:20].upper()}%20mai", "43210"),
            (f"search=NO.%203&label=mark:{mark}", "3"),
            (f"search=W1&dataset_id={quote(dataset)}", "41"),
            (f"search={ids[2][:14]}", "2"),
            (f"search={ids[2][1:]}", ""),
            ("search=%25%5C_none", ""),
        ):
            listed: list[str] = []
            cursor = ""
            while True:
                page = world.get(f"/jobs?limit=2&{query}{cursor}")
                listed += [job["invocation_id"] for job in page["items"]]
                if page["next_cursor"] is None:
                    break
                cursor = f"&cursor={page['next_cursor']}"
            assert listed == [ids[int(n)] for n in found], query
        page = world.get(f"/jobs?limit=2&label=mark:{mark}")
        other = f"/jobs?limit=2&label=even:True&cursor={page['next_cursor']}"
        problem(world.ask("GET", other), 400, "malformed-request")

    @pytest.mark.parametrize(
        "query",
        [
            "label=a",
            "label=:a",
            "label=a%20b:c",
            "label=a:%0A",
            "label=a:1&label=a:2",
            "created_after=2026-01-02",
            "created_after=2026-01-02T00:00:00",
            "created_after=1767312000",
            "created_before=yesterday",
            "created_after=2026-01-02T00:00:00Z&created_before=2026-01-02T00:00:00Z",
            "created_after=2026-01-02T00:00:00Z&created_after=2026-01-03T00:00:00Z",
            "search=" + "x" * 256,
            "&".join(f"label=k{n}:v" for n in range(33)),
        ],
    )
    def test_a_filter_that_cannot_be_is_refused(self, world: World, query: str) -> None:
        problem(world.ask("GET", f"/jobs?{query}"), 400, "malformed-request")

    # --- many jobs --------------------------------------------------------------------

    def test_many_jobs_are_cancelled_or_run_again(self, world: World) -> None:
        mark = uuid4().hex
        ids = [world.submit(labels={"many": mark}) for _ in range(3)][::-1]
        query = f"label=many:{mark}"
        for name in ("cancel", "rerun"):
            for at_most, dry_run in ((2, "false"), (2, "true")):
                path = f"/jobs/{name}?{query}&at_most={at_most}&dry_run={dry_run}"
                refused = problem(world.ask("POST", path), 409, "too-many-jobs")
                assert refused["at_most"] == at_most
            answer = world.ask("POST", f"/jobs/{name}?{query}&at_most=3&dry_run=true")
            assert answer.status_code == 200, answer.text
            shown = answer.json()
            assert [shown[each] for each in ("dry_run", "matching", "done")] == [
                True,
                3,
                0,
            ]
            assert shown["items"][0] == {
                "invocation_id": ids[0],
                "dataset_id": "reads",
                "workflow_name": "sort",
                "state": "queued",
                "done": False,
                "new_invocation_id": None,
                "problem": None,
            }
            for wrong in (
                query,
                f"{query}&at_most=0",
                f"{query}&at_most=1001",
                f"{query}&at_most=x",
                f"{query}&at_most=3&dry_run=2",
                f"{query}&at_most=3&limit=2",
                f"{query}&at_most=3&label=many:x",
            ):
                answer = world.ask("POST", f"/jobs/{name}?{wrong}")
                problem(answer, 400, "malformed-request")
            nothing = world.ask("POST", f"/jobs/{name}?label=many:none&at_most=1")
            assert nothing.json() == {
                "dry_run": False,
                "matching": 0,
                "done": 0,
                "items": [],
            }
        path = f"/jobs/rerun?{query}&at_most=3"
        body = {"parameters": {"n": 4}}
        first, again = (
            world.ask("POST", path, body, idempotency_key=mark).json() for _ in range(2)
        )
        assert first == again
        made = [item["new_invocation_id"] for item in first["items"]]
        assert [world.get(f"/jobs/{id_}")["rerun_of"] for id_ in made] == ids
        assert world.get(f"/jobs/{made[0]}")["parameters"] == body["parameters"]
        answer = world.ask("POST", path, {"parameter": {}})
        problem(answer, 400, "malformed-request")
        unknown: tuple[Any, ...] = ({"dry_run": True}, {"label": "many:none"}, [])
        for more in unknown:
            answer = world.ask("POST", f"/jobs/cancel?{query}&at_most=6", more)
            problem(answer, 400, "malformed-request")
        cancelled = world.ask("POST", f"/jobs/cancel?{query}&at_most=6", {}).json()
        assert (cancelled["matching"], cancelled["done"]) == (6, 6)
        assert {item["state"] for item in cancelled["items"]} == {"cancelling"}
        for id_ in ids:
            world.ended(id_)

    # --- jobs, looked at ------------------------------------------------------------

    def test_a_job_has_every_field_in_order_and_its_history_every_change(
        self, world: World
    ) -> None:
        dataset = f"every field {uuid4()}"
        world.site.dataset(dataset)
        earlier = world.site.job("w", dataset)
        progress = Progress(total=4, ok=1, running=0, waiting=0, failed=3)
        failure = Failure(
            reason="job-failed",
            step="sort",
            step_index=1,
            path=("outer", "sort"),
            element="plate-1/sample-07",
            tool="sort1",
            exit_code=2,
            stderr="sort: no such key",
            message=None,
        )
        steps = (
            StepSummary(index=0, label="input", tool=None, state="ok", jobs={}),
            StepSummary(
                index=1,
                label="sort",
                tool="sort1",
                state="failed",
                jobs={"blocked": 2, "error": 1},
            ),
        )
        parameters = {"n": 3, "second": {"dataset_id": "d2"}}
        id_ = world.site.job(
            "w",
            dataset,
            Sighting(
                state=InvocationState.FAILED,
                galaxy_state="completed",
                progress=progress,
                failure=failure,
                steps=steps,
                attention="A note for people.",
            ),
            ago=timedelta(hours=1),
            parameters=parameters,
            overwrite=True,
            rerun_of=earlier,
            labels={"project": "plate-7"},
        )
        later = world.site.job("w", dataset, overwrite=True)
        stored = world.container.invocations().get(id_, SERVICE)
        counts = {"total": 4, "ok": 1, "running": 0, "waiting": 0, "failed": 3}
        listed = {
            "invocation_id": id_,
            "dataset_id": dataset,
            "workflow_name": "w",
            "workflow_id": None,
            "workflow_version": None,
            "version_note": None,
            "state": "failed",
            "galaxy_state": "completed",
            "parameters": parameters,
            "parameters_truncated": False,
            "overwrite": True,
            "rerun_of": earlier,
            "superseded_by": later,
            "labels": {"project": "plate-7"},
            "created_at": as_text(stored.created_at),
            "updated_at": as_text(stored.updated_at),
            "observed_at": as_text(stored.observed_at),
            "stale": False,
            "results": "kept",
            "results_deleted_at": None,
            "attention": "A note for people.",
            "owner": None,
            "progress": {**counts, "blocked": 2},
            "failure": {
                "reason": "job-failed",
                "step": "sort",
                "step_index": 1,
                "path": ["outer", "sort"],
                "element": "plate-1/sample-07",
                "tool": "sort1",
                "exit_code": 2,
                "stderr": "sort: no such key",
                "message": None,
            },
        }
        detailed = {
            **listed,
            "dataset_input": None,
            "use_cached_job": None,
            "request": None,
            "intermediates_deleted_at": None,
            "steps": [
                {"index": 0, "label": "input", "tool": None, "state": "ok", "jobs": {}},
                {
                    "index": 1,
                    "label": "sort",
                    "tool": "sort1",
                    "state": "failed",
                    "jobs": {"blocked": 2, "error": 1},
                },
            ],
            "history_id": stored.history_id,
        }
        assert in_order(world.get(f"/jobs/{id_}")) == in_order(detailed)
        page = world.get(f"/jobs?state=failed&dataset_id={quote(dataset)}")
        assert page == {"items": [listed], "next_cursor": None}
        assert list(page["items"][0]) == LISTED
        history = world.get(f"/jobs/{id_}/history")
        first, second = history["items"]
        assert first["id"] < second["id"]
        none = dict.fromkeys([*counts, "blocked"], 0)
        assert in_order(history) == in_order(
            {
                "items": [
                    {
                        "id": first["id"],
                        "from_state": None,
                        "to_state": "queued",
                        "at": as_text(stored.created_at),
                        "galaxy_state": first["galaxy_state"],
                        "progress": none,
                        "failure": None,
                        "reopened": False,
                    },
                    {
                        "id": second["id"],
                        "from_state": "queued",
                        "to_state": "failed",
                        "at": as_text(stored.observed_at),
                        "galaxy_state": "completed",
                        "progress": listed["progress"],
                        "failure": listed["failure"],
                        "reopened": False,
                    },
                ],
                "next_cursor": None,
            }
        )

    def test_a_job_that_ran_has_all_that_was_promised(self, world: World) -> None:
        id_ = world.submit(parameters={"n": 3})
        job = world.ended(id_)
        assert list(job) == JOB
        assert (job["invocation_id"], job["dataset_id"]) == (id_, "reads")
        assert (job["workflow_name"], job["state"]) == ("sort", "completed")
        assert (job["parameters"], job["overwrite"]) == ({"n": 3}, False)
        for name in ("created_at", "updated_at", "observed_at"):
            assert TIME.fullmatch(job[name])
        assert (job["stale"], job["attention"], job["failure"]) == (False, None, None)
        counts = ["total", "ok", "running", "waiting", "failed", "blocked"]
        assert list(job["progress"]) == counts
        for step in job["steps"]:
            assert list(step) == ["index", "label", "tool", "state", "jobs"]

    def test_a_failed_job_says_where_and_why(self, world: World) -> None:
        job = world.ended(world.submit(workflow_name="fails"))
        assert (job["state"], job["galaxy_state"]) == ("failed", "completed")
        failure = job["failure"]
        assert list(failure) == [
            "reason",
            "step",
            "step_index",
            "path",
            "element",
            "tool",
            "exit_code",
            "stderr",
            "message",
        ]
        assert (failure["step"], failure["tool"]) == ("sort", "sort1")
        assert (failure["exit_code"], failure["stderr"]) == (2, "no such key")

    def test_a_job_that_was_not_observed_for_long_is_stale_until_it_has_ended(
        self, world: World
    ) -> None:
        id_ = world.submit()
        until(lambda: world.get(f"/jobs/{id_}")["stale"])
        (listed,) = world.get("/jobs?workflow_name=sort&limit=1")["items"]
        assert (listed["invocation_id"], listed["stale"]) == (id_, True)
        assert world.ended(id_)["stale"] is False

    def test_its_history_and_its_outputs(self, world: World) -> None:
        id_ = world.submit()
        world.ended(id_)
        history = world.get(f"/jobs/{id_}/history")
        assert history["next_cursor"] is None
        changes = [(item["from_state"], item["to_state"]) for item in history["items"]]
        assert changes[0] == (None, "queued")
        assert changes[-1][1] == "completed"
        for item in history["items"]:
            assert list(item)[:4] == ["id", "from_state", "to_state", "at"]
        assert in_order(world.get(f"/jobs/{id_}/outputs")) == in_order(
            {
                "items": [
                    {
                        "label": "lines",
                        "src": "hda",
                        "id": "o1",
                        "name": "n",
                        "extension": "txt",
                        "size": 10,
                        "state": "ok",
                        "hidden": False,
                        "value": None,
                        "file": "lines.txt",
                        "elements": [],
                        "element_count": 0,
                    },
                    {
                        "label": "parts",
                        "src": "hdca",
                        "id": "o2",
                        "name": None,
                        "extension": None,
                        "size": None,
                        "state": "error",
                        "hidden": False,
                        "value": None,
                        "file": None,
                        "elements": [
                            element(
                                "plate-1",
                                element(
                                    "a",
                                    id="o3",
                                    state="ok",
                                    size=3,
                                    file="parts/plate-1/a",
                                ),
                                element(
                                    "b", id="o4", state="error", file="parts/plate-1/b"
                                ),
                            )
                        ],
                        "element_count": 2,
                    },
                ],
                "next_cursor": None,
            }
        )

    # --- downloads -------------------------------------------------------------------

    def test_an_output_is_downloaded(self, world: World) -> None:
        world.ended(id_ := world.submit())
        path = f"/jobs/{id_}/outputs/lines"
        whole, head = world.ask("GET", path), world.ask("HEAD", path)
        assert (whole.status_code, whole.content) == (200, b"0123456789")
        assert (head.status_code, head.content) == (200, b"")
        expected = {
            "accept-ranges": "bytes",
            "cache-control": "private, no-cache",
            "content-disposition": 'attachment; filename="lines.txt"; '
            "filename*=UTF-8''lines.txt",
            "content-length": "10",
            "content-security-policy": "sandbox",
            "content-type": "application/octet-stream",
            "etag": whole.headers["etag"],
            "referrer-policy": "no-referrer",
            "x-content-type-options": "nosniff",
        }
        for answer in (whole, head):
            assert {name: answer.headers[name] for name in expected} == expected
        assert whole.headers["etag"].startswith('"')

    @pytest.mark.parametrize(
        ("asked", "status", "content", "content_range"),
        [
            ("bytes=0-0", 206, b"0", "bytes 0-0/10"),
            ("bytes=2-4", 206, b"234", "bytes 2-4/10"),
            ("BYTES = 2-4", 206, b"234", "bytes 2-4/10"),
            ("bytes=7-", 206, b"789", "bytes 7-9/10"),
            ("bytes=7-1000", 206, b"789", "bytes 7-9/10"),
            ("bytes=-3", 206, b"789", "bytes 7-9/10"),
            ("bytes=-1000", 206, b"0123456789", "bytes 0-9/10"),
            ("bytes=10-", 416, None, "bytes */10"),
            ("bytes=10-12", 416, None, "bytes */10"),
            ("bytes=-0", 416, None, "bytes */10"),
            *(
                (ignored, 200, b"0123456789", None)
                for ignored in (
                    "bytes=4-2",
                    "bytes=-",
                    "bytes=",
                    "bytes",
                    "bytes=a-b",
                    "bytes=1.5-2",
                    "bytes=--3",
                    "bytes=+1-2",
                    "lines=1-2",
                    "bytes=0-1,3-4",
                    "bytes=0-4,2-6",
                    "bytes=0-99999999999999999999999",
                )
            ),
        ],
    )
    def test_a_range_of_an_output(
        self,
        world: World,
        asked: str,
        status: int,
        content: bytes | None,
        content_range: str | None,
    ) -> None:
        world.ended(id_ := world.submit())
        path = f"/jobs/{id_}/outputs/lines"
        answer = world.ask("GET", path, Range=asked)
        assert answer.status_code == status
        assert answer.headers.get("content-range") == content_range
        if content is None:
            problem(answer, 416, "range-not-satisfiable")
        else:
            assert answer.content == content
            assert answer.headers["content-length"] == str(len(content))
        # A range is of a GET (RFC 9110, 14.2).
        head = world.ask("HEAD", path, Range=asked)
        assert (head.status_code, head.headers["content-length"]) == (200, "10")

    def test_conditions_on_an_output(self, world: World) -> None:
        world.ended(id_ := world.submit())
        path = f"/jobs/{id_}/outputs/lines"
        etag = world.ask("GET", path).headers["etag"]
        other = '"other"'
        part = {"Range": "bytes=1-2"}
        for headers, status in (
            ({"If_Match": etag}, 200),
            ({"If_Match": f"{other}, {etag}"}, 200),
            ({"If_Match": "*"}, 200),
            ({"If_Match": other}, 412),
            ({"If_Match": f"W/{etag}"}, 412),
            ({"If_Match": other, "If_None_Match": etag}, 412),
            ({"If_None_Match": etag}, 304),
            ({"If_None_Match": f"W/{etag}"}, 304),
            ({"If_None_Match": "*"}, 304),
            ({"If_None_Match": other}, 200),
            ({"If_None_Match": etag, **part}, 304),
            ({"If_Range": etag, **part}, 206),
            ({"If_Range": other, **part}, 200),
            ({"If_Range": f"W/{etag}", **part}, 200),
            ({"If_Range": "Thu, 26 Nov 2026 00:00:00 GMT", **part}, 200),
        ):
            answer = world.ask("GET", path, **headers)
            assert answer.status_code == status, headers
            if status == 412:
                problem(answer, 412, "precondition-failed")
            else:
                assert answer.headers["etag"] == etag
        # Galaxy has another file there by now.
        world.galaxy.file_contents["o1"] = b"9876543210"
        answer = world.ask("GET", path, If_Range=etag, **part)
        assert (answer.status_code, answer.content) == (200, b"9876543210")
        problem(world.ask("GET", path, If_Match=etag), 412, "precondition-failed")
        world.galaxy.file_contents["o1"] = b"0123456789"  # other tests share it

    @pytest.mark.parametrize(
        ("path", "status", "found"),
        [
            ("a%2Fb%20%22c%22%0A%C3%A4", 200, b"one"),
            ("both", 200, b"two"),
            ("both/x%2Fy", 200, b"4"),
            ("out1%20%28Step%203%29", 200, b""),
            ("both/x/y", 404, "output-not-found"),
            ("both/x", 404, "output-not-found"),
            ("both/", 200, b"two"),
            ("score", 404, "output-not-found"),
            ("none", 404, "output-not-found"),
            ("both/..%2Fboth", 404, "output-not-found"),
            ("vanished", 404, "output-not-found"),
            ("deleted", 410, "results-deleted"),
            ("purged", 410, "results-deleted"),
            ("running", 409, "output-not-ready"),
            ("%00", 404, "not-found"),
            ("%ff", 404, "not-found"),
            ("x/" * 30, 404, "output-not-found"),
        ],
    )
    def test_outputs_of_every_kind(
        self, world: World, path: str, status: int, found: bytes | str
    ) -> None:
        world.ended(id_ := world.submit(workflow_name="sorts"))
        answer = world.ask("GET", f"/jobs/{id_}/outputs/{path}")
        assert answer.status_code == status, answer.text
        if isinstance(found, str):
            problem(answer, status, found)
        else:
            assert answer.content == found
            assert "\n" not in answer.headers["content-disposition"]
        if path.startswith("a%2Fb"):
            assert answer.headers["content-disposition"] == (
                'attachment; filename="a_b_c_ä.txt"; '
                "filename*=UTF-8''a_b_c_%C3%A4.txt"
            ).replace("ä", "_")

    def test_outputs_of_every_kind_are_listed(self, world: World) -> None:
        world.ended(id_ := world.submit(workflow_name="sorts"))
        items = world.get(f"/jobs/{id_}/outputs")["items"]
        assert [(item["label"], item["src"], item["state"]) for item in items] == [
            (output.label, output.src, output.state) for output in SORTS
        ]
        assert {item["label"] for item in items if item["hidden"]} == {"both"}
        (score,) = (item for item in items if item["src"] == "value")
        assert (score["id"], score["value"]) == (None, {"q": 0.5})
        (both,) = (item for item in items if item["element_count"])
        assert both["elements"] == [
            element("x/y", id="s4", state="ok", file="both/x_y")
        ]
        items = world.get(f"/jobs/{id_}/outputs?first_element=1")["items"]
        assert all(item["elements"] == [] for item in items)

    def test_a_file_that_cannot_be_read_is_no_answer(self, world: World) -> None:
        world.ended(id_ := world.submit())
        path = f"/jobs/{id_}/outputs/lines"
        world.galaxy.fail_next("read", RunnerUnavailable("Galaxy is down."))
        problem(world.ask("GET", path), 503, "galaxy-unavailable")
        assert world.ask("GET", path).content == b"0123456789"
        problem(world.ask("GET", "/jobs/none/outputs/lines"), 404, "job-not-found")

    def test_a_zip_of_outputs(self, world: World) -> None:
        world.ended(id_ := world.submit(workflow_name="plates"))
        path = f"/jobs/{id_}/outputs.zip"
        whole, head = world.ask("GET", path), world.ask("HEAD", path)
        assert whole.status_code == head.status_code == 200
        assert whole.headers["content-type"] == "application/zip"
        assert whole.headers["content-disposition"].startswith(
            f'attachment; filename="{id_}.zip"'
        )
        length = str(len(whole.content))
        assert whole.headers["content-length"] == length
        assert head.headers["content-length"] == length
        assert unzipped(whole) == {
            "lines.txt": b"0123456789",
            "plates/1_a/x.txt": b"p1",
            "plates/1_a/y": b"p2",
            "plates/1_a/X (2).txt": b"p3",
        }
        some = world.ask("GET", f"{path}?label=lines")
        assert unzipped(some) == {"lines.txt": b"0123456789"}
        assert 'filename="lines.zip"' in some.headers["content-disposition"]

    def test_a_crate_is_made_once_for_all_who_ask(self, world: World) -> None:
        id_ = world.submit()
        path = f"/jobs/{id_}/ro-crate"
        problem(world.ask("GET", path), 409, "output-not-ready")
        world.ended(id_)
        begun = world.galaxy.calls["begin_export"]
        world.galaxy.fail_next("begin_export", RunnerUnavailable("Galaxy is down."))
        problem(world.ask("GET", path), 503, "galaxy-unavailable")
        for method in ("GET", "HEAD", "GET"):
            answer = world.ask(method, path)
            assert (answer.status_code, answer.content) == (202, b"")
            assert answer.headers["retry-after"] == "2"
        assert world.galaxy.calls["begin_export"] == begun + 2
        world.galaxy.file_contents[f"export of {id_}"] = b"a crate"
        answer = world.ask("GET", path)
        assert (answer.status_code, answer.content) == (200, b"a crate")
        assert answer.headers["content-type"] == "application/zip"
        assert answer.headers["content-length"] == "7"
        assert answer.headers["content-disposition"].startswith(
            f'attachment; filename="{id_}.rocrate.zip"'
        )
        assert world.ask("HEAD", path).headers["content-length"] == "7"
        rest = {"Range": "bytes=2-", "If-Range": answer.headers["etag"]}
        part = world.ask("GET", path, **rest)
        assert (part.status_code, part.content) == (206, b"crate")
        world.galaxy.fail_next("find_export", RunRejected("It could not be made."))
        problem(world.ask("GET", path), 422, "galaxy-rejected")
        assert world.ask("GET", path).status_code == 200
        assert world.galaxy.calls["begin_export"] == begun + 3
        problem(world.ask("GET", "/jobs/none/ro-crate"), 404, "job-not-found")

    @pytest.mark.parametrize(
        ("workflow", "query", "status", "code"),
        [
            ("sort", "", 409, "output-not-ready"),
            ("sort", "?label=parts", 409, "output-not-ready"),
            ("sorts", "", 410, "results-deleted"),
            ("sorts", "?label=both&label=none", 404, "output-not-found"),
            ("sorts", "?label=score", 404, "output-not-found"),
            ("sorts", "?label=vanished", 404, "output-not-found"),
            ("fails", "", 404, "output-not-found"),
            ("sorts", "?labels=both", 400, "malformed-request"),
        ],
    )
    def test_nothing_is_left_out_of_a_zip(
        self, world: World, workflow: str, query: str, status: int, code: str
    ) -> None:
        world.ended(id_ := world.submit(workflow_name=workflow))
        answer = world.ask("GET", f"/jobs/{id_}/outputs.zip{query}")
        problem(answer, status, code)

    def test_signed_links_open_one_file_until_they_expire(self, world: World) -> None:
        world.ended(id_ := world.submit())
        outputs = f"/jobs/{id_}/outputs"
        assert all("url" not in item for item in world.get(outputs)["items"])
        lines, parts = world.get(f"{outputs}?links=60")["items"]
        assert "url" not in parts
        a, b = parts["elements"][0]["elements"]
        assert "url" not in b  # it is not whole
        anyone = world.with_token("")
        for url, content in ((lines["url"], b"0123456789"), (a["url"], b"xyz")):
            answer = anyone.ask("GET", url)
            assert (answer.status_code, answer.content) == (200, content)
            assert anyone.ask("HEAD", url).status_code == 200
            assert anyone.ask("GET", url, Range="bytes=1-1").content == content[1:2]
        path, _, link = lines["url"].partition("?")
        other = world.submit()
        for bad in (
            f"{a['url'].partition('?')[0]}?{link}",
            f"/jobs/{other}/outputs/lines?{link}",
            f"{path}?{link[:-1]}",
            f"{path}?{link}A",
            f"{path}?link=",
            f"{path}?link=%C3%A4",
            f"{path}?link=e30",
        ):
            for method in ("GET", "HEAD"):
                assert anyone.ask(method, bad).status_code == 403, bad
            problem(anyone.ask("GET", bad), 403, "forbidden")
        for seconds in ("0", "604801", "-1", "x"):
            answer = world.ask("GET", f"{outputs}?links={seconds}")
            problem(answer, 400, "malformed-request")

    def test_a_signed_link_opens_an_output_of_any_label(self, world: World) -> None:
        world.ended(id_ := world.submit(workflow_name="sorts"))
        items = world.get(f"/jobs/{id_}/outputs?links=60")["items"]
        urls = [
            shown["url"]
            for item in items
            for shown in (item, *item["elements"])
            if "url" in shown
        ]
        assert urls[0].startswith(f"/jobs/{id_}/outputs/a%2Fb%20%22c%22%0A%C3%A4?link=")
        anyone = world.with_token("")
        for url, content in zip(urls, (b"one", b"two", b"4", b""), strict=False):
            answer, head = anyone.ask("GET", url), anyone.ask("HEAD", url)
            assert (answer.status_code, answer.content) == (200, content), url
            assert (head.status_code, head.content) == (200, b"")
            for name in ("content-disposition", "content-length"):
                assert head.headers[name] == answer.headers[name]
            assert answer.headers["content-disposition"].isprintable()
            if content:
                assert anyone.ask("GET", url, Range="bytes=0-0").status_code == 206
        # Another text that means the same to a reader of paths is not what was signed.
        slashes = urls[0].replace("a%2Fb", "a/b")
        assert anyone.ask("GET", slashes).status_code == 403

    def test_a_link_that_has_expired_opens_nothing(self, world: World) -> None:
        world.ended(id_ := world.submit())
        links = world.container.links()
        earlier = evolve(links, clock=lambda: links.clock() - timedelta(hours=1))
        job, file = (
            InvocationId(id_),
            domain.OutputFile(dataset_id="o1", path=("lines",)),
        )
        path = f"/jobs/{id_}/outputs/lines?link="
        for ttl, status in ((3601 + 60, 200), (3599, 403)):
            link = earlier.sign(job, file, None, timedelta(seconds=ttl))
            for method in ("GET", "HEAD"):
                answer = world.ask(method, path + link)
                assert answer.status_code == status, (method, ttl)
            part = world.ask("GET", path + link, Range="bytes=0-0")
            assert part.status_code == (206 if status == 200 else 403)
        problem(part, 403, "forbidden")

    def test_links_end_with_the_token_that_made_them(self, opened: Opened) -> None:
        with opened() as bare:
            world, container = furnished(bare), bare.container
            world.ended(id_ := world.submit(workflow_name="plates"))
            outputs = f"/jobs/{id_}/outputs?links=60"
            early = world.get(outputs)["items"][0]["url"]
            assert world.ask("GET", early).status_code == 200
            token = container.create_token()("links", Scope.SUBMIT).text
            until(lambda: world.ask("GET", "/jobs").status_code == 401)
            # Made while no token was needed.
            problem(world.ask("GET", early), 403, "forbidden")
            url = world.with_token(token).get(outputs)["items"][0]["url"]
            assert world.ask("GET", url).status_code == 200
            assert world.ask("GET", url.partition("?")[0]).status_code == 401
            container.revoke_token()("links")
            problem(world.ask("GET", url), 403, "forbidden")

    def test_outputs_that_galaxy_has_forgotten_are_404_gone(self, world: World) -> None:
        id_ = world.submit()
        world.ended(id_)
        world.galaxy.forget(InvocationId(id_))
        problem(world.ask("GET", f"/jobs/{id_}/outputs"), 404, "gone")

    def test_outputs_show_that_a_job_was_changed_after_its_end(
        self, world: World
    ) -> None:
        id_ = world.submit()
        assert world.ended(id_)["attention"] is None
        world.get(f"/jobs/{id_}/outputs")
        assert world.get(f"/jobs/{id_}")["attention"] is None
        world.galaxy.runs[-1].moment = FAILURE[-1]
        world.get(f"/jobs/{id_}/outputs")
        job = world.get(f"/jobs/{id_}")
        assert job["state"] == "completed"
        assert job["attention"].startswith("Changed in Galaxy after the end")
        assert world.ask("POST", f"/jobs/{id_}/refresh").json()["state"] == "failed"
        assert world.get(f"/jobs/{id_}")["attention"] is None

    def test_an_id_that_galaxy_gives_out_again_is_that_of_the_later_job(
        self, opened: Opened
    ) -> None:
        with opened() as world:
            world.galaxy.add_workflow("sort")
            world.site.dataset("reads")
            world.site.dataset("other")
            submitted = world.ask("POST", "/jobs", SORT, Idempotency_Key="k")
            id_ = submitted.json()["invocation_id"]
            earlier = world.ended(id_)
            listed = world.ask("GET", "/jobs")
            world.galaxy.wipe()

            assert world.submit(dataset_id="other") == id_
            assert world.get(f"/jobs/{id_}")["dataset_id"] == "other"
            assert len(world.get(f"/jobs/{id_}/history")["items"]) == 1
            newest, gone = world.get("/jobs")["items"]
            assert (newest["invocation_id"], newest["dataset_id"]) == (id_, "other")
            assert (gone["dataset_id"], gone["state"]) == ("reads", "completed")
            assert gone["galaxy_state"] == "gone"
            assert id_ in gone["attention"]
            assert gone["progress"] == earlier["progress"]
            path = f"/jobs/{quote(gone['invocation_id'], safe='')}"
            assert world.get(path)["dataset_id"] == "reads"
            assert len(world.get(f"{path}/history")["items"]) > 1
            problem(world.ask("GET", f"{path}/outputs"), 404, "gone")
            problem(world.ask("POST", f"{path}/refresh"), 404, "gone")
            known = listed.headers["etag"]
            assert world.ask("GET", "/jobs", If_None_Match=known).status_code == 200
            repeated = world.ask("POST", "/jobs", SORT, Idempotency_Key="k")
            assert repeated.headers["idempotent-replayed"] == "true"
            assert repeated.json()["invocation_id"] == gone["invocation_id"]
            assert world.ended(id_)["state"] == "completed"
            again = world.ask("POST", f"{path}/rerun").json()["invocation_id"]
            assert world.get(f"/jobs/{again}")["rerun_of"] == gone["invocation_id"]

    def test_an_id_that_another_galaxy_gives_out_too_is_that_of_the_later_job(
        self, opened: Opened
    ) -> None:
        with opened() as world:
            world.galaxy.add_workflow("sort")
            world.site.dataset("reads")
            world.site.dataset("other")
            here = world.galaxy.who
            id_ = world.submit()
            world.galaxy.wipe()
            world.galaxy.who = Identity("http://another.simulated", "user")
            world.container.whoami().ask()

            assert world.submit(dataset_id="other") == id_
            assert world.ended(id_)["dataset_id"] == "other"
            newest, earlier = world.get("/jobs")["items"]
            assert (newest["invocation_id"], newest["state"]) == (id_, "completed")
            assert (earlier["dataset_id"], earlier["state"]) == ("reads", "queued")
            path = f"/jobs/{quote(earlier['invocation_id'], safe='')}"
            problem(world.ask("GET", f"{path}/outputs"), 404, "gone")
            # Its own Galaxy still has it, and its pollers follow it.
            world.galaxy.who = here
            assert world.ended(quote(earlier["invocation_id"]))["state"] == "completed"
            assert len(world.get(f"{path}/history")["items"]) > 1

    def test_a_list_runs_from_the_newest_and_takes_filters_together(
        self, world: World
    ) -> None:
        world.site.dataset("list/1")
        submitted = [
            world.submit(dataset_id="list/1", parameters={"n": n}) for n in (1, 2, 3)
        ]
        page = world.get("/jobs?dataset_id=list%2F1&limit=2")
        assert list(page) == ["items", "next_cursor"]
        assert ids(page) == submitted[:0:-1]
        assert list(page["items"][0]) == LISTED
        added = world.submit(dataset_id="list/1")
        rest = world.get(
            f"/jobs?dataset_id=list%2F1&limit=2&cursor={page['next_cursor']}"
        )
        assert ids(rest) == submitted[:1]
        assert rest["next_cursor"] is None
        elsewhere = f"/jobs?dataset_id=reads&limit=2&cursor={page['next_cursor']}"
        problem(world.ask("GET", elsewhere), 400, "malformed-request")
        other = world.submit(dataset_id="list/1", workflow_name="QC / count")
        states = "state=queued&state=in_progress"
        sorting = f"/jobs?dataset_id=list%2F1&workflow_name=sort&{states}&limit=200"
        assert ids(world.get(sorting)) == [added, *submitted[::-1]]
        counting = "/jobs?dataset_id=list%2F1&workflow_name=QC+%2F%20count"
        assert ids(world.get(counting)) == [other]
        fails = "/jobs?dataset_id=list%2F1&workflow_name=fails"
        assert world.get(fails)["items"] == []
        assert world.get("/jobs?dataset_id=list%2F1&state=failed")["items"] == []

    def test_a_cursor_goes_with_its_filter_whatever_the_order_and_the_limit(
        self, world: World
    ) -> None:
        world.site.dataset("cursor")
        submitted = [world.submit(dataset_id="cursor") for _ in range(3)]
        here = "/jobs?dataset_id=cursor"
        page = world.get(f"{here}&state=queued&state=failed&limit=1")
        cursor = page["next_cursor"]
        rest = world.get(f"{here}&state=failed&state=queued&limit=7&cursor={cursor}")
        assert ids(rest) == submitted[1::-1]
        other = world.ask("GET", f"{here}&state=failed&cursor={cursor}")
        assert "Bad cursor" in problem(other, 400, "malformed-request")["detail"]

    def test_pages_have_every_job_once_while_new_ones_come(self, world: World) -> None:
        world.site.dataset("pages")
        submitted = [world.submit(dataset_id="pages") for _ in range(7)]
        seen: list[str] = []
        here = "/jobs?limit=3&dataset_id=pages"
        path: str | None = here
        while path:
            page = world.get(path)
            seen += ids(page)
            world.submit(dataset_id="pages")
            cursor = page["next_cursor"]
            path = cursor and f"{here}&cursor={cursor}"
        assert seen == submitted[::-1]

    def test_reads_do_not_need_galaxy(self, opened: Opened) -> None:
        with opened() as world:
            world.galaxy.add_workflow("sort")
            world.site.dataset("reads")
            submitted = world.ask("POST", "/jobs", SORT, Idempotency_Key="k")
            id_ = submitted.json()["invocation_id"]
            world.galaxy.outage = RunnerUnavailable("Galaxy is down.", retry_after=30)
            assert world.get(f"/jobs/{id_}")["stale"] is False
            for path in ("/jobs", f"/jobs/{id_}/history", "/datasets"):
                world.get(path)
            assert world.ask("POST", "/jobs", SORT, Idempotency_Key="k").is_success
            answer = world.ask("GET", f"/jobs/{id_}/outputs")
            problem(answer, 503, "galaxy-unavailable")
            answer = world.ask("POST", f"/jobs/{id_}/refresh")
            problem(answer, 503, "galaxy-unavailable")
            answer = world.ask("POST", "/jobs", SORT)
            problem(answer, 503, "galaxy-unavailable")
            assert answer.headers["retry-after"] == "30"
            assert len(world.galaxy.runs) == 1

    # --- jobs, acted on -------------------------------------------------------------

    def test_a_job_is_cancelled_and_cancelling_again_is_fine(
        self, world: World
    ) -> None:
        id_ = world.submit()
        for _ in range(2):
            answer = world.ask("POST", f"/jobs/{id_}/cancel")
            assert (answer.status_code, answer.json()["state"]) == (202, "cancelling")
            assert list(answer.json()) == JOB
        assert world.ended(id_)["state"] == "cancelled"
        again = world.ask("POST", f"/jobs/{id_}/cancel")
        assert (again.status_code, again.json()["state"]) == (202, "cancelled")

    def test_a_job_is_looked_at_again(self, world: World) -> None:
        id_ = world.submit()
        ended = world.ended(id_)
        answer = world.ask("POST", f"/jobs/{id_}/refresh")
        assert answer.status_code == 200
        assert list(answer.json()) == JOB
        again = {**answer.json(), "observed_at": ended["observed_at"]}
        assert again == ended
        history = world.get(f"/jobs/{id_}/history")["items"]
        assert not any(item["reopened"] for item in history)
        world.galaxy.forget(InvocationId(id_))
        problem(world.ask("POST", f"/jobs/{id_}/refresh"), 404, "gone")
        assert world.get(f"/jobs/{id_}")["state"] == "completed"

    def test_results_are_deleted_and_the_job_stays(self, world: World) -> None:
        id_ = world.submit(workflow_name="purges")
        path = f"/jobs/{id_}/results"
        document = problem(world.ask("DELETE", path), 409, "not-ended")
        assert "has not ended" in document["detail"]
        ended = world.ended(id_)
        assert (ended["results"], ended["results_deleted_at"]) == ("kept", None)
        world.site.dataset("purged")
        document = problem(world.ask("DELETE", path), 409, "results-in-use")
        assert document["used_by"] == [{"kind": "dataset", "id": "purged"}]
        assert "dataset 'purged' needs them" in document["detail"]
        world.container.datasets().remove(DatasetId("purged"), SERVICE)
        for _ in range(2):
            answer = world.ask("DELETE", path)
            assert (answer.status_code, list(answer.json())) == (200, JOB)
            assert answer.json()["results"] == "deleted"
        history = world.galaxy.histories[ended["history_id"]]
        assert (history.deleted, history.purged) == (True, True)
        job = world.get(f"/jobs/{id_}")
        assert (job["state"], job["results"]) == ("completed", "deleted")
        listed = {job["invocation_id"]: job for job in world.get("/jobs")["items"]}
        assert listed[id_]["results_deleted_at"] == job["results_deleted_at"]
        for what in (
            "outputs",
            "outputs/lines",
            "outputs.zip",
            "outputs?links=60",
            "ro-crate",
        ):
            answer = world.ask("GET", f"/jobs/{id_}/{what}")
            problem(answer, 410, "results-deleted")
        world.galaxy.forget(InvocationId(id_))
        answer = world.ask("POST", f"/jobs/{id_}/refresh")
        assert (answer.status_code, answer.json()) == (200, job)
        again = world.ask("POST", f"/jobs/{id_}/rerun")
        assert again.status_code == 201
        problem(world.ask("DELETE", "/jobs/none/results"), 404, "job-not-found")

    def test_a_deletion_that_galaxy_refuses_is_ended_later(self, world: World) -> None:
        world.ended(id_ := world.submit(workflow_name="purges"))
        path = f"/jobs/{id_}/results"
        world.galaxy.fail_next("delete", RunnerUnavailable("Galaxy is down."))
        problem(world.ask("DELETE", path), 503, "galaxy-unavailable")
        assert world.get(f"/jobs/{id_}")["results"] == "kept"
        assert world.container.clean()(timedelta(minutes=1)).results_deleted == 1
        assert world.get(f"/jobs/{id_}")["results"] == "deleted"

    def test_a_review_is_approved(self, world: World) -> None:
        id_ = world.submit(workflow_name="reviewed")
        self._until_it_waits(world, id_)
        job = world.get(f"/jobs/{id_}")
        assert job["state"] == "in_progress"
        attention = "Waits for a review at step 'check' in Galaxy (index 2)."
        assert job["attention"] == attention
        path = f"/jobs/{id_}/steps/{{}}/review"
        document = problem(self._review(world, path.format(1)), 409, "no-review")
        assert document["waiting"] == ["2"]
        for absent in ("9", "2.0", "check", "x" * 300):
            answer = self._review(world, path.format(absent))
            problem(answer, 404, "step-not-found")
        for body in ({}, {"approve": "yes"}, {"approve": True, "step": 2}, None, 1):
            answer = world.ask("POST", path.format(2), body)
            problem(answer, 400, "malformed-request")
        answer = self._review(world, path.format(2))
        assert answer.status_code == 200
        assert list(answer.json()) == JOB
        assert answer.json()["attention"] is None
        problem(self._review(world, path.format(2)), 409, "no-review")
        assert world.ended(id_)["state"] == "completed"
        problem(self._review(world, path.format(2)), 409, "already-ended")

    def test_a_review_is_rejected(self, world: World) -> None:
        id_ = world.submit(workflow_name="reviewed")
        self._until_it_waits(world, id_)
        answer = self._review(world, f"/jobs/{id_}/steps/2/review", approve=False)
        assert (answer.status_code, answer.json()["state"]) == (200, "cancelling")
        job = world.ended(id_)
        assert (job["state"], job["failure"]) == ("cancelled", None)
        assert "rejected" in job["attention"]

    @staticmethod
    def _until_it_waits(world: World, id_: str) -> None:
        def waits() -> Any:
            world.sweep()
            return world.get(f"/jobs/{id_}")["attention"]

        until(waits)

    @staticmethod
    def _review(world: World, path: str, *, approve: bool = True) -> httpx.Response:
        return world.ask("POST", path, {"approve": approve})

    @pytest.mark.parametrize("workflow", ["sort", "fails"])
    def test_409_already_ended(self, world: World, workflow: str) -> None:
        id_ = world.submit(workflow_name=workflow)
        world.ended(id_)
        problem(world.ask("POST", f"/jobs/{id_}/cancel"), 409, "already-ended")

    @pytest.mark.parametrize(
        ("body", "parameters", "overwrite"),
        [
            (None, {"n": 4}, False),
            (b"{}", {"n": 4}, False),
            (b'{"parameters": {"n": 5}}', {"n": 5}, False),
            (b'{"overwrite": false}', {"n": 4}, False),
            (b'{"parameters": {"n": 5}, "overwrite": true}', {"n": 5}, True),
        ],
    )
    def test_a_job_is_run_again_as_it_was_or_otherwise(
        self, world: World, body: bytes | None, parameters: object, overwrite: object
    ) -> None:
        id_ = world.submit(parameters={"n": 4})
        key = {"Idempotency-Key": uuid4().hex}
        first, replay = (
            world.api.post(f"/jobs/{id_}/rerun", content=body, headers=key)
            for _ in range(2)
        )
        assert first.status_code == 201
        assert list(first.json()) == ["invocation_id", "state"]
        again = world.get(first.headers["location"])
        assert (again["rerun_of"], again["parameters"]) == (id_, parameters)
        assert again["overwrite"] is overwrite
        superseded_by = again["invocation_id"] if overwrite else None
        assert world.get(f"/jobs/{id_}")["superseded_by"] == superseded_by
        assert replay.headers["idempotent-replayed"] == "true"
        assert replay.json() == first.json()

    # --- batches ------------------------------------------------------------------

    def test_a_batch_is_recorded_at_once_and_begun_later(self, world: World) -> None:
        body = {
            "workflow_name": "sort",
            "parameters": {"n": 2},
            "labels": {"plate": "7", "by": "me"},
            "items": [
                {"dataset_id": "reads"},
                {
                    "dataset_id": "other",
                    "parameters": {"n": 3},
                    "labels": {"by": "you"},
                },
                {"dataset_id": "reads"},
            ],
        }
        answer = world.ask("POST", "/batches", body, idempotency_key="k")
        assert answer.status_code == 201, answer.text
        batch = answer.json()
        path = f"/batches/{batch['batch_id']}"
        assert answer.headers["location"] == path
        assert set(batch) == {"batch_id", "items"}
        names = [item["dataset_id"] for item in batch["items"]]
        assert names == ["reads", "other", "reads"]
        again = world.ask("POST", "/batches", body, idempotency_key="k")
        assert again.json() == batch
        assert again.headers["idempotent-replayed"] == "true"
        reused = {**body, "parameters": {}}
        answer = world.ask("POST", "/batches", reused, idempotency_key="k")
        problem(answer, 422, "idempotency-key-reused")
        ids = [item["submission_id"] for item in batch["items"]]
        submission = world.get(f"/submissions/{ids[0]}")
        assert (submission["state"], submission["problem"]) == ("waiting", None)
        shown = world.get(path)
        assert shown["counts"] == {"waiting": 3}
        assert (shown["size"], shown["ended_at"]) == (3, None)
        assert shown["labels"] == body["labels"]
        assert (
            world.get("/batches?limit=1")["items"][0]["batch_id"] == batch["batch_id"]
        )
        while world.container.invoke_next()():
            pass
        page = world.get(f"{path}/items?limit=2")
        assert [item["submission_id"] for item in page["items"]] == ids[:2]
        assert [item["state"] for item in page["items"]] == ["queued"] * 2
        rest = world.get(f"{path}/items?cursor={page['next_cursor']}")
        assert [item["position"] for item in rest["items"]] == [2]
        assert rest["next_cursor"] is None
        jobs = [
            world.get(f"/jobs/{item['invocation_id']}")
            for item in [*page["items"], *rest["items"]]
        ]
        assert [job["parameters"] for job in jobs] == [{"n": 2}, {"n": 3}, {"n": 2}]
        assert jobs[1]["labels"] == {"plate": "7", "by": "you"}
        for job in jobs:
            assert world.ended(job["invocation_id"])["state"] == "completed"
        shown = world.get(path)
        assert (shown["counts"], shown["failures"]) == ({"completed": 3}, [])
        assert TIME.fullmatch(shown["ended_at"])
        problem(world.ask("POST", f"{path}/rerun"), 409, "nothing-failed")
        problem(world.ask("POST", f"{path}/cancel"), 409, "already-ended")

    @pytest.mark.parametrize("number", [0, 1001])
    def test_a_batch_has_1_to_1000_items(self, world: World, number: int) -> None:
        items = [{"dataset_id": "reads"}] * number
        answer = world.ask(
            "POST", "/batches", {"workflow_name": "sort", "items": items}
        )
        assert str(number) in problem(answer, 400, "malformed-request")["detail"]

    def test_a_batch_names_all_items_that_cannot_run(self, world: World) -> None:
        items: list[Any] = [{"dataset_id": "reads"}] * 300
        items[1] = {"dataset_id": "gone"}
        items[2] = {"dataset_id": "reads", "parameters": {"n": "two"}}
        items[3] = {"dataset_id": "reads", "labels": {"a b": "c"}}
        before = world.get("/batches")
        body = {"workflow_name": "sort", "items": items}
        document = problem(world.ask("POST", "/batches", body), 422, "invalid-items")
        assert [(item["item"], item["code"]) for item in document["items"]] == [
            (1, "dataset-not-found"),
            (2, "invalid-parameters"),
            (3, "malformed-request"),
        ]
        assert "'gone'" in document["items"][0]["detail"]
        body = {"workflow_name": "sort", "items": [{"dataset_id": "x"}] * 1000}
        document = problem(world.ask("POST", "/batches", body), 422, "invalid-items")
        assert (len(document["items"]), document["more_items"]) == (100, 900)
        answer = world.ask("POST", "/batches", {**body, "workflow_name": "none"})
        problem(answer, 422, "workflow-not-found")
        assert world.get("/batches") == before

    def test_a_cancelled_batch_begins_nothing_more(self, world: World) -> None:
        items = [{"dataset_id": "reads"}] * 2
        body = {"workflow_name": "sort", "items": items}
        path = f"/batches/{world.ask('POST', '/batches', body).json()['batch_id']}"
        world.container.invoke_next()()
        answer = world.ask("POST", f"{path}/cancel")
        assert answer.status_code == 202
        assert answer.json()["counts"] == {"cancelling": 1, "rejected": 1}
        assert not world.container.invoke_next()()
        last = world.get(f"{path}/items")["items"][1]
        assert last["problem"]["type"] == "urn:galaxy-jobs:problem:cancelled"

        def ended_at() -> Any:
            world.sweep()
            return world.get(path)["ended_at"]

        until(ended_at)
        assert world.ask("POST", f"{path}/cancel").status_code == 202
        problem(world.ask("POST", f"{path}/rerun"), 409, "nothing-failed")

    def test_what_failed_of_a_batch_is_run_again(self, world: World) -> None:
        items = [{"dataset_id": "reads"}, {"dataset_id": "other"}]
        body = {"workflow_name": "fails", "items": items, "labels": {"plate": "7"}}
        first = world.ask("POST", "/batches", body).json()["batch_id"]
        while world.container.invoke_next()():
            pass
        failed = world.get(f"/batches/{first}/items")["items"]
        for item in failed:
            assert world.ended(item["invocation_id"])["state"] == "failed"
        failures = world.get(f"/batches/{first}")["failures"]
        assert failures[0]["failure"]["exit_code"] == 2
        answer = world.ask("POST", f"/batches/{first}/rerun", idempotency_key="r")
        assert answer.status_code == 201, answer.text
        again = answer.json()
        assert [item["dataset_id"] for item in again["items"]] == ["reads", "other"]
        shown = world.get(f"/batches/{again['batch_id']}")
        assert shown["rerun_of"] == first
        assert shown["labels"] == {"plate": "7"}
        while world.container.invoke_next()():
            pass
        item = world.get(f"/batches/{again['batch_id']}/items")["items"][0]
        job = world.get(f"/jobs/{item['invocation_id']}")
        assert job["rerun_of"] == failed[0]["invocation_id"]
        assert job["labels"] == {"plate": "7"}

    @pytest.mark.parametrize("id_", ["none", "0" * 32, "\u00e4"])
    def test_404_where_there_is_no_batch(self, world: World, id_: str) -> None:
        for method, path in (("GET", ""), ("GET", "/items"), ("POST", "/cancel")):
            answer = world.ask(method, f"/batches/{quote(id_)}{path}")
            problem(answer, 404, "batch-not-found")

    # --- datasets and workflows -----------------------------------------------------

    @pytest.mark.parametrize(
        "source",
        [
            {"src": "hda", "id": "1"},
            {"src": "ldda", "id": "1"},
            {"src": "hdca", "id": "1"},
            {"src": "url", "url": "https://example.org/a?b=c", "ext": "fastq"},
            {"src": "url", "url": "ftp://example.org/a", "ext": "bam"},
            {
                "src": "url",
                "url": "http://example.org/a",
                "ext": "bam",
                "name": "1.bam",
                "sha256": "0a" * 32,
                "md5": "0b" * 16,
                "dbkey": "hg38",
                "deferred": True,
            },
        ],
    )
    def test_a_dataset_is_registered_and_found(
        self, world: World, source: dict[str, str]
    ) -> None:
        answer = world.ask("POST", "/datasets", {"name": "Reads", "source": source})
        assert answer.status_code == 201
        dataset = answer.json()
        assert list(dataset)[:4] == ["dataset_id", "name", "source", "created_at"]
        assert dataset["name"] == "Reads"
        by_address = source["src"] == "url"
        assert dataset["extension"] == source.get("ext")
        assert dataset["state"] == (None if by_address else "ok")
        list_ = "list" if source["src"] == "hdca" else None
        assert dataset["collection_type"] == list_
        assert (dataset["described_at"] is None) == by_address
        assert in_order(dataset["source"]) == in_order(source)
        assert TIME.fullmatch(dataset["created_at"])
        assert answer.headers["location"] == f"/datasets/{dataset['dataset_id']}"
        assert world.get(answer.headers["location"]) == dataset
        assert world.get("/datasets?limit=1")["items"] == [dataset]

    def test_what_galaxy_knows_of_the_data_is_kept_and_shown(
        self, world: World
    ) -> None:
        id_ = uuid4().hex
        world.galaxy.data[domain.GalaxyData(domain.Src.HDCA, id_)] = LIST
        source = {"src": "hdca", "id": id_}
        body = {"dataset_id": f"plate {id_}", "name": "Plate", "source": source}
        answer = world.ask("POST", "/datasets", body)
        dataset = answer.json()
        assert {key: dataset[key] for key in list(dataset)[4:8]} == {
            "galaxy_name": "plate 1",
            "state": "queued",
            "extension": None,
            "collection_type": "list:paired",
        }
        assert TIME.fullmatch(dataset["described_at"])
        assert world.get(answer.headers["location"]) == dataset
        # Known already: Galaxy is not asked again.
        calls = world.galaxy.calls["describe"]
        assert world.ask("POST", "/datasets", body).json() == dataset
        assert world.galaxy.calls["describe"] == calls

    def test_a_collection_is_registered_listed_and_run_on(self, world: World) -> None:
        url = "https://me:secret@example.org/1?sig=secret"
        forward = {"src": "url", "url": url, "ext": "fastq", "sha256": "AB" * 32}
        elements = [
            {
                "name": "s1",
                "elements": [
                    {"name": "forward", "source": forward},
                    {"name": "reverse", "dataset_id": "reads"},
                ],
            },
            {"name": "s2", "source": {"src": "hdca", "id": "1"}},
        ]
        shown = {"src": "collection", "collection_type": "list:paired", "count": 2}
        source = {**shown, "elements": elements}
        del source["count"]
        body = {"dataset_id": f"plate {uuid4()}", "name": "Plate", "source": source}
        for _ in range(2):
            answer = world.ask("POST", "/datasets", body)
            assert answer.status_code == 201, answer.text
        dataset = answer.json()
        assert dataset["collection_type"] == "list:paired"
        assert (dataset["extension"], dataset["described_at"]) == (None, None)
        assert "secret" not in answer.text
        forward |= {"url": "https://***@example.org/1?sig=***", "sha256": "ab" * 32}
        assert dataset["source"] == {**shown, "elements": elements}
        assert world.get(answer.headers["location"]) == dataset
        listed = world.get("/datasets?limit=1")["items"]
        assert listed == [{**dataset, "source": {**shown, "elements": None}}]
        job = {**SORT, "dataset_id": body["dataset_id"]}
        plan = world.ask("POST", "/jobs?validate_only=true", job).json()
        reads = {"src": "hda", "id": "hda-reads"}
        assert plan["inputs"]["text"] == {
            **shown,
            "elements": [
                {
                    "name": "s1",
                    "elements": [
                        {"name": "forward", "source": forward},
                        {"name": "reverse", "source": reads},
                    ],
                },
                elements[1],
            ],
        }
        world.submit(dataset_id=body["dataset_id"])
        given = world.galaxy.runs[-1].inputs["text"]
        assert isinstance(given, domain.CollectionData)
        assert dict(given.leaves()) == {
            "s1/forward": UrlData(url, "fastq", sha256="ab" * 32),
            "s1/reverse": domain.GalaxyData(domain.Src.HDA, "hda-reads"),
            "s2": domain.GalaxyData(domain.Src.HDCA, "1"),
        }

    @pytest.mark.parametrize(
        ("type_", "elements", "word"),
        [
            ("paired", ["forward"], "reverse"),
            ("paired", ["forward", "reverse", "third"], "third"),
            ("list", ["a", "a"], "two elements"),
            ("list", [], "no elements"),
            ("list:paired", ["a"], "single dataset"),
            ("bag", ["a"], "collection_type"),
        ],
    )
    def test_422_invalid_source_for_a_collection_of_another_shape(
        self, world: World, type_: str, elements: list[str], word: str
    ) -> None:
        hda = {"src": "hda", "id": "1"}
        source = {
            "src": "collection",
            "collection_type": type_,
            "elements": [{"name": name, "source": hda} for name in elements],
        }
        answer = world.ask("POST", "/datasets", {"name": "n", "source": source})
        assert word in problem(answer, 422, "invalid-source")["detail"]

    def test_422_invalid_source_for_a_collection_of_what_is_not_registered(
        self, world: World
    ) -> None:
        id_ = f"plate {uuid4()}"
        source = {
            "src": "collection",
            "collection_type": "list",
            "elements": [{"name": "s1", "dataset_id": f"none {id_}"}],
        }
        body = {"dataset_id": id_, "name": "Plate", "source": source}
        document = problem(world.ask("POST", "/datasets", body), 422, "invalid-source")
        assert f"Element 's1' is dataset 'none {id_}'" in document["detail"]
        gone = world.ask("GET", f"/datasets/{quote(id_)}")
        problem(gone, 404, "dataset-not-found")
        answer = world.ask("POST", "/datasets?check=false", body)
        assert answer.status_code == 201
        runs = len(world.galaxy.runs)
        answer = world.ask("POST", "/jobs", {**SORT, "dataset_id": id_})
        document = problem(answer, 422, "invalid-source")
        assert "which is not registered" in document["detail"]
        assert len(world.galaxy.runs) == runs

    def test_422_invalid_source(self, world: World) -> None:
        hda, hdca = (
            domain.GalaxyData(src, uuid4().hex)
            for src in (domain.Src.HDA, domain.Src.HDCA)
        )
        world.galaxy.data |= {hda: None, hdca: LIST}
        world.galaxy.data[domain.GalaxyData(domain.Src.HDA, hdca.id)] = None
        for id_, advice in ((hda.id, "check=false"), (hdca.id, "as hdca")):
            source = {"src": "hda", "id": id_}
            body = {"dataset_id": f"d {id_}", "name": "n", "source": source}
            document = problem(
                world.ask("POST", "/datasets", body), 422, "invalid-source"
            )
            assert f"Galaxy has no hda '{id_}'" in document["detail"]
            assert advice in document["detail"]
            gone = world.ask("GET", f"/datasets/d%20{id_}")
            problem(gone, 404, "dataset-not-found")
            answer = world.ask("POST", "/datasets?check=false", body)
            assert answer.status_code == 201
            assert answer.json()["described_at"] is None

    def test_503_for_a_dataset_where_galaxy_cannot_tell(self, world: World) -> None:
        id_ = f"down {uuid4()}"
        source = {"src": "hda", "id": "1"}
        body = {"dataset_id": id_, "name": "n", "source": source}
        by_address = {"src": "url", "url": "http://a.b/", "ext": "txt"}
        world.galaxy.outage = RunnerUnavailable("It is down.", retry_after=7)
        try:
            answer = world.ask("POST", "/datasets", body)
            document = problem(answer, 503, "galaxy-unavailable")
            assert answer.headers["retry-after"]
            assert "is not registered" in document["detail"]
            assert "check=false" in document["detail"]
            gone = world.ask("GET", f"/datasets/{quote(id_)}")
            problem(gone, 404, "dataset-not-found")
            for path, known in (
                ("/datasets", {"name": "n", "source": by_address}),
                ("/datasets?check=false", body),
            ):
                assert world.ask("POST", path, known).status_code == 201
        finally:
            world.galaxy.outage = None
        # It was not described, and is now.
        assert world.ask("POST", "/datasets", body).json()["state"] == "ok"

    @pytest.mark.parametrize(
        "kind", ["application/json", "application/merge-patch+json"]
    )
    def test_a_dataset_is_renamed(self, world: World, kind: str) -> None:
        world.site.dataset("to/rename", "before")
        path, before = "/datasets/to%2Frename", world.get("/datasets/to%2Frename")
        for body, name in (
            ({"name": "after"}, "after"),
            ({}, "after"),
            ({"name": "before"}, "before"),
        ):
            answer = world.ask("PATCH", path, body, content_type=kind)
            assert answer.status_code == 200, answer.text
            assert answer.json() == {**before, "name": name} == world.get(path)
        wrong: object
        for wrong in (
            {"name": None},
            {"name": ""},
            {"name": " "},
            {"name": "n" * 256},
            {"source": before["source"]},
            {"dataset_id": "other"},
            [],
        ):
            problem(world.ask("PATCH", path, wrong), 400, "malformed-request")
        answer = world.ask("PATCH", path, {"name": "x"}, content_type="text/plain")
        problem(answer, 415, "unsupported-media-type")
        answer = world.ask("PATCH", "/datasets/none", {"name": "n"})
        problem(answer, 404, "dataset-not-found")
        assert world.get(path) == before

    def test_datasets_have_labels_and_are_found_by_them(self, world: World) -> None:
        plate, path = uuid4().hex, "/datasets/labelled%2F1"
        source = {"src": "url", "url": "https://example.org/1", "ext": "txt"}
        body = {"dataset_id": "labelled/1", "name": "a", "source": source}
        labels = {"plate": plate, "well": "a:1", "empty": ""}
        answer = world.ask("POST", "/datasets", {**body, "labels": labels})
        assert answer.json()["labels"] == labels
        again = world.ask("POST", "/datasets", {**body, "labels": {"plate": "8"}})
        assert again.json() == answer.json() == world.get(path)
        other = {**body, "dataset_id": "labelled 2", "labels": {"plate": plate}}
        assert world.ask("POST", "/datasets", other).status_code == 201
        unlabelled = world.ask("POST", "/datasets", {**body, "dataset_id": uuid4().hex})
        assert unlabelled.json()["labels"] == {}

        def found(*wanted: str) -> list[str]:
            query = "&".join(f"label={quote(label)}" for label in wanted)
            items = world.get(f"/datasets?{query}")["items"]
            return [item["dataset_id"] for item in items]

        assert found(f"plate:{plate}") == ["labelled 2", "labelled/1"]
        assert found(f"plate:{plate}", "well:a:1", "empty:") == ["labelled/1"]
        assert found(f"plate:{plate}", f"plate:{plate}1") == []
        for patch, after in (
            ({"labels": {"well": "b%", "empty": None}}, {"plate": plate, "well": "b%"}),
            ({}, {"plate": plate, "well": "b%"}),
            ({"name": "b"}, {"plate": plate, "well": "b%"}),
            ({"labels": {"plate": None}, "name": "a"}, {"well": "b%"}),
            ({"labels": None}, {}),
        ):
            kind = "application/merge-patch+json"
            changed = world.ask("PATCH", path, patch, content_type=kind)
            assert changed.json()["labels"] == after
        assert world.get(path) == {**answer.json(), "labels": {}}
        assert found(f"plate:{plate}") == ["labelled 2"]
        many = {f"k{number}": "" for number in range(33)}
        wrong: object
        for wrong in ([], {"a b": "c"}, {"a": 1}, {"a": "\n"}, {"a": "b" * 256}, many):
            patched = world.ask("PATCH", path, {"name": "lost", "labels": wrong})
            problem(patched, 400, "malformed-request")
            posted = world.ask("POST", "/datasets", {**body, "labels": wrong})
            problem(posted, 400, "malformed-request")
        assert world.get(path)["name"] == "a"
        cursor = world.get(f"/datasets?label=plate:{plate}&limit=1")["next_cursor"]
        assert cursor is None
        for query in ("label=plate", "label=a%20b:c", "label="):
            problem(world.ask("GET", f"/datasets?{query}"), 400, "malformed-request")

    def test_a_dataset_is_removed_once_no_job_needs_it(self, world: World) -> None:
        for dataset_id in ("own", "named"):
            world.site.dataset(dataset_id)
        job = world.submit(
            dataset_id="own",
            workflow_name="strict",
            parameters={"mode": "fast", "more": {"dataset_id": "named"}},
        )
        for dataset_id in ("own", "named"):
            answer = world.ask("DELETE", f"/datasets/{dataset_id}")
            document = problem(answer, 409, "dataset-in-use")
            assert job in document["detail"]
        world.ended(job)
        for dataset_id in ("own", "named"):
            answer = world.ask("DELETE", f"/datasets/{dataset_id}")
            assert (answer.status_code, answer.content) == (204, b"")
            for method in ("GET", "DELETE"):
                gone = world.ask(method, f"/datasets/{dataset_id}")
                problem(gone, 404, "dataset-not-found")
        assert world.get(f"/jobs/{job}")["dataset_id"] == "own"
        problem(world.ask("POST", f"/jobs/{job}/rerun"), 422, "dataset-not-found")

    def test_datasets_are_searched_by_name_and_id(self, world: World) -> None:
        word = uuid4().hex
        for dataset_id, name in (
            (f"{word} 1", "Liver"),
            ("found by name", f"of {word.upper()}"),
            (f"{word} 2", "Lung"),
        ):
            world.site.dataset(dataset_id, name)
        first = world.get(f"/datasets?search={word[3:].title()}&limit=2")
        path = f"/datasets?search={word[3:].title()}&cursor={first['next_cursor']}"
        items = [*first["items"], *world.get(path)["items"]]
        found = [item["dataset_id"] for item in items]
        assert found == [f"{word} 2", "found by name", f"{word} 1"]
        for other in ("?", "?search=other&"):
            answer = world.ask("GET", f"/datasets{other}&cursor={first['next_cursor']}")
            problem(answer, 400, "malformed-request")
        assert world.get(f"/datasets?search=%25{word}")["items"] == []
        answer = world.ask("GET", f"/datasets?search={'x' * 256}")
        problem(answer, 400, "malformed-request")

    def test_workflows_are_listed_page_by_page(self, world: World) -> None:
        whole = world.get("/workflows?limit=200")["items"]
        assert len(whole) > 1
        first = world.get("/workflows?limit=1")
        second = world.get(f"/workflows?limit=1&cursor={first['next_cursor']}")
        assert [*first["items"], *second["items"]] == whole[:2]

    def test_a_location_leads_to_a_dataset_whatever_its_id_is(
        self, world: World
    ) -> None:
        source = {"src": "hda", "id": "1"}
        body = {"dataset_id": "a/b é%2F?#", "name": "n", "source": source}
        answer = world.ask("POST", "/datasets", body)
        assert answer.headers["location"].startswith("/datasets/a%2Fb%20")
        assert world.get(answer.headers["location"]) == answer.json()

    def test_409_dataset_exists(self, world: World) -> None:
        body = {
            "dataset_id": "once/1",
            "name": "n",
            "source": {"src": "hda", "id": "1"},
        }
        first, same = (world.ask("POST", "/datasets", body) for _ in range(2))
        assert first.json() == same.json()
        assert (first.status_code, same.status_code) == (201, 201)
        assert world.get("/datasets/once%2F1")["dataset_id"] == "once/1"
        for other in ({"name": "other"}, {"source": {"src": "hda", "id": "2"}}):
            answer = world.ask("POST", "/datasets", {**body, **other})
            problem(answer, 409, "dataset-exists")
        listed = [
            item["dataset_id"] for item in world.get("/datasets?limit=200")["items"]
        ]
        assert listed.count("once/1") == 1

    @pytest.mark.parametrize(
        "body",
        [
            {"name": "n", "source": {"src": "file", "id": "1"}},
            {"name": "n", "source": {"src": "hda"}},
            {"name": "n", "source": {"src": "hda", "id": ""}},
            {"name": "n", "source": {"src": "hda", "url": "http://a.b"}},
            {"name": "n", "source": {"src": "url", "url": "nonsense", "ext": "txt"}},
            {
                "name": "n",
                "source": {"src": "url", "url": "file:///etc/passwd", "ext": "txt"},
            },
            {"name": "n", "source": {"src": "url", "url": "gopher://a.b", "ext": "t"}},
            {"name": " ", "source": {"src": "hda", "id": "1"}},
            {"dataset_id": "", "name": "n", "source": {"src": "hda", "id": "1"}},
            {"dataset_id": "x" * 256, "name": "n", "source": {"src": "hda", "id": "1"}},
        ],
    )
    def test_400_for_a_dataset_that_can_never_be(
        self, world: World, body: dict[str, Any]
    ) -> None:
        answer = world.ask("POST", "/datasets", body)
        document = problem(answer, 400, "malformed-request")
        if body["source"].get("url", "").startswith("file:"):
            assert "http, https or ftp" in document["detail"]

    def test_datasets_are_listed_page_by_page(self, world: World) -> None:
        for number in range(3):
            world.site.dataset(f"page {number}")
        first = world.get("/datasets?limit=2")
        rest = world.get(f"/datasets?limit=200&cursor={first['next_cursor']}")
        everything = world.get("/datasets?limit=200")
        assert [*first["items"], *rest["items"]] == everything["items"]
        newest = [item["dataset_id"] for item in everything["items"][:3]]
        assert newest == ["page 2", "page 1", "page 0"]
        jobs = world.ask("GET", f"/jobs?cursor={first['next_cursor']}")
        problem(jobs, 400, "malformed-request")

    def test_the_workflows_and_what_each_takes_as_json_schema(
        self, world: World
    ) -> None:
        listed = world.get("/workflows")
        assert {"strict"} <= {item["name"] for item in listed["items"]}
        assert listed["next_cursor"] is None
        workflow = world.get("/workflows/strict")
        assert list(workflow) == [
            "name",
            "workflow_id",
            "version",
            "updated_at",
            "annotation",
            "dataset_input",
            "dataset_inputs",
            "data_inputs",
            "missing_tools",
            "run_time_parameters",
            "parameters",
        ]
        assert workflow["dataset_input"] == "text"
        [text, *_] = workflow["data_inputs"]
        assert text == {
            "name": "text",
            "kind": "data",
            "collection_type": None,
            "formats": [],
            "optional": False,
            "default": None,
        }
        schema = workflow["parameters"]
        assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
        assert (schema["type"], schema["additionalProperties"]) == ("object", False)
        assert schema["required"] == ["mode"]
        assert list(schema["properties"]) == ["text", "n", "mode", "more"]
        assert schema["properties"]["n"] == {
            "title": "n",
            "description": "How",
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": 9},
                {"type": "null"},
            ],
            "default": 1,
        }
        assert schema["properties"]["mode"] == {
            "title": "mode",
            "type": "string",
            "enum": ["fast", "exact"],
        }

    def test_a_workflow_may_have_any_name(self, world: World) -> None:
        listed = world.get("/workflows")["items"]
        assert "QC / count" in [item["name"] for item in listed]
        assert world.get("/workflows/QC%20%2F%20count")["name"] == "QC / count"

    def test_two_workflows_of_one_name_are_told_apart_by_their_ids(
        self, world: World
    ) -> None:
        answer = world.ask("GET", "/workflows/twice")
        document = problem(answer, 422, "workflow-ambiguous")
        assert len(document["workflow_ids"]) == 2

    def test_a_workflow_with_two_data_inputs_says_which_takes_the_dataset_if_it_can(
        self, world: World, opened: Opened
    ) -> None:
        undecided = world.get("/workflows/pairs")
        assert undecided["dataset_input"] is None
        assert set(undecided["parameters"]["properties"]) == {"reads", "pairs"}
        assert undecided["parameters"]["required"] == []
        row = AllowedWorkflow(name="pairs", input="pairs")
        with opened(allowlist=Allowlist((row,))) as own:
            (stored,) = (
                simulated.workflow
                for simulated in world.galaxy.workflows.values()
                if simulated.workflow.name == "pairs"
            )
            own.galaxy.add_workflow("pairs", *stored.inputs)
            configured = own.get("/workflows/pairs")
        assert configured["dataset_input"] == "pairs"
        assert configured["dataset_inputs"] == ["reads", "pairs"]
        assert configured["parameters"]["anyOf"] == [
            {"not": {"required": ["pairs"]}, "required": ["reads"]},
            {"required": ["pairs"]},
        ]

    # --- health, documents, authentication ------------------------------------------

    def test_health(self, world: World) -> None:
        assert world.get("/health/live") == {"status": "alive"}
        ready = world.get("/health/ready")
        assert list(ready) == ["status", "database", "migrations", "galaxy", "problem"]
        assert (ready["status"], ready["database"]) == ("ready", True)
        assert ready["migrations"] == "current"

    def test_the_metrics_the_document_and_its_page(self, world: World) -> None:
        metrics = world.ask("GET", "/metrics")
        assert metrics.status_code == 200
        assert metrics.headers["content-type"].startswith("text/plain")
        document = world.ask("GET", "/schema/openapi.json").json()
        assert "/jobs" in document["paths"]
        page = world.ask("GET", "/docs")
        assert page.headers["content-type"].startswith("text/html")
        # Nothing comes from elsewhere: an address stands in an example alone.
        assert not re.search(r'=["\']?https?://', page.text)

    def test_every_route_is_documented_with_its_refusals(self, world: World) -> None:
        document = world.ask("GET", "/schema/openapi.json").json()
        assert document["openapi"].startswith("3.1")
        operations = {
            f"{method.upper()} {path}": operation
            for path, methods in document["paths"].items()
            for method, operation in methods.items()
        }
        assert set(operations) == {
            "POST /jobs",
            "POST /jobs/validate",
            "POST /jobs/adopt",
            "GET /jobs",
            "GET /jobs/events",
            "GET /jobs/{invocation_id}",
            "PATCH /jobs/{invocation_id}",
            "GET /jobs/{invocation_id}/history",
            "GET /jobs/{invocation_id}/outputs",
            "GET /jobs/{invocation_id}/outputs.zip",
            "GET /jobs/{invocation_id}/ro-crate",
            "GET /jobs/{invocation_id}/outputs/{label}",
            "GET /jobs/{invocation_id}/outputs/{label}/{element}",
            "POST /jobs/cancel",
            "POST /jobs/rerun",
            "POST /jobs/{invocation_id}/cancel",
            "POST /jobs/{invocation_id}/refresh",
            "DELETE /jobs/{invocation_id}/results",
            "POST /jobs/{invocation_id}/rerun",
            "POST /jobs/{invocation_id}/steps/{index}/review",
            "POST /batches",
            "GET /batches",
            "GET /batches/{batch_id}",
            "GET /batches/{batch_id}/items",
            "POST /batches/{batch_id}/cancel",
            "POST /batches/{batch_id}/rerun",
            "GET /submissions/{submission_id}",
            "POST /datasets",
            "GET /datasets",
            "GET /datasets/{dataset_id}",
            "PATCH /datasets/{dataset_id}",
            "DELETE /datasets/{dataset_id}",
            "POST /uploads",
            "GET /uploads",
            "GET /uploads/{upload_id}",
            "POST /uploads/{upload_id}/parts",
            "POST /uploads/{upload_id}/complete",
            "DELETE /uploads/{upload_id}",
            "POST /webhooks",
            "GET /webhooks",
            "DELETE /webhooks/{webhook_id}",
            "POST /webhooks/{webhook_id}/test",
            "POST /webhooks/{webhook_id}/rotate",
            "GET /webhooks/{webhook_id}/deliveries",
            "POST /webhooks/{webhook_id}/replay",
            "GET /workflows",
            "GET /workflows/{name}",
            "GET /health/live",
            "GET /health/ready",
            "GET /metrics",
        }
        for name, operation in operations.items():
            assert operation["summary"], name
            assert operation["description"], name
            assert operation["operationId"].islower(), name
            for status, answer in operation["responses"].items():
                if status >= "400" and name != "GET /health/ready":
                    assert list(answer["content"]) == ["application/problem+json"], name
        submit = operations["POST /jobs"]["responses"]
        assert set(submit) == {
            "201",
            "400",
            "401",
            "403",
            "409",
            "413",
            "415",
            "422",
            "429",
            "500",
            "502",
            "503",
            "504",
        }
        assert "`idempotency-key-reused`" in submit["422"]["description"]
        assert {"Location", "Idempotent-Replayed"} <= set(submit["201"]["headers"])
        schemas = document["components"]["schemas"]
        assert list(schemas["JobDetailJson"]["properties"]) == JOB
        assert schemas["NewJob"]["additionalProperties"] is False
        rerun = operations["POST /jobs/{invocation_id}/rerun"]
        assert rerun["requestBody"]["required"] is False

    def test_every_answer_has_an_id_and_is_kept_by_nobody(self, world: World) -> None:
        for path in ("/jobs", "/jobs/none", "/none", "/workflows"):
            answer = world.ask("GET", path, X_Request_ID="mine")
            assert answer.headers["x-request-id"] == "mine"
            assert answer.headers["x-content-type-options"] == "nosniff"
            kept = answer.headers["cache-control"]
            assert "no-store" in kept or "no-cache" in kept

    def test_401_403_429_once_there_are_tokens(self, opened: Opened) -> None:
        with opened(http=HttpTable(rate=0.01, burst=20)) as nobody:
            nobody.site.dataset("reads")
            create = nobody.container.create_token()
            reading = nobody.with_token(create("reader", Scope.READ).text)
            writing = nobody.with_token(create("writer", Scope.SUBMIT).text)
            until(lambda: nobody.ask("GET", "/jobs").status_code == 401, every=0.5)
            answer = nobody.ask("GET", "/jobs")
            problem(answer, 401, "unauthenticated")
            assert answer.headers["www-authenticate"].startswith("Bearer ")
            wrong = nobody.with_token("gjt_no")
            problem(wrong.ask("GET", "/jobs"), 401, "unauthenticated")
            reading.get("/jobs")
            answer = reading.ask("POST", "/datasets", {})
            problem(answer, 403, "forbidden")
            assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]
            answer = writing.ask("POST", "/datasets", {})
            problem(answer, 400, "malformed-request")
            while (answer := writing.ask("GET", "/jobs")).is_success:
                pass
            problem(answer, 429, "too-many-requests")
            assert int(answer.headers["retry-after"]) >= 1
            assert nobody.ask("GET", "/health/live").is_success

    def test_403_for_another_host_or_origin_as_long_as_there_are_no_tokens(
        self, world: World
    ) -> None:
        problem(world.ask("GET", "/jobs", Host="evil.example"), 403, "forbidden")
        answer = world.ask("GET", "/jobs", Origin="https://evil.example")
        problem(answer, 403, "forbidden")
        local = world.ask("GET", "/jobs", Origin="http://localhost:3000")
        assert local.status_code == 200
