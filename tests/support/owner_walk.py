"""Every operation of the HTTP interface, asked by one owner for what another one has.

Two tokens see their own objects only. What the second one has must not show in any
answer to the first: neither by its ids, which are answered as ids are that never
existed, nor in lists and counts, which are the same before the second one has anything.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeAlias
from uuid import UUID

import httpx
import pytest
from attrs import evolve, frozen

from galaxy_jobs.adapters.testing.memory import ManualClock
from galaxy_jobs.domain import SERVICE, AllowedWorkflow, InvocationId
from galaxy_jobs.domain.model.token import Scope
from galaxy_jobs.domain.model.viewer import Sees
from galaxy_jobs.domain.model.workflow import Allowlist
from galaxy_jobs.entrypoints.settings import HttpTable
from tests.support import upload_contract
from tests.support.http_world import World, furnished
from tests.support.wait import until


Opened: TypeAlias = Callable[..., AbstractContextManager[World]]
Answer: TypeAlias = tuple[int, str]

ALLOWLIST = Allowlist(
    (
        AllowedWorkflow(name="sort"),
        AllowedWorkflow(name="strict"),
        AllowedWorkflow(name="only-lab-b", owners=frozenset({"lab-b"})),
    )
)
NEVER = {
    "invocation_id": "0" * 16,
    "submission_id": str(UUID(int=0)),
    "upload_id": str(UUID(int=1)),
    "batch_id": str(UUID(int=2)),
    "dataset_id": "never-b",
    "name": "only-lab-x",
}
"""Ids that never existed, as long as those of the second owner."""

INSTEAD = {"index": "0", "label": "lines", "element": "a", "path": "/x"}
"""Parameters of paths that name nothing of an owner's."""

FILE = {"name": "a.txt", "size": 2**30, "ext": "txt"}

BODIES: Mapping[str, list[dict[str, Any]]] = {
    "POST /jobs": [
        {"dataset_id": "{dataset_id}", "workflow_name": "sort"},
        {"dataset_id": "reads", "workflow_name": "{name}"},
        {
            "dataset_id": "reads",
            "workflow_name": "strict",
            "parameters": {"mode": "fast", "more": {"dataset_id": "{dataset_id}"}},
        },
    ],
    "POST /batches": [
        {"items": [{"dataset_id": "{dataset_id}"}], "workflow_name": "sort"},
        {"items": [{"dataset_id": "reads"}], "workflow_name": "{name}"},
    ],
    "POST /jobs/adopt": [
        {"invocation_id": "{invocation_id}", "dataset_id": "reads"},
        {
            "invocation_id": "{invocation_id}",
            "dataset_id": "reads",
            "workflow_name": "sort",
        },
    ],
    "POST /jobs/{invocation_id}/rerun": [{"overwrite": True}],
    "POST /jobs/{invocation_id}/steps/{index}/review": [{"approve": True}],
    "PATCH /datasets/{dataset_id}": [{"name": "mine"}, {"labels": {"a": "b"}}],
    "PATCH /jobs/{invocation_id}": [{"labels": {"a": "b"}}],
    "POST /uploads/{upload_id}/parts": [{"numbers": [1]}],
    "POST /uploads": [{**FILE, "dataset_id": "{dataset_id}"}],
    "POST /datasets": [
        {
            "dataset_id": "{dataset_id}",
            "name": "Mine",
            "source": {"src": "hda", "id": "hda-reads"},
        }
    ],
}
BODIES = {**BODIES, "POST /jobs/validate": BODIES["POST /jobs"]}

BY_ID = frozenset(
    {
        "DELETE /datasets/{dataset_id}",
        "DELETE /jobs/{invocation_id}/results",
        "DELETE /uploads/{upload_id}",
        "GET /batches/{batch_id}",
        "GET /batches/{batch_id}/items",
        "GET /datasets/{dataset_id}",
        "GET /jobs/{invocation_id}",
        "GET /jobs/{invocation_id}/history",
        "GET /jobs/{invocation_id}/outputs",
        "GET /jobs/{invocation_id}/outputs/{label}",
        "GET /jobs/{invocation_id}/outputs/{label}/{element}",
        "GET /jobs/{invocation_id}/outputs.zip",
        "GET /jobs/{invocation_id}/ro-crate",
        "GET /submissions/{submission_id}",
        "GET /uploads/{upload_id}",
        "GET /workflows/{name}",
        "PATCH /datasets/{dataset_id}",
        "POST /batches/{batch_id}/cancel",
        "POST /batches/{batch_id}/rerun",
        "PATCH /jobs/{invocation_id}",
        "POST /jobs/adopt",
        "POST /jobs/{invocation_id}/cancel",
        "POST /jobs/{invocation_id}/refresh",
        "POST /jobs/{invocation_id}/rerun",
        "POST /jobs/{invocation_id}/steps/{index}/review",
        "POST /uploads/{upload_id}/complete",
        "POST /uploads/{upload_id}/parts",
    }
)
"""The operations on one thing: what others have is not found."""

LISTS: Mapping[str, tuple[str, ...]] = {
    "GET /jobs": (
        "/jobs",
        "/jobs?owner=me",
        "/jobs?owner=lab-b",
        "/jobs?limit=1",
        "/jobs?dataset_id=reads",
        "/jobs?dataset_id={dataset_id}",
        "/jobs?dataset_id=lab-b::reads",
        "/jobs?workflow_name=sort",
        "/jobs?state=queued&state=failed",
        "/jobs?label=project:b",
        "/jobs?search=b",
        "/jobs?search=their",
    ),
    # Without the id of a job it stays open: see the tests of events.
    "GET /jobs/events": ("/jobs/events?invocation_id={invocation_id}",),
    "GET /batches": ("/batches", "/batches?limit=1"),
    "GET /datasets": ("/datasets", "/datasets?search=b", "/datasets?search=reads"),
    "GET /uploads": ("/uploads",),
    "GET /workflows": ("/workflows", "/workflows?limit=1"),
    "GET /health/live": ("/health/live",),
    "GET /health/ready": ("/health/ready",),
    "GET /metrics": ("/metrics",),
}
"""The other operations that change nothing, with what is asked of them."""

ADMIN = frozenset(
    {
        "DELETE /webhooks/{webhook_id}",
        "GET /webhooks",
        "GET /webhooks/{webhook_id}/deliveries",
        "POST /webhooks",
        "POST /webhooks/{webhook_id}/replay",
        "POST /webhooks/{webhook_id}/rotate",
        "POST /webhooks/{webhook_id}/test",
    }
)
"""The operations for the scope `admin`, which sees all: owners get none of them."""

MANY = ("POST /jobs/cancel", "POST /jobs/rerun")
"""The operations on all jobs that match."""

CHANGES = (
    "POST /jobs/validate",
    "POST /jobs",
    "POST /batches",
    "POST /uploads",
    "POST /datasets",
)
"""The operations that make something, or check it; the last two take any free id."""

PAGES = (
    "/",
    "/?owner=me",
    "/?owner=lab-b",
    "/?dataset_id=b",
    "/?workflow_name=only",
    "/?batch_id={batch_id}",
    "/ui/batches",
    "/ui/batches/{batch_id}",
    "/ui/many/cancel",
    "/ui/many/rerun",
    "/ui/submit",
    "/ui/submit?workflow_name=sort&dataset_id={dataset_id}",
    "/ui/submit?workflow_name={name}",
    "/ui/datasets?search=b",
    "/ui/jobs/{invocation_id}",
    "/ui/jobs/{invocation_id}/events",
    "/ui/jobs/{invocation_id}/logs",
    "/ui/jobs/{invocation_id}/outputs",
    "/ui/jobs/{invocation_id}/ro-crate",
    "/ui/jobs/{invocation_id}/rerun",
    "/ui/jobs/{invocation_id}/steps",
    "/ui/submissions/{submission_id}",
)

_EPHEMERAL = frozenset({"date", "content-length"})
_TIME = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@frozen
class Lab:
    """An owner, and what they have."""

    world: World
    ids: Mapping[str, str]

    def ask(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> httpx.Response:
        return self.world.ask(method, path, body, x_request_id="walk", **headers)


def filled(thing: Any, ids: Mapping[str, str]) -> Any:
    """Return a path or a body with ids in its places."""
    match thing:
        case str():
            for name, id_ in {**INSTEAD, **ids}.items():
                thing = thing.replace(f"{{{name}}}", id_)
            return thing
        case dict():
            return {name: filled(value, ids) for name, value in thing.items()}
        case _:
            return thing


def seen(answer: httpx.Response, ids: Mapping[str, str]) -> Answer:
    """Return all of an answer but what differs each time, and the ids asked for."""
    headers = sorted(answer.headers.items())
    lines = [f"{name}: {text}" for name, text in headers if name not in _EPHEMERAL]
    document = "\n".join([*lines, "", answer.text])
    for name, id_ in ids.items():
        document = document.replace(id_, f"({name})")
    document = _UUID.sub("(uuid)", document)
    # What two requests make is not of the same moment.
    return answer.status_code, _TIME.sub("(time)", document) if ids else document


class OwnerWalk:
    """What an owner learns of another one: nothing.

    A module that subclasses it has a fixture ``opened`` as for :class:`HttpContract`.
    """

    @pytest.fixture
    def labs(self, opened: Opened) -> Iterator[tuple[Lab, Callable[[], Lab]]]:
        """The first owner, and how the second one comes by what they have."""
        with two_labs(opened) as both:
            yield both

    def test_the_walk_has_every_operation(self, opened: Opened) -> None:
        with opened() as world:
            document = world.ask("GET", "/schema/openapi.json").json()
        operations = {
            f"{method.upper()} {path}"
            for path, methods in document["paths"].items()
            for method in methods
            if method in {"get", "post", "put", "patch", "delete"}
        }
        assert operations == BY_ID | LISTS.keys() | {*CHANGES, *MANY} | ADMIN

    def test_what_administers_is_refused(
        self, labs: tuple[Lab, Callable[[], Lab]]
    ) -> None:
        lab, _ = labs
        for operation in sorted(ADMIN):
            method, path = operation.split()
            answer = lab.ask(method, path.replace("{webhook_id}", "any"), {})
            assert answer.status_code == 403, operation

    def test_what_the_other_has_is_answered_as_what_never_was(
        self, labs: tuple[Lab, Callable[[], Lab]]
    ) -> None:
        lab, appear = labs
        other = appear()
        for operation in (*sorted(BY_ID), *CHANGES):
            method, path = operation.split()
            for body in BODIES.get(operation, [None]):
                answers = [
                    (lab.ask(method, filled(path, ids), filled(body, ids)), ids)
                    for ids in (NEVER, other.ids)
                ]
                never, theirs = (seen(answer, ids) for answer, ids in answers)
                assert theirs == never, operation
                status = 422 if operation in CHANGES else 404
                assert never[0] == (201 if operation in CHANGES[3:] else status)
        # It is as it was.
        for name in ("invocation_id", "submission_id", "dataset_id", "upload_id"):
            kind = {"invocation_id": "jobs"}.get(name, name.replace("_id", "s"))
            shown = other.world.get(f"/{kind}/{other.ids[name]}")
            assert shown["state"] in {"queued", "accepted", "ok", "open"}
        batch = other.world.get(f"/batches/{other.ids['batch_id']}")
        assert batch["counts"] == {"waiting": 1}

    def test_many_are_those_of_the_owner(
        self, labs: tuple[Lab, Callable[[], Lab]]
    ) -> None:
        lab, appear = labs
        other = appear()
        for operation in MANY:
            method, path = operation.split()
            for query in ("", "&owner=lab-b", "&search=b", "&state=queued"):
                answer = lab.ask(method, f"{path}?at_most=99&dry_run=true{query}")
                assert answer.status_code == 200, answer.text
                assert other.ids["invocation_id"] not in answer.text
        answer = lab.ask("POST", "/jobs/cancel?at_most=99")
        assert answer.json()["done"] == answer.json()["matching"]
        shown = other.world.get(f"/jobs/{other.ids['invocation_id']}")
        assert shown["state"] == "queued"

    def test_nothing_differs_with_what_the_other_has(
        self, labs: tuple[Lab, Callable[[], Lab]]
    ) -> None:
        lab, appear = labs
        own = [
            *(path for paths in LISTS.values() for path in paths),
            *(op.split()[1] for op in sorted(BY_ID) if op.startswith("GET")),
            *PAGES,
        ]
        # Its own ids, and those of the other: none of them is there yet.
        paths = [filled(path, ids) for path in own for ids in (lab.ids, NEVER)]
        paths = [path for path in dict.fromkeys(paths) if not endless(path, lab)]

        def answers() -> dict[str, Answer]:
            return {
                path: seen(lab.ask("GET", path, accept="text/html"), {})
                for path in paths
            }

        before = answers()
        tag = lab.ask("GET", "/jobs").headers["etag"]
        assert before["/metrics"][0] == 403
        assert "sort" in before["/workflows"][1]
        assert "only-lab" not in before["/workflows"][1] + before["/ui/submit"][1]
        assert '"items":[]' in before["/jobs?owner=lab-b"][1]
        other = appear()
        after = answers()
        for path in paths:
            assert after[path] == before[path], path
        assert lab.ask("GET", "/jobs", if_none_match=tag).status_code == 304
        shown = "".join(text for _, text in after.values())
        for name in other.ids.keys() - {"name"}:
            assert other.ids[name] not in shown

    def test_keys_and_cursors_of_the_other_are_of_no_use(
        self, labs: tuple[Lab, Callable[[], Lab]]
    ) -> None:
        lab, appear = labs
        other = appear()
        body = {"dataset_id": "reads", "workflow_name": "sort"}
        # The key of a job of the other, and any other key.
        for key in ("key-of-b", "any-key"):
            answer = lab.ask("POST", "/jobs", body, idempotency_key=key)
            assert answer.status_code == 201
            assert "idempotent-replayed" not in answer.headers
        cursor = other.world.get("/jobs?limit=1")["next_cursor"]
        found = lab.world.get(f"/jobs?limit=1&cursor={cursor}")
        mine = {job["invocation_id"] for job in lab.world.get("/jobs")["items"]}
        assert {job["invocation_id"] for job in found["items"]} <= mine

    def test_a_file_becomes_a_dataset_of_its_owner(
        self, labs: tuple[Lab, Callable[[], Lab]]
    ) -> None:
        lab, appear = labs
        other = appear()
        for owner, world in (("lab-a", lab.world), ("lab-b", other.world)):
            for dataset_id in ("from-file", None):
                more = {} if dataset_id is None else {"dataset_id": dataset_id}
                upload = upload_contract.opened(world, b"abc", **more)
                upload_contract.stored(world, upload, b"abc")
                answer = upload_contract.completed(world, upload, wait=30)
                assert answer.status_code == 200, answer.text
                dataset = answer.json()["dataset"]
                shown = dataset_id or upload["upload_id"]
                assert (dataset["dataset_id"], dataset["owner"]) == (shown, owner)
                assert world.get(f"/datasets/{shown}")["source"] == dataset["source"]
            again = {**FILE, "dataset_id": "from-file"}
            assert world.ask("POST", "/uploads", again).status_code == 409

    def test_who_sees_all_sees_whose_each_is(
        self, labs: tuple[Lab, Callable[[], Lab]]
    ) -> None:
        lab, appear = labs
        other = appear()
        create = lab.world.container.create_token()
        portal = lab.world.with_token(create("portal", Scope.SUBMIT).text)
        owners = {
            job["invocation_id"]: (job["owner"], job["dataset_id"])
            for job in portal.get("/jobs")["items"]
        }
        assert owners[lab.ids["invocation_id"]] == ("lab-a", "lab-a::reads")
        assert owners[other.ids["invocation_id"]] == ("lab-b", "lab-b::reads")
        only = portal.get("/jobs?owner=lab-a")["items"]
        assert {job["owner"] for job in only} == {"lab-a"}
        assert portal.get("/jobs?owner=me")["items"] == []
        detail = portal.get(f"/jobs/{lab.ids['invocation_id']}")
        assert detail["dataset_id"] == "lab-a::reads"
        # The ids that they see are ids that they can use.
        assert portal.get(f"/datasets/{detail['dataset_id']}")["owner"] == "lab-a"
        again = portal.ask("POST", f"/jobs/{lab.ids['invocation_id']}/rerun")
        assert again.status_code == 201
        rerun = portal.get(f"/jobs/{again.json()['invocation_id']}")
        assert (rerun["owner"], rerun["dataset_id"]) == ("portal", "lab-a::reads")
        # Of that, lab-a sees nothing.
        assert len(lab.world.get("/jobs")["items"]) == 2


def endless(path: str, lab: Lab) -> bool:
    """Return whether it is a stream of events of something that there is."""
    return "events" in path and lab.ids["invocation_id"] in path


@contextmanager
def two_labs(opened: Opened) -> Iterator[tuple[Lab, Callable[[], Lab]]]:
    """Open a world with the jobs of one owner; those of another come when asked for."""
    clock = ManualClock()
    http = HttpTable(rate=1e6, burst=1e6)
    with opened(allowlist=ALLOWLIST, http=http, clock=clock) as world:
        furnished(world)
        for name in ("only-lab-b", "only-lab-x"):
            world.galaxy.add_workflow(name)
        create = world.container.create_token()
        create("first", Scope.READ)  # it takes a second until tokens are needed
        until(lambda: world.ask("GET", "/jobs").status_code == 401, every=0.2)

        def a_lab(name: str, *datasets: str, key: str) -> Lab:
            token = create(name, Scope.SUBMIT, sees=Sees.OWN)
            lab = evolve(world, token=token.text)
            for dataset_id in datasets:
                source = {"src": "hda", "id": "hda-reads"}
                body = {"dataset_id": dataset_id, "name": name, "source": source}
                answer = lab.ask("POST", "/datasets", body)
                assert answer.status_code == 201, answer.text
                assert answer.json()["dataset_id"] == dataset_id
                assert answer.json()["owner"] == name
            job: dict[str, Any] = {"dataset_id": "reads", "workflow_name": "strict"}
            more = {"dataset_id": datasets[-1]}
            job["parameters"] = {"mode": "fast", "more": more}
            ids = []
            for sent in (key, f"{key}-2"):
                answer = lab.ask("POST", "/jobs", job, idempotency_key=sent)
                assert answer.status_code == 201, answer.text
                again = lab.ask("POST", "/jobs", job, idempotency_key=sent)
                assert again.json() == answer.json()
                ids.append(answer.json()["invocation_id"])
            upload = lab.ask("POST", "/uploads", {**FILE, "dataset_id": "file"})
            assert upload.status_code == 201, upload.text
            assert upload.json()["dataset_id"] == "file"
            items = [{"dataset_id": "reads"}]
            many = {"workflow_name": "sort", "items": items, "labels": {"lab": name}}
            batch = lab.ask("POST", "/batches", many, idempotency_key=key)
            assert batch.status_code == 201, batch.text
            shown = lab.get(f"/jobs/{ids[-1]}")
            assert (shown["dataset_id"], shown["owner"]) == ("reads", name)
            assert shown["parameters"] == job["parameters"]
            assert lab.get("/jobs")["items"][0]["parameters"] == job["parameters"]
            return Lab(
                lab,
                {
                    "invocation_id": ids[-1],
                    "submission_id": submission_of(world, ids[-1]),
                    "dataset_id": datasets[-1],
                    "upload_id": upload.json()["upload_id"],
                    "batch_id": batch.json()["batch_id"],
                    "name": "only-lab-b" if name == "lab-b" else "sort",
                },
            )

        yield (
            a_lab("lab-a", "reads", "mine-a", key="key-of-a"),
            lambda: a_lab("lab-b", "reads", "their-b", key="key-of-b"),
        )


def submission_of(world: World, invocation_id: str) -> str:
    """Return the submission that led to a job."""
    invocations = world.container.invocations()
    job = invocations.get(InvocationId(invocation_id), SERVICE)
    return str(job.submission_id)
