"""Workflows by name, page by page, and where they changed a moment ago."""

from __future__ import annotations

import pytest

from galaxy_jobs.adapters.testing.memory import SimulatedGalaxy
from galaxy_jobs.domain import AllowedWorkflow, Allowlist, GalaxyData, InvocationId, Src
from galaxy_jobs.domain.errors import WorkflowAmbiguous, WorkflowNotFound
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
