"""Labels: what people sort and find jobs and datasets by: ``project: plate-7``."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import TypeAlias

from attrs import Attribute, frozen

from galaxy_jobs.domain.errors import InvalidValue, quoted
from galaxy_jobs.domain.model.values import check_length


MAX_LABELS = 32
"""The most labels of a job or a dataset."""

LABEL_KEY_LENGTH = 63
"""The longest key of a label, in characters."""

LABEL_VALUE_LENGTH = 255
"""The longest value of a label, in characters."""

Labels: TypeAlias = Mapping[str, str]
"""Values by keys; :func:`check_labels` tells which there can be."""

LABEL_KEY = rf"[A-Za-z0-9._/-]{{1,{LABEL_KEY_LENGTH}}}"
"""The form of the key of a label, a regular expression."""

LabelPatch: TypeAlias = Mapping[str, str | None] | None
"""New values by keys (a merge patch, RFC 7396); None as a value removes the label, and
in the place of the patch all of them."""

NO_CHANGE: LabelPatch = MappingProxyType({})
"""The patch that leaves labels as they are."""

_KEY = re.compile(LABEL_KEY)


@frozen(order=True)
class Label:
    """One label; as a text, ``key:value``.

    Attributes:
        key: 1 to :data:`LABEL_KEY_LENGTH` ASCII letters, digits and ``._/-``.
        value: At most :data:`LABEL_VALUE_LENGTH` characters, no control characters
            among them; it may be empty.

    Raises:
        InvalidValue: The key or the value is something else.
    """

    key: str
    value: str

    def __attrs_post_init__(self) -> None:
        check_labels({self.key: self.value})

    def __str__(self) -> str:
        return f"{self.key}:{self.value}"

    @classmethod
    def parse(cls, text: str) -> Label:
        """Return the label of a text; its value may contain colons, too.

        Raises:
            InvalidValue: It is not ``key:value``.
        """
        key, colon, value = text.partition(":")
        if not colon:
            raise InvalidValue(f"The label {quoted(text)} is not `key:value`.")
        return cls(key, value)


def check_labels(labels: Labels) -> None:
    """Check the labels of a job or a dataset.

    Raises:
        InvalidValue: There are more than :data:`MAX_LABELS`, or one is not as
            :class:`Label` describes it.
    """
    if len(labels) > MAX_LABELS:
        raise InvalidValue(
            f"labels has {len(labels)} members; expected at most {MAX_LABELS}."
        )
    for key, value in labels.items():
        if not _KEY.fullmatch(key):
            raise InvalidValue(
                f"The key of a label is {quoted(key)}; expected 1 to "
                f"{LABEL_KEY_LENGTH} ASCII letters, digits and `._/-`."
            )
        check_length(f"The value of the label {key!r}", value, LABEL_VALUE_LENGTH)
        if any(unicodedata.category(char) in {"Cc", "Cs"} for char in value):
            raise InvalidValue(
                f"The value of the label {key!r} is {quoted(value)}; expected a text "
                "without control characters."
            )


def has_all(labels: Labels, wanted: Collection[Label]) -> bool:
    """Whether all wanted labels are among these."""
    return all(labels.get(label.key) == label.value for label in wanted)


def valid_labels(_: object, attribute: Attribute[Labels], value: Labels) -> None:
    """Check labels (an attrs validator).

    Raises:
        InvalidValue: As :func:`check_labels`.
    """
    del attribute
    check_labels(value)


def difference(before: Labels, after: Labels) -> Mapping[str, str | None]:
    """Return the merge patch that makes the labels after of those before."""
    removed = dict.fromkeys(before.keys() - after.keys())
    changed = {key: v for key, v in after.items() if before.get(key) != v}
    return {**removed, **changed}


def merged(labels: Labels, patch: LabelPatch) -> Labels:
    """Return labels after a patch.

    Raises:
        InvalidValue: As :func:`check_labels`, about the result.
    """
    if patch is None:
        return {}
    changed = {**labels, **patch}
    after = {key: value for key, value in changed.items() if value is not None}
    check_labels(after)
    return after
