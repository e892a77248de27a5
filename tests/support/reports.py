"""Hypothesis strategies for what Galaxy may say, likely or not."""

from __future__ import annotations

from datetime import timedelta

from attrs import evolve
from hypothesis import strategies as st

from galaxy_jobs.domain import GalaxyState, InvocationReport, JobState, StepReport
from tests.support.build import a_job, a_report, a_step


#: Mostly well, so that whole trees of good jobs turn up, too.
JOB_STATES = st.one_of(
    st.just(JobState.OK),
    st.sampled_from([JobState.OK, JobState.SKIPPED]),
    st.sampled_from(JobState),
)
GALAXY_STATES = st.one_of(
    st.sampled_from([GalaxyState.SCHEDULED, GalaxyState.COMPLETED, GalaxyState.READY]),
    st.sampled_from(GalaxyState),
)
HOURS = st.sampled_from([None, *(timedelta(hours=n) for n in (1, 2, 3))])
REASONS = st.sampled_from([(), (), ("dataset_failed",), ("cancelled_on_review",)])
NEEDS = st.one_of(st.none(), *[st.frozensets(st.integers(0, 3), max_size=3)] * 3)
MOSTLY = st.sampled_from([True, True, True, True, False])


def _steps(
    subs: st.SearchStrategy[InvocationReport | None],
) -> st.SearchStrategy[StepReport]:
    return st.builds(
        lambda states, scheduled, grown, plain, filled, sub: a_step(
            *([] if sub else states),  # a step runs a tool or a workflow, never both
            scheduled=scheduled,
            expanding=not grown,
            review=not plain,
            empty=not filled,
            sub=sub,
        ),
        st.lists(JOB_STATES, max_size=4),
        MOSTLY,
        MOSTLY,
        MOSTLY,
        MOSTLY,
        subs,
    )


def _connected(
    steps: list[StepReport], needs: list[frozenset[int] | None]
) -> list[StepReport]:
    """Let each step need some of those before it."""
    return [
        evolve(
            step,
            needs=None if chosen is None else tuple(n for n in chosen if n < index),
        )
        for index, (step, chosen) in enumerate(zip(steps, needs, strict=False))
    ]


def _reports(
    subs: st.SearchStrategy[InvocationReport | None],
) -> st.SearchStrategy[InvocationReport]:
    return st.builds(
        lambda steps, needs, state, messages, reasons, quiet_for, visited_for: a_report(
            *_connected(steps, needs),
            state=state,
            messages=messages,
            reasons=reasons,
            quiet_for=quiet_for,
            visited_for=visited_for,
        ),
        st.lists(_steps(subs), max_size=4),
        st.lists(NEEDS, min_size=4, max_size=4),
        GALAXY_STATES,
        st.sampled_from([(), ("It went wrong.",)]),
        REASONS,
        HOURS,
        HOURS,
    )


#: Any report: sub-workflows within sub-workflows, collections, every state.
REPORTS = st.recursive(
    _reports(st.none()), lambda inner: _reports(st.none() | inner), max_leaves=4
)


def _left(report: InvocationReport) -> InvocationReport:
    """Return a report of jobs that all went wrong, with steps that are left."""
    steps = []
    for step in report.steps:
        jobs = tuple(evolve(job, state=JobState.ERROR) for job in step.jobs)
        if step.index == 0 and step.sub is None:
            jobs = (a_job(JobState.ERROR),)
        steps.append(
            evolve(
                step,
                scheduled=step.scheduled and (bool(jobs) or not step.index),
                needs=step.needs or ((0,) if step.index and not step.empty else None),
                expanding=step.expanding and step.review,
                review=step.review and step.empty,
                jobs=jobs,
                sub=step.sub and _left(step.sub),
            )
        )
    return evolve(
        report,
        state=report.state if report.reasons else GalaxyState.READY,
        steps=tuple(steps),
        quiet_for=timedelta(hours=2),
        visited_for=report.visited_for and report.visited_for - timedelta(minutes=30),
    )


#: Reports of runs whose jobs are settled, while steps may be left.
LEFT_REPORTS = REPORTS.map(_left)
