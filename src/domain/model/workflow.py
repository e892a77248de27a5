"""Workflows, their inputs, and the binding of a request to them.

Rule of the file: only what Galaxy itself declares of an input is checked, and
only because Galaxy does not check it in time: it silently ignores an unknown
input name, and lets a value of the wrong type, option or range fail inside a job
hours later. Everything else is for Galaxy to decide.
"""

from __future__ import annotations

import difflib
from collections.abc import Container, Mapping, Sequence
from enum import Enum
from functools import cached_property
from reprlib import repr as shown  # no longer, nor deeper, than people read
from typing import TypeAlias

from attrs import field, frozen

from galaxy_jobs.domain.errors import (
    LISTED,
    DatasetInputAmbiguous,
    DatasetNotFound,
    InvalidParameters,
    InvalidValue,
    WorkflowNotAllowed,
    listed,
    quoted,
    shortened,
)
from galaxy_jobs.domain.model.dataset import GalaxyData, Source, Src
from galaxy_jobs.domain.model.values import DatasetId, Json, Parameters, WorkflowId


class InputKind(Enum):
    """The kind of an input. The values are Galaxy's own names."""

    DATA = "data"  #: one dataset
    COLLECTION = "data_collection"  #: a collection of datasets
    TEXT = "text"
    INTEGER = "integer"
    FLOAT = "float"
    BOOLEAN = "boolean"
    COLOR = "color"  #: ``#rrggbb``
    OTHER = "other"  #: a kind that is not known here: not checked

    @property
    def is_data(self) -> bool:
        """Whether it takes data rather than a value."""
        return self in {InputKind.DATA, InputKind.COLLECTION}


@frozen(kw_only=True)
class WorkflowInput:
    """One input of a workflow.

    Attributes:
        name: Its label in the workflow editor, and its name in parameters.
        kind: The kind of value or data that it takes.
        optional: Whether the workflow runs without it.
        default: Its value if none is given; None if there is none.
        multiple: Whether a parameter takes a list of values.
        options: The allowed values, if they are enumerated; else empty.
        minimum: The smallest number allowed, or None.
        maximum: The largest number allowed, or None.
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

    def offers(self, value: Json) -> bool:
        """Return whether a value is one of the options."""
        try:
            return value in self._distinct_options
        except TypeError:  # a list or an object
            return value in self.options

    @cached_property
    def _distinct_options(self) -> Container[Json]:
        return frozenset(self.options)


@frozen(kw_only=True)
class Workflow:
    """A stored workflow, with what is needed to run it.

    Attributes:
        workflow_id: Galaxy's id of the *stored* workflow. (The ``workflow_id`` of
            an invocation is the id of a version, and another one.)
        name: The name that clients use.
        inputs: In the order of the workflow.
        annotation: The author's explanation; may be empty.
    """

    workflow_id: WorkflowId
    name: str
    inputs: tuple[WorkflowInput, ...] = ()
    annotation: str = ""


@frozen(kw_only=True)
class AllowedWorkflow:
    """An entry of the allowlist.

    Attributes:
        name: The name that clients use.
        input: The workflow input that takes the dataset; None: the only data
            input there is.
        workflow_id: The id of the stored workflow, whatever its name in Galaxy;
            None: the workflow of that name.
    """

    name: str
    input: str | None = None
    workflow_id: WorkflowId | None = None


@frozen
class Allowlist:
    """The workflows that may be run.

    Attributes:
        rows: One per workflow; if empty, every workflow that the key can see.

    Raises:
        InvalidValue: Two rows have the same name.
    """

    rows: tuple[AllowedWorkflow, ...] = ()

    def __attrs_post_init__(self) -> None:
        names = [row.name for row in self.rows]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise InvalidValue(
                f"Workflow {quoted(repeated[0])} is allowed more than once."
            )

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
            name: The name that clients use.
            workflow: As Galaxy declares it.

        Raises:
            WorkflowNotAllowed: There is a list and *name* is not on it.
        """
        return takes_dataset(workflow, self.admit(name).input)


@frozen
class DatasetRef:
    """A reference to a registered dataset in a parameter."""

    dataset_id: DatasetId


Bound: TypeAlias = Source | DatasetRef | Json
"""What is bound to an input: data, a registered dataset, or a plain value."""


def bind(
    workflow: Workflow,
    *,
    source: Source,
    dataset_input: str | None,
    parameters: Parameters,
) -> dict[str, Bound]:
    """Bind a dataset and parameters to the inputs of a workflow.

    Args:
        workflow: As Galaxy declares it.
        source: The data of the job's dataset.
        dataset_input: The input that takes it; None: the only data input.
        parameters: By input name.

    Returns:
        The binding of each input, by name, without those left to their defaults.

    Raises:
        InvalidParameters: With a sentence for each parameter that does not fit:
            an unknown name, a missing required input, a wrong type, option or
            range, or no input for the dataset.
        DatasetInputAmbiguous: Several inputs could take the dataset.
    """
    target = dataset_target(workflow, dataset_input, parameters)
    bound: dict[str, Bound] = {target.name: source}
    inputs = {input_.name: input_ for input_ in workflow.inputs}
    known = {name: value for name, value in parameters.items() if name in inputs}
    unknown = [name for name in parameters if name not in inputs]
    # No more than are shown: it takes time to find what may have been meant.
    problems = {
        name: _unknown(workflow, name, target.name) for name in unknown[:LISTED]
    }
    if misfit := _misfit(target, source):
        problems[target.name] = misfit
    for name, value in known.items():
        if name == target.name:
            problems[name] = (
                f"Input {quoted(name)} takes the dataset of the job itself."
            )
        elif value is None and not inputs[name].required:
            bound[name] = None
        else:
            try:
                bound[name] = _checked(inputs[name], value)
            except InvalidValue as error:
                problems[name] = str(error)
    for input_ in workflow.inputs:
        if input_.required and input_.name not in bound and input_.name not in problems:
            problems[input_.name] = (
                f"Input {quoted(input_.name)} ({_expected(input_)}) is required; give "
                "it in `parameters`."
            )
    if problems:
        raise InvalidParameters(problems, more=max(len(unknown) - LISTED, 0))
    return bound


def takes_dataset(workflow: Workflow, configured: str | None) -> WorkflowInput | None:
    """Return the input that takes the job's dataset, whatever its parameters are.

    Args:
        workflow: As Galaxy declares it.
        configured: The name of that input in the allowlist, or None.

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
        workflow: As Galaxy declares it.
        configured: The name of that input in the allowlist, or None.
        parameters: By input name: they may leave only one input free.

    Raises:
        InvalidParameters: There is no such input.
        DatasetInputAmbiguous: There are several.
    """
    data = [input_ for input_ in workflow.inputs if input_.kind.is_data]
    if configured is not None:
        for input_ in data:
            if input_.name == configured:
                return input_
        raise InvalidParameters(
            {
                configured: f"The configuration puts the dataset on input "
                f"{quoted(configured)} of workflow {quoted(workflow.name)}, which has "
                "no such data input. Its data inputs: "
                f"{listed([input_.name for input_ in data]) or 'none'}."
            }
        )
    # Of several, the only one that is required and that no parameter fills.
    if len(data) == 1:
        return data[0]
    free = [
        input_ for input_ in data if input_.name not in parameters and input_.required
    ]
    if len(data) > 1 and len(free) == 1:
        return free[0]
    if not data:
        raise InvalidParameters(
            {"dataset_id": f"Workflow {quoted(workflow.name)} has no data input."}
        )
    raise DatasetInputAmbiguous(workflow.name, [input_.name for input_ in data])


def _unknown(workflow: Workflow, name: str, target: str) -> str:
    others = [input_.name for input_ in workflow.inputs if input_.name != target]
    close = difflib.get_close_matches(shortened(name), others, n=1)
    hint = f" Did you mean {quoted(close[0])}?" if close else ""
    return (
        f"Workflow {quoted(workflow.name)} has no input {shown(name)}.{hint} It has: "
        f"{listed(others) or 'none'}."
    )


def _misfit(input_: WorkflowInput, source: Source) -> str | None:
    """Return why data of that kind cannot go on that input; None if it can.

    A collection on a *data* input is fine: Galaxy maps over it.
    """
    collection = isinstance(source, GalaxyData) and source.src is Src.HDCA
    if input_.kind is InputKind.COLLECTION and not collection:
        return (
            f"Input {quoted(input_.name)} takes a collection (`hdca`), not a single "
            "dataset."
        )
    return None


def _checked(input_: WorkflowInput, value: Json) -> Bound:
    """Return *value* as it is passed to Galaxy.

    Raises:
        InvalidValue: It does not fit.
    """
    if input_.kind.is_data:
        return _data(input_, value)
    if input_.multiple and isinstance(value, Sequence) and not isinstance(value, str):
        for single in value:
            _check_value(input_, single)
        return value
    _check_value(input_, value)
    return value


def _data(input_: WorkflowInput, value: Json) -> Bound:
    if isinstance(value, Mapping):
        match dict(value):
            case {"dataset_id": str(dataset_id), **rest} if not rest:
                return DatasetRef(DatasetId(dataset_id))
            case {"src": ("hda" | "ldda" | "hdca") as src, "id": str(id_), **rest} if (
                not rest
            ):
                source = GalaxyData(Src(src), id_)
                if misfit := _misfit(input_, source):
                    raise InvalidValue(misfit)
                return source
    raise InvalidValue(
        f"Input {quoted(input_.name)} takes {_expected(input_)}, got {shown(value)}."
    )


def _check_value(input_: WorkflowInput, value: Json) -> None:
    if not (_has_kind(input_.kind, value) and _is_option(input_, value)):
        raise InvalidValue(
            f"Input {quoted(input_.name)} takes {_expected(input_)}, got "
            f"{shown(value)}."
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


def _is_option(input_: WorkflowInput, value: Json) -> bool:
    if input_.options and not input_.offers(value):
        return False
    if not isinstance(value, int | float) or isinstance(value, bool):
        return True
    low = input_.minimum is not None and value < input_.minimum
    high = input_.maximum is not None and value > input_.maximum
    return not low and not high


def _expected(input_: WorkflowInput) -> str:
    """Return in words what an input takes."""
    if input_.options:
        return f"one of {listed(input_.options)}"
    match input_.kind:
        case InputKind.DATA:
            return 'a dataset: {"dataset_id": …} or {"src": "hda"|"ldda", "id": …}'
        case InputKind.COLLECTION:
            return 'a collection: {"dataset_id": …} or {"src": "hdca", "id": …}'
        case InputKind.INTEGER | InputKind.FLOAT:
            noun = "an integer" if input_.kind is InputKind.INTEGER else "a number"
            return noun + _range(input_)
        case InputKind.BOOLEAN:
            return "true or false"
        case InputKind.COLOR:
            return "a color such as '#ff0000'"
        case InputKind.TEXT:
            return "a text"
        case InputKind.OTHER:
            return "a value"


def _range(input_: WorkflowInput) -> str:
    match input_.minimum, input_.maximum:
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
    """Replace references to registered datasets by their data.

    Args:
        bound: From :func:`bind`.
        datasets: The datasets that *bound* refers to, those that exist.

    Raises:
        DatasetNotFound: One of them does not exist.
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
