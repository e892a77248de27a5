"""What is put on a workflow's inputs, and what is found wrong before Galaxy is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galaxy_jobs.domain import (
    AllowedWorkflow,
    Allowlist,
    DatasetId,
    DatasetRef,
    GalaxyData,
    InputKind,
    Json,
    Parameters,
    Source,
    Src,
    UrlData,
    Workflow,
    WorkflowId,
    WorkflowInput,
)
from galaxy_jobs.domain.errors import (
    DatasetNotFound,
    InvalidParameters,
    InvalidValue,
    WorkflowNotAllowed,
)
from galaxy_jobs.domain.model.viewer import SERVICE
from galaxy_jobs.domain.model.workflow import bind, dataset_target, resolve
from galaxy_jobs.domain.model.workflow_input import Bound


HDA = GalaxyData(Src.HDA, "a1")
HDCA = GalaxyData(Src.HDCA, "c1")
URL = UrlData("https://example.org/a.txt", "txt")
READS = WorkflowInput(name="reads", kind=InputKind.DATA)


def an_input(kind: InputKind, name: str = "p", **more: Any) -> WorkflowInput:
    return WorkflowInput(name=name, kind=kind, **{"optional": True, **more})


def workflow(*inputs: WorkflowInput) -> Workflow:
    return Workflow(workflow_id=WorkflowId("w1"), name="w", inputs=inputs)


def bound(
    *inputs: WorkflowInput,
    source: Source = HDA,
    dataset_input: str | None = None,
    allowed: AllowedWorkflow | None = None,
    **parameters: Json,
) -> Mapping[str, Bound]:
    return bind(
        workflow(*inputs),
        source=source,
        dataset_input=dataset_input,
        allowed=allowed,
        parameters=parameters,
    ).inputs


def problems(
    *inputs: WorkflowInput,
    source: Source = HDA,
    dataset_input: str | None = None,
    allowed: AllowedWorkflow | None = None,
    **parameters: Json,
) -> dict[str, str]:
    with pytest.raises(InvalidParameters) as caught:
        bound(
            *inputs,
            source=source,
            dataset_input=dataset_input,
            allowed=allowed,
            **parameters,
        )
    return dict(caught.value.problems)


# --- where the dataset goes ---------------------------------------------------


@pytest.mark.parametrize("source", [HDA, HDCA, URL, GalaxyData(Src.LDDA, "l1")])
def test_the_dataset_goes_on_the_only_data_input(source: Source) -> None:
    assert bound(an_input(InputKind.TEXT), READS, source=source) == {"reads": source}


def test_the_only_data_input_takes_it_though_it_is_optional() -> None:
    assert bound(an_input(InputKind.DATA)) == {"p": HDA}


ONE, TWO, SPARE = (
    WorkflowInput(name="one", kind=InputKind.DATA),
    WorkflowInput(name="two", kind=InputKind.DATA),
    WorkflowInput(name="spare", kind=InputKind.DATA, optional=True),
)
MORE_SPARE = WorkflowInput(name="more", kind=InputKind.COLLECTION, optional=True)
D2: Json = {"dataset_id": "d2"}
REF = DatasetRef(DatasetId("d2"))


def row(**more: Any) -> AllowedWorkflow:
    return AllowedWorkflow(name="w", **more)


@pytest.mark.parametrize(
    ("inputs", "row_", "named", "given", "target"),
    [
        ((ONE,), {}, None, "", "one"),
        ((ONE,), {}, None, "one", None),  # the dataset is what the job is about
        ((SPARE,), {}, None, "", "spare"),
        ((ONE, TWO), {}, None, "one", "two"),
        ((ONE, TWO), {}, None, "two", "one"),
        ((ONE, TWO), {}, None, "one two", None),
        ((ONE, TWO), {}, "one", "two", "one"),
        ((ONE, SPARE), {}, None, "", "one"),  # the only one that is required
        ((ONE, SPARE), {}, None, "one", "spare"),
        ((ONE, SPARE), {}, "spare", "one", "spare"),
        ((ONE, TWO, SPARE), {}, None, "two", "one"),
        ((ONE, TWO), {"input": "one"}, None, "two", "one"),
        ((ONE, TWO), {"input": "one"}, "two", "one", "two"),
        ((ONE, TWO), {"input": "one"}, None, "one", "two"),
        ((ONE, TWO), {"input": "one"}, None, "one two", None),
        ((SPARE, ONE), {"input": "spare"}, None, "one", "spare"),
        ((), {}, None, "", None),
        ((ONE,), {"takes_dataset": False}, None, "one", None),
        ((SPARE,), {"takes_dataset": False}, None, "", None),
    ],
)
def test_the_input_that_the_dataset_is_put_on(
    inputs: tuple[WorkflowInput, ...],
    row_: dict[str, Any],
    named: str | None,
    given: str,
    target: str | None,
) -> None:
    values = dict.fromkeys(given.split(), D2)
    wanted: dict[str, Bound] = dict.fromkeys(values, REF)
    if target is not None:
        wanted[target] = HDA
    allowed = row(**row_)
    assert bound(*inputs, dataset_input=named, allowed=allowed, **values) == wanted


@pytest.mark.parametrize("name", ["nothing", "p"])
def test_a_named_input_that_takes_no_data_is_refused(name: str) -> None:
    sentences = problems(an_input(InputKind.TEXT), READS, dataset_input=name)
    assert list(sentences) == ["dataset_input"]
    assert repr(name) in sentences["dataset_input"]
    assert "'reads'" in sentences["dataset_input"], "it says which there are"


def test_no_input_can_be_named_where_none_takes_the_dataset() -> None:
    allowed = row(takes_dataset=False)
    sentences = problems(READS, allowed=allowed, dataset_input="reads")
    assert "There are: none" in sentences["dataset_input"]
    sentences = problems(READS, allowed=allowed)
    assert "required" in sentences["reads"], "the dataset does not fill it"


@pytest.mark.parametrize("configured", ["nothing", "p"])
def test_a_configured_input_that_takes_no_data_is_named(configured: str) -> None:
    allowed = row(input=configured)
    sentences = problems(an_input(InputKind.TEXT), READS, allowed=allowed)
    assert list(sentences) == [configured]
    assert repr(configured) in sentences[configured]
    assert "'reads'" in sentences[configured], "it says which there are"


@pytest.mark.parametrize(
    ("inputs", "named"),
    [((ONE, TWO, SPARE), "'one', 'two', 'spare'"), ((SPARE, MORE_SPARE), "'spare'")],
)
def test_where_it_stays_open_the_client_is_told_what_to_do(
    inputs: tuple[WorkflowInput, ...], named: str
) -> None:
    sentences = problems(*inputs)
    assert list(sentences) == ["dataset_id"]
    assert named in sentences["dataset_id"]
    assert "Fill all but one of them in `parameters`" in sentences["dataset_id"]
    assert "name one in `dataset_input`" in sentences["dataset_id"]
    assert "configur" not in sentences["dataset_id"]


def test_a_mistyped_name_is_told_together_with_what_stays_open() -> None:
    sentences = problems(ONE, TWO, twoo=D2)
    assert list(sentences) == ["dataset_id", "twoo"]
    assert "Did you mean 'two'?" in sentences["twoo"]


def test_the_named_input_cannot_be_given_twice() -> None:
    sentences = problems(READS, dataset_input="reads", reads=D2)
    assert "the dataset of the job itself" in sentences["reads"]


@pytest.mark.parametrize("source", [HDA, URL, GalaxyData(Src.LDDA, "l1")])
def test_a_collection_input_takes_no_single_dataset(source: Source) -> None:
    sentences = problems(an_input(InputKind.COLLECTION), source=source)
    assert "collection" in sentences["p"]
    assert bound(an_input(InputKind.COLLECTION), source=HDCA) == {"p": HDCA}


def test_which_input_takes_it_is_told_where_it_is_certain() -> None:
    more = WorkflowInput(name="more", kind=InputKind.DATA)

    def told(allowed: AllowedWorkflow, *inputs: WorkflowInput) -> Any:
        allowlist, of = Allowlist((allowed,)), workflow(*inputs)
        names = [each.name for each in allowlist.dataset_inputs("w", SERVICE, of)]
        return allowlist.dataset_input("w", SERVICE, of), names

    assert told(row(), READS) == (READS, ["reads"])
    assert told(row(input="reads"), READS, more) == (READS, ["reads", "more"])
    assert told(row(), READS, more) == (None, ["reads", "more"])
    assert told(row()) == (None, [])
    assert told(row(takes_dataset=False), READS) == (None, [])


# --- data given by parameters -------------------------------------------------

MORE = an_input(InputKind.DATA, "more")


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ({"dataset_id": "d2"}, DatasetRef(DatasetId("d2"))),
        ({"src": "hda", "id": "x"}, GalaxyData(Src.HDA, "x")),
        ({"src": "ldda", "id": "x"}, GalaxyData(Src.LDDA, "x")),
        ({"src": "hdca", "id": "x"}, GalaxyData(Src.HDCA, "x")),
        (None, None),
    ],
)
def test_a_further_data_input_takes_data(value: Json, wanted: Bound) -> None:
    assert bound(READS, MORE, dataset_input="reads", more=value)["more"] == wanted


@pytest.mark.parametrize(
    "value",
    [
        "d2",
        5,
        True,
        [],
        [{"dataset_id": "d2"}],
        {},
        {"dataset_id": 5},
        {"dataset_id": "d2", "src": "hda"},
        {"src": "hda"},
        {"src": "hda", "id": ""},
        {"src": "hda", "id": 5},
        {"src": "hda", "id": "x", "more": 1},
        {"src": "url", "url": "http://example.org", "ext": "txt"},
        {"src": "file", "id": "/etc/passwd"},
    ],
)
def test_a_further_data_input_takes_nothing_else(value: Json) -> None:
    assert "more" in problems(READS, MORE, dataset_input="reads", more=value)


def test_a_further_collection_input_takes_collections_only() -> None:
    more = an_input(InputKind.COLLECTION, "more")
    fits: Json = {"src": "hdca", "id": "x"}
    assert bound(READS, more, dataset_input="reads", more=fits)["more"] == GalaxyData(
        Src.HDCA, "x"
    )
    sentences = problems(
        READS, more, dataset_input="reads", more={"src": "hda", "id": "x"}
    )
    assert "collection" in sentences["more"]


def test_registered_datasets_are_replaced_by_their_data() -> None:
    before: dict[str, Bound] = {
        "a": DatasetRef(DatasetId("d1")),
        "b": 5,
        "c": None,
        "d": URL,
    }
    resolved = resolve(before, {DatasetId("d1"): HDCA})
    assert resolved == {"a": HDCA, "b": 5, "c": None, "d": URL}


def test_a_dataset_that_is_not_registered_is_named() -> None:
    with pytest.raises(DatasetNotFound, match="'d1'"):
        resolve({"a": DatasetRef(DatasetId("d1"))}, {DatasetId("d2"): HDA})


# --- values -------------------------------------------------------------------

RANGE: dict[str, Any] = {"minimum": 1, "maximum": 5}
OPTIONS: dict[str, Any] = {"options": ("fast", "slow")}


@pytest.mark.parametrize(
    ("declared", "value"),
    [
        (an_input(InputKind.TEXT), ""),
        (an_input(InputKind.TEXT), "5"),
        (an_input(InputKind.TEXT, **OPTIONS), "slow"),
        (an_input(InputKind.COLOR), "#ff0000"),
        (an_input(InputKind.BOOLEAN), False),
        (an_input(InputKind.INTEGER), -7),
        (an_input(InputKind.INTEGER, **RANGE), 1),
        (an_input(InputKind.INTEGER, **RANGE), 5),
        (an_input(InputKind.FLOAT), 2),
        (an_input(InputKind.FLOAT, **RANGE), 4.99),
        (an_input(InputKind.OTHER), {"any": ["thing"]}),
        (an_input(InputKind.TEXT, multiple=True), ["a", "b"]),
        (an_input(InputKind.TEXT, multiple=True), "a"),
        (an_input(InputKind.TEXT, multiple=True), []),
        (an_input(InputKind.TEXT, multiple=True, **OPTIONS), "slow"),
        (an_input(InputKind.TEXT, multiple=True, **OPTIONS), ["slow", "fast"]),
        (an_input(InputKind.INTEGER), None),
    ],
)
def test_a_value_that_fits_is_handed_on_as_it_is(
    declared: WorkflowInput, value: Json
) -> None:
    assert bound(READS, declared, p=value) == {"reads": HDA, "p": value}
    assert type(bound(READS, declared, p=value)["p"]) is type(value)


@pytest.mark.parametrize(
    ("declared", "value", "expected"),
    [
        (an_input(InputKind.TEXT), 5, "a text"),
        (an_input(InputKind.TEXT), ["a"], "a text"),
        (an_input(InputKind.TEXT, **OPTIONS), "medium", "one of 'fast', 'slow'"),
        (an_input(InputKind.COLOR), 255, "a color"),
        (an_input(InputKind.BOOLEAN), 1, "true or false"),
        (an_input(InputKind.BOOLEAN), "true", "true or false"),
        (an_input(InputKind.INTEGER), True, "an integer"),
        (an_input(InputKind.INTEGER), 2.5, "an integer"),
        (an_input(InputKind.INTEGER), "2", "an integer"),
        (an_input(InputKind.INTEGER), float("inf"), "an integer"),
        (an_input(InputKind.INTEGER, **RANGE), 0, "an integer from 1 to 5"),
        (an_input(InputKind.INTEGER, **RANGE), 6, "an integer from 1 to 5"),
        (an_input(InputKind.INTEGER, minimum=1), 0, "an integer of at least 1"),
        (an_input(InputKind.FLOAT, maximum=0.5), 0.51, "a number of at most 0.5"),
        (an_input(InputKind.FLOAT, **RANGE), 5.01, "a number from 1 to 5"),
        (an_input(InputKind.FLOAT), False, "a number"),
        (an_input(InputKind.TEXT, multiple=True), ["a", 5], "a text"),
        (an_input(InputKind.TEXT, multiple=True), {"a": 1}, "a text"),
        (an_input(InputKind.INTEGER, multiple=True, **RANGE), [1, 6], "from 1 to 5"),
        (an_input(InputKind.TEXT, optional=False), None, "a text"),
    ],
)
def test_a_value_that_does_not_fit_is_told_with_what_would(
    declared: WorkflowInput, value: Json, expected: str
) -> None:
    sentences = problems(READS, declared, p=value)
    assert list(sentences) == ["p"]
    assert "'p' takes" in sentences["p"]
    assert expected in sentences["p"]


# --- names --------------------------------------------------------------------


def test_an_unknown_name_is_refused_with_the_one_that_was_meant() -> None:
    sentences = problems(READS, an_input(InputKind.TEXT, "threshold"), treshold="5")
    assert "Did you mean 'threshold'?" in sentences["treshold"]


def test_an_unknown_name_that_resembles_none_is_told_which_there_are() -> None:
    inputs = [an_input(InputKind.TEXT, "one"), an_input(InputKind.TEXT, "two")]
    sentences = problems(READS, *inputs, zzzzzz="5")["zzzzzz"]
    assert "Did you mean" not in sentences
    assert "It has: 'one', 'two'." in sentences


def test_a_name_must_be_written_as_it_is() -> None:
    sentences = problems(READS, an_input(InputKind.TEXT, "Threshold"), threshold="5")
    assert "Did you mean 'Threshold'?" in sentences["threshold"]


# --- what is required ---------------------------------------------------------


def test_a_required_input_that_is_missing_is_named() -> None:
    required = an_input(InputKind.INTEGER, optional=False, minimum=1)
    sentences = problems(READS, required)
    assert "'p' (an integer of at least 1) is required" in sentences["p"]


@pytest.mark.parametrize(
    "declared",
    [
        an_input(InputKind.INTEGER, optional=False, default=5),
        an_input(InputKind.BOOLEAN, optional=False, default=False),
        an_input(InputKind.TEXT, optional=False, default=""),
        an_input(InputKind.TEXT),
    ],
)
def test_what_has_a_default_or_is_optional_is_left_out(declared: WorkflowInput) -> None:
    assert bound(READS, declared) == {"reads": HDA}


def test_everything_that_is_wrong_is_told_at_once() -> None:
    required = an_input(InputKind.TEXT, "need", optional=False)
    number = an_input(InputKind.INTEGER, "number")
    sentences = problems(READS, required, number, number="five", other=1)
    assert set(sentences) == {"need", "number", "other"}


# --- whatever comes -----------------------------------------------------------

JSON: st.SearchStrategy[Json] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["hda", "hdca", "fast"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["src", "id", "dataset_id", "x"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)
NAMES = st.sampled_from(["a", "b", "c", "d", "e", ""])
INPUTS = st.builds(
    WorkflowInput,
    name=NAMES,
    kind=st.sampled_from(InputKind),
    optional=st.booleans(),
    default=JSON,
    multiple=st.booleans(),
    options=st.lists(JSON, max_size=2).map(tuple),
    minimum=st.none() | st.integers() | st.floats(),
    maximum=st.none() | st.integers() | st.floats(),
)


@given(
    st.lists(INPUTS, max_size=4),
    st.sampled_from([HDA, HDCA, URL]),
    st.none() | NAMES,
    st.builds(AllowedWorkflow, name=st.just("w"), takes_dataset=st.booleans())
    | st.builds(AllowedWorkflow, name=st.just("w"), input=NAMES.filter(str.strip)),
    st.dictionaries(NAMES, JSON, max_size=4),
)
def test_it_fits_or_is_refused_and_never_breaks_anything(
    inputs: list[WorkflowInput],
    source: Source,
    named: str | None,
    allowed: AllowedWorkflow,
    parameters: Parameters,
) -> None:
    declaring = workflow(*inputs)
    try:
        binding = bind(
            declaring,
            source=source,
            dataset_input=named,
            allowed=allowed,
            parameters=parameters,
        )
    except InvalidParameters:
        return
    names = {each.name for each in inputs}
    result = binding.inputs
    assert set(result) <= names, "Galaxy ignores an unknown name without a word"
    assert set(parameters) <= set(result), "nothing that was given is dropped"
    target = dataset_target(declaring, parameters, dataset_input=named, allowed=allowed)
    assert target is None or result[target.name] == source
    assert binding.dataset_input == (target.name if target else None)
    free = {each.name for each in declaring.data_inputs} - {*parameters}
    if target is None:
        assert not (free and allowed.takes_dataset), "no data input is left over"
    for each in inputs:
        if each.required and [other.name for other in inputs].count(each.name) == 1:
            assert each.name in result


def nested(depth: int) -> Json:
    value: Json = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("value", [nested(20_000), ["x"] * 100_000, {"x" * 10_000: 1}])
@pytest.mark.parametrize("kind", [InputKind.TEXT, InputKind.DATA])
def test_a_huge_value_is_refused_in_a_sentence_that_can_be_read(
    kind: InputKind, value: Json
) -> None:
    sentences = problems(READS, an_input(kind), dataset_input="reads", p=value)
    assert len(sentences["p"]) < 500


def test_a_huge_name_is_refused_in_a_sentence_that_can_be_read() -> None:
    huge: dict[str, Any] = {"x" * 100_000: 1}
    sentences = problems(READS, **huge)
    assert [len(sentence) < 500 for sentence in sentences.values()] == [True]


# --- the allowlist ------------------------------------------------------------


def test_without_a_list_every_workflow_may_be_run() -> None:
    assert Allowlist().admit("any", SERVICE) == AllowedWorkflow(name="any")


def test_the_row_that_allows_a_workflow_says_how_it_is_run() -> None:
    row = AllowedWorkflow(name="b", input="reads", workflow_id=WorkflowId("w7"))
    assert Allowlist((AllowedWorkflow(name="a"), row)).admit("b", SERVICE) is row


@pytest.mark.parametrize("name", ["c", "A", "a "])
def test_a_workflow_that_is_not_on_the_list_is_refused(name: str) -> None:
    allowed = Allowlist((AllowedWorkflow(name="b"), AllowedWorkflow(name="a")))
    with pytest.raises(WorkflowNotAllowed, match="'a', 'b'") as caught:
        allowed.admit(name, SERVICE)
    assert caught.value.name == name


@pytest.mark.parametrize("name", ["", " "])
@pytest.mark.parametrize("rows", [(), (AllowedWorkflow(name="a"),)])
def test_an_empty_name_is_refused(name: str, rows: tuple[AllowedWorkflow, ...]) -> None:
    with pytest.raises(InvalidValue, match="workflow_name is empty"):
        Allowlist(rows).admit(name, SERVICE)


@pytest.mark.parametrize(
    "values",
    [
        {"name": ""},
        {"name": "a", "input": " "},
        {"name": "a", "workflow_id": ""},
        {"name": "a", "input": "reads", "takes_dataset": False},
    ],
)
def test_an_entry_that_makes_no_sense_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(InvalidValue):
        AllowedWorkflow(**values)


def test_a_list_that_names_a_workflow_twice_is_refused() -> None:
    with pytest.raises(InvalidValue, match="'a' is allowed more than once"):
        Allowlist((AllowedWorkflow(name="a"), AllowedWorkflow(name="a")))


def test_of_many_options_some_are_listed() -> None:
    mode = an_input(InputKind.TEXT, options=tuple(f"o{n}" for n in range(5000)))
    with pytest.raises(InvalidParameters) as caught:
        bound(READS, mode, p="x")
    assert "'o19' and 4980 more" in caught.value.problems["p"]
    assert len(str(caught.value)) < 400
    assert bound(READS, mode, p="o4999")["p"] == "o4999"


def test_options_may_be_lists() -> None:
    pairs = an_input(InputKind.OTHER, options=([1, 2], "x"))
    assert bound(READS, pairs, p=[1, 2])["p"] == [1, 2]
    assert bound(READS, pairs, p="x")["p"] == "x"
    others: list[Json] = [[1], "y", {}]
    for value in others:
        with pytest.raises(InvalidParameters):
            bound(READS, pairs, p=value)


def test_of_many_unknown_names_some_are_told() -> None:
    many = [an_input(InputKind.TEXT, name=f"{n} {'x' * 300}") for n in range(100)]
    names: dict[str, Json] = {f"unknown {n}": 1 for n in range(1000)}
    taken: dict[str, Json] = {"reads": 1}
    with pytest.raises(InvalidParameters) as caught:
        bind(
            workflow(READS, *many),
            source=HDA,
            dataset_input=None,
            parameters=names | taken,
        )
    assert list(caught.value.problems) == list(names)[:20]
    assert caught.value.more == 981
    assert len(str(caught.value)) < 25_000
