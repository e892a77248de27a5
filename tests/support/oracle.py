"""What a report means, worked out a second time from the design's prose alone.

It shares nothing with the code it judges but the words of Galaxy: no table, no
set of states, no helper. Slow and plain on purpose.
"""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

from galaxy_jobs.domain import InvocationReport, StepReport


@frozen
class Verdict:
    """What the oracle says.

    Attributes:
        state: Our word for how it stands.
        blamed: The id of the job to blame, or None.
        failed: Whether something has gone wrong that is to be shown.
    """

    state: str
    blamed: str | None
    failed: bool


def steps_of(report: InvocationReport) -> Iterator[StepReport]:
    """Every step, those of a sub-workflow right behind the step that runs it."""
    for step in report.steps:
        yield step
        if step.sub is not None:
            yield from steps_of(step.sub)


def subs_of(report: InvocationReport) -> Iterator[InvocationReport]:
    """Every invocation below this one, at any depth."""
    for step in report.steps:
        if step.sub is not None:
            yield step.sub
            yield from subs_of(step.sub)


def words_of(report: InvocationReport) -> list[str]:
    return [job.state.value for step in steps_of(report) for job in step.jobs]


def is_well(word: str) -> bool:
    return word in {"ok", "skipped"}


def is_bad(word: str) -> bool:
    return word in {"error", "failed", "deleted", "stopped", "blocked"}


def is_settled(word: str) -> bool:
    return is_well(word) or is_bad(word)


def has_started(word: str) -> bool:
    return word not in {"new", "resubmitted", "waiting", "queued", "paused"}


def all_scheduled(report: InvocationReport) -> bool:
    """Every step is scheduled and nothing still expands, at any depth.

    Without a step, only Galaxy's word tells whether there are any to come.
    """
    for invocation in [report, *subs_of(report)]:
        if not invocation.steps and invocation.state.value not in {
            "scheduled",
            "completed",
        }:
            return False
    return all(step.scheduled and not step.expanding for step in steps_of(report))


def at_rest(report: InvocationReport) -> bool:
    """No invocation still waits for Galaxy's scheduler."""
    waiting = {"new", "ready", "requires_materialization"}
    states = {invocation.state.value for invocation in [report, *subs_of(report)]}
    return not states & waiting


def was_given_up(sub: InvocationReport) -> bool:
    """Galaxy failed that sub-workflow, or somebody stopped it before its end."""
    if sub.state.value == "failed":
        return True
    words = words_of(sub)
    settled = all(map(is_settled, words))
    did_all = all_scheduled(sub) and all(map(is_well, words))
    return sub.state.value == "cancelled" and settled and not did_all


def judge(report: InvocationReport) -> Verdict:
    words = words_of(report)
    word = report.state.value
    settled = all(map(is_settled, words))
    well = all(map(is_well, words))
    given_up = any(was_given_up(sub) for sub in subs_of(report))
    if word == "cancelled":
        if all_scheduled(report) and well and not given_up:
            state = "completed"
        else:
            state = "cancelled" if settled else "cancelling"
    elif word == "cancelling":
        state = "cancelling"
    elif word == "failed" or (given_up and settled):
        state = "failed"
    elif not words:
        nothing_to_do = all_scheduled(report) and at_rest(report)
        state = "completed" if nothing_to_do else "queued"
    elif not any(map(has_started, words)):
        state = "queued"
    elif not (settled and all_scheduled(report) and at_rest(report)):
        state = "in_progress"
    else:
        state = "completed" if well else "failed"
    return Verdict(state, blamed(report), _shown(report, state))


def blamed(report: InvocationReport) -> str | None:
    """The first job that went wrong by itself; if none, the first blocked one."""
    first_blocked = None
    for step in steps_of(report):
        for job in step.jobs:
            if job.state.value == "blocked":
                first_blocked = first_blocked or job.job_id
            elif is_bad(job.state.value):
                return job.job_id
    return first_blocked


def _shown(report: InvocationReport, state: str) -> bool:
    """A run that ended well or was stopped has no failure to show."""
    if state in {"completed", "cancelled", "cancelling"}:
        return False
    wrong = any(map(is_bad, words_of(report)))
    wrong = wrong or any(was_given_up(sub) for sub in subs_of(report))
    return wrong or state == "failed"
