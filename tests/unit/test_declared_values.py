"""Every kind of input and value against what became of it on real Galaxies.

What the domain accepts must have run well on each release that was recorded, and what
reached the tool must be what was meant.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from galaxy_jobs.domain import GalaxyData, Json, Src, Workflow
from galaxy_jobs.domain.errors import InvalidParameters
from galaxy_jobs.domain.model.workflow import bind
from tests.support import surfaces
from tests.support.declared import (
    CELLS,
    CHANGED_AT_IMPORT,
    LEFT_OUT,
    expected,
    reaching,
)
from tests.support.surfaces import recorded, shown, workflows


FOLDERS = sorted(surfaces.RECORDED.iterdir())


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


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
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


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
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


def test_each_surface_says_of_a_value_what_the_domain_says() -> None:
    inputs = workflows(surfaces.RECORDED / surfaces.RELEASE)
    cells = surfaces.answers()
    assert [*cells] == [(label, shown(value)) for label, value in surfaces.cells()]
    for (label, value), answers in cells.items():
        for surface, answer in answers.items():
            if answer.inexpressible is not None:
                continue
            refusal, passed_on = None, None
            try:
                passed_on = sent(inputs[label], label, answer.sent)
            except InvalidParameters as error:
                refusal = error.problems[label]
            assert answer.refusal == refusal, (surface, label, value)
            if refusal is None:
                assert shown(answer.galaxy) == shown(passed_on), (surface, label, value)


def test_nothing_that_a_surface_let_pass_failed_on_a_real_galaxy() -> None:
    became = surfaces.outcomes()
    for (label, value), answers in surfaces.answers().items():
        for surface, answer in answers.items():
            if answer.is_accepted:
                row = became[label, shown(answer.galaxy)]
                assert row.get("outcome") == "ok", (surface, label, value, row)
                meant = reaching(label, expected(label, answer.galaxy))
                assert row["reached"] == meant, (surface, label, value, row)
