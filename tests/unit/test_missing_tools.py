"""A workflow that uses tools which Galaxy does not have."""

from __future__ import annotations

import pytest
from attrs import evolve

from galaxy_jobs.domain import AllowedWorkflow, Workflow, WorkflowId
from galaxy_jobs.domain.errors import RunRejected, WorkflowUnreadable
from galaxy_jobs.domain.model.viewer import SERVICE
from galaxy_jobs.entrypoints import doctor
from tests.support.world import REQUEST, World


TOOLS = tuple(f"tool_{number}" for number in range(3))


def test_it_is_refused_before_anything_is_made_in_galaxy() -> None:
    world = World.made()
    stored = world.galaxy.workflows[world.workflow_id]
    stored.workflow = evolve(stored.workflow, missing_tools=TOOLS)
    for submit in (world.submit.check, world.submit):
        with pytest.raises(RunRejected, match="'tool_0', 'tool_1', 'tool_2'") as error:
            submit(REQUEST, SERVICE)
        assert error.value.code == "galaxy-rejected"
        assert error.value.extra()["missing_tools"] == list(TOOLS)
    assert not world.galaxy.histories
    assert not world.submissions()


class Catalog:
    """Answers with a workflow, or with an error."""

    def __init__(self, answer: Workflow | Exception) -> None:
        self._answer = answer

    def find(self, _: AllowedWorkflow) -> Workflow:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


WORKFLOW = Workflow(workflow_id=WorkflowId("w"), name="w", missing_tools=TOOLS)


@pytest.mark.parametrize(
    ("answer", "named"),
    [
        (WORKFLOW, "'tool_0', 'tool_1', 'tool_2'"),
        (WorkflowUnreadable("w", "it answers with an error 500"), "an error 500"),
    ],
    ids=["missing tools", "not shown"],
)
def test_doctor_fails_and_names_them(answer: Workflow | Exception, named: str) -> None:
    row = AllowedWorkflow(name="w")
    verdict, message, remedy = doctor._workflow(Catalog(answer), row)  # type: ignore[arg-type, misc]
    assert verdict is doctor.FAIL
    assert named in message
    assert remedy == "Or remove 'w' in GALAXY_JOBS_CONFIG."
