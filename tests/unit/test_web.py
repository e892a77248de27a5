"""The pages over the real use cases and a simulated Galaxy: what they say, escaped.

How they behave in a browser is shown with the integration tests.
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import pytest
from attrs import evolve, frozen
from dependency_injector import providers
from httpx import Response
from hypothesis import given
from hypothesis import strategies as st
from litestar import Litestar
from litestar.testing import TestClient

from galaxy_jobs.adapters.embedded.galaxy import LocalGalaxy
from galaxy_jobs.adapters.testing.memory import (
    ManualClock,
    MemoryAuditLog,
    MemoryBatches,
    MemoryDatasets,
    MemoryInvocations,
    MemoryPollQueue,
    MemoryRetention,
    MemoryStore,
    MemorySubmissions,
    MemorySupersededRuns,
    MemoryTagChanges,
    MemoryTokens,
    MemoryTransitionFeed,
    SimulatedGalaxy,
)
from galaxy_jobs.adapters.testing.memory.galaxy import FAILURE, TEXT, Moment
from galaxy_jobs.domain import (
    AllowedWorkflow,
    Allowlist,
    DataDescription,
    Dataset,
    DatasetId,
    Element,
    GalaxyData,
    GalaxyState,
    InputKind,
    InvocationId,
    InvocationReport,
    JobDetails,
    JobId,
    JobReport,
    JobState,
    Output,
    Progress,
    Src,
    StepReport,
    Workflow,
    WorkflowId,
    WorkflowInput,
)
from galaxy_jobs.domain.errors import (
    OutcomeUnknown,
    RunnerUnavailable,
    RunNotFound,
    RunRejected,
    StoreUnavailable,
)
from galaxy_jobs.domain.model.datatypes import Datatypes
from galaxy_jobs.domain.model.token import Scope
from galaxy_jobs.domain.model.values import Json
from galaxy_jobs.domain.model.viewer import SERVICE
from galaxy_jobs.domain.model.workflow import ListedWorkflow
from galaxy_jobs.domain.model.workflow_input import Pattern
from galaxy_jobs.domain.ports import Page
from galaxy_jobs.domain.use_cases import FindDatasets
from galaxy_jobs.entrypoints import file_names, web, wording
from galaxy_jobs.entrypoints.api.problems import Refused
from galaxy_jobs.entrypoints.app import create_app
from galaxy_jobs.entrypoints.container import Container
from galaxy_jobs.entrypoints.settings import Settings
from galaxy_jobs.entrypoints.web import batches, forms, pages, render
from galaxy_jobs.entrypoints.web.forms import Field, Form
from galaxy_jobs.entrypoints.web.render import ASSETS
from galaxy_jobs.entrypoints.web.submit import SubmitForm
from tests.support.api import StandIn, a_token, an_api, forgetful
from tests.support.build import an_invocation
from tests.support.wait import until


ROOT = "http://127.0.0.1:8000"
STATIC = Path(web.__file__).parent / "static"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
EVIL = """<script>alert("1")</script>'&%"""

N = WorkflowInput(
    name="n",
    kind=InputKind.INTEGER,
    minimum=1,
    maximum=9,
    default=3,
    annotation="How many <b>lines</b>",
)
MODE = WorkflowInput(name="mode", kind=InputKind.TEXT, options=("fast", "exact"))
KEEP = WorkflowInput(name="keep", kind=InputKind.BOOLEAN, default=True)
MORE = WorkflowInput(name="more", kind=InputKind.DATA, optional=True)
NOTE = WorkflowInput(name="note", kind=InputKind.TEXT, optional=True)
FORM = (TEXT, N, MODE, KEEP, MORE, NOTE)


@frozen
class World:
    """The pages and what they stand in."""

    api: TestClient[Litestar]
    container: Container
    galaxy: SimulatedGalaxy
    clock: ManualClock

    def get(self, path: str, status: int = 200) -> str:
        """Return a page, its form looked at."""
        answer = self.api.get(path, follow_redirects=False)
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert answer.headers["content-security-policy"] == POLICY
        assert answer.headers["cache-control"] == "no-store"
        return answer.text

    def send(self, path: str, page: str, **fields: Any) -> Response:
        """Send the form of a page as it is, but for these fields."""
        hidden = dict(re.findall(r'type="hidden" name="(\S+?)" value="(.*?)"', page))
        data = {unescape(k): unescape(v) for k, v in hidden.items()} | fields
        return self.api.post(
            path, data=data, headers={"Origin": ROOT}, follow_redirects=False
        )

    def submit(self, **fields: Any) -> str:
        body = {"dataset_id": "reads", "workflow_name": "Sort", **fields}
        answer = self.api.post("/jobs", json=body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["invocation_id"])

    def batch(self, *items: dict[str, Any], begin: bool = True, **fields: Any) -> str:
        """Submit a batch, begin its items if wanted, and return its id."""
        body = {"workflow_name": "Sort", "items": items, **fields}
        answer = self.api.post("/batches", json=body)
        assert answer.status_code == 201, answer.text
        while begin and self.container.invoke_next()():
            pass
        return str(answer.json()["batch_id"])

    def register(self, id_: str) -> None:
        source = {"src": "hda", "id": "1"}
        body = {"dataset_id": id_, "name": f"Data {id_}"[:255], "source": source}
        assert self.api.post("/datasets", json=body).status_code == 201

    def sweep(self, times: int = 1) -> None:
        """Let Galaxy go on, and look."""
        for _ in range(times):
            self.galaxy.tick()
            self.clock.advance(timedelta(minutes=5))
            self.container.poll()()


@pytest.fixture
def world() -> Iterator[World]:
    clock = ManualClock()
    store = MemoryStore(clock)
    galaxy = SimulatedGalaxy()
    galaxy.add_workflow("Sort")
    galaxy.add_workflow("Form", *FORM)
    # With an address, whatever is forgotten below starts no embedded PostgreSQL.
    settings = Settings(home=Path("/nowhere"), database_url="postgresql://none.invalid")
    container = Container(settings=settings)
    for name, thing in {
        "clock": clock,
        "datasets": MemoryDatasets(store),
        "submissions": MemorySubmissions(store),
        "invocations": MemoryInvocations(store),
        "queue": MemoryPollQueue(store),
        "batches": MemoryBatches(store),
        "superseded": MemorySupersededRuns(store),
        "tag_changes": MemoryTagChanges(store),
        "retention": MemoryRetention(store),
        "tokens": MemoryTokens(store),
        "audit_log": MemoryAuditLog(store),
        "feed": MemoryTransitionFeed(store),
        "galaxy": galaxy,
    }.items():
        getattr(container, name).override(providers.Object(thing))
    with TestClient(create_app(container), base_url=ROOT) as api:
        api.headers["Accept"] = "text/html"
        world = World(api, container, galaxy, clock)
        world.register("reads")
        yield world
    container.shutdown_resources()


def text_of(page: str) -> str:
    """Return what people read of a page."""
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", page)).split())


# --- the list ---


def test_an_empty_list_explains_how_to_begin(world: World) -> None:
    page = world.get("/")
    text = text_of(page)
    assert "No jobs yet" in text
    assert f"curl {ROOT}/datasets" in text
    assert "galaxy-jobs poll --every 5" in text
    assert 'href="/ui/submit"' in page
    assert 'href="/docs"' in page


def test_jobs_stand_newest_first_with_state_progress_and_times(world: World) -> None:
    first = world.submit()
    world.clock.advance(timedelta(hours=2))
    second = world.submit(workflow_name="Sort")
    page = world.get("/")
    assert page.index(second) < page.index(first)
    text = text_of(page)
    assert "Queued" in text
    assert "2 h ago" in text
    assert re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", text)
    world.sweep(2)
    assert "0 of 1 ok, 1 running" in text_of(world.get("/"))


def test_filters_combine_and_can_be_taken_back(world: World) -> None:
    id_ = world.submit()
    assert id_ in world.get("/?state=queued&dataset_id=reads&workflow_name=Sort")
    assert id_ in world.get("/?state=failed&state=queued")
    assert id_ in world.get("/?dataset_id=&workflow_name=")
    page = world.get("/?state=failed&dataset_id=reads")
    assert id_ not in page
    assert "No matching jobs" in page
    assert '"/?dataset_id=reads"' in page  # the chip of the state leaves it out
    assert '"/?dataset_id=reads&amp;state=queued&amp;state=failed"' in page
    assert 'name="state" value="failed"' in page  # the form keeps it


def test_labels_lead_to_the_jobs_that_have_them(world: World) -> None:
    labelled = world.submit(labels={"plate": "<7> & 8"})
    other = world.submit()
    query = "label=plate:%3C7%3E%20%26%208"
    page = world.get(f"/?{query}")
    assert labelled in page
    assert other not in page
    assert 'name="label" value="plate:&lt;7&gt; &amp; 8"' in page  # the form keeps it
    assert 'aria-current="true">plate:&lt;7&gt; &amp; 8' in page
    assert "plate: &lt;7&gt; &amp; 8" in world.get(f"/ui/jobs/{labelled}")
    found = world.get("/?search=%3C7%3E")
    assert labelled in found
    assert other not in found
    assert other not in world.get(f"/?{query}&search=nothing")
    world.get("/?label=plate", 400)
    assert '<option value="plate:&lt;7&gt; &amp; 8">' in page  # suggested
    assert labelled in world.get(f"/?label=&{query}")  # nothing more was typed
    found = world.get(f"/?search={labelled}&state=failed")
    assert "No matching jobs" in found
    assert "The job with this id" in found
    assert f'href="/ui/jobs/{labelled}"' in found


def test_labels_of_a_job_are_changed_by_a_form(world: World) -> None:
    id_ = world.submit(labels={"plate": "<7>"})
    page = world.get(f"/ui/jobs/{id_}")
    world.api.patch(
        f"/jobs/{id_}",
        content='{"labels": {"meanwhile": "1"}}',
        headers={"Content-Type": "application/merge-patch+json"},
    )
    answer = world.send(
        f"/ui/jobs/{id_}/labels", page, labels="checked:\r\nproject:a: b\r\n\r\n"
    )
    assert answer.headers["location"] == f"/ui/jobs/{id_}"
    assert world.api.get(f"/jobs/{id_}").json()["labels"] == {
        "checked": "",
        "meanwhile": "1",
        "project": "a: b",
    }
    assert world.send(f"/ui/jobs/{id_}/labels", page, labels="plate").status_code == 400
    assert world.send("/ui/jobs/nothing/labels", page, labels="").status_code == 404


def test_all_jobs_that_match_are_cancelled_after_a_confirmation(world: World) -> None:
    ids = [world.submit(labels={"plate": "7"}) for _ in range(3)]
    other = world.submit()
    listed = world.get("/?label=plate:7")
    (link,) = re.findall(r'href="(/ui/many/cancel[^"]*)"', listed)
    link = unescape(link)
    page = world.get(link)
    assert "Cancel 3 jobs?" in text_of(page)
    late = world.submit(labels={"plate": "7"})
    answer = world.send(link, page)
    assert (answer.status_code, "More than 3 jobs" in answer.text) == (409, True)
    page = world.get(link)
    answer = world.send(link, page)
    assert "4 of 4 jobs cancelled" in text_of(answer.text)
    for id_ in [*ids, late]:
        assert world.api.get(f"/jobs/{id_}").json()["state"] == "cancelling"
    assert world.api.get(f"/jobs/{other}").json()["state"] == "queued"
    for typed in ("", "x", "9" * 5000, "-1"):
        assert world.send(link, page, at_most=typed).status_code == 400
    world.sweep(9)
    assert "No matching jobs" in world.get(link)
    world.get("/ui/many/delete", 404)


def test_all_jobs_that_match_run_again_once(world: World) -> None:
    for _ in range(2):
        world.submit(labels={"plate": "7"})
    (link,) = re.findall(r'href="(/ui/many/rerun[^"]*)"', world.get("/?label=plate:7"))
    link = unescape(link)
    page = world.get(link)
    assert "Run 2 jobs again?" in text_of(page)
    for _ in range(2):  # the form is sent twice
        answer = world.send(link, page)
        assert "2 of 2 jobs run again" in text_of(answer.text)
    assert world.get("/?label=plate:7").count('class="job ') == 4


def test_jobs_have_an_owner_where_there_are_tokens(world: World) -> None:
    anybody = world.submit()
    assert "Owner" not in text_of(world.get("/"))
    create = world.container.create_token()
    create("first", Scope.READ)  # it takes a second until tokens are needed
    until(lambda: world.api.get("/jobs").status_code == 401, every=0.2)
    shown = {}
    for name in ("lab-a", "lab-b"):
        token = create(name, Scope.SUBMIT).text
        world.api.headers["Authorization"] = f"Bearer {token}"
        shown[name] = world.submit()
    page = world.get("/")
    assert {id_ for id_ in (anybody, *shown.values()) if id_ in page} == {
        anybody,
        *shown.values(),
    }
    assert f'by <a id="by-{shown["lab-a"]}" href="/?owner=lab-a">lab-a</a>' in page
    assert '<option value="me"></option>' in page
    for owner, id_ in (("me", shown["lab-b"]), ("lab-a", shown["lab-a"])):
        filtered = world.get(f"/?owner={owner}&state=queued")
        assert id_ in filtered
        assert filtered.count('class="job queued"') == 1
        assert f'name="owner" value="{owner}"' in filtered
        assert f'"/?owner={owner}"' in filtered  # the chip of the state leaves it out
    assert 'by <a href="/?owner=lab-a">lab-a</a>' in world.get(
        f"/ui/jobs/{shown['lab-a']}"
    )


def test_filters_match_parts_of_names_in_any_case(world: World) -> None:
    world.galaxy.add_workflow("sort and count")
    world.register("reads-2")
    ids = [
        world.submit(workflow_name=workflow, dataset_id=dataset)
        for workflow in ("Sort", "sort and count")
        for dataset in ("reads", "reads-2")
    ]

    def found(query: str) -> list[bool]:
        page = world.get(f"/?{query}")
        return [id_ in page for id_ in ids]

    assert found("workflow_name=SORT") == [True, True, True, True]
    assert found("workflow_name=COUNT") == [False, False, True, True]
    assert found("dataset_id=DATA%20READS") == [True, True, True, True]  # a name
    assert found("dataset_id=S-2&workflow_name=ort") == [False, True, False, True]
    assert found("dataset_id=none") == found("workflow_name=x") == [False] * 4
    # One that is chosen stands for itself.
    assert found("workflow_name=Sort&dataset_id=reads") == [True, False, False, False]
    page = world.get("/?workflow_name=SORT&dataset_id=Data")
    assert "2 workflows with “SORT”: Sort, sort and count" in text_of(page)
    assert "2 datasets with “Data”: reads, reads-2" in text_of(page)
    assert '<option value="sort and count">' in page
    assert '<option value="reads-2">Data reads-2 (ok)</option>' in page
    world.get("/?workflow_name=" + "x" * 256, 400)
    world.get("/?owner=" + "x" * 256, 400)


def test_each_state_has_the_number_of_its_jobs(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        world.submit()
    assert "Queued 3 In progress 0" in text_of(world.get("/"))
    world.sweep(9)
    page = text_of(world.get("/?state=queued"))
    assert "Queued 0 (shown; select to remove) In progress 0" in page
    assert "Completed 3 Failed 0" in page
    assert "Completed 0" in text_of(world.get("/?workflow_name=none"))
    monkeypatch.setattr(pages, "COUNT_LIMIT", 2)
    assert "Completed 2+" in text_of(world.get("/"))


def test_older_jobs_are_a_page_further(world: World) -> None:
    ids = []
    for _ in range(30):
        world.clock.advance(timedelta(seconds=1))
        ids.append(f'"/ui/jobs/{world.submit()}"')
    page = world.get("/?workflow_name=Sort")
    assert ids[-1] in page
    assert ids[0] not in page
    older = re.findall(r'rel="next" href="(.*?)"', page)[0]
    page = world.get(unescape(older))
    assert ids[0] in page
    assert ids[-1] not in page
    assert "Older jobs" not in page
    world.get(unescape(older).replace("Sort", "Form"), 400)


def test_a_stale_job_is_marked(world: World) -> None:
    world.submit()
    world.clock.advance(timedelta(hours=1))
    assert "Not updated since" in text_of(world.get("/"))


class Name(str):
    """A name that records the threads in which it is rendered."""

    __slots__ = ("threads",)

    threads: set[str]

    def __html__(self) -> str:
        self.threads.add(threading.current_thread().name)
        return str(self)


def test_pages_are_rendered_in_the_threads_of_their_routes() -> None:
    name = Name("Sort")
    name.threads = set()
    job = evolve(an_invocation(), workflow_name=name)
    with an_api(
        list_jobs=StandIn(Page((job,), None)),
        show_job=StandIn(job),
        job_history=StandIn([]),
    ) as api:
        for path in ("/", "/ui/jobs/inv1"):
            assert "Sort" in api.get(path, headers={"Accept": "text/html"}).text
    assert {thread.partition("_")[0] for thread in name.threads} == {"reader"}


# --- a job ---


def test_a_failure_stands_before_everything_else(world: World) -> None:
    details = JobDetails(
        tool="sort1", element="plate-1/b", exit_code=2, stderr="no such key\n" * 300
    )
    world.galaxy.add_workflow("Bad", plan=FAILURE, details={"sort": details})
    id_ = world.submit(workflow_name="Bad")
    world.sweep(9)
    page = world.get(f"/ui/jobs/{id_}")
    text = text_of(page)
    parts = ["Failed after", "Step “sort” failed", "plate-1/b", "no such key", "Steps"]
    places = [text.index(part) for part in parts]
    assert places == sorted(places)
    assert "Exit code 2" in text
    assert "sse-connect" not in page  # it has ended: nothing is followed
    assert ">Cancel<" not in page
    assert "sort1" in text_of(world.get("/"))


def test_a_running_job_shows_steps_history_parameters_and_what_can_be_done(
    world: World,
) -> None:
    id_ = world.submit(workflow_name="Form", parameters={"mode": "fast", "n": 5})
    world.sweep(2)
    page = world.get(f"/ui/jobs/{id_}")
    text = text_of(page)
    assert "In progress" in text
    assert "0 of 1 ok, 1 running" in text
    assert "1 running" in text
    assert "mode fast" in text
    assert text.index("History") < text.index("Queued")
    assert f'action="/ui/jobs/{id_}/cancel"' in page
    assert f'href="/ui/jobs/{id_}/rerun"' in page
    assert "http://galaxy.simulated/workflows/invocations/" in page


def test_a_parameter_that_was_set_to_nothing_is_not_set(world: World) -> None:
    id_ = world.submit(
        workflow_name="Form", parameters={"mode": "fast", "note": None, "keep": False}
    )
    text = text_of(world.get(f"/ui/jobs/{id_}"))
    assert "note not set" in text
    assert "keep false" in text


def test_the_duration_of_a_job_ends_with_it(world: World) -> None:
    id_ = world.submit()
    world.clock.advance(timedelta(minutes=3))
    for path in ("/", f"/ui/jobs/{id_}"):
        assert "for 3 min" in text_of(world.get(path))
    world.sweep(9)
    world.clock.advance(timedelta(hours=9))
    # It is superseded hours after its end.
    world.api.post(f"/jobs/{id_}/rerun", json={"overwrite": True})
    [end] = [
        change.at
        for change in world.container.invocations().transitions(
            InvocationId(id_), SERVICE
        )
        if change.to_state.is_terminal
    ]
    start = world.container.invocations().get(InvocationId(id_), SERVICE).created_at
    for path in ("/", f"/ui/jobs/{id_}"):
        assert f"after {wording.duration(end - start)}" in text_of(world.get(path))


def test_there_is_no_link_to_a_galaxy_that_has_no_pages(
    world: World, tmp_path: Path
) -> None:
    id_ = world.submit()
    home = tmp_path / "galaxy"
    home.mkdir()
    keys = {"port": 8090, "admin_key": "a", "id_secret": "b"}
    (home / "galaxy.json").write_text(json.dumps(keys))
    assert LocalGalaxy.addresses(tmp_path) == ["http://127.0.0.1:8090"]
    (home / "galaxy.json").write_text("{}")
    assert LocalGalaxy.addresses(tmp_path) == []
    assert 'href="http://galaxy.simulated/' in world.get(f"/ui/jobs/{id_}")
    world.container.local_galaxies.override(
        providers.Object(["http://galaxy.simulated"])
    )
    page = world.get(f"/ui/jobs/{id_}")
    assert "http://galaxy.simulated has no pages to look at it" in text_of(page)
    assert 'href="http' not in page


def test_a_script_that_has_missed_the_end_of_a_job_reloads_its_page(
    world: World,
) -> None:
    id_ = world.submit()
    htmx = {"HX-Request": "true", "HX-Target": "live"}
    answer = world.api.get(f"/ui/jobs/{id_}", headers=htmx)
    assert "hx-refresh" not in answer.headers
    world.sweep(9)
    answer = world.api.get(f"/ui/jobs/{id_}", headers=htmx)
    assert answer.headers["hx-refresh"] == "true"
    answer = world.api.get(f"/ui/jobs/{id_}", headers=htmx | {"HX-Target": "job"})
    assert "hx-refresh" not in answer.headers


def test_outputs_are_fetched_separately_and_errors_stay_in_their_place(
    world: World,
) -> None:
    made = Output(
        label="lines", src="hda", id="o1", name="Lines", extension="txt", size=2048
    )
    broken = Element(name="plate-1/b", id="o4", state="error")
    parts = Output(
        label="parts", src="hdca", id="o2", state="error", elements=(broken,)
    )
    world.galaxy.add_workflow("Out", outputs=[made, parts])
    id_ = world.submit(workflow_name="Out")
    world.sweep(9)
    calls = world.galaxy.calls["outputs"]
    page = world.get(f"/ui/jobs/{id_}")
    assert world.galaxy.calls["outputs"] == calls
    assert f'hx-get="/ui/jobs/{id_}/outputs"' in page
    outputs = f"/ui/jobs/{id_}/outputs"
    text = text_of(world.get(outputs))
    assert "lines Lines hda o1 txt 2.0 kB" in text
    assert "parts hdca o2 error plate-1 b hda o4 error" in text
    (link,) = re.findall(r'href="(/jobs/[^"]*)" download', world.get(outputs))
    assert link == f"/jobs/{id_}/outputs/lines"
    world.galaxy.file_contents["o1"] = b"x" * 2048
    answer = world.api.get(link)
    assert answer.content == b"x" * 2048
    assert answer.headers["content-disposition"].startswith("attachment")
    world.galaxy.outage = RunnerUnavailable("Galaxy cannot be reached.")
    htmx = {"HX-Request": "true"}
    answer = world.api.get(f"/ui/jobs/{id_}/outputs", headers=htmx)
    assert answer.status_code == 200  # a script puts nothing else in its place
    assert "Galaxy cannot be reached." in answer.text
    world.get(f"/ui/jobs/{id_}/outputs", 503)


def test_all_outputs_are_offered_as_a_zip_once_they_are_whole(world: World) -> None:
    lines = Output(label="lines", src="hda", id="o1", state="ok")
    score = Output(label="score", src="value", value=0.5)
    for number, (more, offered) in enumerate(
        (
            ([], False),
            ([score], False),
            ([evolve(lines, label="more", state="empty"), score], True),
            ([evolve(lines, label="more", state="running")], False),
            ([evolve(lines, label="more", state="deleted")], False),
        )
    ):
        world.galaxy.add_workflow(f"Zip {number}", outputs=[lines, *more])
        id_ = world.submit(workflow_name=f"Zip {number}")
        world.sweep(9)
        page = world.get(f"/ui/jobs/{id_}/outputs")
        assert (f'href="/jobs/{id_}/outputs.zip" download' in page) is offered


def test_the_crate_of_a_job_is_waited_for_on_a_page(world: World) -> None:
    id_ = world.submit()
    link = f'href="/ui/jobs/{id_}/ro-crate"'
    assert link not in world.get(f"/ui/jobs/{id_}")
    world.sweep(9)
    assert link in world.get(f"/ui/jobs/{id_}")
    answer = world.api.get(f"/ui/jobs/{id_}/ro-crate")
    assert (answer.status_code, answer.headers["refresh"]) == (200, "2")
    assert "begins by itself" in answer.text
    world.galaxy.file_contents[f"export of {id_}"] = b"a crate"
    answer = world.api.get(f"/ui/jobs/{id_}/ro-crate", follow_redirects=False)
    crate = f"/jobs/{id_}/ro-crate"
    assert (answer.status_code, answer.headers["location"]) == (303, crate)
    assert world.api.get(crate).content == b"a crate"
    world.get("/ui/jobs/none/ro-crate", 404)


class NestedRun(SimulatedGalaxy):
    """A run of which each job takes a minute, and those of a sub-workflow fail."""

    def report(self, invocation_id: InvocationId) -> InvocationReport:
        start = datetime(2025, 1, 2, 12, tzinfo=UTC)

        def jobs(*states: JobState) -> tuple[JobReport, ...]:
            return tuple(
                JobReport(
                    JobId(f"{state.value}{number}"),
                    state,
                    "sort1",
                    created_at=start + number * timedelta(minutes=1),
                    updated_at=start + (number + 1) * timedelta(minutes=1),
                )
                for number, state in enumerate(states)
            )

        bad = [JobState.ERROR] * 22
        inner = InvocationReport(
            invocation_id=InvocationId("sub"),
            state=GalaxyState.SCHEDULED,
            steps=(
                StepReport(index=0, label="align", jobs=jobs(JobState.OK, *bad)),
                StepReport(index=1, label="call", jobs=jobs(JobState.BLOCKED)),
            ),
        )
        return InvocationReport(
            invocation_id=invocation_id,
            state=GalaxyState.SCHEDULED,
            steps=(
                StepReport(index=0, label="reads"),
                StepReport(index=1, label="mapping", sub=inner),
                StepReport(index=2, label="wait", jobs=jobs(JobState.RUNNING)),
            ),
        )

    def details(self, job_id: JobId) -> JobDetails:
        if job_id == "error2":
            raise RunNotFound("Galaxy has no such job.")
        return JobDetails(tool="sort1", exit_code=2, stderr=f"<{job_id}>")


def test_the_steps_of_sub_workflows_are_shown_with_times(world: World) -> None:
    id_ = world.submit()
    world.container.runner.override(providers.Object(NestedRun()))
    text = text_of(world.get(f"/ui/jobs/{id_}/steps"))
    text = text.replace("\u203a", ">").replace("\u2013", "-")
    for row in (
        "1 reads ok - - - -",
        "2 mapping failed - 1 blocked, 22 error, 1 ok 2025-01-02 23 min",
        "1 mapping > align failed sort1 22 error, 1 ok 2025-01-02 23 min",
        "2 mapping > call blocked sort1 1 blocked 2025-01-02 1 min",
        "3 wait running sort1 1 running 2025-01-02",
    ):
        assert row in text
    assert "so far" in text
    assert "so far" not in text.partition("3 wait")[0]


def test_the_log_of_each_failed_job_is_shown(world: World) -> None:
    id_ = world.submit()
    world.container.runner.override(providers.Object(NestedRun()))
    text = text_of(world.get(f"/ui/jobs/{id_}/logs")).replace("\u203a", ">")
    assert text.count("mapping > align") == 20
    assert "mapping > align Tool sort1 Exit code 2 State error" in text
    assert "<error1>" in text
    assert "<error20>" in text
    assert "It is error; Galaxy does not have its log any more." in text
    assert "2 more failed; their logs are in Galaxy." in text
    assert "blocked" not in text


def test_steps_and_logs_stay_as_they_are_while_galaxy_is_away(world: World) -> None:
    world.galaxy.add_workflow("Bad", plan=FAILURE)
    id_ = world.submit(workflow_name="Bad")
    world.sweep(9)
    assert f'hx-get="/ui/jobs/{id_}/steps"' in world.get(f"/ui/jobs/{id_}")
    assert "Step “sort” failed" in text_of(world.get(f"/ui/jobs/{id_}"))
    world.galaxy.outage = RunnerUnavailable("Galaxy cannot be reached.")
    htmx = {"HX-Request": "true"}
    assert world.api.get(f"/ui/jobs/{id_}/steps", headers=htmx).status_code == 204
    answer = world.api.get(f"/ui/jobs/{id_}/logs", headers=htmx)
    assert answer.status_code == 200
    assert "Galaxy cannot be reached." in answer.text
    for part in ("steps", "logs"):
        world.get(f"/ui/jobs/{id_}/{part}", 503)
        world.get(f"/ui/jobs/none/{part}", 404)


def test_a_superseded_job_and_a_rerun_point_to_each_other(world: World) -> None:
    first = world.submit()
    again = world.api.post(f"/jobs/{first}/rerun", json={"overwrite": True}).json()
    second = again["invocation_id"]
    page = text_of(world.get(f"/ui/jobs/{first}"))
    assert f"Superseded by a later job: {second}" in page
    assert f"Rerun of {first}" in text_of(world.get(f"/ui/jobs/{second}"))
    assert "superseded" in text_of(world.get("/"))


# --- doing ---


def test_cancelling_leads_back_to_the_job(world: World) -> None:
    id_ = world.submit()
    page = world.get(f"/ui/jobs/{id_}")
    answer = world.send(f"/ui/jobs/{id_}/cancel", page)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/ui/jobs/{id_}")
    assert "Cancelling" in text_of(world.get(f"/ui/jobs/{id_}"))
    world.sweep(9)
    assert world.api.get(f"/jobs/{id_}").json()["state"] == "cancelled"


def test_results_are_deleted_after_a_question(world: World) -> None:
    id_ = world.submit()
    path = f"/ui/jobs/{id_}"
    assert "Delete results" not in text_of(world.get(path))
    world.sweep(9)
    page = world.get(path)
    assert "for good, with everything in it" in text_of(page)
    answer = world.send(f"{path}/delete-results", page)
    assert (answer.status_code, answer.headers["location"]) == (303, path)
    page = world.get(path)
    assert "The results were deleted" in text_of(page)
    assert "Delete results" not in text_of(page)
    assert "Run again" in text_of(page)
    assert 'hx-trigger="load" hx-select="#outputs"' not in page


def test_jobs_that_were_stopped_are_not_called_failed() -> None:
    counts = Progress(total=3, ok=1, running=0, waiting=0, failed=2)
    assert render.counted(counts, "failed") == "1 of 3 ok, 2 failed"
    for state in ("cancelling", "cancelled"):
        assert render.counted(counts, state) == "1 of 3 ok, 2 stopped or failed"


def test_a_job_that_has_ended_cannot_be_cancelled_and_a_page_says_so(
    world: World,
) -> None:
    id_ = world.submit()
    page = world.get(f"/ui/jobs/{id_}")
    world.sweep(9)
    answer = world.send(f"/ui/jobs/{id_}/cancel", page)
    assert answer.status_code == 409
    assert "cannot be cancelled" in text_of(answer.text)


def test_the_form_shows_what_the_workflow_declares(world: World) -> None:
    assert "/ui/submit?workflow_name=Form" in world.get("/ui/submit")
    page = world.get("/ui/submit?workflow_name=Form&dataset_id=reads")
    text = text_of(page)
    assert "for the input “text”" in text
    assert "n an integer from 1 to 9, default 3 How many <b>lines</b>" in text
    number = re.findall(r'<input id="p0"[^>]*>', page)[0]
    for part in ('value="3"', 'type="number"', 'step="1"', 'min="1"', 'max="9"'):
        assert part in number
    assert re.search(r'<select id="p1"[^>]*required>', page)
    select = page.partition('<select id="p1"')[2].partition("</select>")[0]
    assert re.findall(r'<option value="(\w*)">', select) == ["", "fast", "exact"]
    assert 'name="p.keep" value="true" checked' in page
    assert '<option value="reads">Data reads (ok)</option>' in page
    assert 'name="dataset_id" value="reads"' in page


def test_options_are_shown_by_their_labels(world: World) -> None:
    one = evolve(MODE, labels=("Fast but rough", "Exact"))
    world.galaxy.add_workflow("L", one, evolve(one, name="several", multiple=True))
    page = world.get("/ui/submit?workflow_name=L")
    assert '<option value="fast">Fast but rough</option>' in page
    assert 'value="exact"> Exact</label>' in page


def test_the_form_names_missing_tools(world: World) -> None:
    id_ = world.galaxy.add_workflow("Lacks")
    stored = world.galaxy.workflows[id_]
    stored.workflow = evolve(stored.workflow, missing_tools=("one", "<two>"))
    page = world.get("/ui/submit?workflow_name=Lacks")
    assert "Galaxy lacks tools that it uses" in page
    assert "one, &lt;two&gt;." in page


def test_the_form_offers_datasets_with_what_galaxy_knows_of_them(
    world: World,
) -> None:
    described = DataDescription(
        state="ok", extensions=("txt",), collection_type="list:paired"
    )
    world.container.datasets().add(
        Dataset(
            dataset_id=DatasetId("plate"),
            name="Plate <1>",
            source=GalaxyData(Src.HDCA, "c1"),
            created_at=datetime.now(UTC),
            description=described,
            described_at=datetime.now(UTC),
        ),
        SERVICE,
    )
    page = world.get("/ui/submit?workflow_name=Form")
    label = "Plate &lt;1&gt; (list:paired of txt, ok)"
    assert f'<option value="plate">{label}</option>' in page


def test_workflows_are_searched_by_all_that_is_shown_of_them(world: World) -> None:
    listed = [
        ListedWorkflow(
            name="Variant calling",
            workflow_id=WorkflowId("w1"),
            annotation="From <reads> to VCF.",
            tags=("dna", "human"),
            owner="ada",
            updated_at=datetime(2026, 1, 2, tzinfo=UTC),
        ),
        ListedWorkflow(name="assembly", workflow_id=WorkflowId("w2"), owner="bob"),
    ]
    catalog = SimpleNamespace(listed=lambda: listed)
    world.container.catalog.override(providers.Object(catalog))
    page = text_of(world.get("/ui/submit"))
    assert page.index("assembly of bob") < page.index("Variant calling")
    assert "From <reads> to VCF. dna human of ada, changed 2026-01-02" in page
    for search in ("VARIANT", "vcf", "HUM", "Ada"):
        page = text_of(world.get(f"/ui/submit?search={search}&dataset_id=reads"))
        assert "Variant calling" in page
        assert "assembly" not in page
    page = world.get("/ui/submit?search=none&dataset_id=reads")
    assert "No workflow has “none”" in text_of(page)
    assert 'href="/ui/submit?dataset_id=reads"' in page


def test_a_workflow_that_cannot_be_run_says_why_in_the_list(world: World) -> None:
    rows = (AllowedWorkflow(name="gone"), AllowedWorkflow(name="Form"))
    world.container.allowlist.override(providers.Object(Allowlist(rows)))
    page = text_of(world.get("/ui/submit"))
    assert page.count("Galaxy shows no workflow named") == 1
    assert page.index("Form") < page.index("gone Galaxy shows no workflow named 'gone'")


def test_a_form_runs_a_job_once_however_often_it_is_sent(world: World) -> None:
    page = world.get("/ui/submit?workflow_name=Form")
    fields = {
        "dataset_id": "reads",
        "p.n": "7",
        "p.mode": "exact",
        "p.keep": ["false"],
        "p.more": "reads",
        "p.note": "",
    }
    first, second = (world.send("/ui/submit", page, **fields) for _ in range(2))
    assert first.status_code == second.status_code == 303
    assert first.headers["location"] == second.headers["location"]
    [run] = world.galaxy.runs
    job = world.api.get(first.headers["location"].removeprefix("/ui")).json()
    assert job["parameters"] == {
        "n": 7,
        "mode": "exact",
        "keep": False,
        "more": {"dataset_id": "reads"},
    }
    assert run.inputs["n"] == 7


def test_errors_are_shown_beside_their_fields_and_what_was_typed_stays(
    world: World,
) -> None:
    page = world.get("/ui/submit?workflow_name=Form")
    fields = {"dataset_id": "none", "p.n": "many", "p.note": EVIL}
    answer = world.send("/ui/submit", page, **fields)
    assert answer.status_code == 422
    assert "There is no dataset 'none'" in text_of(answer.text)
    answer = world.send("/ui/submit", page, **(fields | {"dataset_id": "reads"}))
    assert answer.status_code == 422
    page = answer.text
    errors = {
        id_: text_of(html)
        for id_, html in re.findall(r'id="(p\d)-error">(.*?)</p>', page, re.DOTALL)
    }
    assert errors == {
        "p0": "Input 'n' takes an integer from 1 to 9, got \"many\".",
        "p1": "Input 'mode' (one of 'fast', 'exact') is required; give it in "
        "`parameters`.",
    }
    assert '<a href="#p0">n</a>' in page
    assert 'value="many"' in page
    assert f'value="{EVIL}"' not in page
    assert EVIL in unescape(page)
    assert page.count('aria-invalid="true"') == 2
    assert not world.galaxy.runs


def test_a_form_that_was_used_up_may_be_sent_for_something_else(world: World) -> None:
    page = world.get("/ui/submit?workflow_name=Sort")
    world.send("/ui/submit", page, dataset_id="reads")
    world.register("others")
    answer = world.send("/ui/submit", page, dataset_id="others")
    assert answer.status_code == 422
    assert "used for another request" in text_of(answer.text)
    answer = world.send("/ui/submit", answer.text, dataset_id="others")
    assert answer.status_code == 303
    assert len(world.galaxy.runs) == 2


def test_a_rerun_starts_from_what_the_job_was_given(world: World) -> None:
    given_ = {
        "mode": "exact",
        "n": 5,
        "note": "hello",
        "more": {"src": "hda", "id": "x"},
    }
    first = world.submit(workflow_name="Form", parameters=given_)
    page = world.get(f"/ui/jobs/{first}/rerun")
    assert 'value="hello"' in page
    assert '<option selected value="exact">' in page
    assert '{"src": "hda", "id": "x"}' in unescape(page)
    answer = world.send(
        f"/ui/jobs/{first}/rerun",
        page,
        **{"p.mode": "fast", "p.n": "", "p.more": '{"src": "hda", "id": "y"}'},
        overwrite="true",
    )
    assert answer.status_code == 303, text_of(answer.text)
    job = world.api.get(answer.headers["location"].removeprefix("/ui")).json()
    assert job["rerun_of"] == first
    assert job["overwrite"] is True
    assert job["parameters"] == {
        "mode": "fast",
        "n": 3,  # emptied: the workflow's default, not what it was
        "note": None,
        "more": {"src": "hda", "id": "y"},
        "keep": False,
    }


def test_an_unknown_outcome_leads_to_the_page_of_the_submission(world: World) -> None:
    world.galaxy.fail_next("invoke", OutcomeUnknown("No answer came."), after=True)
    page = world.get("/ui/submit?workflow_name=Sort")
    answer = world.send("/ui/submit", page, dataset_id="reads")
    assert answer.status_code == 303
    where = answer.headers["location"]
    assert where.startswith("/ui/submissions/")
    # The form sent again leads there too: it may be running.
    assert (
        world.send("/ui/submit", page, dataset_id="reads").headers["location"] == where
    )
    assert '<meta http-equiv="refresh"' in world.get(where)
    by_htmx = {"HX-Request": "true"}
    assert "HX-Refresh" not in world.api.get(where, headers=by_htmx).headers
    world.sweep(3)
    assert world.api.get(where, headers=by_htmx).headers["HX-Refresh"] == "true"
    answer = world.api.get(where, follow_redirects=False)
    assert (
        answer.headers["location"] == f"/ui/jobs/{world.galaxy.runs[0].invocation_id}"
    )


def test_a_job_of_another_version_than_the_repeated_one_says_so(world: World) -> None:
    first = world.submit()
    [workflow_id] = {run.workflow.workflow.workflow_id for run in world.galaxy.runs}
    world.galaxy.add_version(workflow_id)
    assert "version 0" in text_of(world.get(f"/ui/jobs/{first}"))
    answer = world.api.post(f"/jobs/{first}/rerun")
    again = text_of(world.get(f"/ui/jobs/{answer.json()['invocation_id']}"))
    assert f"Job {first} ran version 0 of this workflow" in again


def test_a_rerun_runs_the_newest_version_or_that_of_the_job(world: World) -> None:
    first = world.submit()
    url = f"/ui/jobs/{first}/rerun"
    assert "version" not in text_of(world.get(url).partition("<footer")[0])
    [workflow_id] = {run.workflow.workflow.workflow_id for run in world.galaxy.runs}
    world.galaxy.add_version(workflow_id, TEXT, evolve(TEXT, name="new"))
    newest = world.get(url)
    assert (
        f"Job {first} ran version 0 of this workflow; this job runs version 1. "
        "Run version 0 again"
    ) in text_of(newest)
    assert 'name="p.new"' in newest
    same = world.get(f"{url}?workflow_version=same")
    assert "This job runs version 0 of the workflow" in text_of(same)
    assert 'name="p.new"' not in same
    for page, fields, version in (
        (same, {}, 0),
        (newest, {"dataset_input": "text", "p.new": "reads"}, 1),
    ):
        answer = world.send(url, page, **fields)
        assert answer.status_code == 303, text_of(answer.text)
        assert world.galaxy.runs[-1].options.version == version
    world.galaxy.fail_next("invoke", RunRejected("No.", 400))
    refused = world.send(url, same, key="another")
    assert refused.status_code == 422
    assert "This job runs version 0 of the workflow" in text_of(refused.text)


def test_of_a_job_to_run_again_the_input_of_the_dataset_can_be_changed(
    world: World,
) -> None:
    world.galaxy.add_workflow("Pair", TEXT, evolve(TEXT, name="more"))
    first = world.submit(
        workflow_name="Pair",
        dataset_input="more",
        parameters={"text": {"src": "hda", "id": "x"}},
    )
    url = f"/ui/jobs/{first}/rerun"
    page = world.get(url)
    assert '<option selected value="more">more</option>' in page
    assert "left empty below" not in page
    runs = world.galaxy.runs
    for fields, inputs in (
        ({"dataset_input": "more", "p.text": "hda:x"}, {"more": "1", "text": "x"}),
        ({"dataset_input": "text", "p.more": "hda:x"}, {"text": "1", "more": "x"}),
    ):
        answer = world.send(url, world.get(url), **fields)
        assert answer.status_code == 303, text_of(answer.text)
        given_ = {name: GalaxyData(Src.HDA, id_) for name, id_ in inputs.items()}
        assert runs[-1].inputs == given_


def test_of_several_data_inputs_one_is_chosen_or_left_empty(world: World) -> None:
    world.register("other")
    world.galaxy.add_workflow("Two", TEXT, evolve(TEXT, name="other"))
    page = world.get("/ui/submit?workflow_name=Two")
    for name in ("p.text", "p.other"):
        [control] = re.findall(rf'<input [^>]*name="{name}"[^>]*>', page)
        assert "required" not in control
    answer = world.send("/ui/submit", page, dataset_id="reads")
    assert answer.status_code == 422
    assert "Fill all but one of them" in text_of(answer.text)
    choice = {"dataset_input": "other", "p.text": "other"}
    answer = world.send("/ui/submit", page, dataset_id="reads", **choice)
    assert answer.status_code == 303
    named = {
        "text": GalaxyData(Src.HDA, "1"),
        "other": GalaxyData(Src.HDA, "1"),
    }
    assert world.galaxy.runs[-1].inputs == named
    page = world.get("/ui/submit?workflow_name=Two")
    answer = world.send("/ui/submit", page, dataset_id="reads", **{"p.text": "other"})
    assert world.galaxy.runs[-1].inputs == named
    job = answer.headers["location"]
    page = world.get(f"{job}/rerun")
    again = world.send(f"{job}/rerun", page, **{"p.text": "other"})
    assert again.status_code == 303
    assert world.galaxy.runs[-1].inputs == named


def test_the_reason_of_a_rejection_is_shown(world: World) -> None:
    world.galaxy.fail_next("invoke", RunRejected("The <tool> is missing.", 400))
    page = world.get("/ui/submit?workflow_name=Sort")
    answer = world.send("/ui/submit", page, dataset_id="reads")
    assert answer.status_code == 422
    assert "The <tool> is missing." in text_of(answer.text)
    assert "<tool>" not in answer.text
    world.get(f"/ui/submissions/{UUID(int=7)}", 404)
    world.get("/ui/submissions/nonsense", 404)


# --- who may send a form ---


def test_a_form_from_another_site_does_nothing(world: World) -> None:
    id_ = world.submit()
    page = world.get(f"/ui/jobs/{id_}")
    path = f"/ui/jobs/{id_}/cancel"
    for headers in (
        {"Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {},
    ):
        answer = world.api.post(path, data={"a": "b"}, headers=headers)
        assert answer.status_code == 403, headers
    answer = world.api.post("/ui/submit", json={}, headers={"Origin": ROOT})
    assert answer.status_code == 415
    assert world.api.get(f"/jobs/{id_}").json()["state"] == "queued"
    assert world.send(path, page).status_code == 303


# --- tokens ---


@frozen
class Door:
    """The pages, where tokens are needed."""

    api: TestClient[Litestar]
    read: str
    write: str
    cancel_job: StandIn

    def sign_in(self, token: str, wanted: str = "/") -> Response:
        page = self.api.get("/sign-in", params={"next": wanted})
        assert page.status_code == 200
        [target] = re.findall(r'name="next" value="(.*?)"', page.text)
        return self.api.post(
            "/sign-in",
            data={"next": unescape(target), "token": token},
            headers={"Origin": ROOT},
            follow_redirects=False,
        )

    def get(self, path: str) -> Response:
        headers = {"Accept": "text/html"}
        return self.api.get(path, headers=headers, follow_redirects=False)


@pytest.fixture
def door() -> Iterator[Door]:
    tokens = MemoryTokens(MemoryStore())
    cancel_job = StandIn(an_invocation())
    with an_api(
        tokens=tokens,
        token_cache=forgetful(tokens),
        list_jobs=StandIn(Page((an_invocation(),), None)),
        show_job=StandIn(an_invocation()),
        job_history=StandIn([]),
        cancel_job=cancel_job,
    ) as api:
        scopes = (Scope.READ, Scope.SUBMIT)
        read, write = (a_token(tokens, scope.value, scope) for scope in scopes)
        yield Door(api, read, write, cancel_job)


def test_without_a_token_the_sign_in_page_asks_for_one_and_leads_back(
    door: Door,
) -> None:
    answer = door.get("/ui/jobs/inv1?x=1")
    where = "/sign-in?next=%2Fui%2Fjobs%2Finv1%3Fx%3D1"
    assert (answer.status_code, answer.headers["location"]) == (303, where)
    assert "Sign out" not in door.get(where).text
    answer = door.sign_in(door.write, "/ui/jobs/inv1")
    assert (answer.status_code, answer.headers["location"]) == (303, "/ui/jobs/inv1")
    cookie = answer.headers["set-cookie"]
    assert f"galaxy_jobs_token={door.write}; HttpOnly; Path=/; SameSite=lax" in cookie
    assert "Secure" not in cookie
    page = door.get("/ui/jobs/inv1")
    assert page.status_code == 200
    assert "Sign out" in page.text
    assert ">Cancel<" in page.text
    assert door.write not in page.text
    assert door.get("/").status_code == 200


def test_behind_tls_the_cookie_goes_over_tls_alone(door: Door) -> None:
    door.api.headers["X-Forwarded-Proto"] = "https"
    cookies = door.sign_in(door.read).headers["set-cookie"]
    assert "Secure" in cookies


@pytest.mark.parametrize("token", ["", "x", "gjt_0123456789abcdef_" + "x" * 43, EVIL])
def test_a_bad_token_is_not_kept(door: Door, token: str) -> None:
    answer = door.sign_in(token)
    assert answer.status_code == 401
    assert 'role="alert"' in answer.text
    assert "galaxy_jobs_token" not in answer.headers.get("set-cookie", "")
    assert token in {"", "x"} or token not in answer.text
    assert door.get("/").status_code == 303


@pytest.mark.parametrize(
    "wanted",
    ["//evil.example", "/\\evil.example", "https://evil.example", "", "x", "/%09x y"],
)
def test_signing_in_redirects_to_pages_of_this_service_only(
    door: Door, wanted: str
) -> None:
    assert door.sign_in(door.read, wanted).headers["location"] == "/"


def test_a_token_for_reading_is_offered_no_actions(door: Door) -> None:
    door.sign_in(door.read)
    page = door.get("/ui/jobs/inv1").text
    assert ">Cancel<" not in page
    assert "/rerun" not in page
    assert "/ui/submit" not in door.get("/").text
    answer = door.api.post(
        "/ui/jobs/inv1/cancel", headers={"Origin": ROOT, "Accept": "text/html"}
    )
    assert answer.status_code == 403
    assert answer.headers["content-type"].startswith("text/html")
    assert "has the scope" in text_of(answer.text)


def test_signing_out_forgets_the_token(door: Door) -> None:
    door.sign_in(door.read)
    answer = door.api.post(
        "/sign-out", headers={"Origin": ROOT}, follow_redirects=False
    )
    assert answer.headers["location"] == "/sign-in"
    assert door.get("/").status_code == 303


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site", "Origin": ROOT},
        {"Sec-Fetch-Site": "same-site", "Origin": ROOT},
        {"Sec-Fetch-Site": "none"},
    ],
)
@pytest.mark.parametrize("path", ["/ui/jobs/inv1/cancel", "/sign-out", "/sign-in"])
def test_a_form_from_another_site_does_nothing_though_signed_in(
    door: Door, path: str, headers: dict[str, str]
) -> None:
    door.sign_in(door.write)
    answer = door.api.post(path, data={"token": door.read}, headers=headers)
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers
    assert door.cancel_job.calls == []


def test_where_no_token_is_needed_none_is_asked_for(world: World) -> None:
    assert "No token is needed here" in text_of(world.get("/sign-in"))
    assert "Sign out" not in world.get("/")


def test_a_refusal_before_routing_is_a_page() -> None:
    gone = StandIn(StoreUnavailable("The database cannot be reached."))
    with an_api(tokens=gone, authenticate=Lost()) as api:
        answer = api.get("/", headers={"Accept": "text/html"})
        assert answer.status_code == 503
        assert answer.headers["content-security-policy"] == POLICY
        assert answer.headers["retry-after"]
        assert "The database cannot be reached." in text_of(answer.text)
        assert api.get("/").headers["content-type"] == "application/problem+json"


class Lost:
    """Finds no token, since the database is away."""

    def needed(self) -> bool:
        raise StoreUnavailable("The database cannot be reached.")


# --- batches ---


READS = {"dataset_id": "reads"}


def test_an_empty_list_of_batches_explains_how_to_submit_one(world: World) -> None:
    page = world.get("/ui/batches")
    assert "galaxy-jobs submit-many" in text_of(page)
    assert 'href="/ui/batches" aria-current="page"' in page
    assert 'href="/ui/batches"' in world.get("/")


def test_each_batch_is_a_line_with_the_number_of_items_in_each_state(
    world: World,
) -> None:
    first = world.batch(READS, READS, labels={"plate": "<7>"})
    world.sweep(9)
    second = world.batch(READS, begin=False)
    page = world.get("/ui/batches")
    assert page.index(second) < page.index(first)
    text = text_of(page)
    assert "2 completed" in text
    assert "1 waiting" in text
    assert "plate: <7>" in text
    assert 'aria-label="2 of 2 items completed"' in page
    assert f'href="/ui/batches/{first}"' in page


def test_older_batches_are_a_page_further(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "PAGE_SIZE", 2)
    ids = []
    for _ in range(3):
        world.clock.advance(timedelta(seconds=1))
        ids.append(world.batch(READS, begin=False))
    page = world.get("/ui/batches")
    assert [id_ in page for id_ in ids] == [False, True, True]
    older = re.findall(r'rel="next" href="(.*?)"', page)[0]
    page = world.get(unescape(older))
    assert [id_ in page for id_ in ids] == [True, False, False]
    assert "Older batches" not in page


def test_a_batch_opens_into_its_failures_its_items_and_its_jobs(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "PAGE_SIZE", 2)
    details = JobDetails(tool="sort1", exit_code=2, message="No <such> key")
    world.galaxy.add_workflow("Bad", plan=FAILURE, details={"sort": details})
    id_ = world.batch(READS, READS, READS, workflow_name="Bad")
    other = world.submit()
    world.sweep(9)
    page = world.get(f"/ui/batches/{id_}")
    text = text_of(page)
    assert "3 failed" in text
    assert text.index("Failures") < text.index("Items")
    assert text.count("No <such> key") == 3 + 2  # two items on the page
    jobs = unescape(re.findall(r'href="(/\?batch_id=[^"]*state=failed)"', page)[0])
    listed = world.get(jobs)
    assert listed.count('class="job failed"') == 3
    assert other not in listed
    assert f'name="batch_id" value="{id_}"' in listed  # the form keeps it
    assert "/?state=failed" in listed  # its chip takes it away
    following = re.findall(r'rel="next" href="(.*?)"', page)[0]
    page = world.get(unescape(following))
    assert re.findall(r'class="number">(\d)</span> <a', page) == ["3"]
    assert "There are no more." in world.get(f"/ui/batches/{id_}?after=1000")
    world.get(f"/ui/batches/{id_}?after=1001", 400)
    world.get(f"/ui/batches/{id_}?after=x", 400)


def test_an_item_without_a_job_leads_to_its_submission(world: World) -> None:
    id_ = world.batch(READS, begin=False)
    page = world.get(f"/ui/batches/{id_}")
    (link,) = re.findall(r'href="(/ui/submissions/[^"]*)"', page)
    text = text_of(world.get(link))
    assert "has not been sent to Galaxy yet" in text
    world.galaxy.workflows.clear()
    while world.container.invoke_next()():
        pass
    assert "1 rejected" in text_of(world.get(f"/ui/batches/{id_}"))
    assert "no workflow" in text_of(world.get(f"/ui/batches/{id_}"))
    assert "The job was not run" in text_of(world.get(link))


def test_a_batch_is_cancelled_by_a_form_that_asks_first(world: World) -> None:
    id_ = world.batch(READS, READS, begin=False)
    url = f"/ui/batches/{id_}"
    page = world.get(url)
    assert "Stop this batch" in page
    assert f'action="{url}/rerun"' not in page  # nothing has failed
    assert f'hx-get="{url}?after=-1"' in page  # it is kept up to date
    answer = world.send(f"{url}/cancel", page)
    assert (answer.status_code, answer.headers["location"]) == (303, url)
    page = world.get(url)
    assert "2 rejected" in text_of(page)
    assert "Stop this batch" not in page
    assert f'action="{url}/rerun"' not in page  # what was cancelled has not failed
    assert "hx-get" not in page
    htmx = {"HX-Request": "true", "HX-Target": "live"}
    assert world.api.get(url, headers=htmx).headers["hx-refresh"] == "true"
    assert world.send(f"{url}/cancel", page).status_code == 303  # once more


def test_what_has_failed_of_a_batch_is_run_again_once(world: World) -> None:
    world.galaxy.add_workflow("Bad", plan=FAILURE)
    id_ = world.batch(READS, READS, workflow_name="Bad")
    world.sweep(9)
    url = f"/ui/batches/{id_}"
    page = world.get(url)
    assert "Stop this batch" not in page
    answer = world.send(f"{url}/rerun", page)
    again = answer.headers["location"]
    assert answer.status_code == 303
    assert again != url
    assert f'href="{url}"' in world.get(again)  # rerun of
    assert "2 items" in text_of(world.get(again))
    # Sent twice, it runs once.
    assert world.send(f"{url}/rerun", page).headers["location"] == again
    assert "rerun" in text_of(world.get("/ui/batches"))
    answer = world.send(f"{again}/rerun", page)
    assert answer.status_code == 409


def test_who_may_only_read_has_no_buttons_on_a_batch(world: World) -> None:
    id_ = world.batch(READS, begin=False)
    token = world.container.create_token()("reader", Scope.READ).text
    until(lambda: world.api.get("/jobs").status_code == 401, every=0.2)
    world.api.headers["Authorization"] = f"Bearer {token}"
    url = f"/ui/batches/{id_}"
    page = world.get(url)
    assert "<form" not in page.partition("<main")[2]
    for action in ("cancel", "rerun"):
        assert world.send(f"{url}/{action}", page).status_code == 403


# --- what names of files show ---


def test_what_names_show_is_found_out_in_a_thread(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs_of = file_names.pairs_of

    def in_a_thread(names: Sequence[str]) -> Any:
        with pytest.raises(RuntimeError, match="no running event loop"):
            asyncio.get_running_loop()
        return pairs_of(names)

    monkeypatch.setattr(file_names, "pairs_of", in_a_thread)
    names = ["s.x_R1.fq", "s.x_R2.fq", "notes.old", "odd\n_1.fq"]
    headers = {"Origin": ROOT}
    answer = world.api.post("/ui/upload/names", data={"name": names}, headers=headers)
    assert answer.json() == {
        "files": [
            {"ext": "fastqsanger", "element": "s.x_R1"},
            {"ext": "fastqsanger", "element": "s.x_R2"},
            {"ext": None, "element": "notes"},
            {"ext": "fastqsanger", "element": "odd\n_1"},
        ],
        "pairs": [{"name": "s.x", "forward": 0, "reverse": 1}],
    }


# --- what is wrong with an address ---


@pytest.mark.parametrize(
    ("path", "status", "sentence"),
    [
        ("/ui/jobs/nonsense", 404, "There is no job 'nonsense'."),
        ("/ui/nothing/here", 404, "There is nothing at /ui/nothing/here."),
        ("/ui/submit?workflow_name=Nope", 404, "no workflow named 'Nope'"),
        ("/?state=asleep", 400, "expected one of queued,"),
        ("/?cursor=xyz", 400, "Bad cursor"),
        ("/ui/batches/nonsense", 404, "There is no batch 'nonsense'."),
        (f"/ui/batches/{UUID(int=0)}", 404, "There is no batch"),
        ("/ui/batches?cursor=xyz", 400, "Bad cursor"),
        ("/?batch_id=xyz", 404, "There is no batch 'xyz'."),
        ("/?page=2", 400, "Unknown query parameter 'page'"),
    ],
)
def test_a_wrong_address_is_answered_by_a_page(
    world: World, path: str, status: int, sentence: str
) -> None:
    assert sentence in text_of(world.get(path, status))


@pytest.mark.parametrize("path", ["/", "/ui/jobs/j1"])
def test_without_the_database_a_page_says_so(path: str) -> None:
    gone = StandIn(StoreUnavailable("The database cannot be reached."))
    with an_api(list_jobs=gone, show_job=gone) as api:
        answer = api.get(path, headers={"Accept": "text/html"})
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    assert answer.headers["content-security-policy"] == POLICY
    assert "The database cannot be reached." in text_of(answer.text)


# --- whatever is shown is escaped ---


@pytest.mark.parametrize(
    "name",
    [EVIL, "a/b ü ♥/../%2F?#", "quo\"te's", "x" * 255, "../../etc", "\u202eevil"],
)
def test_names_are_shown_as_they_are_and_run_nothing(world: World, name: str) -> None:
    details = JobDetails(tool=name, exit_code=1, stderr=name * 10, message=name)
    plan = (
        Moment("scheduled", {name: "running"}),
        Moment("completed", {name: "error"}),
    )
    odd = WorkflowInput(name=name, kind=InputKind.TEXT, optional=True, annotation=name)
    world.galaxy.add_workflow(name, TEXT, odd, plan=plan, details={name: details})
    world.register(name)
    page = world.get("/ui/submit")
    link = re.findall(r'href="(/ui/submit\?workflow_name=.*?)"', page)
    forms_ = [world.get(unescape(url)) for url in link]
    [form] = [form for form in forms_ if f"New job: {name}</h1>" in unescape(form)]
    fields = {"dataset_id": name, f"p.{name}": name}
    answer = world.send("/ui/submit", form, **fields)
    assert answer.status_code == 303, text_of(answer.text)
    where = answer.headers["location"]
    world.sweep(9)
    for page in (form, world.get("/"), world.get(where), world.get(f"{where}/rerun")):
        assert name in unescape(page)
        assert "<script>alert" not in page
        assert not re.search(r"<[^>]*alert\(\"1\"\)", page)
    filtered = re.findall(r'href="(/\?dataset_id=.*?)"', world.get("/"))
    assert where in world.get(unescape(filtered[0]))


def test_no_page_has_a_script_or_a_style_of_its_own(world: World) -> None:
    id_ = world.submit()
    for path in ("/", f"/ui/jobs/{id_}", "/ui/submit?workflow_name=Form"):
        page = world.get(path)
        assert not re.search(r"\sstyle=|\son\w+=|<style|<script(?! src=\"/ui/)", page)
        assert set(re.findall(r'(?:src|href)="(https?://[^"/]*)', page)) <= {
            "http://galaxy.simulated"
        }


# --- files ---


def test_browsers_may_keep_the_files_for_ever(world: World) -> None:
    page = world.get("/")
    for name, media_type in {
        "page.css": "text/css",
        "page.js": "text/javascript",
        "selection.js": "text/javascript",
        "htmx.min.js": "text/javascript",
        "sse.min.js": "text/javascript",
        "icon.svg": "image/svg+xml",
    }.items():
        assert f'"{ASSETS}/{name}"' in page
        answer = world.api.get(f"{ASSETS}/{name}")
        assert answer.content == (STATIC / name).read_bytes()
        assert answer.headers["content-type"].startswith(media_type)
        assert answer.headers["cache-control"] == "max-age=31536000, public, immutable"


@pytest.mark.parametrize(
    "path",
    [
        "/ui/assets/0123456789ab/page.css",
        f"{ASSETS}/",
        f"{ASSETS}/none.css",
        f"{ASSETS}/../render.py",
        f"{ASSETS}/..%2frender.py",
        f"{ASSETS}/%2e%2e/render.py",
        f"{ASSETS}/x/..%2f..%2frender.py",
        f"{ASSETS}/%2fetc%2fpasswd",
        f"{ASSETS}//etc/passwd",
    ],
)
def test_no_other_file_is_served(world: World, path: str) -> None:
    assert world.api.get(path).status_code == 404


# --- forms, whatever is typed ---


def a_form(*inputs: WorkflowInput, sent: Form | None = None) -> SubmitForm:
    workflow = Workflow(workflow_id=WorkflowId("w"), name="w", inputs=inputs)
    return SubmitForm(workflow=workflow, dataset_input=None, form=sent)


@given(st.text(max_size=30))
def test_a_number_is_a_number_or_the_text_that_was_typed(typed: str) -> None:
    value = a_form(N, sent=Form({"p.n": typed})).parameters.get("n", typed)
    if isinstance(value, int | float):
        assert float(value) == float(typed)
    else:
        assert value in {typed.strip(), typed}


@pytest.mark.parametrize("character", "\"'<>& é")
def test_a_form_is_encoded_as_browsers_do_it(world: World, character: str) -> None:
    body = f"workflow_name=Form&dataset_id=none&p.text={character * 10}"
    headers = {"Origin": ROOT, "Content-Type": "application/x-www-form-urlencoded"}
    answer = world.api.post("/ui/submit", content=body.encode(), headers=headers)
    assert (answer.status_code == 400) is (character != "&")


@given(st.binary(max_size=60))
def test_whatever_is_sent_is_a_form_or_refused(body: bytes) -> None:
    try:
        form = forms.read(body)
    except Refused:
        return
    assert set(a_form(*FORM, sent=form).parameters) <= {input_.name for input_ in FORM}


TITLE = WorkflowInput(
    name="title", kind=InputKind.TEXT, optional=True, default="Untitled"
)
SHORT = WorkflowInput(name="short", kind=InputKind.TEXT, default="ab", min_length=1)


@pytest.mark.parametrize(
    ("input_", "choices"),
    [
        (TITLE, ["default: Untitled", "the empty text", "this text:"]),
        (NOTE, ["not set", "the empty text", "this text:"]),
        (SHORT, ["default: ab", "this text:"]),
        (
            WorkflowInput(name="x", kind=InputKind.TEXT),
            ["the empty text", "this text:"],
        ),
        (WorkflowInput(name="x", kind=InputKind.TEXT, min_length=1), []),
        (MODE, []),
        (N, []),
    ],
)
def test_a_text_can_be_its_default_empty_or_typed(
    input_: WorkflowInput, choices: list[str]
) -> None:
    assert [*a_form(input_).fields[0].choices.values()] == choices


@pytest.mark.parametrize(
    ("choice", "text", "value"),
    [
        ("default", "Untitled", {}),
        ("default", "", {}),
        ("default", "A", {"title": "A"}),  # without scripts, typing moves no choice
        ("empty", "A", {"title": ""}),
        ("empty", "", {"title": ""}),
        ("given", "A", {"title": "A"}),
        ("given", "Untitled", {"title": "Untitled"}),
        ("given", "", {}),
        (None, "A", {"title": "A"}),
        (None, "", {}),
    ],
)
def test_what_is_chosen_for_a_text_is_what_it_is(
    choice: str | None, text: str, value: dict[str, str]
) -> None:
    sent = {"p.title": text} | ({} if choice is None else {"c.title": choice})
    assert a_form(TITLE, sent=Form(sent)).parameters == value


@pytest.mark.parametrize(
    ("value", "choice"),
    [("Untitled", "default"), ("", "empty"), ("A", "given"), (None, "given")],
)
def test_a_rerun_chooses_what_the_job_was_given(value: Json, choice: str) -> None:
    earlier = evolve(an_invocation(), parameters={"title": value})
    [field] = evolve(a_form(TITLE), earlier=earlier).fields
    assert field.choice == choice


@pytest.mark.parametrize("default", [None, True, False])
def test_an_optional_boolean_has_three_values(default: Json) -> None:
    input_ = WorkflowInput(
        name="b", kind=InputKind.BOOLEAN, optional=True, default=default
    )
    assert a_form(input_).fields[0].kind == "select"
    for text, value in (("true", True), ("false", False)):
        assert a_form(input_, sent=Form({"p.b": text})).parameters == {"b": value}
    unset = {} if default is None else {"b": None}
    assert a_form(input_, sent=Form({"p.b": ""})).parameters == unset
    [field] = a_form(evolve(input_, optional=False)).fields
    # Without a default, a box would answer for people.
    assert field.kind == ("select" if default is None else "check")
    assert field.required is (default is None)


def test_a_field_shows_labels_suggestions_and_the_authors_sentences(
    world: World,
) -> None:
    world.galaxy.add_workflow(
        "Rich",
        TEXT,
        WorkflowInput(
            name="genome",
            kind=InputKind.TEXT,
            options=("hg38", "mm10"),
            labels=("Human <38>", "Mouse"),
        ),
        WorkflowInput(
            name="tag",
            kind=InputKind.TEXT,
            suggestions=("a", "b"),
            patterns=(Pattern(expression="[a-z]", message="Small letters."),),
            rule="At most nine.",
            max_length=9,
            annotation="A tag.",
        ),
    )
    page = world.get("/ui/submit?workflow_name=Rich")
    assert '<option value="hg38">Human &lt;38&gt;</option>' in page
    assert 'list="p1-list"' in page
    assert re.search(r'id="p1-list">\s*<option value="a"></option>', page)
    assert "A tag. At most nine. Small letters." in text_of(page)
    assert 'maxlength="9"' in page


def test_a_picker_offers_the_datasets_that_fit(world: World) -> None:
    world.container.datasets().add(
        Dataset(
            dataset_id=DatasetId("plate"),
            name="A Plate",
            source=GalaxyData(Src.HDCA, "c1"),
            created_at=world.clock(),
        ),
        SERVICE,
    )
    plates = WorkflowInput(name="plates", kind=InputKind.COLLECTION)
    world.galaxy.add_workflow("Plates", TEXT, plates)

    def offered(**query: str) -> list[str]:
        page = world.get("/ui/datasets?" + urlencode(query))
        return sorted(re.findall(r'<option value="(.*?)">', page))

    world.container.datasets().add(
        Dataset(
            dataset_id=DatasetId("table"),
            name="Data, described",
            source=GalaxyData(Src.HDA, "t1"),
            created_at=world.clock(),
            description=DataDescription(state="ok", extensions=("tabular",)),
            described_at=world.clock(),
        ),
        SERVICE,
    )
    fasta = WorkflowInput(name="fasta", kind=InputKind.DATA, formats=("fasta",))
    world.galaxy.add_workflow("Fasta", fasta)
    datatypes = Datatypes(
        classes={"fasta": "Fasta", "tabular": "Tabular"},
        ancestors={"Fasta": ["Fasta"], "Tabular": ["Tabular"]},
    )
    data: Any = SimpleNamespace(datatypes=lambda: datatypes)
    find = FindDatasets(world.container.datasets(), data)
    [fitting, any_] = find([fasta, None], SERVICE, "data")
    assert [dataset.dataset_id for dataset in fitting] == ["reads"]
    assert {dataset.dataset_id for dataset in any_} == {"reads", "table"}
    world.container.datasets().remove(DatasetId("table"), SERVICE)
    assert offered() == ["plate", "reads"]
    assert offered(workflow_name="Plates", input="plates") == ["plate"]
    assert offered(workflow_name="Plates", input="text") == ["plate", "reads"]
    assert offered(search="DATA R") == ["reads"]
    assert offered(search="none") == []
    page = world.get("/ui/submit?workflow_name=Plates")
    assert re.search(r'<datalist id="p1-list">\s*<option value="plate">', page)


def test_lists_are_typed_line_by_line_or_ticked() -> None:
    lines = WorkflowInput(name="l", kind=InputKind.INTEGER, multiple=True)
    several = WorkflowInput(
        name="s", kind=InputKind.TEXT, multiple=True, options=("a", "b", "c")
    )
    form = Form([("p.l", "1\r\n2\r\n\r\nx"), ("p.s", "a"), ("p.s", "c")])
    values = a_form(lines, several, sent=form).parameters
    assert values == {"l": [1, 2, "x"], "s": ["a", "c"]}
    fields = [
        Field(id="p", input=input_, value=values[input_.name])
        for input_ in (lines, several)
    ]
    assert [field.texts for field in fields] == [["1\n2\nx"], ["a", "c"]]
    assert [field.kind for field in fields] == ["lines", "several"]


@pytest.mark.parametrize("options", [("a", "b"), ()])
@pytest.mark.parametrize(
    ("default", "sent", "parameters"),
    [
        (["a"], [], {"l": []}),
        (["a"], ["b"], {"l": ["b"]}),
        (None, [], {}),
    ],
)
def test_a_list_that_is_emptied_is_not_its_default(
    options: tuple[str, ...], default: Json, sent: list[str], parameters: dict[str, Any]
) -> None:
    input_ = WorkflowInput(
        name="l",
        kind=InputKind.TEXT,
        multiple=True,
        options=options,
        optional=True,
        default=default,
    )
    # A hidden field of boxes, or a field without lines, is the empty text.
    fields = ["", *sent] if options or not sent else sent
    form = Form([("p.l", text) for text in fields])
    assert a_form(input_, sent=form).parameters == parameters
    assert a_form(input_, sent=Form({})).parameters == {}


@pytest.mark.parametrize("value", ["5", "true", '{"a": 1}', 6, False, [1, "x"], 0])
@pytest.mark.parametrize("kind", [InputKind.OTHER, InputKind.TEXT])
def test_a_value_that_is_shown_and_sent_back_stays_the_same(
    value: Json, kind: InputKind
) -> None:
    input_ = WorkflowInput(name="x", kind=kind, optional=True)
    earlier = evolve(an_invocation(), parameters={"x": value})
    rerun = evolve(a_form(input_), earlier=earlier)
    [field] = rerun.fields
    sent = Form([(field.name, text) for text in field.texts])
    assert evolve(rerun, form=sent).parameters == {"x": value}
