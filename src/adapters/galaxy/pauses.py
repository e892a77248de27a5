"""Paused jobs that will never run, and paused jobs that may.

Rule of the file: in doubt a job is not blocked for good. Galaxy calls both kinds
``paused``; they differ in the message that it leaves on a job's outputs. A job without
such an output is blocked if an input of it is in error, and held if all of them are ok.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from typing import Any

from attrs import evolve

from galaxy_jobs.adapters.galaxy import translate
from galaxy_jobs.adapters.galaxy.client import Client, Refused
from galaxy_jobs.adapters.galaxy.translate import Pause
from galaxy_jobs.domain.errors import quoted
from galaxy_jobs.domain.model.dataset import DELETED
from galaxy_jobs.domain.model.report import InvocationReport, JobState
from galaxy_jobs.domain.model.values import HistoryId, JobId


MAX_DATASETS = 20
"""Datasets fetched, at most, to find out why the inputs of a run are paused."""

MAX_JOBS = 50
"""Paused jobs, at most, whose inputs are looked at."""

MAX_INPUTS = 100
"""Inputs of paused jobs that are fetched, at most."""


def with_blocked(
    client: Client, report: InvocationReport, shown: Mapping[str, Any]
) -> InvocationReport:
    """Return the report with paused jobs that will never run marked as blocked.

    A run has a history of its own, so one request brings the messages on the
    outputs of all its paused jobs. A job that waits for another paused one counts
    as blocked only if none of the run's jobs is paused for any other reason: that
    reason might be its own, and the verdict would come too early.

    Args:
        client: Sends the requests.
        report: The report of a run; without paused jobs nothing is requested.
        shown: The answer that it was read from.
    """
    paused = {job.job_id for job in report.jobs() if job.state is JobState.PAUSED}
    if not paused:
        return report
    broken, waiting, others = set[JobId](), set[JobId](), set[JobId]()
    assert report.history_id is not None
    datasets = client.datasets_in(
        report.history_id, q="state", qv="paused", keys="id,misc_info,creating_job"
    )
    for dataset in datasets:
        job = dataset.get("creating_job")
        pause = translate.pause(dataset.get("misc_info"))
        if job in paused and pause is Pause.BROKEN_INPUT:
            broken.add(job)
        elif job in paused and pause is Pause.PAUSED_INPUT:
            waiting.add(job)
        elif job in paused:
            others.add(job)
    unknown = paused - broken - waiting - others
    pauses = _pauses_by_inputs(client, report.history_id, unknown) if unknown else {}
    broken |= {job for job, pause in pauses.items() if pause is Pause.BROKEN_INPUT}
    waiting |= {job for job, pause in pauses.items() if pause is Pause.PAUSED_INPUT}
    if waiting == paused:
        # The cause lies outside the run, in its inputs.
        inputs = {"inputs": translate.part(shown, "inputs", dict)}
        return _with(report, waiting) if _is_blocked(client, inputs) else report
    return _with(report, paused if broken | waiting == paused else broken)


def _pauses_by_inputs(
    client: Client, history_id: HistoryId, jobs: Collection[JobId]
) -> dict[JobId, Pause]:
    """Return why jobs are paused, as far as their inputs show it.

    One request finds the inputs in error that the run itself made. Of jobs and of other
    inputs beyond the limits, nothing is found out.
    """
    in_error = client.datasets_in(history_id, q="state", qv="error", keys="id")
    made_in_error = {dataset.get("id") for dataset in in_error}
    states: dict[str, Any] = {}

    def pause_of(job: JobId) -> Pause:
        inputs = set(datasets_of(client, client.jobs.show_job(job), "input"))
        if inputs & made_in_error:
            return Pause.BROKEN_INPUT
        for id_ in sorted(inputs - states.keys())[: MAX_INPUTS - len(states)]:
            shown = client.datasets.show_dataset(id_)
            states[id_] = _state(shown)
        found = {states.get(id_) for id_ in inputs}
        if found & _BROKEN.keys():
            return Pause.BROKEN_INPUT
        return Pause.PAUSED_INPUT if "paused" in found else Pause.OTHER

    pauses = {}
    for job in sorted(jobs)[:MAX_JOBS]:
        # What cannot be shown is no reason for a verdict.
        with suppress(Refused):
            pauses[job] = pause_of(job)
    return pauses


_BROKEN = {
    "error": "in error",
    "failed_metadata": "in error: its metadata could not be set",
    DELETED: "deleted",
}
"""States of datasets that no job can use, in words."""


def _state(dataset: Mapping[str, Any]) -> Any:
    return DELETED if dataset.get("deleted") else dataset.get("state")


def broken_input(client: Client, job: Mapping[str, Any]) -> str | None:
    """Return a sentence on the first input that keeps a paused job from running.

    Galaxy writes one to the outputs of the job, if there are any.

    Raises:
        Refused: Galaxy does not show the inputs.
    """
    if job.get("state") != "paused":
        return None
    for id_ in islice(datasets_of(client, job, "input"), MAX_DATASETS):
        shown = client.datasets.show_dataset(id_)
        if problem := _BROKEN.get(_state(shown)):
            called = quoted(translate.name(shown.get("name")) or id_)
            return f"The input dataset {called} is {problem}."
    return None


def failed_input(client: Client, job: Mapping[str, Any]) -> str:
    """Return what Galaxy says of an input that could not be made for a paused job.

    Only data in the history of the job counts; an empty text if there is none.

    Raises:
        Refused: Galaxy does not show the inputs.
    """
    if job.get("state") != "paused" or job.get("history_id") is None:
        return ""
    failed = client.datasets_in(
        translate.id_of(job, "history_id"),
        q="state",
        qv="error",
        keys="id,name,misc_info,sources",
    )
    problems = {item.get("id"): item for item in failed}
    inputs = datasets_of(client, job, "input") if problems else ()
    first = next((id_ for id_ in inputs if id_ in problems), None)
    return translate.failed_input(problems[first]) if first is not None else ""


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


def _is_blocked(client: Client, job: Mapping[str, Any]) -> bool:
    """Whether all paused inputs of a job go back to data that will never exist.

    Follows the inputs from job to job; beyond the limit the answer is no.
    """
    pending = list(datasets_of(client, job, "input"))
    seen = set[str]()
    is_blocked = False
    while pending:
        id_ = pending.pop()
        if id_ in seen:
            continue
        seen.add(id_)
        if len(seen) > MAX_DATASETS:
            return False
        dataset = client.datasets.show_dataset(id_)
        if dataset.get("state") != "paused":
            continue
        pause = translate.pause(dataset.get("misc_info"))
        if pause is Pause.BROKEN_INPUT:
            is_blocked = True
        elif pause is Pause.PAUSED_INPUT and dataset.get("creating_job"):
            creator = client.jobs.show_job(translate.id_of(dataset, "creating_job"))
            pending += datasets_of(client, creator, "input")
        else:
            return False
    return is_blocked


def datasets_of(client: Client, job: Mapping[str, Any], side: str) -> Iterator[str]:
    """Yield the ids of a job's datasets, including those in collections.

    A collection with the name of a dataset is that of a mapped step: it has the
    data of all of the step's jobs, and is left out.

    Args:
        client: Fetches collections.
        job: The job as Galaxy shows it.
        side: ``input`` or ``output``.
    """
    own = job.get(f"{side}s") or {}
    collections = job.get(f"{side}_collections") or {}
    for item in {**own, **collections, **own}.values():
        if item.get("src") == "hda":
            yield translate.id_of(item)
        elif item.get("src") == "hdca":
            yield from _elements(client, translate.id_of(item))


def _elements(client: Client, collection_id: str) -> Iterator[str]:
    shown = client.dataset_collections.show_dataset_collection(collection_id)
    for element in translate.elements(shown):
        if element.id is not None:
            yield element.id


def element_of(client: Client, job: Mapping[str, Any]) -> str | None:
    """Return the name of the element that a job of a mapped step made, if it is one.

    Its own output is in the collection of the same name, which is the step's.

    Raises:
        Refused: Galaxy shows no such collection.
    """
    own, collections = job.get("outputs") or {}, job.get("output_collections") or {}
    for name in own.keys() & collections.keys():
        made, id_ = translate.id_of(own[name]), translate.id_of(collections[name])
        shown = client.dataset_collections.show_dataset_collection(id_)
        for element in translate.elements(shown):
            if element.id == made:
                return element.name
    return None
