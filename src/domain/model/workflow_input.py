"""Inputs of workflows, and the check of what they are given.

Rule of the file: only what Galaxy itself declares of an input is checked, and
only because Galaxy does not check it in time: it lets a value of the wrong type,
option or range fail inside a job hours later.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from enum import Enum
from functools import cached_property
from reprlib import repr as shown  # no longer, nor deeper, than people read
from typing import TypeAlias

from attrs import field, frozen

from galaxy_jobs.domain.errors import InvalidValue, listed, quoted
from galaxy_jobs.domain.model.dataset import GalaxyData, Source, Src
from galaxy_jobs.domain.model.values import DatasetId, Json


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


@frozen
class DatasetRef:
    """A reference to a registered dataset in a parameter."""

    dataset_id: DatasetId


Bound: TypeAlias = Source | DatasetRef | Json
"""What is bound to an input: data, a registered dataset, or a plain value."""


def misfit(input_: WorkflowInput, source: Source) -> str | None:
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


def checked(input_: WorkflowInput, value: Json) -> Bound:
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
                if reason := misfit(input_, source):
                    raise InvalidValue(reason)
                return source
    raise InvalidValue(
        f"Input {quoted(input_.name)} takes {expected(input_)}, got {shown(value)}."
    )


def _check_value(input_: WorkflowInput, value: Json) -> None:
    if not (_has_kind(input_.kind, value) and _is_option(input_, value)):
        raise InvalidValue(
            f"Input {quoted(input_.name)} takes {expected(input_)}, got {shown(value)}."
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


def expected(input_: WorkflowInput) -> str:
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
