"""The contract of :class:`DatasetRepository`."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from functools import partial

import pytest
from attrs import evolve

from galaxy_jobs.adapters.testing.contracts.repositories import (
    CROWD,
    HOUR,
    LATER,
    MINUTE,
    NOON,
    UNICODE,
    Repositories,
    a_dataset,
    a_run,
    a_submission,
    at_once,
    walk,
)
from galaxy_jobs.domain.errors import (
    DatasetExists,
    DatasetInUse,
    DatasetNotFound,
    InvalidValue,
)
from galaxy_jobs.domain.model.dataset import (
    CollectionData,
    DataDescription,
    Dataset,
    DatasetRef,
    GalaxyData,
    Source,
    SourceElement,
    Src,
    UrlData,
)
from galaxy_jobs.domain.model.invocation import InvocationState
from galaxy_jobs.domain.model.labels import Label
from galaxy_jobs.domain.model.submission import Submission
from galaxy_jobs.domain.model.values import (
    DatasetId,
)
from galaxy_jobs.domain.model.viewer import SERVICE, Viewer
from galaxy_jobs.domain.ports import (
    Cursor,
    Page,
)


LIST = DataDescription(
    name=UNICODE, state="ok", extensions=("bam", "txt"), collection_type="list:paired"
)


PAIRS = CollectionData(
    "list:paired",
    (
        SourceElement(
            "Ü日本 '\"\\ %s :x / {1}",
            (
                SourceElement("forward", GalaxyData(Src.HDA, "f")),
                SourceElement("reverse", UrlData("http://x.test/r", "txt")),
            ),
        ),
        SourceElement("s2", DatasetRef(DatasetId("pair"))),
    ),
)
MANY = CollectionData(
    "list",
    tuple(
        SourceElement(str(n), UrlData(f"http://x.test/{n}", "txt")) for n in range(1000)
    ),
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
            UrlData(
                "http://x.test/",
                "txt",
                name=UNICODE,
                sha256="0a" * 32,
                md5="0b" * 16,
                dbkey="hg38",
                deferred=True,
            ),
        ],
    )
    def test_returns_what_was_added(
        self, repositories: Repositories, source: Source
    ) -> None:
        dataset = a_dataset(UNICODE, UNICODE, source)
        assert repositories.datasets.add(dataset, SERVICE) == dataset
        assert repositories.datasets.get(dataset.dataset_id, SERVICE) == dataset
        assert repositories.datasets.get_many([dataset.dataset_id], SERVICE) == {
            UNICODE: dataset
        }
        assert repositories.datasets.page(SERVICE, 10) == Page((dataset,), None)

    def test_keeps_collections_and_lists_them_without_elements(
        self, repositories: Repositories
    ) -> None:
        for n, source in enumerate((PAIRS, CollectionData("list", (), True), MANY)):
            dataset = a_dataset(f"d{n}", source=source)
            assert repositories.datasets.add(dataset, SERVICE) == dataset
            assert repositories.datasets.get(dataset.dataset_id, SERVICE) == dataset
            listed = {
                item.dataset_id: item
                for item in repositories.datasets.page(SERVICE, 10).items
            }
            assert listed[dataset.dataset_id] == evolve(
                dataset, source=source.without_elements()
            )
        assert PAIRS.count == 2  # noqa: PLR2004
        assert PAIRS.without_elements().count == PAIRS.count

    def test_keeps_times_to_the_microsecond_whatever_their_zone(
        self, repositories: Repositories
    ) -> None:
        at = datetime(
            2026, 3, 29, 2, 30, 0, 123457, tzinfo=timezone(timedelta(hours=5.75))
        )
        repositories.datasets.add(a_dataset(at=at), SERVICE)
        stored = repositories.datasets.get(DatasetId("d1"), SERVICE)
        assert stored.created_at == at
        assert stored.created_at.utcoffset() is not None

    def test_the_same_one_again_changes_nothing(
        self, repositories: Repositories
    ) -> None:
        first = repositories.datasets.add(a_dataset(), SERVICE)
        assert repositories.datasets.add(a_dataset(at=LATER), SERVICE) == first
        assert repositories.datasets.get(first.dataset_id, SERVICE).created_at == NOON

    @pytest.mark.parametrize(
        "other",
        [
            a_dataset(name="other"),
            a_dataset(source=GalaxyData(Src.HDA, "other")),
            a_dataset(source=GalaxyData(Src.LDDA, "hda-of-d1")),
            a_dataset(source=UrlData("http://x.test/", "txt")),
        ],
    )
    def test_another_one_of_the_same_id_is_refused(
        self, repositories: Repositories, other: Dataset
    ) -> None:
        first = repositories.datasets.add(a_dataset(), SERVICE)
        with pytest.raises(DatasetExists, match="'d1'"):
            repositories.datasets.add(other, SERVICE)
        assert repositories.datasets.get(first.dataset_id, SERVICE) == first

    @pytest.mark.parametrize("name", ["none", "", "a\0b", "\ud800", "x" * 300])
    def test_misses_by_name(self, repositories: Repositories, name: str) -> None:
        repositories.register()
        with pytest.raises(DatasetNotFound):
            repositories.datasets.get(DatasetId(name), SERVICE)
        existing = repositories.datasets.get_many(
            [DatasetId(name), DatasetId("d1")], SERVICE
        )
        assert set(existing) == {"d1"}
        assert repositories.datasets.get_many([], SERVICE) == {}

    @pytest.mark.parametrize("bad", ["a\0b", "a\ud800"])
    def test_refuses_texts_that_cannot_be_stored(
        self, repositories: Repositories, bad: str
    ) -> None:
        for dataset in (
            a_dataset(dataset_id=bad),
            a_dataset(name=bad),
            a_dataset(source=GalaxyData(Src.HDA, bad)),
            a_dataset(source=UrlData("http://x.test/", bad)),
            a_dataset(
                source=CollectionData(
                    "list", (SourceElement("e", GalaxyData(Src.HDA, bad)),)
                )
            ),
        ):
            with pytest.raises(InvalidValue):
                repositories.datasets.add(dataset, SERVICE)
        assert repositories.datasets.page(SERVICE, 10).items == ()

    def test_of_several_added_at_once_one_stays(
        self, repositories: Repositories
    ) -> None:
        answers = at_once(
            *(
                lambda n=n: repositories.datasets.add(
                    a_dataset(name=f"n{n % 2}"), SERVICE
                )
                for n in range(CROWD)
            )
        )
        stored = repositories.datasets.get(DatasetId("d1"), SERVICE)
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
                a_dataset(f"d{n}", at=NOON + timedelta(microseconds=n // 2)), SERVICE
            )
        pages = walk(partial(repositories.datasets.page, SERVICE), limit)
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
            repositories.datasets.add(a_dataset(f"d{n}", at=NOON + n * MINUTE), SERVICE)
        first = repositories.datasets.page(SERVICE, 2)
        repositories.datasets.add(a_dataset("new", at=NOON + HOUR), SERVICE)
        second = repositories.datasets.page(SERVICE, 2, first.next)
        assert [dataset.dataset_id for dataset in first.items] == ["d3", "d2"]
        assert [dataset.dataset_id for dataset in second.items] == ["d1", "d0"]
        assert second.next is None

    def test_keeps_what_the_engine_knows_of_the_data(
        self, repositories: Repositories
    ) -> None:
        described = evolve(a_dataset(), description=LIST, described_at=LATER)
        assert repositories.datasets.add(described, SERVICE) == described
        assert repositories.datasets.get(DatasetId("d1"), SERVICE) == described
        assert repositories.datasets.page(SERVICE, 1).items == (described,)
        # Nothing is forgotten by one who has not asked.
        assert repositories.datasets.add(a_dataset(), SERVICE) == described
        assert repositories.datasets.get(DatasetId("d1"), SERVICE) == described

    def test_the_same_one_gets_a_new_description(
        self, repositories: Repositories
    ) -> None:
        repositories.datasets.add(a_dataset(), SERVICE)
        again = evolve(
            a_dataset(at=LATER), description=LIST, described_at=LATER + MINUTE
        )
        stored = repositories.datasets.add(again, SERVICE)
        assert stored == evolve(again, created_at=NOON)
        assert repositories.datasets.get(DatasetId("d1"), SERVICE) == stored

    @pytest.mark.parametrize(
        ("search", "found"),
        [
            ("", ["d3", "d2", "Sample_1"]),
            ("s", ["d2", "Sample_1"]),
            ("READS", ["d2", "Sample_1"]),
            ("mple_1", ["Sample_1"]),
            ("e_1", ["Sample_1"]),
            ("50%", ["d3"]),
            ("%", ["d3"]),
            ("_", ["Sample_1"]),
            ("\\", ["d3"]),
            ("a\0b", []),
            ("reads of nothing", []),
        ],
    )
    def test_searches_names_and_ids(
        self, repositories: Repositories, search: str, found: list[str]
    ) -> None:
        for n, (id_, name) in enumerate(
            {"Sample_1": "Reads", "d2": "more reads", "d3": "at 50% \\o"}.items()
        ):
            repositories.datasets.add(
                a_dataset(id_, name, at=NOON + n * MINUTE), SERVICE
            )
        pages = walk(partial(repositories.datasets.page, SERVICE, search=search), 1)
        listed = [dataset.dataset_id for page in pages for dataset in page]
        assert listed == found

    def test_renames(self, repositories: Repositories) -> None:
        first = repositories.datasets.add(a_dataset(), SERVICE)
        renamed = repositories.datasets.change(first.dataset_id, SERVICE, name=UNICODE)
        assert renamed == evolve(first, name=UNICODE)
        assert repositories.datasets.get(first.dataset_id, SERVICE) == renamed
        with pytest.raises(InvalidValue):
            repositories.datasets.change(first.dataset_id, SERVICE, name="a\0b")
        for missing in ("none", "a\0b"):
            with pytest.raises(DatasetNotFound):
                repositories.datasets.change(DatasetId(missing), SERVICE, name="name")

    def test_changes_labels_by_a_patch(self, repositories: Repositories) -> None:
        datasets = repositories.datasets
        labels = {"plate": "7", "well": "Ü日本 '%s :x", "checked": ""}
        first = datasets.add(evolve(a_dataset(), labels=labels), SERVICE)
        assert datasets.get(first.dataset_id, SERVICE).labels == labels
        change = partial(datasets.change, first.dataset_id, SERVICE)
        changed = change(labels={"plate": "8", "well": None, "absent": None})
        assert changed == evolve(first, labels={"plate": "8", "checked": ""})
        assert change(name="other") == evolve(changed, name="other")
        assert change() == datasets.get(first.dataset_id, SERVICE)
        with pytest.raises(InvalidValue, match="at most 32"):
            change(name="lost", labels={f"k{n}": "" for n in range(31)})
        assert datasets.get(first.dataset_id, SERVICE) == evolve(changed, name="other")
        assert change(labels=None).labels == {}

    def test_the_same_one_again_keeps_its_labels(
        self, repositories: Repositories
    ) -> None:
        datasets = repositories.datasets
        first = datasets.add(evolve(a_dataset(), labels={"plate": "7"}), SERVICE)
        again = evolve(a_dataset(at=LATER), labels={"plate": "8"})
        assert datasets.add(again, SERVICE) == first

    def test_patches_of_labels_at_once_are_all_made(
        self, repositories: Repositories
    ) -> None:
        first = repositories.datasets.add(a_dataset(), SERVICE)

        def label(number: int) -> None:
            patch = {f"k{number}": "v"}
            repositories.datasets.change(first.dataset_id, SERVICE, labels=patch)

        at_once(*(partial(label, number) for number in range(8)))
        stored = repositories.datasets.get(first.dataset_id, SERVICE)
        assert stored.labels == {f"k{number}": "v" for number in range(8)}

    @pytest.mark.parametrize(
        ("wanted", "found"),
        [
            (["plate:7"], ["d2", "d1"]),
            (["plate:7", "well:a:1"], ["d2"]),
            (["plate:7", "well:b%"], ["d1"]),
            (["plate:7", "plate:8"], []),
            (["Plate:7"], []),
            (["plate:"], []),
        ],
    )
    def test_finds_by_labels(
        self, repositories: Repositories, wanted: list[str], found: list[str]
    ) -> None:
        labels = {
            "d1": {"plate": "7", "well": "b%"},
            "d2": {"plate": "7", "well": "a:1", "more": ""},
            "d3": {"plate": "8", "well": "a:1"},
            "d4": {},
        }
        for n, (id_, given) in enumerate(labels.items()):
            added = evolve(a_dataset(id_, at=NOON + n * MINUTE), labels=given)
            repositories.datasets.add(added, SERVICE)
        page = partial(
            repositories.datasets.page, SERVICE, labels=[*map(Label.parse, wanted)]
        )
        listed = [dataset.dataset_id for items in walk(page, 1) for dataset in items]
        assert listed == found
        only = [each.dataset_id for each in page(9, search="D1").items]
        assert only == [id_ for id_ in found if id_ == "d1"]

    def test_removes_what_nothing_needs(self, repositories: Repositories) -> None:
        repositories.register()
        repositories.datasets.remove(DatasetId("d1"), SERVICE)
        for missing in ("d1", "a\0b"):
            with pytest.raises(DatasetNotFound):
                repositories.datasets.remove(DatasetId(missing), SERVICE)
        assert repositories.datasets.page(SERVICE, 10).items == ()

    @pytest.mark.parametrize(
        "needed",
        [
            a_submission("d9"),
            a_submission(parameters={"more": {"dataset_id": "d9"}, "n": [1, "d8"]}),
        ],
        ids=["its dataset", "in a parameter"],
    )
    def test_keeps_what_is_needed_until_it_is_not(
        self, repositories: Repositories, needed: Submission
    ) -> None:
        for id_ in ("d1", "d8", "d9"):
            repositories.register(id_)
        submission = repositories.begun(evolve(needed))
        with pytest.raises(DatasetInUse, match=str(submission.submission_id)):
            repositories.datasets.remove(DatasetId("d9"), SERVICE)
        run = a_run(submission, "run1")
        accepted = submission.accepted(run.invocation_id, NOON)
        repositories.submissions.accept(submission, accepted, run)
        with pytest.raises(DatasetInUse, match="run1"):
            repositories.datasets.remove(DatasetId("d9"), SERVICE)
        repositories.datasets.remove(DatasetId("d8"), SERVICE)
        repositories.moved(run, InvocationState.COMPLETED)
        repositories.datasets.remove(DatasetId("d9"), SERVICE)
        with pytest.raises(DatasetNotFound):
            repositories.datasets.get(DatasetId("d9"), SERVICE)

    def test_keeps_the_elements_of_collections(
        self, repositories: Repositories
    ) -> None:
        private = Viewer(owner="alice", sees_all=False)
        datasets = repositories.datasets
        for viewer, name, others in (
            (SERVICE, "plate", "other"),
            (private, "theirs", "nothing of theirs"),
        ):
            element = DatasetId("an element")
            pair = (
                SourceElement("forward", DatasetRef(element)),
                SourceElement("reverse", UrlData("http://a.b/c", "txt")),
            )
            source = CollectionData("list:paired", (SourceElement("a", pair),))
            for id_ in (element, DatasetId(others)):
                datasets.add(a_dataset(id_), viewer)
            datasets.add(evolve(a_dataset(name), source=source), viewer)
            with pytest.raises(DatasetInUse, match=name):
                datasets.remove(element, viewer)
            datasets.remove(DatasetId(others), viewer)
        datasets.remove(DatasetId("plate"), SERVICE)
        datasets.remove(DatasetId("an element"), SERVICE)  # the other one is theirs
        datasets.remove(DatasetId("theirs"), private)
        datasets.remove(DatasetId("an element"), private)

    def test_of_a_submission_and_a_removal_at_once_one_happens(
        self, repositories: Repositories
    ) -> None:
        for n in range(10):
            id_ = DatasetId(f"d{n}")
            repositories.datasets.add(a_dataset(id_), SERVICE)
            opened, removed = at_once(
                partial(
                    repositories.submissions.open,
                    a_submission(id_),
                    deadline=HOUR,
                    key_lifetime=HOUR,
                ),
                partial(repositories.datasets.remove, id_, SERVICE),
            )
            refused = isinstance(opened, DatasetNotFound)
            assert refused is not isinstance(removed, DatasetInUse), (opened, removed)

    def test_an_empty_list_is_one_empty_page(self, repositories: Repositories) -> None:
        assert repositories.datasets.page(SERVICE, 10) == Page((), None)

    def test_a_cursor_that_cannot_be_is_refused(
        self, repositories: Repositories
    ) -> None:
        with pytest.raises(InvalidValue):
            repositories.datasets.page(SERVICE, 10, Cursor(NOON, "a\0b"))
