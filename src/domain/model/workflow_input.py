"""Inputs of workflows, and the check of what they are given.

Rule of the file: only what Galaxy itself declares of an input is checked, and
only because Galaxy does not check it in time: it lets a value of the wrong type,
option or range fail inside a job hours later.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Mapping, Sequence
from enum import Enum
from functools import cached_property
from math import log
from typing import TypeAlias

from attrs import field, frozen

from galaxy_jobs.domain.errors import InvalidValue, listed, quoted
from galaxy_jobs.domain.model.dataset import (
    CollectionData,
    DataDescription,
    DatasetRef,
    GalaxyData,
    Source,
    Src,
)
from galaxy_jobs.domain.model.datatypes import Datatypes, collection_fits
from galaxy_jobs.domain.model.values import DatasetId, Json, json_text


MAX_INTEGER = 2**63 - 1
"""The largest integer that an input takes, and without its sign the smallest."""

MAX_FLOAT = 1.7976931348623157e308
"""The largest number that an input takes, and without its sign the smallest."""

COLOR = re.compile(r"#[0-9a-fA-F]{6}")

DIRECTORY = re.compile(r"^$|://")
"""Found in addresses of directories, and in the empty text, which is none."""

MATCH_STEPS = 10**7
"""Steps that the search for a regular expression may take, or the value is not
checked: expressions come from the authors of workflows."""


class InputKind(Enum):
    """The kind of an input. The values are Galaxy's own names."""

    DATA = "data"  #: one dataset
    COLLECTION = "data_collection"  #: a collection of datasets
    TEXT = "text"
    INTEGER = "integer"
    FLOAT = "float"
    BOOLEAN = "boolean"
    COLOR = "color"  #: ``#rrggbb``
    DIRECTORY = "directory_uri"  #: an address of a directory that Galaxy can write to
    OTHER = "other"  #: a kind that is not known here: not checked

    @property
    def is_data(self) -> bool:
        """Whether it takes data rather than a value."""
        return self in {InputKind.DATA, InputKind.COLLECTION}

    @property
    def has_rules(self) -> bool:
        """Whether its author may set a length and regular expressions."""
        return self in {InputKind.TEXT, InputKind.DIRECTORY}


@frozen(kw_only=True)
class Pattern:
    """A regular expression that the author of a workflow set for a text.

    Attributes:
        expression: In Python's syntax; it has to match from the beginning of a text,
            not up to its end.
        negated: Whether it must not match.
        message: The author's sentence for a text that does not fit; may be empty.
    """

    expression: str
    negated: bool = False
    message: str = ""

    @property
    def anchored(self) -> str | None:
        """The same for a search anywhere in a text; None where it is malformed."""
        flags = re.match(r"\(\?([aiLmsux]+)\)", self.expression)
        start, rest = (flags[1], self.expression[flags.end() :]) if flags else ("", "")
        anchored = f"^(?{start}:{rest if flags else self.expression})"
        try:
            re.compile(anchored)
        except (re.error, RecursionError, OverflowError):
            return None
        return anchored

    @cached_property
    def max_length(self) -> int:
        """The characters of the longest text that it is searched in; -1: of none.

        A search takes as many steps as the text has characters, to the power of the
        number of repetitions. With a repetition of a repetition it takes a number of
        steps for each character that grows with the alternatives.
        """
        bare = re.sub(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]", "x", self.expression)
        repetitions = len(re.findall(r"[*+]|\{[\d,]+\}", bare))
        nested = len(re.findall(r"\)[*+]", bare))
        choices = bare.count("|") + bare.count("?")
        if "){" in bare and (repetitions > 1 or choices):
            return -1
        if nested and (repetitions > 1 or choices):
            return int(log(MATCH_STEPS, 1 + nested + choices)) - 3
        return int(MATCH_STEPS ** (1 / max(repetitions, 1)))

    def admits(self, text: str) -> bool:
        """Return whether a text fits, as far as it is checked."""
        if len(text) > self.max_length or (anchored := self.anchored) is None:
            return True
        return bool(re.search(anchored, text)) is not self.negated


@frozen(kw_only=True)
class WorkflowInput:
    """One input of a workflow.

    Attributes:
        name: Its label in the workflow editor, and its name in parameters.
        kind: The kind of value or data that it takes.
        optional: Whether the workflow runs without it.
        default: Its value if none is given; None if there is none. Of a data input,
            the file that Galaxy fetches, as Galaxy describes it.
        multiple: Whether a parameter takes a list of values.
        options: The allowed values, if they are enumerated; else empty.
        labels: For people, one for each of the options; or empty.
        suggestions: Values that the author proposes; others are allowed.
        minimum: The smallest number allowed, or None.
        maximum: The largest number allowed, or None.
        exclusive_minimum: Whether a number has to be above *minimum*.
        exclusive_maximum: Whether a number has to be below *maximum*.
        min_length: Characters of the shortest text allowed.
        max_length: Characters of the longest text allowed; None: any.
        patterns: The regular expressions for a text.
        rule: The author's sentences about range and length; may be empty.
        formats: Galaxy's names of the formats a data input takes; empty: any.
        collection_type: Such as ``list`` or ``list:paired``; several with commas;
            None: any.
        columns: Of a sample sheet: ``{"name", "type", "optional", …}`` each.
        annotation: The author's explanation; may be empty.
    """

    name: str
    kind: InputKind
    optional: bool = False
    default: Json = field(default=None, hash=False)
    multiple: bool = False
    options: tuple[Json, ...] = field(default=(), hash=False)
    labels: tuple[str, ...] = ()
    suggestions: tuple[Json, ...] = field(default=(), hash=False)
    minimum: float | None = None
    maximum: float | None = None
    exclusive_minimum: bool = False
    exclusive_maximum: bool = False
    min_length: int = 0
    max_length: int | None = None
    patterns: tuple[Pattern, ...] = ()
    rule: str = ""
    formats: tuple[str, ...] = ()
    collection_type: str | None = None
    columns: tuple[Json, ...] = field(default=(), hash=False)
    annotation: str = ""

    @property
    def required(self) -> bool:
        """Whether Galaxy refuses an invocation without it."""
        return not self.optional and self.default is None

    def offers(self, value: Json) -> bool:
        """Return whether a value is one of the options."""
        if isinstance(value, bool):  # to Python, True is 1; to JSON, it is not
            return any(value is option for option in self.options)
        try:
            return value in self._distinct_options
        except TypeError:  # a list or an object
            return value in self.options

    @cached_property
    def _distinct_options(self) -> Container[Json]:
        return frozenset(
            option for option in self.options if not isinstance(option, bool)
        )


Bound: TypeAlias = Source | DatasetRef | Json
"""What is bound to an input: data, a registered dataset, or a plain value."""


def misfit(input_: WorkflowInput, source: Source) -> str | None:
    """Return why data of that kind cannot go on that input; None if it can.

    A collection on a *data* input is fine: Galaxy maps over it.
    """
    if input_.kind is not InputKind.COLLECTION:
        return None
    if isinstance(source, CollectionData):
        type_, wanted = source.collection_type, input_.collection_type
        if wanted and not collection_fits(type_, wanted):
            return (
                f"Input {quoted(input_.name)} takes a collection of type {wanted}, not "
                f"{type_}."
            )
    elif not (isinstance(source, GalaxyData) and source.src is Src.HDCA):
        return (
            f"Input {quoted(input_.name)} takes a collection (`hdca`), not a single "
            "dataset."
        )
    return None


def described_misfit(
    input_: WorkflowInput,
    described: DataDescription,
    datatypes: Callable[[], Datatypes],
) -> str | None:
    """Return what data is that cannot go on that input; None if it may.

    Args:
        input_: A data input.
        described: What Galaxy knows of the data.
        datatypes: Returns the formats that it knows; called only if they matter.

    Returns:
        What data is, and what the input takes: a verb and what follows it.
    """
    type_, wanted = described.collection_type, input_.collection_type
    if input_.kind is InputKind.COLLECTION:
        if type_ is None:
            return "is a single dataset; the input takes a collection"
        if wanted and type_ and not collection_fits(type_, wanted):
            return f"is a collection of type {type_}; the input takes {wanted}"
    given = set(described.extensions)
    # Those of data that is not there yet may still change.
    is_certain = described.state in {"ok", "deferred"} and bool(given)
    if not (input_.formats and is_certain) or given & set(input_.formats):
        return None
    known = datatypes()
    if any(known.admit(extension, input_.formats) for extension in given):
        return None
    return (
        f"is in format {' or '.join(sorted(given))}; the input takes "
        f"{' or '.join(input_.formats)}"
    )


def checked(input_: WorkflowInput, value: Json) -> Bound:
    """Return *value* as it is passed to Galaxy.

    An integer may be spelled as a number with a fraction of zero: 2.0 is passed as 2.

    Raises:
        InvalidValue: It does not fit.
    """
    if input_.kind.is_data:
        return _data(input_, value)
    if input_.multiple and isinstance(value, Sequence) and not isinstance(value, str):
        if not value and not input_.optional:
            raise _mismatch(input_, value)
        return [_value(input_, member) for member in value]
    return _value(input_, value)


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
    raise _mismatch(input_, value)


def _mismatch(input_: WorkflowInput, value: Json, rule: str = "") -> InvalidValue:
    return InvalidValue(
        f"Input {quoted(input_.name)} takes {expected(input_)}, got "
        f"{json_text(value)}.{' ' if rule else ''}{rule}"
    )


def _value(input_: WorkflowInput, value: Json) -> Json:
    """Return a single value as it is passed to Galaxy.

    Raises:
        InvalidValue: It does not fit.
    """
    if not _has_kind(input_.kind, value):
        raise _mismatch(input_, value)
    if input_.options and not input_.offers(value):
        raise _mismatch(input_, value)
    if isinstance(value, str) and input_.kind.has_rules:
        _check_text(input_, value)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        if not _in_range(input_, value):
            raise _mismatch(input_, value, input_.rule)
        if input_.kind is InputKind.INTEGER:
            return int(value)
    return value


def _has_kind(kind: InputKind, value: Json) -> bool:
    match kind:
        case InputKind.TEXT:
            return isinstance(value, str)
        case InputKind.DIRECTORY:
            return isinstance(value, str) and bool(DIRECTORY.search(value))
        case InputKind.COLOR:
            return isinstance(value, str) and bool(COLOR.fullmatch(value))
        case InputKind.BOOLEAN:
            return isinstance(value, bool)
        case InputKind.INTEGER:
            # To JSON, 2.0 and 2 are the same number.
            is_whole = isinstance(value, int) or (
                isinstance(value, float) and value.is_integer()
            )
            return is_whole and _is_number(value, MAX_INTEGER)
        case InputKind.FLOAT:
            return _is_number(value, MAX_FLOAT)
        case InputKind.DATA | InputKind.COLLECTION | InputKind.OTHER:
            return True


def _is_number(value: Json, most: float) -> bool:
    # To Python, True is a number, too.
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and -most <= value <= most
    )


def _check_text(input_: WorkflowInput, text: str) -> None:
    if not text and input_.optional:  # Galaxy takes it for no value
        return
    most = input_.max_length
    if len(text) < input_.min_length or (most is not None and len(text) > most):
        raise _mismatch(input_, text, input_.rule)
    for pattern in input_.patterns:
        if not pattern.admits(text):
            raise _mismatch(input_, text, pattern.message)


def _in_range(input_: WorkflowInput, number: float) -> bool:
    low, high = input_.minimum, input_.maximum
    if low is not None and (
        number < low or (number == low and input_.exclusive_minimum)
    ):
        return False
    return high is None or (
        number < high or (number == high and not input_.exclusive_maximum)
    )


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
        case InputKind.DIRECTORY:
            return "the address of a directory such as 'gxfiles://a/b'" + _form(input_)
        case InputKind.TEXT:
            return "a text" + _form(input_)
        case InputKind.OTHER:
            return "a value"


def _range(input_: WorkflowInput) -> str:
    low, high = input_.minimum, input_.maximum
    above = "more than" if input_.exclusive_minimum else "at least"
    below = "less than" if input_.exclusive_maximum else "at most"
    if low is not None and high is not None and (above, below) == _INCLUSIVE:
        return f" from {low:.16g} to {high:.16g}"
    limits = [(above, low), (below, high)]
    words = [f"{word} {limit:.16g}" for word, limit in limits if limit is not None]
    return f" of {' and '.join(words)}" if words else ""


_INCLUSIVE = ("at least", "at most")


def _form(input_: WorkflowInput) -> str:
    least, most = input_.min_length, input_.max_length
    length = ""
    if least and most is not None:
        length = f" of {least} to {most} characters"
    elif least or most is not None:
        length = f" of at {f'least {least}' if least else f'most {most}'} characters"
    patterns = [
        f"{'does not match' if pattern.negated else 'matches'} "
        f"{quoted(pattern.expression)}"
        for pattern in input_.patterns
    ]
    return length + (f" that {' and '.join(patterns)}" if patterns else "")
