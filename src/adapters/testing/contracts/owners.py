"""The contract of all repositories about owners: what others have does not exist."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from attrs import evolve

from galaxy_jobs.adapters.testing.contracts.repositories import (
    DAY,
    HERE,
    HOUR,
    LATER,
    NOON,
    Repositories,
    S,
    a_dataset,
    a_run,
    a_submission,
    walk,
)
from galaxy_jobs.domain.errors import (
    DatasetExists,
    DatasetInUse,
    DatasetNotFound,
    InvalidValue,
    JobNotFound,
    SubmissionNotFound,
)
from galaxy_jobs.domain.model.dataset import Dataset, GalaxyData, Src
from galaxy_jobs.domain.model.invocation import Invocation
from galaxy_jobs.domain.model.submission import Submission
from galaxy_jobs.domain.model.values import DatasetId, InvocationId
from galaxy_jobs.domain.model.viewer import SERVICE, Viewer
from galaxy_jobs.domain.ports import DataUser, JobFilter


A = Viewer(owner="lab a", sees_all=False)
B = Viewer(owner="lab b", sees_all=False)
PORTAL = Viewer(owner="portal", sees_all=True)
NOBODY = Viewer(owner=None, sees_all=False)


def register(repositories: Repositories, viewer: Viewer, id_: str = "reads") -> Dataset:
    """Register a dataset."""
    return repositories.datasets.add(a_dataset(id_), viewer)


def submission_of(viewer: Viewer, dataset: Dataset, **more: Any) -> Submission:
    """Return a submission, as it is stored."""
    return evolve(
        a_submission(dataset.stored_id, **more),
        owner=viewer.owner,
        private=not viewer.sees_all,
    )


def accepted(
    repositories: Repositories, name: str, submission: Submission
) -> Invocation:
    """Have a run accepted on a dataset that is registered."""
    opened = repositories.submissions.open(submission, deadline=HOUR, key_lifetime=DAY)
    assert opened is None
    run = a_run(submission, name)
    return repositories.submissions.accept(
        submission, submission.accepted(run.invocation_id, NOON), run
    )


class OwnersContract:
    """What repositories must do for viewers who see their own objects only."""

    @pytest.fixture
    def repositories(self) -> Repositories:
        """Return the adapters; to be supplied."""
        raise NotImplementedError

    def test_each_has_ids_of_datasets_of_their_own(
        self, repositories: Repositories
    ) -> None:
        datasets = repositories.datasets
        stored = {v: register(repositories, v) for v in (A, B, PORTAL)}
        assert len({dataset.stored_id for dataset in stored.values()}) == 3  # noqa: PLR2004
        assert stored[PORTAL].stored_id == "reads"
        id_ = DatasetId("reads")
        for viewer, dataset in stored.items():
            assert dataset.owner == viewer.owner
            assert dataset.dataset_id == id_
            assert datasets.get(id_, viewer) == dataset
            assert register(repositories, viewer) == dataset
        for viewer in (A, B):
            assert datasets.page(viewer, 9).items == (stored[viewer],)
            renamed = datasets.change(id_, viewer, name=f"of {viewer.owner}")
            assert datasets.get_many([id_], viewer) == {id_: renamed}
            assert datasets.page(viewer, 9, search="OF LAB").items == (renamed,)
            # The namespace is no part of the id.
            assert datasets.page(viewer, 9, search="::").items == ()
        assert not datasets.page(NOBODY, 9).items
        with pytest.raises(DatasetNotFound):
            datasets.get(id_, NOBODY)
        # Who sees all has other names for them.
        listed = {each.dataset_id for each in datasets.page(SERVICE, 9).items}
        assert listed == {dataset.stored_id for dataset in stored.values()}
        assert datasets.get(stored[A].stored_id, PORTAL).owner == A.owner
        datasets.remove(id_, A)
        with pytest.raises(DatasetNotFound):
            datasets.remove(id_, A)
        assert datasets.get(id_, B).owner == B.owner

    @pytest.mark.parametrize("shown", ["other", "lab%20b::reads", "lab b::reads"])
    def test_no_id_leads_to_a_dataset_of_others(
        self, repositories: Repositories, shown: str
    ) -> None:
        register(repositories, B)
        register(repositories, PORTAL, "other")
        datasets, id_ = repositories.datasets, DatasetId(shown)
        for call in (
            lambda: datasets.get(id_, A),
            lambda: datasets.change(id_, A, name="name"),
            lambda: datasets.remove(id_, A),
        ):
            with pytest.raises(DatasetNotFound, match=f"'{shown}'"):
                call()
        assert datasets.get_many([id_], A) == {}
        mine = datasets.add(a_dataset(shown, "another"), A)
        assert datasets.get(id_, A) == mine

    def test_what_somebody_who_sees_all_gave_them_is_theirs(
        self, repositories: Repositories
    ) -> None:
        given = register(repositories, evolve(A, sees_all=True))
        datasets, id_ = repositories.datasets, DatasetId("reads")
        assert datasets.get(id_, A) == given
        assert register(repositories, A) == given
        with pytest.raises(DatasetExists):
            datasets.add(a_dataset("reads", "another"), A)
        datasets.remove(id_, A)
        own = register(repositories, A)
        assert own.stored_id != "reads"
        with pytest.raises(DatasetExists):
            datasets.add(a_dataset(own.stored_id, "another"), PORTAL)

    def test_an_id_has_room_for_its_namespace(self, repositories: Repositories) -> None:
        for owner in ("a", "ü" * 100, "https://idp.example.org/realms/x|" + "s" * 200):
            viewer = Viewer(owner=owner, sees_all=False)
            register(repositories, viewer, "x" * 190)
            with pytest.raises(InvalidValue, match="dataset_id"):
                register(repositories, viewer, "x" * 255)

    def test_jobs_and_submissions_of_others_do_not_exist(
        self, repositories: Repositories
    ) -> None:
        dataset = register(repositories, A)
        parameters = {"more": {"dataset_id": dataset.stored_id}, "n": 1}
        submission = submission_of(A, dataset, parameters=parameters)
        job = accepted(repositories, "inv1", submission)
        invocations, id_ = repositories.invocations, job.invocation_id
        assert (job.owner, job.private) == (A.owner, True)
        # As they call it.
        own = invocations.get(id_, A)
        assert own.dataset_id == "reads"
        assert own.parameters == {"more": {"dataset_id": "reads"}, "n": 1}
        assert invocations.get(id_, PORTAL) == job
        assert list(invocations.revisions([id_], A)) == [id_]
        assert len(invocations.transitions(id_, A)) == 1
        submissions = repositories.submissions
        assert submissions.get(job.submission_id, A).invocation_id == id_
        for viewer in (B, NOBODY):
            with pytest.raises(JobNotFound):
                invocations.get(id_, viewer)
            with pytest.raises(JobNotFound):
                invocations.transitions(id_, viewer)
            with pytest.raises(SubmissionNotFound):
                submissions.get(job.submission_id, viewer)
            assert not invocations.get_many([id_], viewer)
            assert not invocations.revisions([id_], viewer)
            assert not invocations.page(JobFilter(), viewer, 9).items
            assert not invocations.counts(JobFilter(), viewer, 9)
            assert not invocations.workflow_names(viewer, 9)
            assert not invocations.labels(viewer, 9)
        # What a client has given stays as it is stored.
        invocations.save(own, own.request_cancel(LATER))
        saved = invocations.get(id_, SERVICE)
        assert saved.state is S.CANCELLING
        assert (saved.dataset_id, saved.parameters) == (dataset.stored_id, parameters)

    def test_lists_have_the_jobs_of_an_owner(self, repositories: Repositories) -> None:
        for viewer in (A, B, PORTAL):
            dataset = register(repositories, viewer)
            for n in range(4):
                name = f"{viewer.owner} {n}".replace(" ", "-")
                submission = submission_of(viewer, dataset, workflow=f"w{n % 2}")
                run = accepted(repositories, name, submission)
                if n > 1:
                    repositories.moved(run, S.COMPLETED)
        invocations = repositories.invocations
        own = JobFilter(owner=A.owner)
        queued = frozenset([S.QUEUED])
        for viewer, wanted, found in (
            (A, JobFilter(), "3210"),
            (A, own, "3210"),
            (PORTAL, own, "3210"),
            (A, JobFilter(states=queued), "10"),
            (PORTAL, evolve(own, states=queued), "10"),
            (A, JobFilter(workflow_names=frozenset(["w1"])), "31"),
            (PORTAL, evolve(own, workflow_names=frozenset(["w1"])), "31"),
            (A, JobFilter(dataset_ids=frozenset([DatasetId("reads")])), "3210"),
            (A, JobFilter(dataset_ids=frozenset([DatasetId("lab b::reads")])), ""),
            (A, JobFilter(owner=B.owner), ""),
            (A, JobFilter(owner="a\0b"), ""),
            (PORTAL, JobFilter(owner="none"), ""),
        ):
            pages = walk(
                partial(invocations.page, wanted, viewer),
                2,
            )
            ids = [job.invocation_id for page in pages for job in page]
            assert ids == [f"lab-a-{n}" for n in found], wanted
            counts = invocations.counts(wanted, viewer, 9)
            assert sum(counts.values()) == (len(found) if not wanted.states else 4)
        assert invocations.workflow_names(A, 9) == ["w0", "w1"]
        assert len(invocations.page(JobFilter(), PORTAL, 99).items) == 12  # noqa: PLR2004

    def test_changes_of_others_do_not_exist(self, repositories: Repositories) -> None:
        feed, runs = repositories.feed, {}
        assert [feed.latest(v) for v in (A, B, SERVICE)] == [0, 0, 0]
        for viewer in (A, B):
            dataset = register(repositories, viewer)
            name = f"of-{viewer.owner}".replace(" ", "-")
            runs[viewer] = accepted(repositories, name, submission_of(viewer, dataset))
        repositories.moved(runs[A], S.IN_PROGRESS)
        first, second, third = feed.after(0, SERVICE, limit=9)
        assert [each.owner for each in (first, second, third)] == [
            A.owner,
            B.owner,
            A.owner,
        ]
        assert [feed.latest(v) for v in (A, B, NOBODY)] == [
            third.transition.id,
            second.transition.id,
            0,
        ]
        for viewer, changes in ((A, [first, third]), (B, [second]), (NOBODY, [])):
            shown = [change.shown_to(viewer) for change in changes]
            assert list(feed.after(0, viewer, limit=9)) == shown
            assert all(change.dataset_id == "reads" for change in shown)
            reads = DatasetId("reads")
            assert list(feed.after(0, viewer, limit=9, dataset_id=reads)) == shown
        id_ = runs[B].invocation_id
        assert not feed.after(0, A, limit=9, invocation_id=id_)

    @pytest.mark.parametrize(
        ("later", "superseded"), [(A, ["a1"]), (PORTAL, ["n1", "p1"]), (B, [])]
    )
    def test_an_overwrite_supersedes_what_its_owner_and_theirs_see(
        self, repositories: Repositories, later: Viewer, superseded: list[str]
    ) -> None:
        dataset = register(repositories, PORTAL)
        for name, viewer in (("a1", A), ("p1", PORTAL), ("n1", SERVICE)):
            accepted(repositories, name, submission_of(viewer, dataset))
        accepted(repositories, "z", submission_of(later, dataset, overwrite=True))
        jobs = repositories.invocations.page(JobFilter(), SERVICE, 9).items
        found = [job.invocation_id for job in jobs if job.superseded_by]
        assert sorted(found) == superseded

    def test_what_is_in_use_names_nobody_elses_job(
        self, repositories: Repositories
    ) -> None:
        dataset = register(repositories, A)
        accepted(repositories, "secret", submission_of(PORTAL, dataset))
        datasets, id_ = repositories.datasets, DatasetId("reads")
        with pytest.raises(DatasetInUse, match="'reads' is used by a job of another"):
            datasets.remove(id_, A)
        with pytest.raises(DatasetInUse, match="secret"):
            datasets.remove(dataset.stored_id, PORTAL)
        # A dataset of the same name is another one.
        other = register(repositories, B)
        parameters = {"more": {"dataset_id": dataset.stored_id}}
        mine = register(repositories, A, "mine")
        accepted(repositories, "x", submission_of(A, mine, parameters=parameters))
        datasets.remove(other.dataset_id, B)

    def test_users_of_data_have_owners(self, repositories: Repositories) -> None:
        x = GalaxyData(Src.HDA, "x")
        own = repositories.datasets.add(a_dataset("d", source=x), A)
        parameters = {"x": {"src": "hda", "id": "x"}}
        accepted(repositories, "i", submission_of(A, own, parameters=parameters))
        assert list(repositories.superseded.users_of(HERE, [x])) == [
            DataUser("dataset", own.stored_id, A.owner),
            DataUser("job", "i", A.owner),
        ]

    def test_a_dataset_that_is_gone_is_named_as_its_owner_calls_it(
        self, repositories: Repositories
    ) -> None:
        dataset = register(repositories, A)
        repositories.datasets.remove(dataset.dataset_id, A)
        with pytest.raises(DatasetNotFound, match="'reads'"):
            accepted(repositories, "inv", submission_of(A, dataset))
        assert not repositories.submissions.claim_due(HERE, limit=9, lease=timedelta(0))
        with pytest.raises(JobNotFound):
            repositories.invocations.get(InvocationId("inv"), SERVICE)
