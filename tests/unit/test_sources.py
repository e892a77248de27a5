"""Sources of datasets: what is taken, as it is written, and what a runner gets."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from galaxy_jobs.adapters.testing.memory import (
    ManualClock,
    MemoryDatasets,
    MemoryStore,
)
from galaxy_jobs.domain import (
    CollectionData,
    Dataset,
    DatasetId,
    DatasetRef,
    GalaxyData,
    InputKind,
    Source,
    SourceElement,
    Src,
    UrlData,
    WorkflowInput,
)
from galaxy_jobs.domain.errors import InvalidSource, InvalidValue
from galaxy_jobs.domain.model import dataset as model
from galaxy_jobs.domain.model.dataset import check_schemes
from galaxy_jobs.domain.model.source_json import source_from_json, source_to_json
from galaxy_jobs.domain.model.viewer import SERVICE, Viewer
from galaxy_jobs.domain.model.workflow_input import misfit
from galaxy_jobs.domain.use_cases import DataPolicy, RegisterDataset
from galaxy_jobs.domain.use_cases.sources import ResolveSource
from galaxy_jobs.entrypoints.api import schemas
from galaxy_jobs.entrypoints.client import job_views
from galaxy_jobs.entrypoints.web.render import labelled
from tests.support.build import NOON


HDA = {"src": "hda", "id": "a1"}
HDCA = {"src": "hdca", "id": "c1"}
URL = {"src": "url", "url": "http://x.test/1.fq", "ext": "fastq"}


def element(name: str, source: Any = HDA) -> dict[str, Any]:
    return {"name": name, "source": source}


def pair(name: str, *ends: Any) -> dict[str, Any]:
    return {
        "name": name,
        "elements": list(ends) or [element("forward"), element("reverse", URL)],
    }


def collection(type_: str, *elements: Any, **more: Any) -> dict[str, Any]:
    source = {"src": "collection", "collection_type": type_, "elements": list(elements)}
    return source | more


# --- as they are written ------------------------------------------------------------

GOOD = [
    HDA,
    HDCA,
    {"src": "ldda", "id": "l1"},
    URL,
    {**URL, "name": "reads", "sha256": "0a" * 32, "md5": "0b" * 16, "dbkey": "hg38"},
    {**URL, "deferred": True},
    {**URL, "url": "s3://bucket/key"},
    collection("list", element("a"), element("b", URL)),
    collection("list", {"name": "a", "dataset_id": "d1"}),
    collection("paired", element("forward"), element("reverse")),
    collection("paired", element("reverse"), element("forward")),
    collection("list:paired", pair("s1"), pair("s2"), element("s3", HDCA)),
    collection("list:list", {"name": "x", "elements": [element("y")]}),
    collection("list", allow_empty=True),
    collection("list:paired", {"name": "s", "dataset_id": "pair"}),
    collection("list", element("Ä / ü 漢 (1)")),
]


@pytest.mark.parametrize("written", GOOD, ids=json.dumps)
def test_a_source_is_read_and_written_as_it_was(written: dict[str, Any]) -> None:
    assert source_to_json(source_from_json(written)) == written


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        (None, "its source is null; expected"),
        (["collection"], "its source is"),
        ({"src": "upload", "id": "x"}, "its source is"),
        ({**HDA, "id": 1}, "its source is"),
        ({**URL, "url": "file:///etc/passwd"}, "http, https or ftp"),
        ({**URL, "url": "base64://aGVsbG8="}, "http, https or ftp"),
        ({**URL, "sha256": "0a"}, "sha256 must have 64 hexadecimal digits, got '0a'"),
        ({**URL, "sha256": 5}, "sha256 must have 64"),
        ({**URL, "md5": "g" * 32}, "md5 must have 32"),
        ({**URL, "name": " "}, "name must be a non-empty text"),
        ({**URL, "dbkey": 38}, "dbkey must be a non-empty text"),
        ({**URL, "deferred": "yes"}, "deferred must be true or false"),
        ({"src": "collection", "elements": []}, "its source is"),
        ({**collection("list"), "elements": None}, "its source is"),
        (collection("list"), "The collection has no elements"),
        (collection("list", allow_empty=1), "allow_empty must be true or false"),
        (collection("set", element("a")), "collection_type must be"),
        (collection("", element("a")), "collection_type must be"),
        (collection("list:", element("a")), "collection_type must be"),
        (collection("list:list:list:list:list"), "collection_type must be"),
        (collection("record", element("a")), "collection_type must be"),
        (collection("list", element("a"), element("a")), "two elements .* 'a'"),
        (collection("list", "a"), 'an element is "a"; expected'),
        (collection("list", {"source": HDA}), "an element is"),
        (collection("list", {"name": "a"}), "element 'a' is .* expected one of"),
        (
            collection("list", {**element("a"), "dataset_id": "d"}),
            "element 'a' is .* expected one of",
        ),
        (collection("list", element("")), "name ''; expected 1 to 255"),
        (collection("list", element("a\nb")), "printable"),
        (collection("list", element(" a")), "without blanks"),
        (collection("list", element("x" * 256)), "1 to 255"),
        (
            collection("list", element("a", HDCA)),
            "Element 'a' is a collection; expected a single dataset",
        ),
        (collection("list", pair("a")), "Element 'a' is a collection"),
        (
            collection("list:paired", element("a")),
            "Element 'a' is a single dataset; expected a collection of type paired",
        ),
        (
            collection("list:paired", pair("s", element("forward"))),
            "Element 's' is a pair, with the elements 'forward' and 'reverse', got",
        ),
        (
            collection("paired", element("forward"), element("backward")),
            "The collection is a pair",
        ),
        (collection("paired", allow_empty=True), "The collection is a pair"),
        (
            collection("list:list", {"name": "x", "elements": []}),
            "Element 'x' has no elements",
        ),
        (
            collection("list", element("a", {**URL, "url": "file:///etc/passwd"})),
            "http, https or ftp",
        ),
        (
            collection("list", element("a", collection("list", element("b")))),
            "element 'a' is",
        ),
    ],
    ids=str,
)
def test_what_cannot_be_used_is_refused_with_its_place(
    written: Any, problem: str
) -> None:
    with pytest.raises(InvalidValue, match=problem) as refusal:
        source_from_json(written)
    assert len(str(refusal.value)) < 700


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["src", "id", "url", "ext", "name", "source", "elements", "dataset_id"]
            )
            | st.text(max_size=3),
            inner
            | st.sampled_from(["collection", "hda", "url", "list:paired", "forward"]),
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(VALUES, st.sampled_from(["list", "paired", "list:paired", "list:list"]))
def test_whatever_is_written_is_read_or_refused(value: Any, type_: str) -> None:
    elements = value if isinstance(value, list) else [value]
    for written in (value, collection(type_, *elements)):
        try:
            source = source_from_json(written)
        except InvalidValue:
            continue
        again = source_to_json(source)
        assert source_from_json(again) == source


NAMES = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=8)


def shaped(ranks: list[str]) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Return elements of the right shape."""
    content: st.SearchStrategy[dict[str, Any]]
    if len(ranks) == 1:
        content = st.sampled_from(
            [{"source": HDA}, {"source": URL}, {"dataset_id": "d"}]
        )
    else:
        content = shaped(ranks[1:]).map(lambda inner: {"elements": inner})
    if ranks[0] == "paired":
        return st.tuples(content, content).map(
            lambda ends: [
                {"name": name, **end}
                for name, end in zip(("forward", "reverse"), ends, strict=True)
            ]
        )
    return st.dictionaries(NAMES, content, min_size=1, max_size=4).map(
        lambda named: [{"name": name, **of} for name, of in named.items()]
    )


@given(
    st.lists(st.sampled_from(["list", "paired"]), min_size=1, max_size=4).flatmap(
        lambda ranks: shaped(ranks).map(
            lambda elements: collection(":".join(ranks), *elements)
        )
    )
)
def test_every_collection_of_the_right_shape_is_taken(written: dict[str, Any]) -> None:
    source = source_from_json(written)
    assert isinstance(source, CollectionData)
    assert source_to_json(source) == written
    assert source.count == len(written["elements"])
    assert len(list(source.leaves())) >= 1


def test_a_collection_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "ELEMENTS_LIMIT", 3)
    elements = [element(str(n)) for n in range(4)]
    source_from_json(collection("list", *elements[:3]))
    with pytest.raises(InvalidValue, match="has 4 datasets; expected at most 3"):
        source_from_json(collection("list", *elements))


def test_a_checksum_is_kept_in_lower_case() -> None:
    data = UrlData("http://x.test/a", "txt", sha256="AB" * 32, md5="CD" * 16)
    assert (data.sha256, data.md5) == ("ab" * 32, "cd" * 16)


def test_credentials_are_shown_nowhere() -> None:
    secret = {**URL, "url": "http://me:pw1@x.test/a?sig=pw2"}
    source = source_from_json(collection("list:paired", pair("s"), pair("t")))
    source = source_from_json(
        collection("paired", element("forward", secret), element("reverse", secret))
    )
    assert "pw" not in json.dumps(source_to_json(source, shown=True))
    assert "pw" not in repr(source)
    assert "pw1" in json.dumps(source_to_json(source))


# --- schemes ------------------------------------------------------------------------


def test_only_addresses_of_the_schemes_that_are_set_are_taken() -> None:
    s3 = source_from_json({**URL, "url": "S3://bucket/key?token=pw"})
    nested = source_from_json(
        collection("list:list", pair("a", element("b", {**URL, "url": "s3://b/k"})))
    )
    check_schemes(s3, ["s3", "https"])
    check_schemes(nested, ["s3"])
    check_schemes(source_from_json(HDA), [])
    with pytest.raises(InvalidValue, match=r"^url must be an http, https or ftp") as no:
        check_schemes(s3, model.URL_SCHEMES)
    assert "pw" not in str(no.value)
    with pytest.raises(InvalidValue, match=r"^url of element 'a/b' must be a zenodo"):
        check_schemes(nested, ["zenodo"])


@pytest.mark.parametrize("scheme", ["file", "base64", "S3", "s3:", "", "a b"])
def test_some_schemes_can_never_be_set(scheme: str) -> None:
    DataPolicy(schemes=["https", "gxfiles", "s3"])
    with pytest.raises(InvalidValue, match="schemes has"):
        DataPolicy(schemes=["https", scheme])
    with pytest.raises(InvalidValue, match="schemes is empty"):
        DataPolicy(schemes=[])


# --- what a runner gets -------------------------------------------------------------

A, B = GalaxyData(Src.HDA, "a"), GalaxyData(Src.HDA, "b")
D = {name: DatasetRef(DatasetId(name)) for name in ("a", "b", "pair", "list", "self")}


def pairs(forward: Any, reverse: Any) -> tuple[SourceElement, ...]:
    return (SourceElement("forward", forward), SourceElement("reverse", reverse))


@pytest.fixture
def datasets() -> MemoryDatasets:
    return MemoryDatasets(MemoryStore(ManualClock()))


def add(datasets: MemoryDatasets, name: str, source: Source) -> Dataset:
    return datasets.add(
        Dataset(dataset_id=DatasetId(name), name=name, source=source, created_at=NOON),
        SERVICE,
    )


def test_references_are_replaced_by_their_data(datasets: MemoryDatasets) -> None:
    add(datasets, "a", A)
    add(datasets, "pair", CollectionData("paired", pairs(D["a"], B)))
    whole = add(
        datasets,
        "list",
        CollectionData(
            "list:paired",
            (
                SourceElement("1", D["pair"]),
                SourceElement("2", pairs(B, D["a"])),
                SourceElement("3", GalaxyData(Src.HDCA, "c")),
            ),
        ),
    )
    assert ResolveSource(datasets)(whole) == CollectionData(
        "list:paired",
        (
            SourceElement("1", pairs(A, B)),
            SourceElement("2", pairs(B, A)),
            SourceElement("3", GalaxyData(Src.HDCA, "c")),
        ),
    )
    assert ResolveSource(datasets)(datasets.get(DatasetId("a"), SERVICE)) == A


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        (
            CollectionData("list", (SourceElement("x", D["b"]),)),
            "Element 'x' is dataset 'b', which is not registered",
        ),
        (
            CollectionData("list", (SourceElement("x", D["pair"]),)),
            "Element 'x' is a collection of type paired; expected a single dataset",
        ),
        (
            CollectionData("list:paired", (SourceElement("x", D["a"]),)),
            "Element 'x' is a single dataset; expected a collection of type paired",
        ),
        (
            CollectionData("list:list", (SourceElement("x", D["pair"]),)),
            "Element 'x' is a collection of type paired; expected list",
        ),
        (
            CollectionData("list:list", (SourceElement("x", D["self"]),)),
            "Element 'x' is a collection of type list:list; expected list",
        ),
    ],
    ids=repr,
)
def test_a_reference_that_does_not_fit_is_refused_with_its_place(
    datasets: MemoryDatasets, source: CollectionData, problem: str
) -> None:
    add(datasets, "a", A)
    add(datasets, "pair", CollectionData("paired", pairs(A, B)))
    with pytest.raises(InvalidSource, match=f"'self' cannot be used: {problem}"):
        ResolveSource(datasets)(add(datasets, "self", source))


def test_references_to_references_have_a_limit(
    datasets: MemoryDatasets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("galaxy_jobs.domain.use_cases.sources.ELEMENTS_LIMIT", 999)
    many = tuple(SourceElement(str(n), A) for n in range(100))
    add(datasets, "0", CollectionData("list", many))
    ref = DatasetRef(DatasetId("0"))
    nine = tuple(SourceElement(str(n), ref) for n in range(9))
    ResolveSource(datasets)(add(datasets, "9", CollectionData("list:list", nine)))
    ten = (*nine, SourceElement("9", ref))
    with pytest.raises(InvalidSource, match="more than 999 datasets"):
        ResolveSource(datasets)(add(datasets, "10", CollectionData("list:list", ten)))


def test_a_collection_takes_no_data_of_other_owners(datasets: MemoryDatasets) -> None:
    ann, bob = (Viewer(owner=name, sees_all=False) for name in ("ann", "bob"))
    register = RegisterDataset(datasets, ManualClock())
    register("mine", A, ann, DatasetId("a"))
    source = CollectionData("list", (SourceElement("x", D["a"]),))
    plate = register("plate", source, ann, DatasetId("plate"))
    resolved = ResolveSource(datasets)(plate)
    assert resolved == CollectionData("list", (SourceElement("x", A),))
    with pytest.raises(InvalidSource, match="'a', which is not registered"):
        register("plate", source, bob, DatasetId("plate"))
    unchecked = register("plate", source, bob, DatasetId("plate"), check=False)
    with pytest.raises(InvalidSource, match="'a', which is not registered"):
        ResolveSource(datasets)(unchecked)


# --- registering --------------------------------------------------------------------


def test_a_collection_of_unknown_datasets_is_registered_unchecked_only(
    datasets: MemoryDatasets,
) -> None:
    register = RegisterDataset(datasets, ManualClock())
    source = CollectionData("list", (SourceElement("x", D["a"]),))
    with pytest.raises(InvalidSource, match="'a', which is not registered"):
        register("plate", source, SERVICE, DatasetId("plate"))
    assert not datasets.page(SERVICE, 10).items
    register("plate", source, SERVICE, DatasetId("plate"), check=False)
    add(datasets, "a", A)
    assert register("plate", source, SERVICE, DatasetId("plate")).source == source


def test_an_address_of_another_scheme_is_not_registered(
    datasets: MemoryDatasets,
) -> None:
    s3 = UrlData("s3://bucket/key", "txt")
    with pytest.raises(InvalidValue, match="http, https or ftp"):
        RegisterDataset(datasets, ManualClock())("x", s3, SERVICE)
    policy = DataPolicy(schemes=["s3"])
    RegisterDataset(datasets, ManualClock(), policy=policy)("x", s3, SERVICE)
    with pytest.raises(InvalidValue, match="must be a s3 address"):
        RegisterDataset(datasets, ManualClock(), policy=policy)(
            "x", evolve(s3, url="http://x.test/a"), SERVICE
        )


def test_parts_of_a_source_have_limits(datasets: MemoryDatasets) -> None:
    register = RegisterDataset(datasets, ManualClock())
    for data in (
        GalaxyData(Src.HDA, "i" * 256),
        UrlData("http://x.test", "e" * 256),
        UrlData("http://x.test", "e", name="n" * 256),
        UrlData("http://x.test", "e", dbkey="n" * 256),
        UrlData(f"http://x.test/{'x' * 4096}", "e"),
        DatasetRef(DatasetId("d" * 256)),
    ):
        source = CollectionData("list", (SourceElement("x", data),))
        with pytest.raises(InvalidValue, match=r"element 'x'.* has \d+ characters"):
            register("plate", source, SERVICE)


# --- inputs -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "wanted", "fits"),
    [
        (InputKind.DATA, None, True),
        (InputKind.COLLECTION, None, True),
        (InputKind.COLLECTION, "list:paired", True),
        (InputKind.COLLECTION, "paired", True),  # Galaxy maps over it
        (InputKind.COLLECTION, "list:paired,list", True),
        (InputKind.COLLECTION, "list", False),
    ],
)
def test_a_collection_goes_where_its_type_does(
    kind: InputKind,
    wanted: str | None,
    fits: bool,  # noqa: FBT001 - a row of the table
) -> None:
    input_ = WorkflowInput(name="reads", kind=kind, collection_type=wanted)
    source = source_from_json(collection("list:paired", pair("s")))
    problem = misfit(input_, source)
    assert (problem is None) == fits
    assert fits or "not list:paired" in (problem or "")


# --- in words -----------------------------------------------------------------------


def test_a_collection_is_offered_with_its_type_and_size() -> None:
    source = source_from_json(collection("list:paired", pair("s1"), pair("s2")))
    dataset = Dataset(
        dataset_id=DatasetId("p"), name="Plate", source=source, created_at=NOON
    )
    for shown in (dataset, dataset.as_listed()):
        assert labelled(shown) == "Plate (list:paired of 2)"
    item = json.loads(msgspec.json.encode(schemas.dataset(dataset)))
    assert "2 elements" in str(list(job_views.datasets([item]).columns[3].cells))
