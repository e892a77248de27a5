"""What a workflow declares of its inputs, and whether a request fits it.

Rule of the file: only what Galaxy itself declares of an input is checked, and
only because Galaxy does not check it in time: it ignores an unknown input name
without a word, and lets a value of the wrong type, option or range fail inside
a job hours later. All else Galaxy decides.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from enum import Enum
from reprlib import repr as shown  # no longer, nor deeper, than people read
from typing import TypeAlias

from attrs import field, frozen

from galaxy_jobs.domain.errors import (
    DatasetInputAmbiguous,
    DatasetNotFound,
    InvalidParameters,
    InvalidValue,
    WorkflowNotAllowed,
)
from galaxy_jobs.domain.model.dataset import GalaxyData, Source, Src
from galaxy_jobs.domain.model.values import DatasetId, Json, Parameters, WorkflowId


class InputKind(Enum):
    """What an input takes. The values are Galaxy's own words."""

    DATA = "data"  #: one dataset
    COLLECTION = "data_collection"  #: a collection of datasets
    TEXT = "text"
    INTEGER = "integer"
    FLOAT = "float"
    BOOLEAN = "boolean"
    COLOR = "color"  #: ``#rrggbb``
    OTHER = "other"  #: declared by Galaxy in a way not known here: not checked

    @property
    def is_data(self) -> bool:
        """Whether it takes data rather than a value."""
        return self in {InputKind.DATA, InputKind.COLLECTION}


@frozen(kw_only=True)
class WorkflowInput:
    """One input of a workflow.

    Attributes:
        name: Its label in the workflow editor: what ``parameters`` go by.
        kind: What it takes.
        optional: Whether the workflow runs without it.
        default: What it takes if nothing is given; None if there is none.
        multiple: Whether a parameter takes a list of values.
        options: The values allowed, if they are enumerated; else empty.
        minimum: The least number allowed, or None.
        maximum: The greatest number allowed, or None.
        formats: Galaxy's names of the formats a data input takes; empty: any.
        collection_type: Such as ``list`` or ``list:paired``; None: any.
        annotation: The author's explanation; may be empty.
    """

    name: str
    kind: InputKind
    optional: bool = False
    default: Json = field(default=None, hash=False)
    multiple: bool = False
    options: tuple[Json, ...] = field(default=(), hash=False)
    minimum: float | None = None
    maximum: float | None = None
    formats: tuple[str, ...] = ()
    collection_type: str | None = None
    annotation: str = ""

    @property
    def required(self) -> bool:
        """Whether Galaxy refuses an invocation without it."""
        return not self.optional and self.default is None


@frozen(kw_only=True)
class Workflow:
    """A stored workflow, as far as running it is concerned.

    Attributes:
        workflow_id: Galaxy's id of the *stored* workflow. (The ``workflow_id``
            that an invocation shows is the id of a version, not this one.)
        name: As clients say it.
        inputs: In the workflow's own order.
        annotation: The author's explanation; may be empty.
    """

    workflow_id: WorkflowId
    name: str
    inputs: tuple[WorkflowInput, ...] = ()
    annotation: str = ""


@frozen(kw_only=True)
class AllowedWorkflow:
    """One row of the allowlist.

    Attributes:
        name: As clients say it.
        input: The workflow input that takes the dataset; None: the only data
            input there is.
        workflow_id: This stored workflow, whatever its name in Galaxy; None:
            the one that has that name.
    """

    name: str
    input: str | None = None
    workflow_id: WorkflowId | None = None


@frozen
class Allowlist:
    """Which workflows may be run.

    Attributes:
        rows: With none at all, every workflow that the key can see.
    """

    rows: tuple[AllowedWorkflow, ...] = ()

    def __attrs_post_init__(self) -> None:
        names = [row.name for row in self.rows]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise InvalidValue(f"Workflow {twice[0]!r} is allowed more than once.")

    def admit(self, name: str) -> AllowedWorkflow:
        """Return the row that allows *name*.

        Raises:
            WorkflowNotAllowed: There is a list and *name* is not on it.
        """
        if not self.rows:
            return AllowedWorkflow(name=name)
        for row in self.rows:
            if row.name == name:
                return row
        raise WorkflowNotAllowed(name, [row.name for row in self.rows])

    def dataset_input(self, name: str, workflow: Workflow) -> WorkflowInput | None:
        """Return the input that takes the job's dataset; see :func:`takes_dataset`.

        Args:
            name: As clients say it.
            workflow: What Galaxy declares of it.

        Raises:
            WorkflowNotAllowed: There is a list and *name* is not on it.
        """
        return takes_dataset(workflow, self.admit(name).input)


@frozen
class DatasetRef:
    """A registered dataset named by a parameter, still to be looked up."""

    dataset_id: DatasetId


Bound: TypeAlias = Source | DatasetRef | Json
"""What an input is given: data, a registered dataset, or a plain value."""


def bind(
    workflow: Workflow,
    *,
    source: Source,
    dataset_input: str | None,
    parameters: Parameters,
) -> dict[str, Bound]:
    """Put a dataset and parameters on the inputs of a workflow.

    Args:
        workflow: What Galaxy declares of it.
        source: The data of the job's dataset.
        dataset_input: The input that takes it; None: the only data input.
        parameters: By input name.

    Returns:
        What each input is given; inputs left to their defaults are left out.

    Raises:
        InvalidParameters: With a sentence for each thing that does not fit: an
            unknown name, a missing required input, a wrong type, option or
            range, or no way to tell which input takes the dataset.
    """
    problems: dict[str, str] = {}
    target = dataset_target(workflow, dataset_input, parameters)
    bound: dict[str, Bound] = {target.name: source}
    inputs = {one.name: one for one in workflow.inputs}
    if misfit := _misfit(target, source):
        problems[target.name] = misfit
    for name, value in parameters.items():
        if name == target.name:
            problems[name] = f"Input {name!r} takes the dataset of the job itself."
        elif name not in inputs:
            problems[name] = _unknown(workflow, name, target.name)
        elif value is None and not inputs[name].required:
            bound[name] = None
        else:
            try:
                bound[name] = _checked(inputs[name], value)
            except InvalidValue as error:
                problems[name] = str(error)
    for one in workflow.inputs:
        if one.required and one.name not in bound and one.name not in problems:
            problems[one.name] = (
                f"Input {one.name!r} ({_expected(one)}) is required; give it in "
                "`parameters`."
            )
    if problems:
        raise InvalidParameters(problems)
    return bound


def takes_dataset(workflow: Workflow, configured: str | None) -> WorkflowInput | None:
    """Return the input that takes the job's dataset, whatever its parameters are.

    Args:
        workflow: What Galaxy declares of it.
        configured: The name of that input, if the allowlist says so.

    Returns:
        None where it depends on which inputs the parameters fill, or where there
        is no such input.
    """
    try:
        return dataset_target(workflow, configured, {})
    except InvalidParameters:
        return None


def dataset_target(
    workflow: Workflow, configured: str | None, parameters: Parameters
) -> WorkflowInput:
    """Return the input that takes the job's dataset.

    Args:
        workflow: What Galaxy declares of it.
        configured: The name of that input, if the allowlist says so.
        parameters: By input name: they may leave only one input over.

    Raises:
        InvalidParameters: There is no such input.
        DatasetInputAmbiguous: There are several.
    """
    data = [one for one in workflow.inputs if one.kind.is_data]
    listed = ", ".join(repr(one.name) for one in data) or "none"
    if configured is not None:
        for one in data:
            if one.name == configured:
                return one
        raise InvalidParameters(
            {
                configured: f"The configuration puts the dataset on input "
                f"{configured!r} of workflow {workflow.name!r}, which has no such "
                f"data input. Its data inputs: {listed}."
            }
        )
    # An input that the parameters fill, or that nobody has to fill, leaves the
    # choice open only if more than one is left over.
    if len(data) == 1:
        return data[0]
    free = [one for one in data if one.name not in parameters and one.required]
    if len(data) > 1 and len(free) == 1:
        return free[0]
    if not data:
        raise InvalidParameters(
            {"dataset_id": f"Workflow {workflow.name!r} has no data input."}
        )
    raise DatasetInputAmbiguous(workflow.name, [item.name for item in data])


def _unknown(workflow: Workflow, name: str, taken: str) -> str:
    others = [one.name for one in workflow.inputs if one.name != taken]
    close = difflib.get_close_matches(name, others, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    known = ", ".join(repr(one) for one in others) or "none"
    return (
        f"Workflow {workflow.name!r} has no input {shown(name)}.{hint} It has: {known}."
    )


def _misfit(one: WorkflowInput, source: Source) -> str | None:
    """Say why data of that kind cannot go on that input, if it cannot.

    A collection given to a *data* input is fine: Galaxy maps over it.
    """
    collection = isinstance(source, GalaxyData) and source.src is Src.HDCA
    if one.kind is InputKind.COLLECTION and not collection:
        return f"Input {one.name!r} takes a collection (`hdca`), not a single dataset."
    return None


def _checked(one: WorkflowInput, value: Json) -> Bound:
    """Return *value* as it is handed on.

    Raises:
        InvalidValue: It does not fit.
    """
    if one.kind.is_data:
        return _data(one, value)
    if one.multiple and isinstance(value, Sequence) and not isinstance(value, str):
        for single in value:
            _check_value(one, single)
        return value
    _check_value(one, value)
    return value


def _data(one: WorkflowInput, value: Json) -> Bound:
    if isinstance(value, Mapping):
        match dict(value):
            case {"dataset_id": str(dataset_id), **rest} if not rest:
                return DatasetRef(DatasetId(dataset_id))
            case {"src": ("hda" | "ldda" | "hdca") as src, "id": str(id_), **rest} if (
                not rest
            ):
                source = GalaxyData(Src(src), id_)
                if misfit := _misfit(one, source):
                    raise InvalidValue(misfit)
                return source
    raise InvalidValue(
        f"Input {one.name!r} takes {_expected(one)}, got {shown(value)}."
    )


def _check_value(one: WorkflowInput, value: Json) -> None:
    if not (_has_kind(one.kind, value) and _is_option(one, value)):
        raise InvalidValue(
            f"Input {one.name!r} takes {_expected(one)}, got {shown(value)}."
        )


def _has_kind(kind: InputKind, value: Json) -> bool:
    match kind:
        case InputKind.TEXT | InputKind.COLOR:
            return isinstance(value, str)
        case InputKind.BOOLEAN:
            return isinstance(value, bool)
        case InputKind.INTEGER:
            # To JSON, 2.0 and 2 are the same number; to Python, True is one too.
            whole = isinstance(value, int) or (
                isinstance(value, float) and value.is_integer()
            )
            return whole and not isinstance(value, bool)
        case InputKind.FLOAT:
            return isinstance(value, int | float) and not isinstance(value, bool)
        case InputKind.DATA | InputKind.COLLECTION | InputKind.OTHER:
            return True


def _is_option(one: WorkflowInput, value: Json) -> bool:
    if one.options and value not in one.options:
        return False
    if not isinstance(value, int | float) or isinstance(value, bool):
        return True
    low = one.minimum is not None and value < one.minimum
    high = one.maximum is not None and value > one.maximum
    return not low and not high


def _expected(one: WorkflowInput) -> str:
    """Say in words what an input takes."""
    if one.options:
        return "one of " + ", ".join(repr(option) for option in one.options)
    match one.kind:
        case InputKind.DATA:
            return 'a dataset: {"dataset_id": …} or {"src": "hda"|"ldda", "id": …}'
        case InputKind.COLLECTION:
            return 'a collection: {"dataset_id": …} or {"src": "hdca", "id": …}'
        case InputKind.INTEGER | InputKind.FLOAT:
            noun = "an integer" if one.kind is InputKind.INTEGER else "a number"
            return noun + _range(one)
        case InputKind.BOOLEAN:
            return "true or false"
        case InputKind.COLOR:
            return "a color such as '#ff0000'"
        case InputKind.TEXT:
            return "a text"
        case InputKind.OTHER:
            return "a value"


def _range(one: WorkflowInput) -> str:
    match one.minimum, one.maximum:
        case None, None:
            return ""
        case low, None:
            return f" of at least {low:g}"
        case None, high:
            return f" of at most {high:g}"
        case low, high:
            return f" from {low:g} to {high:g}"


def resolve(
    bound: Mapping[str, Bound], datasets: Mapping[DatasetId, Source]
) -> dict[str, Source | Json]:
    """Replace registered datasets by their data.

    Args:
        bound: From :func:`bind`.
        datasets: Every dataset that *bound* refers to, as far as it exists.

    Raises:
        DatasetNotFound: One is not there.
    """
    resolved: dict[str, Source | Json] = {}
    for name, value in bound.items():
        if isinstance(value, DatasetRef):
            if value.dataset_id not in datasets:
                raise DatasetNotFound(value.dataset_id)
            resolved[name] = datasets[value.dataset_id]
        else:
            resolved[name] = value
    return resolved
