"""The contract of :class:`UploadRepository`."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from galaxy_jobs.adapters.testing.contracts.repositories import (
    CROWD,
    DAY,
    HOUR,
    LATER,
    MINUTE,
    NOON,
    Repositories,
    a_dataset,
    at_once,
)
from galaxy_jobs.domain.errors import (
    ChecksumMismatch,
    DatasetExists,
    DatasetNotFound,
    InvalidValue,
    QuotaExceeded,
    StaleVersion,
    UploadNotFound,
)
from galaxy_jobs.domain.model.dataset import CollectionData, SourceElement
from galaxy_jobs.domain.model.submission import IdempotencyKey
from galaxy_jobs.domain.model.upload import Upload, UploadId, UploadState
from galaxy_jobs.domain.model.values import DatasetId
from galaxy_jobs.domain.model.viewer import SERVICE, Viewer
from galaxy_jobs.domain.ports import Cursor


S = UploadState
ALICE = Viewer(owner="alice", sees_all=False)
NAME = "Ü日本 👩 '\"% %s :x.fastq"


def an_upload(upload_id: str = "u1", **fields: Any) -> Upload:
    """Return an upload that is not stored."""
    return Upload(
        **{
            "upload_id": UploadId(upload_id),
            "owner": "alice",
            "name": NAME,
            "size": 10,
            "ext": "fastqsanger",
            "dataset_id": DatasetId(f"d of {upload_id}"),
            "created_at": NOON,
            "expires_at": NOON + HOUR,
            **fields,
        }
    )


class UploadRepositoryContract:
    """What an :class:`UploadRepository` must do."""

    @pytest.fixture
    def repositories(self) -> Repositories:
        """Return the adapters; to be supplied."""
        raise NotImplementedError

    def added(
        self,
        repositories: Repositories,
        upload: Upload,
        *,
        max_open: int = 100,
        max_bytes: int = 2**50,
    ) -> Upload:
        """Store an upload that may be open for an hour."""
        return repositories.uploads.add(
            upload, lifetime=HOUR, max_open=max_open, max_bytes=max_bytes
        )

    def test_returns_what_was_added(self, repositories: Repositories) -> None:
        key = IdempotencyKey("t1", "k")
        upload = an_upload(sha256="0f" * 32, key=key, size=5 * 2**40)
        stored = self.added(repositories, upload)
        assert evolve(stored, expires_at=upload.expires_at) == upload
        assert repositories.uploads.get(upload.upload_id, ALICE) == stored
        assert list(repositories.uploads.page(ALICE, 10).items) == [stored]

    def test_what_another_owner_has_does_not_exist(
        self, repositories: Repositories
    ) -> None:
        mine = self.added(repositories, an_upload("u1"))
        theirs = self.added(repositories, an_upload("u2", owner="bob"))
        nobodys = self.added(repositories, an_upload("u3", owner=None))
        uploads = repositories.uploads
        for hidden in (theirs, nobodys):
            with pytest.raises(UploadNotFound):
                uploads.get(hidden.upload_id, ALICE)
            assert uploads.get(hidden.upload_id, SERVICE) == hidden
        assert list(uploads.page(ALICE, 10).items) == [mine]
        ids = [mine.upload_id, theirs.upload_id, UploadId("none"), UploadId("a\0b")]
        assert uploads.get_many(ids, ALICE) == {mine.upload_id: mine}
        assert set(uploads.get_many(ids, SERVICE)) == {"u1", "u2"}
        assert not uploads.get_many([], SERVICE)
        assert len(uploads.page(SERVICE, 10).items) == 3  # noqa: PLR2004 - all
        assert len(uploads.page(SERVICE, 2).items) == 2  # noqa: PLR2004 - the limit

    @pytest.mark.parametrize("name", ["none", "", "a\0b", "\ud800"])
    def test_misses_by_id(self, repositories: Repositories, name: str) -> None:
        with pytest.raises(UploadNotFound):
            repositories.uploads.get(UploadId(name), SERVICE)

    def test_lists_the_newest_first(self, repositories: Repositories) -> None:
        for n in (2, 0, 1):
            self.added(repositories, an_upload(f"u{n}", created_at=NOON + n * MINUTE))
        listed = repositories.uploads.page(ALICE, 10).items
        assert [upload.upload_id for upload in listed] == ["u2", "u1", "u0"]

    def test_lists_page_by_page(self, repositories: Repositories) -> None:
        for n in range(5):  # two of the same moment
            at = NOON + n // 2 * MINUTE
            self.added(repositories, an_upload(f"u{n}", created_at=at))
        found, after = [], None
        for _ in range(3):
            page = repositories.uploads.page(ALICE, 2, after)
            found += [upload.upload_id for upload in page.items]
            after = page.next
        assert (found, after) == (["u4", "u3", "u2", "u1", "u0"], None)
        with pytest.raises(InvalidValue):
            repositories.uploads.page(ALICE, 2, Cursor(NOON, "a\0b"))

    def test_lists_those_of_the_viewer_who_sees_others_too(
        self, repositories: Repositories
    ) -> None:
        mine = self.added(repositories, an_upload("u1"))
        self.added(repositories, an_upload("u2", owner="bob"))
        admin = evolve(ALICE, sees_all=True)
        assert list(repositories.uploads.page(admin, 10).items) == [mine]

    def test_a_key_is_held_until_its_upload_is_given_up(
        self, repositories: Repositories
    ) -> None:
        key = IdempotencyKey("t1", "k")
        first = self.added(repositories, an_upload("u1", key=key))
        assert self.added(repositories, an_upload("u2", key=key)) == first
        other = an_upload("u3", key=IdempotencyKey("t2", "k"))
        assert self.added(repositories, other).upload_id == "u3"
        repositories.uploads.save(first, first.aborted())
        second = self.added(repositories, an_upload("u4", key=key))
        assert second.upload_id == "u4"
        repositories.pass_time(HOUR)
        assert self.added(repositories, an_upload("u5", key=key)).upload_id == "u5"

    def test_of_several_with_one_key_at_once_one_is_stored(
        self, repositories: Repositories
    ) -> None:
        key = IdempotencyKey("t1", "k")
        answers = at_once(
            *(
                lambda n=n: self.added(repositories, an_upload(f"u{n}", key=key))
                for n in range(CROWD)
            )
        )
        assert len({str(answer) for answer in answers}) == 1
        assert len(repositories.uploads.page(ALICE, 10).items) == 1

    def test_quotas_are_those_of_each_owner(self, repositories: Repositories) -> None:
        first = self.added(repositories, an_upload("u1"))
        self.added(repositories, an_upload("u2"), max_open=2, max_bytes=20)
        for limits in ({"max_open": 2}, {"max_bytes": 29}):
            with pytest.raises(QuotaExceeded):
                self.added(repositories, an_upload("u3"), **limits)
        with pytest.raises(UploadNotFound):
            repositories.uploads.get(UploadId("u3"), SERVICE)
        self.added(repositories, an_upload("u4", owner="bob"), max_open=1)
        self.added(repositories, an_upload("u5", owner=None), max_open=1)
        repositories.uploads.save(first, first.aborted())
        self.added(repositories, an_upload("u6"), max_open=2, max_bytes=20)
        repositories.pass_time(HOUR)
        self.added(repositories, an_upload("u7"), max_open=1)

    def test_of_several_at_once_no_more_are_stored_than_may_be(
        self, repositories: Repositories
    ) -> None:
        answers = at_once(
            *(
                lambda n=n: self.added(repositories, an_upload(f"u{n}"), max_open=3)
                for n in range(CROWD)
            )
        )
        refused = [a for a in answers if isinstance(a, QuotaExceeded)]
        assert len(refused) == CROWD - 3

    def test_changes_are_stored_one_after_the_other(
        self, repositories: Repositories
    ) -> None:
        uploads = repositories.uploads
        first = self.added(repositories, an_upload())
        begun = first.begun("ref ü")
        uploads.save(first, begun)
        assert uploads.get(begun.upload_id, ALICE) == begun
        with pytest.raises(StaleVersion):
            uploads.save(first, first.aborted())
        failed = begun.failed(ChecksumMismatch("an odd one"))
        uploads.save(begun, failed)
        assert uploads.get(begun.upload_id, ALICE) == failed
        assert not uploads.page(ALICE, 10).items

    def test_the_dataset_is_there_once_the_upload_is_complete(
        self, repositories: Repositories
    ) -> None:
        upload = self.added(repositories, an_upload())
        complete = upload.verified("0f" * 32)
        dataset = complete.dataset(LATER)
        repositories.uploads.complete(upload, complete, dataset)
        assert repositories.uploads.get(upload.upload_id, ALICE) == complete
        stored = repositories.datasets.get(upload.dataset_id, SERVICE)
        assert (stored.source, stored.name) == (upload.data, NAME)
        with pytest.raises(StaleVersion):
            repositories.uploads.complete(upload, complete, dataset)

    def test_neither_is_stored_where_one_cannot_be(
        self, repositories: Repositories
    ) -> None:
        upload = self.added(repositories, an_upload())
        repositories.datasets.add(a_dataset(upload.dataset_id), SERVICE)
        complete = upload.verified(None)
        with pytest.raises(DatasetExists):
            repositories.uploads.complete(upload, complete, complete.dataset(LATER))
        assert repositories.uploads.get(upload.upload_id, ALICE) == upload
        other = self.added(repositories, an_upload("u2"))
        repositories.uploads.save(other, other.aborted())
        complete = other.verified(None)
        with pytest.raises(StaleVersion):
            repositories.uploads.complete(other, complete, complete.dataset(LATER))
        with pytest.raises(DatasetNotFound):
            repositories.datasets.get(other.dataset_id, SERVICE)

    def test_an_open_one_expires_and_cannot_be_completed(
        self, repositories: Repositories
    ) -> None:
        uploads = repositories.uploads
        stored = self.added(repositories, an_upload())
        verifying = self.added(repositories, an_upload("u2"))
        uploads.save(verifying, verifying.whole())
        repositories.pass_time(HOUR)
        shown = uploads.get(stored.upload_id, ALICE)
        assert shown.state is S.EXPIRED
        assert uploads.get(verifying.upload_id, ALICE).state is S.VERIFYING
        assert [one.upload_id for one in uploads.page(ALICE, 10).items] == ["u2"]
        complete = stored.verified(None)
        with pytest.raises(StaleVersion):
            uploads.complete(stored, complete, complete.dataset(LATER))
        with pytest.raises(StaleVersion):
            uploads.save(stored, stored.whole())
        uploads.save(shown, shown.discarded())
        kept = uploads.get(stored.upload_id, ALICE)
        assert (kept.state, kept.stored) == (S.EXPIRED, False)
        assert [one.upload_id for one in uploads.claim(10, HOUR)] == ["u2"]

    def test_claims_what_needs_work(self, repositories: Repositories) -> None:
        uploads = repositories.uploads
        opened, complete, verifying, failed, aborted, gone = (
            self.added(repositories, an_upload(f"u{n}")) for n in range(6)
        )
        done = complete.verified(None)
        uploads.complete(complete, done, done.dataset(LATER))
        uploads.save(verifying, verifying.whole())
        uploads.save(failed, failed.failed(ChecksumMismatch("odd")))
        uploads.save(aborted, aborted.aborted())
        uploads.save(gone, gone.aborted())
        uploads.save(gone.aborted(), gone.aborted().discarded())
        assert {one.upload_id for one in uploads.claim(10, HOUR)} == {"u2", "u3", "u4"}
        assert not uploads.claim(10, HOUR)
        repositories.pass_time(HOUR)
        claimed = {one.upload_id: one.state for one in uploads.claim(10, HOUR)}
        assert claimed == {
            opened.upload_id: S.EXPIRED,
            "u2": S.VERIFYING,
            "u3": S.FAILED,
            "u4": S.ABORTED,
        }

    def test_a_lease_is_renewed(self, repositories: Repositories) -> None:
        upload = self.added(repositories, an_upload())
        repositories.uploads.save(upload, upload.whole())
        (claimed,) = repositories.uploads.claim(10, HOUR)
        repositories.pass_time(HOUR - MINUTE)
        repositories.uploads.renew(claimed.upload_id, HOUR)
        repositories.pass_time(HOUR - MINUTE)
        assert not repositories.uploads.claim(10, HOUR)
        repositories.pass_time(2 * MINUTE)
        assert repositories.uploads.claim(10, HOUR)

    def test_claims_no_more_than_asked_and_nothing_twice(
        self, repositories: Repositories
    ) -> None:
        for n in range(CROWD):
            upload = self.added(repositories, an_upload(f"u{n}"))
            repositories.uploads.save(upload, upload.aborted())
        claims = at_once(*[lambda: repositories.uploads.claim(1, DAY)] * CROWD)
        ids = [one.upload_id for claim in claims for one in claim]  # type: ignore[union-attr]
        assert sorted(ids) == [f"u{n}" for n in range(CROWD)]

    def test_a_complete_one_is_looked_at_again_and_is_used_by_its_dataset(
        self, repositories: Repositories
    ) -> None:
        uploads, datasets = repositories.uploads, repositories.datasets
        first, second = (self.added(repositories, an_upload(f"u{n}")) for n in (1, 2))
        for upload in (first, second):
            complete = upload.verified(None)
            uploads.complete(upload, complete, complete.dataset(LATER))
        assert not uploads.claim(10, HOUR)
        repositories.pass_time(DAY)
        claimed = {one.upload_id: one for one in uploads.claim(10, HOUR)}
        assert set(claimed) == {"u1", "u2"}
        assert all(uploads.is_used(one) for one in claimed.values())
        element = SourceElement("a", second.data)
        datasets.add(
            a_dataset("set", source=CollectionData("list", (element,))), SERVICE
        )
        for upload in (first, second):
            datasets.remove(upload.dataset_id, SERVICE)
        assert not uploads.is_used(claimed[first.upload_id])
        assert uploads.is_used(claimed[second.upload_id])

    def test_those_that_came_to_nothing_are_removed_once_they_are_old(
        self, repositories: Repositories
    ) -> None:
        uploads = repositories.uploads
        opened, verifying, complete, failed, aborted, second = (
            self.added(repositories, an_upload(f"u{n}")) for n in range(6)
        )
        done = complete.verified(None)
        uploads.complete(complete, done, done.dataset(LATER))
        uploads.save(verifying, verifying.whole())
        uploads.save(failed, failed.failed(ChecksumMismatch("odd")))
        for upload in (aborted, second):
            uploads.save(upload, upload.aborted())
            uploads.save(upload.aborted(), upload.aborted().discarded())
        repositories.pass_time(DAY + HOUR - MINUTE)
        assert not uploads.ended(DAY, 10)
        repositories.pass_time(2 * MINUTE)
        expired = uploads.get(opened.upload_id, SERVICE)
        uploads.save(expired, expired.discarded())
        ended = uploads.ended(DAY, 10)
        assert {each.upload_id for each in ended} == {"u0", "u4", "u5"}
        assert len(uploads.ended(DAY, 2)) == 2  # noqa: PLR2004 - the limit
        for upload in (*ended, *ended, done, failed):
            uploads.remove(upload)
        assert not uploads.ended(DAY, 10)
        for upload in ended:
            with pytest.raises(UploadNotFound):
                uploads.get(upload.upload_id, SERVICE)
        kept = [verifying.upload_id, complete.upload_id, failed.upload_id]
        assert set(uploads.get_many(kept, SERVICE)) == set(kept)
