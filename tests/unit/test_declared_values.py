"""Every kind of input and value against what became of it on real Galaxies.

What the domain accepts must have run well on each release that was recorded, and what
reached the tool must be what was meant.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from galaxy_jobs.adapters.galaxy import declarations
from galaxy_jobs.domain import GalaxyData, InputKind, Json, Src, Workflow, WorkflowId
from galaxy_jobs.domain.errors import InvalidParameters
from galaxy_jobs.domain.model.workflow import bind
from galaxy_jobs.domain.model.workflow_input import WorkflowInput
from tests.support.declared import (
    CELLS,
    CHANGED_AT_IMPORT,
    LEFT_OUT,
    expected,
    reaching,
)


RECORDED = sorted(Path(__file__).with_name("recorded").iterdir())
READS = WorkflowInput(name="reads", kind=InputKind.DATA)


def recorded(folder: Path, name: str) -> Any:
    return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))


def workflows(folder: Path) -> dict[str, Workflow]:
    """Return a workflow with each input, as that release declares it."""
    export = recorded(folder, "export_every_kind")["answer"]
    form = recorded(folder, "run_form_every_kind")["answer"]
    read = declarations.workflow("w", WorkflowId("w"), export)
    read = declarations.with_form(read, export, form)
    return {
        input_.name: Workflow(
            workflow_id=WorkflowId("w"), name="w", inputs=(READS, input_)
        )
        for input_ in read.inputs
    }


def sent(workflow: Workflow, label: str, value: Json) -> Any:
    """Return what Galaxy is sent for a value, or why nothing is."""
    given = {} if value == LEFT_OUT else {label: value}
    bound = bind(
        workflow,
        source=GalaxyData(Src.HDA, "1"),
        dataset_input="reads",
        parameters=given,
    )
    return {**workflow.empty_inputs, **bound.inputs}.get(label, LEFT_OUT)


@pytest.mark.parametrize("folder", RECORDED, ids=lambda folder: folder.name)
def test_nothing_that_is_accepted_failed_on_a_real_galaxy(folder: Path) -> None:
    outcomes = {
        (row["label"], json.dumps(row.get("sent", LEFT_OUT))): row
        for row in recorded(folder, "values")
    }
    proven = 0
    for label, workflow in workflows(folder).items():
        if label not in CELLS or (folder.name != "26.1" and label in CHANGED_AT_IMPORT):
            continue
        good, bad = CELLS[label]
        for value in bad:
            with pytest.raises(InvalidParameters) as refusal:
                sent(workflow, label, value)
            assert label in refusal.value.problems
        for value in good:
            row = outcomes.get((label, json.dumps(sent(workflow, label, value))))
            if row is None:  # a value like another one, which was recorded
                continue
            assert row.get("outcome") == "ok", (value, row)
            meant = expected(label, value)
            assert row.get("received", meant) == meant, (value, row)
            assert row["reached"] == reaching(label, meant), (value, row)
            proven += 1
    assert proven > 50


@pytest.mark.parametrize("folder", RECORDED, ids=lambda folder: folder.name)
def test_what_would_fail_in_a_job_is_refused(folder: Path) -> None:
    """Values that Galaxy took, and that failed."""
    inputs = workflows(folder)
    failed = [
        row
        for row in recorded(folder, "values")
        if row.get("outcome") in {"error", "failed"}
    ]
    assert failed
    for row in failed:
        value, label = row.get("sent", LEFT_OUT), row["label"]
        try:
            passed = sent(inputs[label], label, value)
        except InvalidParameters:
            continue
        # What is passed on is something else than what failed.
        assert json.dumps(passed) != json.dumps(value), row
