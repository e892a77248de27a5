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


def review_was_rejected(sub: InvocationReport) -> bool:
    """Somebody has rejected a review in that sub-workflow, and Galaxy stopped it."""
    return sub.state.value == "cancelled" and "cancelled_on_review" in sub.reasons


def failed_somewhere(step: StepReport) -> bool:
    """A job of the step, or of the workflow that it runs, went wrong."""
    words = [job.state.value for job in step.jobs]
    return any(map(is_bad, words + (words_of(step.sub) if step.sub else [])))


def is_hopeless(report: InvocationReport, step: StepReport) -> bool:
    """It needs a step that failed, or one that is hopeless itself."""
    for index in step.needs or ():
        for other in report.steps:
            if other.index == index and failed_somewhere(other):
                return True
            waits = other.index == index and not other.scheduled
            if waits and is_hopeless(report, other):
                return True
    return False


def never_goes_on(report: InvocationReport) -> bool:
    """The steps that are left are all hopeless, at any depth, and there are some."""
    left = 0
    for step in report.steps:
        if step.scheduled:
            continue
        left += 1
        below = step.sub is not None and never_goes_on(step.sub)
        if step.expanding or not (is_hopeless(report, step) or below):
            return False
    return left > 0 and report.state.value == "ready"


def scheduler_has_seen_all(report: InvocationReport) -> bool:
    """It has been at whatever is not all scheduled after every job had settled."""
    invocations = [report, *subs_of(report)]
    for one in invocations:
        for other in invocations:
            if one.state.value == "ready" and any(step.jobs for step in other.steps):
                if one.visited_for is None or other.quiet_for is None:
                    return False
                if not one.visited_for < other.quiet_for:
                    return False
    return True


def is_stuck(report: InvocationReport) -> bool:
    """Nobody will move it any more."""
    open_reviews = any(step.review for step in steps_of(report))
    return never_goes_on(report) and scheduler_has_seen_all(report) and not open_reviews


def waits_for_reviewer(report: InvocationReport) -> bool:
    """The data that some review is about is there."""
    for one in [report, *subs_of(report)]:
        for step in one.steps:
            needed = [other for other in one.steps if other.index in (step.needs or ())]
            if step.review and all(map(is_made, needed)):
                return True
    return False


def is_made(step: StepReport) -> bool:
    words = [job.state.value for job in step.jobs]
    words += words_of(step.sub) if step.sub else []
    return step.scheduled and not step.review and all(map(is_settled, words))


def judge(report: InvocationReport) -> Verdict:
    words = words_of(report)
    word = report.state.value
    settled = all(map(is_settled, words))
    well = all(map(is_well, words))
    rejected = word == "ready" and any(map(review_was_rejected, subs_of(report)))
    given_up = any(
        was_given_up(sub)
        for sub in subs_of(report)
        if not (word == "ready" and review_was_rejected(sub))
    )
    if word == "cancelled":
        if all_scheduled(report) and well and not given_up:
            state = "completed"
        else:
            state = "cancelled" if settled else "cancelling"
    elif word == "cancelling":
        state = "cancelling"
    elif word == "failed" or (given_up and settled):
        state = "failed"
    elif rejected:
        state = "cancelling"
    elif not words:
        nothing_to_do = all_scheduled(report) and at_rest(report)
        state = "completed" if nothing_to_do else "queued"
    elif not any(map(has_started, words)):
        state = "queued"
    elif settled and is_stuck(report):
        state = "failed"
    elif not (settled and all_scheduled(report) and at_rest(report)):
        state = "in_progress"
    else:
        state = "completed" if well else "failed"
    return Verdict(state, blamed(report), _shown(report, state, given_up=given_up))


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


def _shown(report: InvocationReport, state: str, *, given_up: bool) -> bool:
    """A run that ended well or was stopped has no failure to show."""
    if state in {"completed", "cancelled", "cancelling"}:
        return False
    wrong = any(map(is_bad, words_of(report)))
    return wrong or given_up or state == "failed"
