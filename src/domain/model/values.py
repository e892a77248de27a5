"""Types of plain values, so that one kind of id is not passed for another."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from math import inf
from reprlib import repr as shown
from typing import TYPE_CHECKING, Any, NewType, TypeAlias
from uuid import UUID

from attrs import Attribute, frozen

from galaxy_jobs.domain.errors import InvalidValue, quoted, shortened


NAME_LENGTH = 255
"""The longest name or id that is taken from a client, in characters."""

PARAMETERS_SIZE = 64 * 1024
"""The most that the parameters of a job may take as JSON, in bytes."""

LISTED_PARAMETERS_SIZE = 4 * 1024
"""The most that parameters may take to be shown in lists, too, in bytes."""

DatasetId = NewType("DatasetId", str)
"""Our id of a dataset, given when it is registered."""

SubmissionId = NewType("SubmissionId", UUID)
"""Our id of a submission; it also names the Galaxy history of the run."""

BatchId = NewType("BatchId", UUID)
"""Our id of a batch of submissions."""

InvocationId = NewType("InvocationId", str)
"""Galaxy's encoded id of a workflow invocation."""

WorkflowId = NewType("WorkflowId", str)
"""Galaxy's encoded id of a stored workflow."""

HistoryId = NewType("HistoryId", str)
"""Galaxy's encoded id of a history."""

JobId = NewType("JobId", str)
"""Galaxy's encoded id of a job."""

ID_LIMIT = 255
"""Characters of an id that the workflow engine gives out, at most."""

NAME_LIMIT = 255
"""Characters that are kept of a label, a name or a tool's id from the engine."""

TEXT_LIMIT = 4000
"""Characters that are kept of a sentence or an output from the engine."""

if TYPE_CHECKING:
    Json: TypeAlias = (
        "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
    )
else:  # one level deep: what resolves annotations cannot follow a recursive one
    Json = bool | int | float | str | Sequence | Mapping | None
"""A JSON value."""

Parameters: TypeAlias = Mapping[str, Json]
"""Values by the names of workflow inputs, as the client sent them."""


_encode = json.JSONEncoder(ensure_ascii=False, default=str).encode


def json_size(value: Json) -> int:
    """Return the size of a value as JSON, spelled as it is stored, in bytes."""
    return len(_encode(value).encode(errors="replace"))


def check_not_empty(name: str, text: str) -> None:
    """Refuse an empty text.

    Args:
        name: The name of the value, for the message.
        text: The value.

    Raises:
        InvalidValue: It has no characters, or only blanks.
    """
    if not text.strip():
        raise InvalidValue(f"{name} is empty.")


def json_text(value: Json) -> str:
    """Return a value as JSON, for a message: shortened where it is long."""
    try:
        return shortened(_encode(value))
    except (RecursionError, ValueError):  # too deep, or too large a number
        return shown(value)


def check_length(
    name: str, text: str, most: int = NAME_LENGTH, shown: str | None = None
) -> None:
    """Refuse a text that is too long; stored ones may be longer.

    Args:
        name: The name of the value, for the message.
        text: The value.
        most: The number of characters that it may have.
        shown: The value as the message quotes it, if not as it is.

    Raises:
        InvalidValue: It has more.
    """
    if len(text) > most:
        raise InvalidValue(
            f"{name} has {len(text)} characters and begins with "
            f"{shortened(shown or text, 40)!r}; expected at most {most}."
        )


@frozen
class Identity:
    """A Galaxy server, and one of its users.

    Every stored submission and invocation belongs to one identity, and a poller
    touches only those of its own, so that a wrong server address does no harm.

    Attributes:
        url: The server's address as configured, without a trailing slash.
        user_id: Galaxy's encoded id of the user that owns the key.
    """

    url: str
    user_id: str

    def __str__(self) -> str:
        return f"{self.url}#{self.user_id}"


def engine_id(value: object) -> str:
    """Return an id of the workflow engine as it is, once it is checked.

    It has 1 to :data:`ID_LIMIT` characters, each of which can stand in the path of
    an address and in a list with commas: ASCII letters, digits and ``-._~:@+=``,
    the first one a letter, a digit, ``-`` or ``_``.

    Raises:
        InvalidValue: *value* is something else.
    """
    if not isinstance(value, str) or not _ENGINE_ID.fullmatch(value):
        shown = quoted(value) if isinstance(value, str) else type(value).__name__
        raise InvalidValue(f"The workflow engine gave {shown} for an id.")
    return value


_ENGINE_ID = re.compile(rf"[A-Za-z0-9_-][A-Za-z0-9._~:@+=-]{{0,{ID_LIMIT - 1}}}")


def aware(_: object, attribute: Attribute[Any], value: datetime | None) -> None:
    """Refuse a time without a zone (an attrs validator).

    Raises:
        InvalidValue: *value* is naive.
    """
    if value is not None and value.utcoffset() is None:
        raise InvalidValue(f"{attribute.name} needs a time zone, got {value!r}.")


def positive(_: object, attribute: Attribute[Any], value: float | timedelta) -> None:
    """Refuse a number or duration that is not above zero (an attrs validator).

    Raises:
        InvalidValue: *value* is zero, negative or infinite.
    """
    number = value.total_seconds() if isinstance(value, timedelta) else value
    if not 0 < number < inf:
        unit = " s" if isinstance(value, timedelta) else ""
        raise InvalidValue(f"{attribute.name} must be above 0, got {number:g}{unit}.")
