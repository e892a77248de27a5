"""What every feed of transitions must do."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import pairwise

import pytest

from galaxy_jobs.adapters.testing.contracts.repositories import (
    HOUR,
    LATER,
    NOON,
    UNICODE,
    Repositories,
    S,
    a_submission,
    at_once,
    sighting,
)
from galaxy_jobs.domain.model.values import DatasetId, InvocationId


MOMENT = timedelta(milliseconds=20)


class TransitionFeedContract:
    """Subclass it, and give a fixture ``repositories``."""

    def test_there_is_nothing_at_first(self, repositories: Repositories) -> None:
        assert repositories.feed.latest() == 0
        assert list(repositories.feed.after(0, limit=10)) == []

    def test_tells_what_changed_and_of_which_job(
        self, repositories: Repositories
    ) -> None:
        run = repositories.accepted("inv1", a_submission("d1", UNICODE))
        repositories.invocations.save(run, run.seen(sighting(S.FAILED), LATER))
        told = repositories.feed.after(0, limit=10)
        assert [one.transition for one in told] == list(
            repositories.invocations.transitions(run.invocation_id)
        )
        assert [one.transition.to_state for one in told] == [S.QUEUED, S.FAILED]
        assert {one.dataset_id for one in told} == {"d1"}
        assert {one.workflow_name for one in told} == {UNICODE}
        assert repositories.feed.latest() == told[-1].transition.id

    def test_goes_on_from_any_id_a_few_at_a_time(
        self, repositories: Repositories
    ) -> None:
        for n in range(3):
            repositories.moved(repositories.accepted(f"inv{n}"), S.IN_PROGRESS)
        everything = list(repositories.feed.after(0, limit=100))
        ids = [one.transition.id for one in everything]
        assert len(ids) == 2 * 3
        assert all(a < b for a, b in pairwise(ids))
        for n, id_ in enumerate([0, *ids]):
            assert list(repositories.feed.after(id_, limit=100)) == everything[n:]
            assert list(repositories.feed.after(id_, limit=2)) == everything[n : n + 2]

    @pytest.mark.parametrize("dataset", [None, "d1", "d2", "none", "a\0b", "\ud800"])
    @pytest.mark.parametrize("job", [None, "inv0", "inv1", "none", "a\0b"])
    def test_filters_are_combined(
        self, repositories: Repositories, dataset: str | None, job: str | None
    ) -> None:
        for n, on in enumerate(["d1", "d2", "d1"]):
            repositories.moved(
                repositories.accepted(f"inv{n}", a_submission(on)), S.COMPLETED
            )
        told = repositories.feed.after(
            0,
            limit=100,
            dataset_id=None if dataset is None else DatasetId(dataset),
            invocation_id=None if job is None else InvocationId(job),
        )
        expected = [
            one
            for one in repositories.feed.after(0, limit=100)
            if dataset in {None, one.dataset_id}
            and job in {None, one.transition.invocation_id}
        ]
        assert list(told) == expected

    def test_none_becomes_visible_before_one_of_a_lower_id(
        self, repositories: Repositories
    ) -> None:
        """Read on and on while many write: what was read is all there is."""
        runs = [repositories.accepted(f"inv{n}") for n in range(12)]
        start = repositories.feed.latest()
        over = threading.Event()

        def read() -> list[int]:
            place, ids = start, []
            while True:
                last_round = over.is_set()
                for one in repositories.feed.after(place, limit=3):
                    place = one.transition.id
                    ids.append(place)
                if last_round and place == repositories.feed.latest():
                    return ids

        with ThreadPoolExecutor(1) as pool:
            reading = pool.submit(read)
            try:
                at_once(
                    *(
                        lambda run=run: repositories.moved(
                            run, S.IN_PROGRESS, S.CANCELLING, S.COMPLETED
                        )
                        for run in runs
                    )
                )
            finally:
                over.set()
            ids = reading.result(timeout=60)
        assert len(ids) == 3 * len(runs)
        assert ids == [
            one.transition.id for one in repositories.feed.after(start, limit=100)
        ]

    def test_who_watches_is_told_at_once(self, repositories: Repositories) -> None:
        watch = repositories.feed.watch(HOUR)
        next(watch)  # from here on nothing is missed
        for n in range(3):
            repositories.accepted(f"inv{n}", at=NOON)
            next(watch)  # an hour has not passed
            assert len(repositories.feed.after(0, limit=10)) == n + 1

    def test_who_watches_comes_back_now_and_then(
        self, repositories: Repositories
    ) -> None:
        watch = repositories.feed.watch(MOMENT)
        for _ in range(3):
            next(watch)
