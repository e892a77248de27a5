"""Failed jobs that users ran again in their place, as Galaxy offers it.

Rule of the file: only what Galaxy has linked counts as a replacement. It hides the
output of the failed job, and gives its number in the history to the output of the new
one, which the jobs that waited for it use then. But the step and the outputs of the run
go on showing the failed job and its output. Jobs of mapped steps are replaced by Galaxy
itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from itertools import islice
from typing import Any

from attrs import evolve

from galaxy_jobs.adapters.galaxy import translate
from galaxy_jobs.adapters.galaxy.client import Client, Refused
from galaxy_jobs.domain.model.report import InvocationReport, JobState, StepReport
from galaxy_jobs.domain.model.values import JobId


MAX_REPLACED = 20
"""Failed jobs, at most, for which a replacement is searched."""


def with_replacements(
    client: Client, report: InvocationReport, at: datetime | None
) -> InvocationReport:
    """Return the report with the jobs that took the place of failed ones.

    Args:
        client: Sends the requests: one, and two for each hidden output in error.
        report: The report of a run; without failed jobs nothing is requested.
        at: When Galaxy showed the run, by its own clock; time-zone aware.
    """
    failed = {
        step.jobs[0].job_id
        for _, step in report.walk()
        if len(step.jobs) == 1 and step.jobs[0].state is JobState.ERROR
    }
    if not failed or report.history_id is None:
        return report
    hidden = client.datasets_in(
        report.history_id,
        q=["state", "visible"],
        qv=["error", "False"],
        keys="id,hid,creating_job",
    )
    candidates = (item for item in hidden if item.get("creating_job") in failed)
    found = {}
    for item in islice(candidates, MAX_REPLACED):
        with suppress(Refused):
            newest = replacement(client, report.history_id, item)
            if newest.get("creating_job") not in {None, item["creating_job"]}:
                job = client.jobs.show_job(translate.id_of(newest, "creating_job"))
                found[item["creating_job"]] = job
    return _with(report, found, at) if found else report


def replacement(
    client: Client, history_id: str, dataset: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Return the newest dataset with the number of a dataset in its history.

    Args:
        client: Sends the request.
        history_id: The history.
        dataset: With its ``id`` and ``hid``; returned if there is no newer one.
    """
    hid = translate.whole(dataset.get("hid"))
    if hid is None:
        return dataset
    same = client.datasets_in(
        history_id, q="hid", qv=hid, keys="id,hid,creating_job,create_time"
    )
    return max(
        (item for item in same if item.get("hid") == hid),
        key=lambda item: str(item.get("create_time")),
        default=dataset,
    )


def _with(
    report: InvocationReport, found: Mapping[JobId, Any], at: datetime | None
) -> InvocationReport:
    steps = tuple(_step(step, found, at) for step in report.steps)
    own = [
        found[job.job_id]
        for step in report.steps
        for job in step.jobs
        if job.job_id in found
    ]
    if not own:
        return evolve(report, steps=steps)
    quiet_for = translate.quiet_for(own, at)
    if quiet_for is not None and report.quiet_for is not None:
        quiet_for = min(quiet_for, report.quiet_for)
    return evolve(report, steps=steps, quiet_for=quiet_for)


def _step(
    step: StepReport, found: Mapping[JobId, Any], at: datetime | None
) -> StepReport:
    jobs = tuple(
        translate.job(found[job.job_id]) if job.job_id in found else job
        for job in step.jobs
    )
    return evolve(step, jobs=jobs, sub=step.sub and _with(step.sub, found, at))
