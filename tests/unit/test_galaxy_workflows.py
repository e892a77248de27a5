"""Workflows by name, page by page, and where they changed a moment ago."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from attrs import evolve

from galaxy_jobs.adapters.galaxy import Galaxy, client
from galaxy_jobs.adapters.galaxy.names import RETRY_AFTER
from galaxy_jobs.adapters.testing.memory import SimulatedGalaxy
from galaxy_jobs.domain import (
    AllowedWorkflow,
    Allowlist,
    GalaxyData,
    HistoryId,
    InvocationId,
    InvokeOptions,
    Src,
    WorkflowId,
)
from galaxy_jobs.domain.errors import (
    OutcomeUnknown,
    RunnerError,
    RunnerUnavailable,
    RunRejected,
    WorkflowAmbiguous,
    WorkflowNotFound,
    WorkflowVersionNotFound,
)
from galaxy_jobs.domain.model.viewer import SERVICE
from galaxy_jobs.domain.model.workflow import ListedWorkflow
from galaxy_jobs.domain.ports import Page
from galaxy_jobs.domain.use_cases import ListWorkflows
from tests.support.hostile_galaxy import WORKFLOW, recorded
from tests.unit.test_galaxy_garbage import galaxy


WANTED = AllowedWorkflow(name=WORKFLOW)


def listed(*ids: str) -> list[dict[str, object]]:
    return [{"id": id_, "name": WORKFLOW, "deleted": False} for id_ in ids]


def test_one_imported_after_others_asked_for_unknown_names_is_found() -> None:
    answers: dict[str, object] = {"workflows": []}
    made = galaxy(answers)
    for name in ("unknown", WORKFLOW):
        with pytest.raises(WorkflowNotFound):
            made.find(AllowedWorkflow(name=name))
    answers["workflows"] = listed("w1")
    assert made.find(WANTED).workflow_id == "w1"


def test_a_second_one_of_the_name_is_noticed_at_once() -> None:
    answers: dict[str, object] = {"workflows": listed("w1")}
    made = galaxy(answers)
    assert made.find(WANTED).workflow_id == "w1"
    answers["workflows"] = listed("w1", "w2")
    with pytest.raises(WorkflowAmbiguous) as refusal:
        made.find(WANTED)
    assert refusal.value.ids == ("w1", "w2")


def test_twins_are_told_apart_by_owner_and_date() -> None:
    twins = [
        {**listed(id_)[0], "owner": owner, "update_time": "2026-11-24T06:38:55.230439"}
        for id_, owner in (("w1", "alice"), ("w2", "bob"))
    ]
    with pytest.raises(WorkflowAmbiguous) as refusal:
        galaxy({"workflows": twins}).find(WANTED)
    at = "2026-11-24T06:38:55Z"
    assert f"'w1' (of 'alice', changed {at})" in str(refusal.value)
    assert refusal.value.extra()["workflows"] == [
        {"id": "w1", "owner": "alice", "updated_at": at},
        {"id": "w2", "owner": "bob", "updated_at": at},
    ]


def test_a_hidden_one_is_found() -> None:
    made = galaxy({"workflows": [], "hidden workflows": listed("w1")})
    assert made.find(WANTED).workflow_id == "w1"


def test_a_hidden_one_is_no_twin_of_another() -> None:
    made = galaxy({"workflows": listed("w1"), "hidden workflows": listed("w2")})
    assert made.find(WANTED).workflow_id == "w1"


def test_an_earlier_version_is_found() -> None:
    newest = {**recorded("export_two_steps"), "version": 2}
    listed_at = [{**listed("w1")[0], "update_time": "2026-11-24T06:38:55.230439"}]
    made = galaxy({"workflows": listed_at, "export": newest})
    for version in (None, 0, 2, 0):
        wanted = evolve(WANTED, options=InvokeOptions(version=version))
        found = made.find(wanted)
        assert found.version == (2 if version is None else version)
        assert found.updated_at == datetime(2026, 11, 24, 6, 38, 55, 230439, UTC)
    wanted = evolve(WANTED, options=InvokeOptions(version=3))
    with pytest.raises(WorkflowVersionNotFound, match="The newest is version 2"):
        made.find(wanted)


def test_a_run_shows_what_it_was_started_with() -> None:
    run = recorded("run_bad_parameter")
    workflow = {**recorded("workflow"), "id": "w1", "name": WORKFLOW}
    made = galaxy({f"report {run['id']}": run, "workflow": workflow})
    invoked = made.invoked(InvocationId(run["id"]))
    assert (invoked.workflow_id, invoked.workflow_name) == ("w1", WORKFLOW)
    data = GalaxyData(Src.HDA, "25addf18e233fc95")
    assert invoked.inputs == {"text": data, "exit_code": 999, "sleep_s": 0}


def test_workflows_are_listed_page_by_page() -> None:
    names = sorted(
        (f"{'wW'[number % 2]}{number}" for number in range(5)), key=str.lower
    )
    catalog = SimulatedGalaxy()
    for name in names:
        catalog.add_workflow(name)
    rows = tuple(AllowedWorkflow(name=name) for name in reversed(names))
    for allowlist in (Allowlist(), Allowlist(rows)):
        list_workflows = ListWorkflows(catalog, allowlist)
        assert names_of(list_workflows(SERVICE)) == names
        pages = [page := list_workflows(SERVICE, limit=2)]
        while page.next is not None:
            pages.append(page := list_workflows(SERVICE, limit=2, after=page.next))
        assert [len(page.items) for page in pages] == [2, 2, 1]
        assert [name for page in pages for name in names_of(page)] == names
        assert names_of(list_workflows(SERVICE, "3")) == ["W3"]


def names_of(page: Page[ListedWorkflow]) -> list[str]:
    return [workflow.name for workflow in page.items]


@pytest.fixture
def catalog() -> SimulatedGalaxy:
    return SimulatedGalaxy()


def row(
    name: str, id_: str | None = None, version: int | None = None
) -> AllowedWorkflow:
    return AllowedWorkflow(
        name=name,
        workflow_id=None if id_ is None else WorkflowId(id_),
        options=InvokeOptions(version=version),
    )


def test_what_the_allowlist_names_and_galaxy_lacks_is_marked(
    catalog: SimulatedGalaxy,
) -> None:
    called = catalog.add_workflow("Calling")
    catalog.delete_workflow(catalog.add_workflow("deleted"))
    rows = (
        row("call", called),
        row("pinned", called, version=0),
        row("deleted"),
        row("gone"),
        row("Calling", "w3"),
    )
    found = {
        item.name: item
        for item in ListWorkflows(catalog, Allowlist(rows))(SERVICE).items
    }
    assert list(found) == ["call", "Calling", "deleted", "gone", "pinned"]
    assert (found["call"].available, found["call"].problem) == (True, None)
    assert (found["pinned"].available, found["pinned"].version) == (True, 0)
    for name in ("deleted", "gone"):
        assert found[name].available is False
        assert f"no workflow named '{name}'" in (found[name].problem or "")
    # It may be shared by its address, and such workflows are in no list.
    assert found["Calling"].available is None
    assert "does not list a workflow with id 'w3'" in (found["Calling"].problem or "")
    assert names_of(ListWorkflows(catalog, Allowlist(rows))(SERVICE, "CALL")) == [
        "call",
        "Calling",
    ]


def test_a_hidden_one_that_is_allowed_is_available(catalog: SimulatedGalaxy) -> None:
    catalog.hide_workflow(catalog.add_workflow("hidden"))
    ids = [catalog.add_workflow("by id")]
    catalog.hide_workflow(ids[0])
    rows = (row("hidden"), row("id", ids[0]), row("gone"))
    found = ListWorkflows(catalog, Allowlist(rows))(SERVICE).items
    assert {item.name: item.available for item in found} == {
        "gone": False,
        "hidden": True,
        "id": True,
    }
    assert names_of(ListWorkflows(catalog, Allowlist())(SERVICE)) == []


def test_twins_are_listed_once_and_say_so(catalog: SimulatedGalaxy) -> None:
    ids = [catalog.add_workflow("twice") for _ in range(2)]
    for allowlist in (Allowlist(), Allowlist((row("twice"),))):
        [item] = ListWorkflows(catalog, allowlist)(SERVICE).items
        assert (item.workflow_id, item.available) == (None, False)
        assert all(f"'{id_}'" in (item.problem or "") for id_ in ids)
    [item] = ListWorkflows(catalog, Allowlist((row("twice", ids[1]),)))(SERVICE).items
    assert (item.workflow_id, item.available) == (ids[1], True)


def test_without_galaxy_the_allowlist_is_listed_and_nothing_is_said_of_it(
    catalog: SimulatedGalaxy,
) -> None:
    trouble = RunnerUnavailable("Galaxy cannot be reached.")
    catalog.fail_next("names", trouble)
    [item] = ListWorkflows(catalog, Allowlist((row("call"),)))(SERVICE).items
    assert (item.name, item.available) == ("call", None)
    assert item.problem == str(trouble)
    catalog.fail_next("names", trouble)
    with pytest.raises(RunnerUnavailable):
        ListWorkflows(catalog, Allowlist())(SERVICE)


def changed(id_: str, update: str = "2026-11-24T06:38:55.230439") -> dict[str, object]:
    return {**listed(id_)[0], "update_time": update}


def test_a_list_shows_what_is_known_and_asks_about_no_workflow() -> None:
    answers = {"workflows": [changed("w1")], "export": recorded("export_two_steps")}
    made = galaxy(answers)
    list_workflows = ListWorkflows(made, Allowlist())
    assert [item.version for item in list_workflows(SERVICE).items] == [None]
    version = made.find(WANTED).version
    assert version is not None
    assert [item.version for item in list_workflows(SERVICE).items] == [version]
    rows = (row(WORKFLOW, version=version + 1),)
    [item] = ListWorkflows(made, Allowlist(rows))(SERVICE).items
    assert item.available is False
    assert f"The newest is version {version}" in (item.problem or "")
    answers["workflows"] = [changed("w1", "2026-11-25T06:38:55")]
    [item] = ListWorkflows(galaxy(answers), Allowlist())(SERVICE).items
    assert item.version is None


def test_a_list_shows_the_missing_tools_that_are_known() -> None:
    answers = {"workflows": [changed("w1")], "export": recorded("export_missing_tools")}
    made = galaxy(answers)
    missing = made.find(WANTED).missing_tools
    [item] = ListWorkflows(made, Allowlist())(SERVICE).items
    assert item.available is False
    assert missing[0] in (item.problem or "")
    # They may be installed at any moment, and then a job runs at once.
    answers["export"] = recorded("export_two_steps")
    assert not made.find(WANTED).missing_tools
    [item] = ListWorkflows(made, Allowlist())(SERVICE).items
    assert item.available is True


def test_a_galaxy_that_does_not_answer_is_not_asked_for_its_list_each_time() -> None:
    now, asked = 0.0, list[str]()

    def answer(_: object, request: Any, *__: object) -> object:
        asked.append(request.url)
        if len(asked) == 1:
            raise client.NoAnswer("It took too long.")
        return client._Answer(200, {}, [], 2)

    made = Galaxy("http://galaxy.test", "key", monotonic=lambda: now)
    made._client._exchange = answer  # type: ignore[assignment, method-assign]
    for _ in range(3):
        with pytest.raises(RunnerUnavailable, match="too long"):
            made.listed()
    assert len(asked) == 1
    now = RETRY_AFTER
    assert made.listed() == made.listed() == []
    assert len(asked) == 2


FAILED = client.NoAnswer("It failed.", status=500)


@pytest.mark.parametrize(
    ("options", "form", "error"),
    [
        (InvokeOptions(resource_params={"cores": 4}), None, RunRejected),
        (InvokeOptions(resource_params={"cores": 4}), [], OutcomeUnknown),
        (InvokeOptions(resource_params={"cores": 4}), FAILED, OutcomeUnknown),
        (InvokeOptions(), None, OutcomeUnknown),
    ],
)
def test_resources_that_nobody_has_defined_are_no_unknown_outcome(
    options: InvokeOptions, form: object, error: type[RunnerError]
) -> None:
    requests: list[str] = []

    def exchange(_: object, request: Any, *__: object) -> object:
        requests.append(request.method)
        if request.method == "POST":
            raise FAILED
        if isinstance(form, Exception):
            raise form
        shown = {**recorded("run_form_two_steps"), "workflow_resource_parameters": form}
        return client._Answer(200, {}, shown, 2)

    made = Galaxy("http://galaxy.test", "key")
    made._client._exchange = exchange  # type: ignore[assignment, method-assign]
    with pytest.raises(error):
        made.invoke(WorkflowId("w1"), {}, HistoryId("h1"), options)
    assert requests == (["POST", "GET"] if options.resource_params else ["POST"])
