"""Hypothesis strategies for what Galaxy may say, likely or not."""

from __future__ import annotations

from hypothesis import strategies as st

from galaxy_jobs.domain import GalaxyState, InvocationReport, JobState, StepReport
from tests.support.build import a_report, a_step


#: Mostly well, so that whole trees of good jobs turn up, too.
JOB_STATES = st.one_of(
    st.just(JobState.OK),
    st.sampled_from([JobState.OK, JobState.SKIPPED]),
    st.sampled_from(JobState),
)
GALAXY_STATES = st.one_of(
    st.sampled_from([GalaxyState.SCHEDULED, GalaxyState.COMPLETED]),
    st.sampled_from(GalaxyState),
)
MOSTLY = st.sampled_from([True, True, True, True, False])


def _steps(
    subs: st.SearchStrategy[InvocationReport | None],
) -> st.SearchStrategy[StepReport]:
    return st.builds(
        lambda states, scheduled, grown, sub: a_step(
            *([] if sub else states),  # a step runs a tool or a workflow, never both
            scheduled=scheduled,
            expanding=not grown,
            sub=sub,
        ),
        st.lists(JOB_STATES, max_size=4),
        MOSTLY,
        MOSTLY,
        subs,
    )


def _reports(
    subs: st.SearchStrategy[InvocationReport | None],
) -> st.SearchStrategy[InvocationReport]:
    return st.builds(
        lambda steps, state, messages, reasons: a_report(
            *steps, state=state, messages=messages, reasons=reasons
        ),
        st.lists(_steps(subs), max_size=4),
        GALAXY_STATES,
        st.sampled_from([(), ("It went wrong.",)]),
        st.sampled_from([(), ("dataset_failed",)]),
    )


#: Any report: sub-workflows within sub-workflows, collections, every state.
REPORTS = st.recursive(
    _reports(st.none()), lambda inner: _reports(st.none() | inner), max_leaves=4
)
