"""The contract of :class:`InvocationRepository`."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from functools import partial
from itertools import product

import pytest
from attrs import evolve

from galaxy_jobs.adapters.testing.contracts.repositories import (
    DAY,
    HERE,
    HOUR,
    LATER,
    MINUTE,
    NOON,
    ODD,
    Repositories,
    S,
    a_submission,
    at_once,
    sighting,
    walk,
)
from galaxy_jobs.domain.errors import (
    InvalidValue,
    JobNotFound,
    StaleVersion,
)
from galaxy_jobs.domain.model.dataset import GalaxyData, Src
from galaxy_jobs.domain.model.invocation import (
    Failure,
    InvocationState,
    StepSummary,
)
from galaxy_jobs.domain.model.values import (
    DatasetId,
    InvocationId,
)
from galaxy_jobs.domain.model.viewer import SERVICE
from galaxy_jobs.domain.ports import (
    Cursor,
    JobFilter,
    Look,
)


class InvocationRepositoryContract:
    """What an :class:`InvocationRepository` must do."""

    @pytest.fixture
    def repositories(self) -> Repositories:
        """Return the adapters; to be supplied."""
        raise NotImplementedError

    @pytest.mark.parametrize("name", ["none", "", "a\0b", "\ud800"])
    def test_misses_by_name(self, repositories: Repositories, name: str) -> None:
        run = repositories.accepted("inv1")
        ghost = evolve(run, invocation_id=InvocationId(name))
        with pytest.raises(JobNotFound):
            repositories.invocations.get(ghost.invocation_id, SERVICE)
        with pytest.raises(JobNotFound):
            repositories.invocations.transitions(ghost.invocation_id, SERVICE)
        with pytest.raises(JobNotFound):
            repositories.invocations.save(ghost, ghost.request_cancel(LATER))
        existing = repositories.invocations.get_many(
            [ghost.invocation_id, InvocationId("inv1")], SERVICE
        )
        assert existing == {"inv1": run}
        assert repositories.invocations.get_many([], SERVICE) == {}
        ids = [ghost.invocation_id, InvocationId("inv1"), InvocationId("a\0b")]
        stored = repositories.invocations.get(InvocationId("inv1"), SERVICE)
        assert repositories.invocations.revisions(ids, SERVICE) == {
            "inv1": stored.revision
        }
        assert repositories.invocations.revisions([], SERVICE) == {}

    @pytest.mark.parametrize("state", InvocationState)
    def test_saves_all_that_was_seen(
        self, repositories: Repositories, state: InvocationState
    ) -> None:
        before = repositories.accepted("inv1", a_submission(parameters=ODD))
        at = datetime(
            2026, 3, 29, 2, 30, 0, 654321, tzinfo=timezone(timedelta(hours=-3.5))
        )
        jobs = {"blocked": 2, "error": 1}
        step = StepSummary(index=0, label="a", tool=None, state="failed", jobs=jobs)
        after = before.seen(sighting(state, steps=(step,)), at)
        repositories.invocations.save(before, after)
        stored = repositories.invocations.get(before.invocation_id, SERVICE)
        assert stored == after
        assert repositories.invocations.page(JobFilter(), SERVICE, 10).items == (after,)
        revisions = repositories.invocations.revisions([before.invocation_id], SERVICE)
        assert revisions == {"inv1": stored.revision}
        _, *changes = repositories.invocations.transitions(
            before.invocation_id, SERVICE
        )
        assert len(changes) == (state is not S.QUEUED)
        for change in changes:
            assert (change.from_state, change.to_state) == (S.QUEUED, state)
            assert (change.at, change.galaxy_state) == (at, "scheduled")
            assert (change.progress, change.blocked) == (after.progress, 2)
            assert change.failure == after.failure

    def test_pages_leave_out_large_parameters(self, repositories: Repositories) -> None:
        # As JSON these take 4096 and 4097 bytes; an earlier version took any.
        small, large = {"x": "é" * 2043 + "x"}, {"x": "é" * 2043 + "xx"}
        for number, parameters in enumerate([small, large, {"x": "x" * 10**6}]):
            submission = a_submission(parameters=parameters)
            at = NOON - number * MINUTE
            run = repositories.accepted(f"inv{number}", submission, at)
            stored = repositories.invocations.get(run.invocation_id, SERVICE)
            assert (stored.parameters, stored.parameters_truncated) == (
                parameters,
                False,
            )
        items = repositories.invocations.page(JobFilter(), SERVICE, 10).items
        assert [(job.parameters, job.parameters_truncated) for job in items] == [
            (small, False),
            ({}, True),
            ({}, True),
        ]

    def test_stores_whatever_galaxy_says(self, repositories: Repositories) -> None:
        before = repositories.accepted("inv1")
        after = before.seen(
            sighting(
                S.FAILED,
                "a\0b",
                failure=Failure(reason="x", stderr="a\0\ud800b", path=("a\0",)),
                attention="\0",
                steps=(
                    StepSummary(index=0, label="\0", tool="\0", state="ok", jobs={}),
                ),
            ),
            LATER,
        )
        repositories.invocations.save(before, after)
        stored = repositories.invocations.get(before.invocation_id, SERVICE)
        assert stored.failure is not None
        assert stored.failure.stderr == "a\ufffd?b"
        assert stored.failure.path == ("a\ufffd",)
        assert (stored.galaxy_state, stored.attention) == ("a\ufffdb", "\ufffd")
        assert stored.steps[0].label == stored.steps[0].tool == "\ufffd"
        assert stored.state is S.FAILED

    def test_refuses_a_lost_update(self, repositories: Repositories) -> None:
        before = repositories.accepted("inv1")
        after = before.request_cancel(LATER)
        repositories.invocations.save(before, after)
        with pytest.raises(StaleVersion):
            repositories.invocations.save(
                before, before.seen(sighting(S.FAILED), LATER)
            )
        assert repositories.invocations.get(before.invocation_id, SERVICE) == after
        changes = repositories.invocations.transitions(before.invocation_id, SERVICE)
        assert [change.to_state for change in changes] == [S.QUEUED, S.CANCELLING]

    def test_of_several_saved_at_once_one_is_stored(
        self, repositories: Repositories
    ) -> None:
        before = repositories.accepted("inv1")
        states = list(InvocationState)[1:]
        afters = [before.seen(sighting(state), LATER) for state in states]
        answers = at_once(
            *(
                lambda after=after: repositories.invocations.save(before, after)
                for after in afters
            )
        )
        assert answers.count(None) == 1
        stale = [answer for answer in answers if isinstance(answer, StaleVersion)]
        assert len(stale) == len(afters) - 1
        winner = afters[answers.index(None)]
        assert repositories.invocations.get(before.invocation_id, SERVICE) == winner
        changes = repositories.invocations.transitions(before.invocation_id, SERVICE)
        assert [change.to_state for change in changes] == [S.QUEUED, winner.state]

    def test_a_change_without_a_change_of_state_is_no_transition(
        self, repositories: Repositories
    ) -> None:
        run = repositories.accepted("inv1")
        for n in range(3):
            after = run.seen(sighting(S.IN_PROGRESS, f"x{n}"), LATER)
            repositories.invocations.save(run, after)
            run = after
        changes = repositories.invocations.transitions(run.invocation_id, SERVICE)
        assert [change.to_state for change in changes] == [S.QUEUED, S.IN_PROGRESS]

    def test_transitions_are_numbered_as_they_come(
        self, repositories: Repositories
    ) -> None:
        runs = [repositories.accepted(f"inv{n}") for n in range(2)]
        for run in (*runs, *reversed(runs)):
            stored = repositories.invocations.get(run.invocation_id, SERVICE)
            seen = S.IN_PROGRESS if stored.state is S.QUEUED else S.COMPLETED
            repositories.moved(run, seen)
        ids = {
            (change.invocation_id, change.to_state): change.id
            for run in runs
            for change in repositories.invocations.transitions(
                run.invocation_id, SERVICE
            )
        }
        assert sorted(ids, key=ids.__getitem__) == [
            ("inv0", S.QUEUED),
            ("inv1", S.QUEUED),
            ("inv0", S.IN_PROGRESS),
            ("inv1", S.IN_PROGRESS),
            ("inv1", S.COMPLETED),
            ("inv0", S.COMPLETED),
        ]
        assert len(set(ids.values())) == len(ids)

    def test_a_change_of_state_is_due_for_a_poll_at_once(
        self, repositories: Repositories
    ) -> None:
        run = repositories.accepted("inv1")
        (claim,) = repositories.claim()
        repositories.queue.write_back([Look(claim=claim, answered=True, next_in=DAY)])
        assert repositories.claimed() == []
        run = repositories.invocations.get(run.invocation_id, SERVICE)
        repositories.invocations.save(run, run.request_cancel(LATER))
        (claim,) = repositories.claim()
        assert claim.cancelling

    @pytest.mark.parametrize("attention", [None, "Look here."])
    def test_another_attention_is_due_at_once_and_other_changes_are_not(
        self, repositories: Repositories, attention: str | None
    ) -> None:
        run = repositories.accepted("inv1")
        (claim,) = repositories.claim()
        repositories.queue.write_back([Look(claim=claim, answered=True, next_in=DAY)])
        run = repositories.invocations.get(run.invocation_id, SERVICE)
        after = run.seen(sighting(S.QUEUED, attention=attention), LATER)
        repositories.invocations.save(run, after)
        assert repositories.claimed() == (["inv1"] if attention else [])

    @pytest.mark.parametrize("end", [S.COMPLETED, S.FAILED, S.CANCELLED])
    def test_what_has_ended_leaves_the_queue(
        self, repositories: Repositories, end: InvocationState
    ) -> None:
        repositories.moved(repositories.accepted("inv1"), end)
        repositories.pass_time(1000 * DAY)
        assert repositories.claimed() == []
        assert repositories.overdue() is None

    @pytest.mark.parametrize("end", [S.COMPLETED, S.FAILED, S.CANCELLED])
    @pytest.mark.parametrize("state", InvocationState)
    def test_what_is_reopened_is_polled_again(
        self, repositories: Repositories, end: InvocationState, state: InvocationState
    ) -> None:
        submission = a_submission(parameters={"x": {"src": "hda", "id": "y"}})
        before = repositories.moved(repositories.accepted("inv1", submission), end)
        after = before.refreshed(sighting(state), LATER)
        repositories.invocations.save(before, after)
        assert repositories.invocations.get(before.invocation_id, SERVICE) == after
        _, _, *changes = repositories.invocations.transitions(
            before.invocation_id, SERVICE
        )
        assert len(changes) == (after.state is not end)
        for change in changes:
            assert (change.from_state, change.to_state) == (end, after.state)
            assert change.reopened
        claims = repositories.claim()
        assert len(claims) == after.is_followed
        for claim in claims:
            assert claim.cancelling == (after.state is S.CANCELLING)
        users = repositories.superseded.users_of(HERE, [GalaxyData(Src.HDA, "y")])
        assert len(users) == after.is_followed

    def test_what_is_reopened_is_stopped_by_an_overwrite(
        self, repositories: Repositories
    ) -> None:
        before = repositories.moved(repositories.accepted("inv1"), S.FAILED)
        after = before.refreshed(sighting(S.IN_PROGRESS), LATER)
        repositories.invocations.save(before, after)
        repositories.accepted("inv2", a_submission(overwrite=True))
        stored = repositories.invocations.get(before.invocation_id, SERVICE)
        assert (stored.state, stored.superseded_by) == (S.CANCELLING, "inv2")

    # --- lists ----------------------------------------------------------------

    def test_lists_what_is_wanted_newest_first(
        self, repositories: Repositories
    ) -> None:
        kinds = product(["d1", "d2"], ["w", "v"], [S.QUEUED, S.FAILED, S.COMPLETED])
        runs = []
        for n, (d, w, state) in enumerate(kinds):
            at = NOON + (n * 5 % 7) * MINUTE  # in no order, some at one moment
            run = repositories.accepted(f"inv{n}", a_submission(d, w), at)
            runs.append(run if state is S.QUEUED else repositories.moved(run, state))
        for states, workflow, dataset, limit in product(
            [(), (S.QUEUED,), (S.FAILED, S.COMPLETED), tuple(InvocationState)],
            [None, "w", "\ud800"],
            [None, "d1", "none", "a\0b"],
            [1, 2, 5, 100],
        ):
            wanted = JobFilter(
                dataset_ids=frozenset(() if dataset is None else [DatasetId(dataset)]),
                workflow_names=frozenset(() if workflow is None else [workflow]),
                states=frozenset(states),
            )
            page = partial(repositories.invocations.page, wanted, SERVICE)
            pages = walk(page, limit)
            assert all(len(page) == limit for page in pages[:-1]), wanted
            listed = [run for page in pages for run in page]
            expected = [
                run
                for run in runs
                if dataset in {None, run.dataset_id}
                and workflow in {None, run.workflow_name}
                and (not states or run.state in states)
            ]
            assert sorted(listed, key=lambda run: run.invocation_id) == sorted(
                expected, key=lambda run: run.invocation_id
            ), wanted
            times = [run.created_at for run in listed]
            assert times == sorted(times, reverse=True), wanted
            assert len(pages) == max(1, -(-len(expected) // limit)), wanted

    def test_filters_by_several_names_and_counts(
        self, repositories: Repositories
    ) -> None:
        jobs = [
            repositories.accepted(
                f"inv{number}",
                a_submission(dataset, workflow),
                NOON + number * MINUTE,
            )
            for number, (dataset, workflow) in enumerate(product("abc", "vwx"))
        ]
        for job in jobs[::2]:
            repositories.invocations.save(job, job.seen(sighting(S.FAILED), LATER))
        for datasets, workflows, states in product(
            ["", "a", "bc", "abcz\0", "z", "\0"], ["", "v", "wx", "z"], [[], [S.FAILED]]
        ):
            wanted = JobFilter(
                dataset_ids=frozenset(map(DatasetId, datasets)),
                workflow_names=frozenset(workflows),
                states=frozenset(states),
            )
            matching = [
                (job.invocation_id, S.QUEUED if number % 2 else S.FAILED)
                for number, job in enumerate(jobs)
                if not datasets or job.dataset_id in datasets
                if not workflows or job.workflow_name in workflows
            ]
            pages = walk(partial(repositories.invocations.page, wanted, SERVICE), 2)
            assert [
                (job.invocation_id, job.state) for page in pages for job in page
            ] == [
                (id_, state)
                for id_, state in reversed(matching)
                if not states or state in states
            ]
            for most in (100, 2):
                counts = repositories.invocations.counts(wanted, SERVICE, most)
                for state in (S.QUEUED, S.FAILED):
                    count = sum(state is its for _, its in matching)
                    assert counts.get(state, 0) == min(count, most)
        assert list(repositories.invocations.workflow_names(SERVICE, 10)) == [
            "v",
            "w",
            "x",
        ]
        assert list(repositories.invocations.workflow_names(SERVICE, 2)) == ["v", "w"]

    def test_names_the_labels_that_jobs_have(self, repositories: Repositories) -> None:
        assert list(repositories.invocations.labels(SERVICE, 10)) == []
        for name, labels in {"a": {"p": "1"}, "b": {"p": "1", "q": ""}}.items():
            before = repositories.accepted(name)
            after = before.labelled(labels, LATER)
            repositories.invocations.save(before, after)
        assert list(repositories.invocations.labels(SERVICE, 10)) == ["p:1", "q:"]
        assert list(repositories.invocations.labels(SERVICE, 1)) == ["p:1"]

    @pytest.mark.parametrize(
        "wanted", [JobFilter(), JobFilter(workflow_names=frozenset("w"))]
    )
    def test_what_is_added_meanwhile_does_not_shift_the_pages(
        self, repositories: Repositories, wanted: JobFilter
    ) -> None:
        for n in range(4):
            repositories.accepted(f"inv{n}", at=NOON + n * MINUTE)
        first = repositories.invocations.page(wanted, SERVICE, 2)
        repositories.accepted("new", at=NOON + HOUR)
        second = repositories.invocations.page(wanted, SERVICE, 2, first.next)
        assert [job.invocation_id for job in first.items] == ["inv3", "inv2"]
        assert [job.invocation_id for job in second.items] == ["inv1", "inv0"]
        assert second.next is None

    def test_many_of_one_moment_are_each_listed_once(
        self, repositories: Repositories
    ) -> None:
        names = {f"inv{n}" for n in range(9)}
        for name in names:
            repositories.accepted(name)
        pages = walk(
            lambda limit, after: repositories.invocations.page(
                JobFilter(), SERVICE, limit, after
            ),
            2,
        )
        listed = [run.invocation_id for page in pages for run in page]
        assert len(listed) == len(names)
        assert set(listed) == names

    def test_an_observation_is_seen_in_lists_too(
        self, repositories: Repositories
    ) -> None:
        repositories.accepted("inv1")
        (claim,) = repositories.claim()
        repositories.queue.write_back([Look(claim=claim, answered=True, next_in=DAY)])
        (listed,) = repositories.invocations.page(JobFilter(), SERVICE, 1).items
        assert listed.observed_at > NOON - DAY
        assert listed == repositories.invocations.get(listed.invocation_id, SERVICE)

    def test_a_cursor_that_cannot_be_is_refused(
        self, repositories: Repositories
    ) -> None:
        with pytest.raises(InvalidValue):
            repositories.invocations.page(
                JobFilter(), SERVICE, 10, Cursor(NOON, "a\0b")
            )
