"""Forms made from what a workflow declares, and read back into parameters.

Rule of the file: it converts and judges nothing. A text becomes the JSON value that
it spells for its input; where it spells none, it stays a text, and the domain reports
what it expected.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TypeAlias
from urllib.parse import parse_qsl

from attrs import frozen
from litestar.datastructures import ImmutableMultiDict

from galaxy_jobs.domain import InputKind, Json, WorkflowInput
from galaxy_jobs.domain.errors import InvalidValue
from galaxy_jobs.domain.model.workflow_input import checked
from galaxy_jobs.entrypoints import wording
from galaxy_jobs.entrypoints.api.problems import Refused
from galaxy_jobs.entrypoints.typed_text import text_of, value_of
from galaxy_jobs.entrypoints.web.render import AnyRequest


Form: TypeAlias = ImmutableMultiDict[str]
"""A form as a browser sent it: texts by the names of fields."""

_FREE_TEXTS = frozenset({InputKind.TEXT, InputKind.DIRECTORY})

MAX_FIELDS = 1000
"""Fields that a form may have."""

_FORM = re.compile(rb"[\w*.~+%&=-]*")
"""What browsers send and do not encode. Anything else, a raw quotation mark say, could
take five times as much space in the page that shows it again."""

_TYPES: Mapping[InputKind, str] = {
    InputKind.BOOLEAN: "boolean",
    InputKind.COLLECTION: "collection",
    InputKind.COLOR: "color",
    InputKind.DATA: "data",
    InputKind.DIRECTORY: "string",
    InputKind.FLOAT: "number",
    InputKind.INTEGER: "integer",
    InputKind.TEXT: "string",
}
"""The kinds of inputs, as typed text and wording name them."""


async def form_of(request: AnyRequest) -> Form:
    """Return the form that was sent (a dependency of routes).

    Raises:
        Refused: The body is no form.
    """
    media_type, _, _ = request.headers.get("content-type", "").partition(";")
    if media_type.strip().lower() != "application/x-www-form-urlencoded":
        raise Refused(
            "unsupported-media-type",
            f"Content-Type is {media_type!r}; expected a form of this page.",
        )
    return read(await request.body())


def read(body: bytes) -> Form:
    """Read a URL-encoded body.

    Litestar's own reader keeps the last thousand bodies in memory, tokens that were
    typed into the sign-in form included.

    Raises:
        Refused: It is no form, or a text contains NUL.
    """
    with suppress(ValueError):
        fields = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=MAX_FIELDS,
        )
        if _FORM.fullmatch(body) and not any(
            "\0" in text for field in fields for text in field
        ):
            return ImmutableMultiDict(fields)
    raise Refused("malformed-request", "The body is not a form of this page.")


@frozen(kw_only=True)
class Field:
    """The field of a form for an input; contains *value* until *form* is sent."""

    id: str
    input: WorkflowInput
    form: Form | None = None
    value: Json = None
    required: bool = False

    @property
    def name(self) -> str:
        """Its name in the form: a workflow may name an input `dataset_id`."""
        return f"p.{self.input.name}"

    @property
    def kind(self) -> str:
        """How it is shown.

        ``text``, ``number``, ``color``, ``check``, ``select``, ``dataset``, and for
        several values ``lines`` (one in each) or ``several`` (of its options).
        """
        if self.input.kind.is_data:
            return "dataset"
        if self.input.options:
            return "several" if self.input.multiple else "select"
        if self.input.multiple:
            return "lines"
        match self.input.kind:
            case InputKind.BOOLEAN:
                # A box is ticked or not: a third answer, neither, needs a list.
                is_open = self.input.optional or self.input.default is None
                return "select" if is_open else "check"
            case InputKind.INTEGER | InputKind.FLOAT:
                return "number"
            case InputKind.COLOR if self.input.required or self.input.default:
                return "color"
            case _:
                return "text"

    @property
    def options(self) -> Sequence[tuple[str, str]]:
        """What can be chosen: texts, and labels for people."""
        texts = [*map(text_of, self.input.options or (True, False))]
        return [*zip(texts, self.input.labels or texts, strict=True)]

    @property
    def several(self) -> bool:
        """Whether it takes several values."""
        return self.kind in {"lines", "several"}

    @property
    def choices(self) -> Mapping[str, str]:
        """What a text may be, in words: its default, the empty text, or what is typed.

        Empty if it can only be typed.
        """
        if self.kind != "text" or self.input.kind not in _FREE_TEXTS:
            return {}
        default = self.input.default
        choices = {}
        if default is not None or self.input.optional:
            shown = f"default: {text_of(default)}"
            choices["default"] = "not set" if default is None else shown
        with suppress(InvalidValue):
            checked(self.input, "")
            if default != "":
                choices["empty"] = "the empty text"
        return {**choices, "given": "this text:"} if choices else {}

    @property
    def choice(self) -> str:
        """Which of the choices it is."""
        if self.form is not None:
            return self.form.get(f"c.{self.input.name}", "given")
        if self.value == self.input.default and "default" in self.choices:
            return "default"
        return "empty" if self.value == "" else "given"

    @property
    def texts(self) -> Sequence[str]:
        """What it contains."""
        if self.form is not None:
            return self.form.getall(self.name, [])
        if self.value is None:
            return []
        values = [self.value]
        if self.several and isinstance(self.value, list | tuple):
            values = [*self.value]
        texts = [*map(text_of, values)]
        return ["\n".join(texts)] if self.kind == "lines" else texts

    @property
    def is_emptied(self) -> bool:
        """Whether nothing was left of a list that has a default."""
        given = self.form.getall(self.name, []) if self.form else []
        return self.several and self.input.default is not None and given == [""]

    @property
    def takes(self) -> str:
        """What it takes, in words; empty where the field itself shows that."""
        type_ = _TYPES.get(self.input.kind)
        if self.input.options or type_ in {None, "boolean", "string"}:
            return ""
        return wording.takes(
            type_,
            minimum=self.input.minimum,
            maximum=self.input.maximum,
            exclusive_minimum=self.input.exclusive_minimum,
            exclusive_maximum=self.input.exclusive_maximum,
            formats=self.input.formats,
            collection_type=self.input.collection_type,
        )

    def values(self) -> Sequence[Json]:
        """Return the values in its texts; none, if it was left empty."""
        texts = self.texts
        if self.kind == "lines":
            texts = [line for text in texts for line in text.splitlines()]
        elif self.kind != "several":
            texts = texts[-1:]  # before that of a box, a hidden field sends false
        if self.choices and self.choice == "empty":
            return [""]
        # Without scripts, the choice is not moved by typing.
        if self.choices and self.choice == "default":
            texts = [text for text in texts if text != text_of(self.input.default)]
        unset = self.kind == "select" and self.input.optional and texts == [""]
        if unset and self.input.default is not None:
            return [None]
        types = {type_} if (type_ := _TYPES.get(self.input.kind)) else ()
        # A value that was shown is spelled by its text, whatever that looks like.
        shown = (*self.input.options, self.value)
        return [value_of(text, types, shown) for text in texts if text]
