"""A search for a list of jobs that has not what its filters match."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from galaxy_jobs.adapters.testing.contracts.job_filters import (
    BATCHES,
    DATASETS,
    JOBS,
    LABELS,
    SEARCHES,
    STATES,
    TIMES,
    VIEWERS,
    JobFilterContract,
    check_lists,
    filled,
)
from galaxy_jobs.adapters.testing.contracts.repositories import (
    MINUTE,
    NOON,
    Repositories,
)
from galaxy_jobs.domain import JobFilter, Label, Viewer
from galaxy_jobs.domain.errors import InvalidValue


WORKFLOWS = ("sort", "Mai count")
NAMES = [
    *(name for pair in DATASETS.items() for name in pair),
    *(value for labels in LABELS for value in labels.values()),
    *WORKFLOWS,
    *(f"run-{n}" for n in (0, 1, 17)),
]
LIMITS = (3, 7, JOBS)


@st.composite
def parts(draw: st.DrawFn) -> str:
    """Draw a part of a name, in upper, lower or mixed case."""
    name = draw(st.sampled_from(NAMES))
    start = draw(st.integers(0, len(name)))
    part = name[start : draw(st.integers(start, len(name)))]
    return draw(st.sampled_from([part, part.upper(), part.lower(), part.swapcase()]))


SEARCH = st.one_of(
    st.just(""),
    parts(),
    st.sampled_from(SEARCHES),
    st.text("aiM-_%\\*.: '\"\0\n1日é", max_size=3),
)
TIME = st.none() | st.one_of(
    st.sampled_from(TIMES),
    st.timedeltas(-MINUTE, 9 * MINUTE).map(lambda after: NOON + after),
)
PAIRS = sorted({pair for labels in LABELS for pair in labels.items()})
LABEL = st.builds(Label, st.sampled_from(["project", "sample", "none"]), parts()) | (
    st.sampled_from([Label(*pair) for pair in PAIRS])
)


@st.composite
def job_filters(draw: st.DrawFn) -> JobFilter:
    """Draw a filter with a few fields."""
    fields: dict[str, st.SearchStrategy[Any]] = {
        "dataset_ids": st.frozensets(st.sampled_from([*DATASETS, "none"]), max_size=2),
        "workflow_names": st.frozensets(
            st.sampled_from([*WORKFLOWS, "MAI COUNT"]), max_size=2
        ),
        "states": st.frozensets(st.sampled_from(STATES)),
        "owner": st.sampled_from([viewer.owner for viewer in VIEWERS] + ["none"]),
        "labels": st.frozensets(LABEL, max_size=3),
        "created_after": TIME,
        "created_before": TIME,
        "search": SEARCH,
        "batch_id": st.sampled_from(BATCHES),
    }
    given_ = draw(st.sets(st.sampled_from([*fields]), max_size=4))
    try:
        return JobFilter(**{name: draw(fields[name]) for name in sorted(given_)})
    except InvalidValue:
        return JobFilter(search=draw(SEARCH))


class SearchedJobFilters(JobFilterContract):
    """The contract, and a search by Hypothesis."""

    def test_no_filter_has_a_list_of_other_jobs(
        self, repositories: Repositories
    ) -> None:
        jobs = filled(repositories)

        @given(job_filters(), st.sampled_from(VIEWERS), st.sampled_from(LIMITS))
        def search(wanted: JobFilter, viewer: Viewer, limit: int) -> None:
            check_lists(repositories, jobs, wanted, viewer, limit, exact=self.exact)

        search()
