"""Workflows by name, page by page, and where they changed a moment ago."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from attrs import evolve

from galaxy_jobs.adapters.testing.memory import SimulatedGalaxy
from galaxy_jobs.domain import (
    AllowedWorkflow,
    Allowlist,
    GalaxyData,
    InvocationId,
    InvokeOptions,
    Src,
)
from galaxy_jobs.domain.errors import (
    WorkflowAmbiguous,
    WorkflowNotFound,
    WorkflowVersionNotFound,
)
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
    names = sorted(f"w{number}" for number in range(5))
    catalog = SimulatedGalaxy()
    for name in names:
        catalog.add_workflow(name)
    rows = tuple(AllowedWorkflow(name=name) for name in reversed(names))
    for allowlist in (Allowlist(), Allowlist(rows)):
        list_workflows = ListWorkflows(catalog, allowlist)
        assert list_workflows() == Page(tuple(names), None)
        pages = [page := list_workflows(2)]
        while page.next is not None:
            pages.append(page := list_workflows(2, page.next))
        assert [len(page.items) for page in pages] == [2, 2, 1]
        assert [name for page in pages for name in page.items] == names
