"""Rows that the program of the version before has written, or has to read."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import asdict, evolve

from galaxy_jobs.adapters.postgres.rows import (
    failure_to_json,
    invocation_from_row,
    invocation_to_row,
)
from galaxy_jobs.domain import Failure, Invocation, Progress, StepSummary
from tests.support.build import an_invocation


FAILURE = Failure(
    reason="job-failed", step="sort", step_index=1, path=("outer", "sort"), tool="sort1"
)
OLD_MEMBERS = {
    "reason", "step", "step_index", "path", "tool", "exit_code", "stderr", "message",
}  # fmt: skip


def stored(invocation: Invocation) -> dict[str, Any]:
    return {**invocation_to_row(invocation), "stale_at": None, "stopping": False}


@pytest.mark.parametrize(
    "failure",
    [
        FAILURE,
        evolve(FAILURE, element="plate-1/sample-07"),
        evolve(FAILURE, element="sort"),
        evolve(FAILURE, step="[sort]", path=("[sort]",), element="a"),
        evolve(FAILURE, step="[sort]", path=("[sort]",)),
        Failure(reason="gone"),
    ],
    ids=str,
)
def test_a_failure_keeps_its_element_in_members_of_before(failure: Failure) -> None:
    value = failure_to_json(failure)
    assert value is not None
    assert set(value) == OLD_MEMBERS
    row = {**stored(an_invocation()), "failure": value}
    assert invocation_from_row(row).failure == failure


def test_a_failure_of_before_has_no_element() -> None:
    old = asdict(FAILURE)
    del old["element"]
    old["path"] = list(old["path"])
    row = {**stored(an_invocation()), "failure": old}
    assert invocation_from_row(row).failure == FAILURE


def test_blocked_jobs_are_counted_in_rows_of_before() -> None:
    jobs = {"blocked": 2, "error": 1}
    step = StepSummary(index=0, label="a", tool=None, state="failed", jobs=jobs)
    progress = Progress(total=6, ok=3, failed=3)
    row = stored(evolve(an_invocation(), steps=(step, step), progress=progress))
    assert set(row["progress"]) == {"total", "ok", "running", "waiting", "failed"}
    assert invocation_from_row(row).blocked == 4
