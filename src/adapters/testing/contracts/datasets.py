"""The contract of :class:`DatasetRepository`."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from galaxy_jobs.adapters.testing.contracts.repositories import (
    CROWD,
    HOUR,
    LATER,
    MINUTE,
    NOON,
    UNICODE,
    Repositories,
    a_dataset,
    at_once,
    walk,
)
from galaxy_jobs.domain.errors import (
    DatasetExists,
    DatasetNotFound,
    InvalidValue,
)
from galaxy_jobs.domain.model.dataset import Dataset, GalaxyData, Source, Src, UrlData
from galaxy_jobs.domain.model.values import (
    DatasetId,
)
from galaxy_jobs.domain.ports import (
    Cursor,
    Page,
)


class DatasetRepositoryContract:
    """What a :class:`DatasetRepository` must do."""

    @pytest.fixture
    def repositories(self) -> Repositories:
        """Return the adapters; to be supplied."""
        raise NotImplementedError

    @pytest.mark.parametrize(
        "source",
        [
            *(GalaxyData(src, UNICODE) for src in Src),
            UrlData("ftp://ftp.test/ü?a=b&c=%20#d", "fastqsanger.gz"),
        ],
    )
    def test_returns_what_was_added(
        self, repositories: Repositories, source: Source
    ) -> None:
        dataset = a_dataset(UNICODE, UNICODE, source)
        assert repositories.datasets.add(dataset) == dataset
        assert repositories.datasets.get(dataset.dataset_id) == dataset
        assert repositories.datasets.get_many([dataset.dataset_id]) == {
            UNICODE: dataset
        }
        assert repositories.datasets.page(10) == Page((dataset,), None)

    def test_keeps_times_to_the_microsecond_whatever_their_zone(
        self, repositories: Repositories
    ) -> None:
        at = datetime(
            2026, 3, 29, 2, 30, 0, 123457, tzinfo=timezone(timedelta(hours=5.75))
        )
        repositories.datasets.add(a_dataset(at=at))
        stored = repositories.datasets.get(DatasetId("d1"))
        assert stored.created_at == at
        assert stored.created_at.utcoffset() is not None

    def test_the_same_one_again_changes_nothing(
        self, repositories: Repositories
    ) -> None:
        first = repositories.datasets.add(a_dataset())
        assert repositories.datasets.add(a_dataset(at=LATER)) == first
        assert repositories.datasets.get(first.dataset_id).created_at == NOON

    @pytest.mark.parametrize(
        "other",
        [
            a_dataset(name="other"),
            a_dataset(source=GalaxyData(Src.HDA, "other")),
            a_dataset(source=GalaxyData(Src.LDDA, "hda of d1")),
            a_dataset(source=UrlData("http://x.test/", "txt")),
        ],
    )
    def test_another_one_of_the_same_id_is_refused(
        self, repositories: Repositories, other: Dataset
    ) -> None:
        first = repositories.datasets.add(a_dataset())
        with pytest.raises(DatasetExists, match="'d1'"):
            repositories.datasets.add(other)
        assert repositories.datasets.get(first.dataset_id) == first

    @pytest.mark.parametrize("name", ["none", "", "a\0b", "\ud800", "x" * 300])
    def test_misses_by_name(self, repositories: Repositories, name: str) -> None:
        repositories.register()
        with pytest.raises(DatasetNotFound):
            repositories.datasets.get(DatasetId(name))
        existing = repositories.datasets.get_many([DatasetId(name), DatasetId("d1")])
        assert set(existing) == {"d1"}
        assert repositories.datasets.get_many([]) == {}

    @pytest.mark.parametrize("bad", ["a\0b", "a\ud800"])
    def test_refuses_texts_that_cannot_be_stored(
        self, repositories: Repositories, bad: str
    ) -> None:
        for dataset in (
            a_dataset(dataset_id=bad),
            a_dataset(name=bad),
            a_dataset(source=GalaxyData(Src.HDA, bad)),
            a_dataset(source=UrlData("http://x.test/", bad)),
        ):
            with pytest.raises(InvalidValue):
                repositories.datasets.add(dataset)
        assert repositories.datasets.page(10).items == ()

    def test_of_several_added_at_once_one_stays(
        self, repositories: Repositories
    ) -> None:
        answers = at_once(
            *(
                lambda n=n: repositories.datasets.add(a_dataset(name=f"n{n % 2}"))
                for n in range(CROWD)
            )
        )
        stored = repositories.datasets.get(DatasetId("d1"))
        assert answers.count(stored) == CROWD // 2
        refused = [answer for answer in answers if isinstance(answer, DatasetExists)]
        assert len(refused) == CROWD // 2

    @pytest.mark.parametrize("limit", [1, 2, 3, 6, 7])
    def test_pages_run_from_the_newest_to_the_oldest(
        self, repositories: Repositories, limit: int
    ) -> None:
        # Three moments, two of each; the last page is full for some limits.
        for n in (3, 0, 5, 2, 4, 1):
            repositories.datasets.add(
                a_dataset(f"d{n}", at=NOON + timedelta(microseconds=n // 2))
            )
        pages = walk(repositories.datasets.page, limit)
        assert [len(page) for page in pages[:-1]] == [limit] * (len(pages) - 1)
        assert pages[-1]
        listed = [dataset for page in pages for dataset in page]
        assert sorted(dataset.dataset_id for dataset in listed) == [
            f"d{n}" for n in range(6)
        ]
        times = [dataset.created_at for dataset in listed]
        assert times == sorted(times, reverse=True)

    def test_what_is_added_meanwhile_does_not_shift_the_pages(
        self, repositories: Repositories
    ) -> None:
        for n in range(4):
            repositories.datasets.add(a_dataset(f"d{n}", at=NOON + n * MINUTE))
        first = repositories.datasets.page(2)
        repositories.datasets.add(a_dataset("new", at=NOON + HOUR))
        second = repositories.datasets.page(2, first.next)
        assert [dataset.dataset_id for dataset in first.items] == ["d3", "d2"]
        assert [dataset.dataset_id for dataset in second.items] == ["d1", "d0"]
        assert second.next is None

    def test_an_empty_list_is_one_empty_page(self, repositories: Repositories) -> None:
        assert repositories.datasets.page(10) == Page((), None)

    def test_a_cursor_that_cannot_be_is_refused(
        self, repositories: Repositories
    ) -> None:
        with pytest.raises(InvalidValue):
            repositories.datasets.page(10, Cursor(NOON, "a\0b"))
