"""What every feed of transitions must do."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import pairwise

import pytest
from attrs import evolve

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
from galaxy_jobs.domain.model.labels import Label
from galaxy_jobs.domain.model.values import DatasetId, InvocationId
from galaxy_jobs.domain.model.viewer import SERVICE


MOMENT = timedelta(milliseconds=20)


class TransitionFeedContract:
    """Subclass it, and give a fixture ``repositories``."""

    def test_there_is_nothing_at_first(self, repositories: Repositories) -> None:
        assert repositories.feed.latest(SERVICE) == 0
        assert list(repositories.feed.after(0, SERVICE, limit=10)) == []

    def test_tells_what_changed_and_of_which_job(
        self, repositories: Repositories
    ) -> None:
        run = repositories.accepted("inv1", a_submission("d1", UNICODE))
        repositories.invocations.save(run, run.seen(sighting(S.FAILED), LATER))
        entries = repositories.feed.after(0, SERVICE, limit=10)
        assert [entry.transition for entry in entries] == list(
            repositories.invocations.transitions(run.invocation_id, SERVICE)
        )
        assert [entry.transition.to_state for entry in entries] == [S.QUEUED, S.FAILED]
        assert {entry.dataset_id for entry in entries} == {"d1"}
        assert {entry.workflow_name for entry in entries} == {UNICODE}
        assert repositories.feed.latest(SERVICE) == entries[-1].transition.id

    def test_goes_on_from_any_id_a_few_at_a_time(
        self, repositories: Repositories
    ) -> None:
        for n in range(3):
            repositories.moved(repositories.accepted(f"inv{n}"), S.IN_PROGRESS)
        everything = list(repositories.feed.after(0, SERVICE, limit=100))
        ids = [entry.transition.id for entry in everything]
        assert len(ids) == 2 * 3
        assert all(a < b for a, b in pairwise(ids))
        for n, id_ in enumerate([0, *ids]):
            assert (
                list(repositories.feed.after(id_, SERVICE, limit=100)) == everything[n:]
            )
            assert (
                list(repositories.feed.after(id_, SERVICE, limit=2))
                == everything[n : n + 2]
            )

    @pytest.mark.parametrize("dataset", [None, "d1", "d2", "none", "a\0b", "\ud800"])
    @pytest.mark.parametrize("job", [None, "inv0", "inv1", "none", "a\0b"])
    def test_filters_are_combined(
        self, repositories: Repositories, dataset: str | None, job: str | None
    ) -> None:
        for n, on in enumerate(["d1", "d2", "d1"]):
            repositories.moved(
                repositories.accepted(f"inv{n}", a_submission(on)), S.COMPLETED
            )
        entries = repositories.feed.after(
            0,
            SERVICE,
            limit=100,
            dataset_id=None if dataset is None else DatasetId(dataset),
            invocation_id=None if job is None else InvocationId(job),
        )
        expected = [
            entry
            for entry in repositories.feed.after(0, SERVICE, limit=100)
            if dataset in {None, entry.dataset_id}
            and job in {None, entry.transition.invocation_id}
        ]
        assert list(entries) == expected

    def test_labels_are_those_of_now(self, repositories: Repositories) -> None:
        submission = a_submission()
        for n, labels in enumerate([{"a": "1"}, {"a": "1", "b": "x:y"}, {"a": ""}, {}]):
            request = evolve(submission.request, labels=labels)
            run = repositories.accepted(
                f"inv{n}", evolve(a_submission(), request=request)
            )
            repositories.moved(run, S.COMPLETED)

        def found(*labels: str, place: int = 0) -> list[str]:
            wanted = frozenset(map(Label.parse, labels))
            entries = repositories.feed.after(place, SERVICE, limit=9, labels=wanted)
            return [entry.transition.invocation_id for entry in entries]

        assert found("a:1") == ["inv0", "inv0", "inv1", "inv1"]
        assert found("a:1", "b:x:y") == ["inv1", "inv1"]
        assert found("a:") == ["inv2", "inv2"]
        assert found("a:2") == found("b:1") == found("a:1", "b:") == []
        (first, *_) = repositories.feed.after(0, SERVICE, limit=1)
        assert found("a:1", place=first.transition.id) == ["inv0", "inv1", "inv1"]
        run = repositories.invocations.get(InvocationId("inv0"), SERVICE)
        repositories.invocations.save(
            run, evolve(run, labels={"a": "2"}, version=run.version + 1)
        )
        assert found("a:1") == ["inv1", "inv1"]
        assert found("a:2") == ["inv0", "inv0"]

    def test_none_becomes_visible_before_one_of_a_lower_id(
        self, repositories: Repositories
    ) -> None:
        """Read on and on while many write: what was read is all there is."""
        runs = [repositories.accepted(f"inv{n}") for n in range(12)]
        start = repositories.feed.latest(SERVICE)
        over = threading.Event()

        def read() -> list[int]:
            place, ids = start, []
            while True:
                last_round = over.is_set()
                for entry in repositories.feed.after(place, SERVICE, limit=3):
                    place = entry.transition.id
                    ids.append(place)
                if last_round and place == repositories.feed.latest(SERVICE):
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
            entry.transition.id
            for entry in repositories.feed.after(start, SERVICE, limit=100)
        ]

    def test_a_watcher_is_woken_at_once(self, repositories: Repositories) -> None:
        watch = repositories.feed.watch(HOUR)
        next(watch)  # from here on nothing is missed
        for n in range(3):
            repositories.accepted(f"inv{n}", at=NOON)
            next(watch)  # an hour has not passed
            assert len(repositories.feed.after(0, SERVICE, limit=10)) == n + 1

    def test_who_watches_comes_back_now_and_then(
        self, repositories: Repositories
    ) -> None:
        watch = repositories.feed.watch(MOMENT)
        for _ in range(3):
            next(watch)
