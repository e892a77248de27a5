"""Why jobs are paused: for good, or until somebody resumes them.

Rule of the file: in doubt a job is not held for good. Galaxy calls both kinds
``paused``; only the sentence it leaves on a job's outputs tells them apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from attrs import evolve

from galaxy_jobs.adapters.galaxy import translate
from galaxy_jobs.adapters.galaxy.client import Client
from galaxy_jobs.domain.model.report import InvocationReport, JobState
from galaxy_jobs.domain.model.values import JobId


STEPS_BACK = 20
"""How many datasets are looked at to find out why an input is held."""


def with_blocked(
    client: Client, report: InvocationReport, shown: Mapping[str, Any]
) -> InvocationReport:
    """Return the report with those paused jobs told as blocked that are.

    A run has a history of its own, so one question brings what Galaxy wrote on
    the outputs of all its paused jobs. A job that waits behind another paused one
    is taken to be blocked only if none of the run's jobs is held for anything
    else: should its own cause be one of those, a verdict would be too early.

    Args:
        client: To ask with.
        report: A run's; nothing is asked if none of its jobs is paused.
        shown: The answer that it was read from.
    """
    paused = {job.job_id for job in report.jobs() if job.state is JobState.PAUSED}
    if not paused:
        return report
    broken, behind = set[JobId](), set[JobId]()
    assert report.history_id is not None
    listed = client.datasets_in(
        report.history_id, q="state", qv="paused", keys="id,misc_info,creating_job"
    )
    for one in listed:
        job, reason = one.get("creating_job"), translate.pause(one.get("misc_info"))
        if job in paused and reason.broken:
            broken.add(job)
        elif job in paused and reason.behind:
            behind.add(job)
    if behind == paused:
        # The cause lies outside: in what the run was given.
        given = {"inputs": translate.part(shown, "inputs", dict)}
        return _with(report, behind) if _lost(client, given) else report
    return _with(report, paused if broken | behind == paused else broken)


def _with(report: InvocationReport, blocked: set[JobId]) -> InvocationReport:
    return evolve(
        report,
        steps=tuple(
            evolve(
                step,
                jobs=tuple(
                    evolve(job, state=JobState.BLOCKED)
                    if job.job_id in blocked
                    else job
                    for job in step.jobs
                ),
                sub=step.sub and _with(step.sub, blocked),
            )
            for step in report.steps
        ),
    )


def _lost(client: Client, job: Mapping[str, Any]) -> bool:
    """Say whether all paused inputs of a job wait for what is gone for good.

    Goes back from job to job; what lies too far back counts as not gone.
    """
    waiting, seen, lost = list(datasets_of(client, job, "input")), set[str](), False
    while waiting:
        id_ = waiting.pop()
        if id_ in seen:
            continue
        seen.add(id_)
        if len(seen) > STEPS_BACK:
            return False
        shown = client.datasets.show_dataset(id_)
        if shown.get("state") != "paused":
            continue
        reason = translate.pause(shown.get("misc_info"))
        if reason.broken:
            lost = True
        elif reason.behind and shown.get("creating_job"):
            maker = client.jobs.show_job(shown["creating_job"])
            waiting += datasets_of(client, maker, "input")
        else:
            return False
    return lost


def datasets_of(client: Client, job: Mapping[str, Any], side: str) -> Iterator[str]:
    """Yield the ids of a job's datasets, those in collections too.

    Args:
        client: To ask with, about collections.
        job: As Galaxy shows it.
        side: ``input`` or ``output``.
    """
    held = {**(job.get(f"{side}s") or {}), **(job.get(f"{side}_collections") or {})}
    for one in held.values():
        if one.get("src") == "hda":
            yield one["id"]
        elif one.get("src") == "hdca":
            yield from _elements(client, one["id"])


def _elements(client: Client, collection_id: str) -> Iterator[str]:
    shown = client.dataset_collections.show_dataset_collection(collection_id)
    stack = list(shown.get("elements") or ())
    while stack:
        thing = stack.pop(0).get("object") or {}
        if "elements" in thing:
            stack[:0] = thing["elements"]
        elif "id" in thing:
            yield thing["id"]
