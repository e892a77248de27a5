"""Reports of runs with too many jobs to list.

Rule of the file: every number is Galaxy's own count of the jobs of one step, which
all releases give for ordinary and mapped steps alike, sub-workflows included. What
Galaxy does not count yet leaves the step open.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from attrs import evolve, frozen

from galaxy_jobs.adapters.galaxy import translate
from galaxy_jobs.adapters.galaxy.bulk import MAX_QUERY_LENGTH
from galaxy_jobs.adapters.galaxy.client import PAGE_SIZE, Client, Refused
from galaxy_jobs.adapters.galaxy.pauses import with_blocked
from galaxy_jobs.adapters.galaxy.replaced import with_replacements
from galaxy_jobs.adapters.galaxy.translate import Unreadable
from galaxy_jobs.domain.model.report import (
    BAD,
    SETTLED,
    GalaxyState,
    InvocationReport,
    JobReport,
    JobState,
    StepReport,
)
from galaxy_jobs.domain.model.values import InvocationId, JobId


@frozen
class JobsOfStep:
    """What Galaxy counts the jobs of a step by.

    Attributes:
        model: ``Job``, or ``ImplicitCollectionJobs`` for a mapped step.
        id: The id of that.
    """

    model: str
    id: str

    @property
    def is_mapped(self) -> bool:
        """Whether it may be of several jobs."""
        return self.model == _MAPPED


_MAPPED = "ImplicitCollectionJobs"

Place = tuple[InvocationId, int]
"""A step: the invocation that has it, and its index there."""

_BAD = BAD - {JobState.BLOCKED}
"""What Galaxy's own words for jobs that ended badly are read as."""


def jobs_of_steps(shown: Any) -> dict[Place, JobsOfStep]:
    """Return what to count the jobs by, of the steps of an invocation that have any.

    Args:
        shown: The invocation as Galaxy shows it, without the details of its steps.
    """
    found = {}
    for step in translate.objects(translate.part(shown, "steps", list)):
        place = (
            InvocationId(translate.id_of(shown)),
            translate.place(step, "order_index"),
        )
        if step.get("implicit_collection_jobs_id") is not None:
            id_ = translate.id_of(step, "implicit_collection_jobs_id")
            found[place] = JobsOfStep(_MAPPED, id_)
        elif step.get("job_id") is not None:
            found[place] = JobsOfStep("Job", translate.id_of(step, "job_id"))
    return found


def outline(
    client: Client,
    report: InvocationReport,
    jobs: Mapping[Place, JobsOfStep],
    shown: Mapping[str, Any],
    at: datetime | None,
) -> InvocationReport:
    """Return a report with its jobs counted.

    Args:
        client: Sends the requests.
        report: The report of a run; jobs of its steps are ignored.
        jobs: What to count the jobs of its steps by. They are counted now.
        shown: The answer that it was read from.
        at: When Galaxy showed it, by its own clock; time-zone aware.
    """
    report = _counted(report, jobs, _counts(client, jobs.values()))
    with suppress(Refused):
        report = with_replacements(client, report, None)
    for place, step in _steps(report):
        if any(job.state in _BAD for job in step.jobs):
            break
        if bad := {state: n for state, n in step.unlisted.items() if state in _BAD}:
            report = _listed(report, place, [_first_bad(client, jobs[place], bad)])
            break
    if not SETTLED.union({JobState.PAUSED}).issuperset(report.states):
        return report
    for place, step in _steps(report):
        if step.unlisted.get(JobState.PAUSED):
            report = _listed(report, place, _paused(client, jobs[place]))
    with suppress(Refused):
        report = with_blocked(client, report, shown)
    return _dated(client, report, at)


def _dated(
    client: Client, report: InvocationReport, at: datetime | None
) -> InvocationReport:
    """Return a report with when its jobs last changed, if steps may never come.

    Of other runs it is not asked for: their end takes a second look.
    """

    def dated(step: StepReport) -> StepReport:
        return evolve(step, sub=step.sub and _dated(client, step.sub, at))

    quiet_for = None
    if report.state is GalaxyState.READY and any(step.states for step in report.steps):
        newest = client.get(
            "jobs",
            invocation_id=report.invocation_id,
            order_by="update_time",
            limit=1,
        )
        quiet_for = translate.quiet_for(translate.objects(newest), at)
    return evolve(report, quiet_for=quiet_for, steps=tuple(map(dated, report.steps)))


def _counts(
    client: Client, sources: Iterable[JobsOfStep]
) -> dict[JobsOfStep, Counter[JobState] | None]:
    """Return the number of jobs in each state; None while Galaxy makes more."""
    left = list(dict.fromkeys(sources))
    counts: dict[JobsOfStep, Counter[JobState] | None] = {}
    longest = max((len(each.id) for each in left), default=0)
    size = max(1, MAX_QUERY_LENGTH // (len(f",{_MAPPED},") + longest))
    while left:
        batch, left = left[:size], left[size:]
        ids, models = ",".join(s.id for s in batch), ",".join(s.model for s in batch)
        # Galaxy decodes the history in the path and ignores it.
        answer = client.make_get_request(
            f"{client.url}/histories/{batch[0].id}/jobs_summary",
            params=f"ids={ids}&types={models}",
        )
        for item in translate.objects(answer.json()):
            source = JobsOfStep(
                translate.part(item, "model", str), translate.id_of(item)
            )
            summary = translate.summary(item)
            states = Counter[JobState]()
            for word, number in summary.states.items():
                states[translate.job_state(word)] += number
            counts[source] = states if summary.populated == "ok" else None
        if not counts.keys() >= set(batch):
            raise Unreadable("jobs are not counted in it")
    return counts


def _counted(
    report: InvocationReport,
    jobs: Mapping[Place, JobsOfStep],
    counts: Mapping[JobsOfStep, Counter[JobState] | None],
) -> InvocationReport:
    def counted(step: StepReport) -> StepReport:
        source = jobs.get((report.invocation_id, step.index))
        states = None if source is None else counts[source]
        step = evolve(
            step,
            expanding=step.expanding or (source is not None and states is None),
            empty=step.empty and states is not None and not states,
            jobs=(),
            unlisted=states or {},
            sub=step.sub and _counted(step.sub, jobs, counts),
        )
        if source is None or source.is_mapped or JobState.PAUSED in step.unlisted:
            return step
        own = (JobReport(JobId(source.id), state) for state in step.unlisted)
        return evolve(step, jobs=tuple(own), unlisted={})

    return evolve(report, steps=tuple(map(counted, report.steps)))


def _steps(report: InvocationReport) -> Iterator[tuple[Place, StepReport]]:
    """Yield every step in order, sub-workflows in place."""
    for step in report.steps:
        yield (report.invocation_id, step.index), step
        if step.sub is not None:
            yield from _steps(step.sub)


def _listed(
    report: InvocationReport, place: Place, jobs: Iterable[JobReport]
) -> InvocationReport:
    """Return the report with jobs of a step listed that were only counted."""

    def listed(step: StepReport) -> StepReport:
        if (report.invocation_id, step.index) != place:
            return evolve(step, sub=step.sub and _listed(step.sub, place, jobs))
        return evolve(
            step,
            jobs=(*step.jobs, *jobs),
            unlisted=Counter(step.unlisted) - Counter(job.state for job in jobs),
        )

    jobs = tuple(jobs)
    return evolve(report, steps=tuple(map(listed, report.steps)))


def _first_bad(
    client: Client, source: JobsOfStep, bad: Mapping[JobState, int]
) -> JobReport:
    """Return the oldest of the jobs of a mapped step that ended badly.

    Args:
        client: Sends the requests.
        source: The jobs of the step.
        bad: How many of them ended badly, by state.
    """
    for offset in (sum(bad.values()) - 1, 0):
        # The newest come first. Some may have been run again since they were counted.
        jobs = client.get(
            "jobs",
            implicit_collection_jobs_id=source.id,
            state=[state.value for state in bad],
            order_by="create_time",
            offset=offset,
            limit=1,
        )
        if jobs:
            return translate.job(translate.objects(jobs)[0])
    raise Unreadable("jobs that ended badly are not listed in it")


def _paused(client: Client, source: JobsOfStep) -> list[JobReport]:
    if not source.is_mapped:
        return [JobReport(JobId(source.id), JobState.PAUSED)]
    pages = client.pages(
        "jobs",
        PAGE_SIZE,
        implicit_collection_jobs_id=source.id,
        state=JobState.PAUSED.value,
        order_by="create_time",
    )
    # One that is paused no longer has changed the counts: the next look will do.
    jobs = {job.job_id: job for job in map(translate.job, pages)}
    return [job for job in jobs.values() if job.state is JobState.PAUSED]
