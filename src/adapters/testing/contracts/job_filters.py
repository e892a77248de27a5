"""The contract of lists of jobs by labels, times and searches, in all combinations."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from functools import partial
from uuid import UUID

import pytest
from attrs import evolve

from galaxy_jobs.adapters.testing.contracts.batches import a_batch, begin
from galaxy_jobs.adapters.testing.contracts.repositories import (
    DAY,
    HOUR,
    LATER,
    MINUTE,
    NOON,
    Repositories,
    S,
    a_dataset,
    a_run,
    a_submission,
    sighting,
    walk,
)
from galaxy_jobs.domain.errors import InvalidValue
from galaxy_jobs.domain.model.invocation import Invocation, InvocationState
from galaxy_jobs.domain.model.labels import Label, Labels
from galaxy_jobs.domain.model.submission import Submission, SubmissionState
from galaxy_jobs.domain.model.values import (
    BatchId,
    DatasetId,
    InvocationId,
    SubmissionId,
)
from galaxy_jobs.domain.model.viewer import SERVICE, Viewer
from galaxy_jobs.domain.ports import JobFilter


LAB = Viewer(owner="lab a", sees_all=False)
OTHER = Viewer(owner="lab b", sees_all=False)
PORTAL = Viewer(owner="portal", sees_all=True)
VIEWERS = (SERVICE, LAB, OTHER, PORTAL)

DATASETS = {"reads-1": "Sample of Mai", "reads_2": "50% \\ done", "mai": "other"}
"""Names by ids; each viewer registers them all."""

LABELS: tuple[Labels, ...] = (
    {},
    {"project": "plate-7"},
    {"project": "plate-7", "sample": "Mai 1"},
    {"project": "plate-70", "sample": "x:y"},
    {"sample": "", "a/b.c-d_e": "50%"},
)
SEARCHES = ("", "mai", "MAI", "reads_", "%", "\\", "plate-7", "run-1", "un-1", "a\0b")
BATCHES = tuple(BatchId(UUID(int=n)) for n in (101, 102, 103))
"""The first two have jobs."""

STATES = (S.QUEUED, S.IN_PROGRESS, S.COMPLETED)
JOBS = 48
TIMES = tuple(NOON + n * MINUTE for n in (-1, 0, 4, 9, 99))


def filled(repositories: Repositories) -> Sequence[Invocation]:
    """Have jobs accepted that differ in everything; return them as they are stored."""
    submissions: list[Submission] = []
    for viewer in VIEWERS[1:]:
        for id_, name in DATASETS.items():
            repositories.datasets.add(a_dataset(id_, name), viewer)
    choose = random.Random(7)  # noqa: S311
    for n in range(JOBS):
        viewer = choose.choice(VIEWERS[1:])
        dataset = repositories.datasets.get(
            DatasetId(choose.choice([*DATASETS])), viewer
        )
        submission = a_submission(
            dataset.stored_id, choose.choice(["sort", "Mai count"])
        )
        batch_id = _batch_of(n)
        submission = evolve(
            submission,
            owner=viewer.owner,
            private=not viewer.sees_all,
            request=evolve(submission.request, labels=choose.choice(LABELS)),
            batch_id=batch_id,
            state=SubmissionState.WAITING if batch_id else submission.state,
        )
        submissions.append(submission)
        if batch_id is None:
            repositories.submissions.open(submission, deadline=HOUR, key_lifetime=DAY)
    begun: dict[SubmissionId, Submission] = {}
    for batch_id in BATCHES[:2]:
        items = [each for each in submissions if each.batch_id == batch_id]
        batch = evolve(a_batch(len(items))[0], batch_id=batch_id)
        repositories.batches.open(batch, items, key_lifetime=DAY)
        while (item := begin(repositories)) is not None:
            begun[item.submission_id] = item
    jobs = []
    for n, submission in enumerate(submissions):
        submission = begun.get(submission.submission_id, submission)  # noqa: PLW2901
        run = a_run(submission, f"run-{n}", NOON + choose.randrange(8) * MINUTE)
        run = repositories.submissions.accept(
            submission, submission.accepted(run.invocation_id, LATER), run
        )
        state = choose.choice(STATES)
        if state is not S.QUEUED:
            before, run = run, run.seen(sighting(state), LATER)
            repositories.invocations.save(before, run)
        jobs.append(run)
    return jobs


def _batch_of(job: int) -> BatchId | None:
    return {1: BATCHES[0], 2: BATCHES[1]}.get(job % 4)


def matching(
    jobs: Collection[Invocation], wanted: JobFilter, viewer: Viewer
) -> list[InvocationId]:
    """Return the ids of the jobs that match, newest first."""
    found = [
        job for job in jobs if viewer.sees(job.owner) and _fits(job, wanted, viewer)
    ]
    found.sort(key=lambda job: (job.created_at, job.invocation_id), reverse=True)
    return [job.invocation_id for job in found]


def _fits(job: Invocation, wanted: JobFilter, viewer: Viewer) -> bool:
    dataset_id = viewer.id_of(job.dataset_id)
    name = next(n for id_, n in DATASETS.items() if job.dataset_id.endswith(id_))
    text = wanted.search.lower()
    labels = {label.key: label.value for label in wanted.labels}
    return (
        (not wanted.dataset_ids or dataset_id in wanted.dataset_ids)
        and (not wanted.workflow_names or job.workflow_name in wanted.workflow_names)
        and (not wanted.states or job.state in wanted.states)
        and (wanted.owner is None or job.owner == wanted.owner)
        and wanted.batch_id
        in {None, _batch_of(int(job.invocation_id.removeprefix("run-")))}
        and labels.items() <= job.labels.items()
        and (wanted.created_after or datetime.min.replace(tzinfo=NOON.tzinfo))
        <= job.created_at
        < (wanted.created_before or datetime.max.replace(tzinfo=NOON.tzinfo))
        and (
            job.invocation_id.startswith(text)
            or any(
                text in each.lower()
                for each in (dataset_id, name, job.workflow_name, *job.labels.values())
            )
        )
    )


def check_lists(
    repositories: Repositories,
    jobs: Collection[Invocation],
    wanted: JobFilter,
    viewer: Viewer,
    limit: int,
    *,
    exact: bool = True,
) -> None:
    """Compare all pages of a list, and the counts, with what they are to have.

    Args:
        repositories: The adapters under test.
        jobs: All that are stored.
        wanted: The filter.
        viewer: Who looks.
        limit: The number of jobs on a page at most.
        exact: Whether so few jobs are counted exactly.
    """
    pages = walk(partial(repositories.invocations.page, wanted, viewer), limit)
    listed = [job.invocation_id for page in pages for job in page]
    assert listed == matching(jobs, wanted, viewer), wanted
    counts = repositories.invocations.counts(wanted, viewer, JOBS)
    for state in InvocationState:
        in_state = evolve(wanted, states=frozenset([state]))
        number = len(matching(jobs, in_state, viewer))
        assert counts.get(state, 0) <= number, wanted
        assert counts.get(state, 0) == number or not exact, wanted


def _filters() -> Iterator[tuple[JobFilter, Viewer]]:
    """Yield filters of every kind with those of every other."""
    choose = random.Random(7)  # noqa: S311
    pairs = [Label(*pair) for labels in LABELS for pair in labels.items()]
    while True:
        after, before = choose.choice(TIMES), choose.choice(TIMES)
        yield (
            JobFilter(
                dataset_ids=frozenset(
                    map(
                        DatasetId,
                        choose.sample([*DATASETS], choose.choice([0, 0, 1, 2])),
                    )
                ),
                workflow_names=frozenset(
                    choose.choice([[], [], ["sort"], ["sort", "Mai count"], ["none"]])
                ),
                states=frozenset(choose.sample(STATES, choose.choice([0, 0, 1, 2]))),
                owner=choose.choice([None, None, LAB.owner, OTHER.owner]),
                labels=frozenset(
                    {
                        label.key: label
                        for label in choose.choices(
                            pairs, k=choose.choice([0, 1, 1, 2])
                        )
                    }.values()
                ),
                created_after=choose.choice([None, after]) if after < before else None,
                created_before=choose.choice([None, before]),
                search=choose.choice(["", *SEARCHES]),
                batch_id=choose.choice([None, None, None, *BATCHES]),
            ),
            choose.choice(VIEWERS),
        )


class JobFilterContract:
    """What an :class:`InvocationRepository` must do about filters of its lists.

    Attributes:
        exact: Whether so few jobs are counted exactly.
    """

    exact = True

    @pytest.fixture
    def repositories(self) -> Repositories:
        """Return the adapters; to be supplied."""
        raise NotImplementedError

    def test_lists_have_what_all_their_filters_match(
        self, repositories: Repositories
    ) -> None:
        jobs = filled(repositories)
        check = partial(check_lists, repositories, jobs, exact=self.exact)
        for viewer in VIEWERS:
            for search in SEARCHES:
                check(JobFilter(search=search), viewer, 5)
            for labels in LABELS:
                wanted = JobFilter(
                    labels=frozenset(Label(*pair) for pair in labels.items())
                )
                check(wanted, viewer, 5)
        for (wanted, viewer), limit in zip(_filters(), [1, 3, 50] * 10, strict=False):
            check(wanted, viewer, limit)

    def test_a_change_of_labels_or_state_moves_a_job_between_lists(
        self, repositories: Repositories
    ) -> None:
        submission = a_submission()
        request = evolve(submission.request, labels={"a": "1", "b": "2"})
        run = repositories.accepted("inv1", evolve(submission, request=request))
        invocations = repositories.invocations

        def found(*labels: str, state: InvocationState) -> bool:
            wanted = JobFilter(
                labels=frozenset(map(Label.parse, labels)), states=frozenset([state])
            )
            return bool(invocations.page(wanted, SERVICE, 1).items)

        assert found("a:1", state=S.QUEUED)
        assert found("a:1", "b:2", state=S.QUEUED)
        assert not found("a:2", state=S.QUEUED)
        after = run.seen(sighting(S.IN_PROGRESS), LATER)
        invocations.save(run, after)
        assert found("a:1", state=S.IN_PROGRESS)
        assert not found("a:1", state=S.QUEUED)
        changed = evolve(after, labels={"a": "2"}, version=after.version + 1)
        invocations.save(after, changed)
        assert invocations.get(run.invocation_id, SERVICE).labels == {"a": "2"}
        assert found("a:2", state=S.IN_PROGRESS)
        assert not found("a:1", state=S.IN_PROGRESS)
        assert not found("b:2", state=S.IN_PROGRESS)
        invocations.save(changed, evolve(changed, labels={}, version=9))
        assert not found("a:2", state=S.IN_PROGRESS)

    def test_a_filter_that_no_job_could_match_is_refused(self) -> None:
        with pytest.raises(InvalidValue, match="Two values"):
            JobFilter(labels=frozenset([Label("a", "1"), Label("a", "2")]))
        for before in (NOON, NOON - MINUTE):
            with pytest.raises(InvalidValue, match="no job could match"):
                JobFilter(created_after=NOON, created_before=before)
        with pytest.raises(InvalidValue, match="time zone"):
            JobFilter(created_after=NOON.replace(tzinfo=None))
        with pytest.raises(InvalidValue, match="at most 255"):
            JobFilter(search="x" * 256)
        with pytest.raises(InvalidValue, match="33 labels"):
            JobFilter(labels=frozenset(Label(f"k{n}", "") for n in range(33)))
