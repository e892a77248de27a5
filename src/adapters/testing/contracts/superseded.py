"""The contract of :class:`SupersededRuns`."""

from __future__ import annotations

import random
from datetime import datetime

import pytest
from attrs import evolve

from galaxy_jobs.adapters.testing.contracts.repositories import (
    DAY,
    HERE,
    HOUR,
    LATER,
    MINUTE,
    NOON,
    THERE,
    UNICODE,
    Repositories,
    S,
    a_dataset,
    a_run,
    a_submission,
    sighting,
)
from galaxy_jobs.domain.model.dataset import (
    CollectionData,
    GalaxyData,
    SourceElement,
    Src,
    UrlData,
)
from galaxy_jobs.domain.model.invocation import (
    Invocation,
    InvocationState,
)
from galaxy_jobs.domain.model.values import InvocationId, Parameters
from galaxy_jobs.domain.model.viewer import SERVICE
from galaxy_jobs.domain.ports import DataUser, Look


ENDS = [S.COMPLETED, S.FAILED, S.CANCELLED, None]


class SupersededRunsContract:
    """What a :class:`SupersededRuns` must do."""

    @pytest.fixture
    def repositories(self) -> Repositories:
        """Return the adapters; to be supplied."""
        raise NotImplementedError

    def _due(self, repositories: Repositories, limit: int = 10) -> list[str]:
        due = repositories.superseded.due(HERE, limit=limit)
        for run in due:
            assert run == repositories.invocations.get(run.invocation_id, SERVICE)
        return [run.invocation_id for run in due]

    def _rerun(
        self, repositories: Repositories, name: str, at: datetime = LATER
    ) -> Invocation:
        return repositories.accepted(name, a_submission(overwrite=True), at)

    def test_a_history_may_go_once_the_later_run_has_completed(
        self, repositories: Repositories
    ) -> None:
        repositories.moved(repositories.accepted("first"), S.COMPLETED)
        second = self._rerun(repositories, "second")
        assert self._due(repositories) == []
        repositories.moved(second, S.IN_PROGRESS)
        assert self._due(repositories) == []
        repositories.moved(second, S.COMPLETED)
        assert self._due(repositories) == ["first"]

    @pytest.mark.parametrize("end", [S.FAILED, S.CANCELLED])
    def test_it_stays_if_the_later_run_came_to_nothing(
        self, repositories: Repositories, end: InvocationState
    ) -> None:
        repositories.moved(repositories.accepted("first"), S.COMPLETED)
        repositories.moved(self._rerun(repositories, "second"), end)
        assert self._due(repositories) == []
        third = self._rerun(repositories, "third", LATER + MINUTE)
        repositories.moved(third, S.COMPLETED)
        assert self._due(repositories) == ["first", "second"]

    def test_it_stays_while_jobs_are_left_at_the_end(
        self, repositories: Repositories
    ) -> None:
        first = repositories.with_jobs_left("first")
        repositories.moved(self._rerun(repositories, "second"), S.COMPLETED)
        assert self._due(repositories) == []
        (claim,) = [
            claim for claim in repositories.claim() if claim.invocation_id == "first"
        ]
        before = repositories.invocations.get(first.invocation_id, SERVICE)
        after = before.seen(sighting(S.CANCELLED), LATER)
        look = Look(claim=claim, before=before, after=after, answered=True)
        assert repositories.written([look]) == 1
        assert self._due(repositories) == ["first"]

    def test_a_run_with_jobs_left_uses_its_data(
        self, repositories: Repositories
    ) -> None:
        y = GalaxyData(Src.HDA, "y")
        parameters = {"x": {"src": "hda", "id": "y"}}
        run = repositories.with_jobs_left("inv1", a_submission(parameters=parameters))
        assert repositories.superseded.users_of(HERE, [y]) == [DataUser("job", "inv1")]
        repositories.moved(run, S.FAILED)
        assert repositories.superseded.users_of(HERE, [y]) == []

    def test_a_run_that_completes_after_it_was_superseded_clears_only_earlier_ones(
        self, repositories: Repositories
    ) -> None:
        repositories.moved(repositories.accepted("first"), S.COMPLETED)
        second = self._rerun(repositories, "second")
        repositories.moved(repositories.accepted("third"), S.COMPLETED)
        last = self._rerun(repositories, "last")
        repositories.moved(second, S.COMPLETED)
        assert self._due(repositories) == ["first"]
        repositories.moved(last, S.FAILED)
        assert self._due(repositories) == ["first"]

    def test_what_was_dealt_with_leads_to_earlier_ones(
        self, repositories: Repositories
    ) -> None:
        repositories.moved(repositories.accepted("first"), S.COMPLETED)
        second = self._rerun(repositories, "second")
        repositories.moved(second, S.FAILED)
        repositories.moved(self._rerun(repositories, "third"), S.COMPLETED)
        repositories.superseded.done(second.invocation_id)
        assert self._due(repositories) == ["first"]

    def test_any_sequence_of_runs(self, repositories: Repositories) -> None:
        """What is due follows from the order in which the runs were accepted."""
        chance, expected = random.Random(1), []  # noqa: S311 - no secret
        for n in range(20):
            runs = [
                (f"{n}-{m}", chance.random() < 0.6, chance.choice(ENDS))  # noqa: PLR2004
                for m in range(6)
            ]
            for name, overwrite, _ in runs:
                submission = a_submission(f"d{n}", overwrite=overwrite)
                repositories.accepted(name, submission)
            for name, _, end in runs:
                run = repositories.invocations.get(InvocationId(name), SERVICE)
                repositories.moved(run, *([end] if end else []))
            for m, (name, _, end) in enumerate(runs):
                later = [k for k in range(m + 1, len(runs)) if runs[k][1]]
                if end and S.COMPLETED in {runs[k][2] for k in later}:
                    expected.append(name)
        assert sorted(self._due(repositories, limit=200)) == sorted(expected)

    def test_it_stays_while_its_own_run_has_not_ended(
        self, repositories: Repositories
    ) -> None:
        first = repositories.accepted("first")
        repositories.moved(self._rerun(repositories, "second"), S.COMPLETED)
        assert self._due(repositories) == []
        repositories.moved(first, S.CANCELLED)
        assert self._due(repositories) == ["first"]

    def test_the_oldest_come_first(self, repositories: Repositories) -> None:
        for n in (2, 0, 1):
            run = repositories.accepted(f"inv{n}", at=NOON + n * MINUTE)
            repositories.moved(run, S.FAILED)
        repositories.moved(self._rerun(repositories, "last", NOON + HOUR), S.COMPLETED)
        assert self._due(repositories, limit=2) == ["inv0", "inv1"]

    def test_others_runs_are_theirs(self, repositories: Repositories) -> None:
        for name, overwrite in (("first", False), ("second", True)):
            run = repositories.accepted(
                name, a_submission(identity=THERE, overwrite=overwrite)
            )
            repositories.moved(run, S.COMPLETED)
        assert self._due(repositories) == []
        assert len(repositories.superseded.due(THERE, limit=10)) == 1

    @pytest.mark.parametrize("attention", [None, UNICODE])
    def test_what_is_done_is_done_for_ever(
        self, repositories: Repositories, attention: str | None
    ) -> None:
        first = repositories.accepted("first")
        noted = first.seen(sighting(S.FAILED, attention="noted before"), LATER)
        repositories.invocations.save(first, noted)
        repositories.moved(self._rerun(repositories, "second"), S.COMPLETED)
        before = repositories.invocations.get(first.invocation_id, SERVICE)
        assert before.attention == "noted before"
        repositories.superseded.done(before.invocation_id, attention)
        repositories.superseded.done(before.invocation_id, "again")
        assert self._due(repositories) == []
        after = repositories.invocations.get(before.invocation_id, SERVICE)
        if attention is None:
            assert after == before
        else:
            assert after == evolve(
                before,
                attention=attention,
                version=before.version + 1,
                updated_at=after.updated_at,
            )
        repositories.moved(
            self._rerun(repositories, "third", LATER + MINUTE), S.COMPLETED
        )
        assert self._due(repositories) == ["second"]

    def test_says_who_needs_data(self, repositories: Repositories) -> None:
        v, w, x, y, z = (GalaxyData(Src.HDA, id_) for id_ in "vwxyz")
        repositories.datasets.add(a_dataset("d x", source=x), SERVICE)
        repositories.datasets.add(
            a_dataset("d url", source=UrlData("ftp://x", "y")), SERVICE
        )
        elements = tuple(
            SourceElement(data.id, (SourceElement("in", data),)) for data in (y, w)
        )
        plate = a_dataset("plate", source=CollectionData("list:list", elements))
        repositories.datasets.add(plate, SERVICE)
        repositories.accepted(
            "nested", a_submission(parameters={"a": [{"src": "hda", "id": "y"}]})
        )
        repositories.accepted(
            "direct",
            a_submission(
                parameters={
                    "a": {"src": "hdca", "id": "x"},
                    "b": {"src": "hda", "id": "y"},
                    "c": {"src": "hda", "id": 7},
                    "d": {"dataset_id": "x"},
                }
            ),
        )
        users_of = repositories.superseded.users_of
        assert users_of(HERE, []) == []
        assert users_of(HERE, [z]) == []
        assert users_of(HERE, [x, z]) == [DataUser("dataset", "d x")]
        jobs = [DataUser("job", "direct"), DataUser("job", "nested")]
        assert users_of(HERE, [y]) == [DataUser("dataset", "plate"), *jobs]
        assert users_of(HERE, [w, v]) == [DataUser("dataset", "plate")]
        assert users_of(HERE, [v, GalaxyData(Src.HDCA, "w")]) == []
        assert users_of(HERE, [x, y]) == [
            DataUser("dataset", "d x"),
            *users_of(HERE, [y]),
        ]
        assert users_of(HERE, [GalaxyData(Src.HDCA, "x")]) == [
            DataUser("job", "direct")
        ]
        assert users_of(HERE, [GalaxyData(Src.LDDA, "x")]) == []
        assert users_of(THERE, [y]) == [DataUser("dataset", "plate")]
        assert users_of(HERE, [GalaxyData(Src.HDA, "a\0b"), z]) == []

    def test_submissions_need_data(self, repositories: Repositories) -> None:
        w, x, y = (GalaxyData(Src.HDA, id_) for id_ in "wxy")
        given: Parameters = {
            "a": [{"src": "hda", "id": "x"}],
            "b": {"src": "hdca", "id": "c"},
        }
        users_of = repositories.superseded.users_of
        under_way = repositories.opened(
            evolve(
                a_submission(parameters=given),
                inputs={"c": {"elements": [{"source": {"src": "hda", "id": "y"}}]}},
            )
        )
        user = DataUser("submission", str(under_way.submission_id))
        assert users_of(HERE, [x]) == users_of(HERE, [w, y]) == [user]
        assert users_of(HERE, [GalaxyData(Src.HDCA, "c")]) == [user]
        assert users_of(HERE, [w, GalaxyData(Src.HDCA, "x")]) == []
        assert users_of(THERE, [x, y]) == []
        lost = under_way.lost(NOON)
        repositories.submissions.save(under_way, lost, look_in=DAY)
        assert users_of(HERE, [y]) == [user]
        run = a_run(lost, "inv1")
        run = repositories.submissions.accept(
            lost, lost.accepted(run.invocation_id, NOON), run
        )
        assert users_of(HERE, [y]) == [DataUser("job", "inv1")]
        repositories.moved(run, S.FAILED)
        assert users_of(HERE, [x, y]) == []

    def test_names_the_collections_in_use(self, repositories: Repositories) -> None:
        collections = repositories.superseded.collections
        assert collections(HERE, limit=9) == []
        inner = SourceElement("in", GalaxyData(Src.HDCA, "b"))
        for name, source in (
            ("single", GalaxyData(Src.HDA, "x")),
            ("plain", GalaxyData(Src.HDCA, "a")),
            ("nested", CollectionData("list:list", (inner,))),
            ("again", GalaxyData(Src.HDCA, "a")),
        ):
            repositories.datasets.add(a_dataset(name, source=source), SERVICE)
        repositories.opened(
            a_submission(parameters={"p": [{"src": "hdca", "id": "c"}]})
        )
        run = repositories.accepted(
            "inv1", a_submission(parameters={"p": {"src": "hdca", "id": "d"}})
        )
        assert sorted(collections(HERE, limit=9)) == ["a", "b", "c", "d"]
        assert len(set(collections(HERE, limit=3))) == len("abc")
        assert sorted(collections(THERE, limit=9)) == ["a", "b"]
        repositories.moved(run, S.COMPLETED)
        assert sorted(collections(HERE, limit=9)) == ["a", "b", "c"]

    def test_what_has_ended_needs_nothing(self, repositories: Repositories) -> None:
        y = GalaxyData(Src.HDA, "y")
        run = repositories.accepted(
            "inv1", a_submission(parameters={"a": {"src": "hda", "id": "y"}})
        )
        assert repositories.superseded.users_of(HERE, [y]) == [DataUser("job", "inv1")]
        repositories.moved(run, S.COMPLETED)
        assert repositories.superseded.users_of(HERE, [y]) == []
