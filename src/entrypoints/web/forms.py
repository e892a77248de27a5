"""Forms made from what a workflow declares, and read back into parameters.

Rule of the file: it translates and judges nothing. What was typed becomes the
JSON value that it spells; where it spells none of the input's kind, it goes on as
the text it is, and the domain says what it expected instead.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs

from attrs import field, frozen

from galaxy_jobs.domain.model.values import Json
from galaxy_jobs.domain.model.workflow import InputKind, WorkflowInput
from galaxy_jobs.entrypoints.api import strict
from galaxy_jobs.entrypoints.api.problems import Refused
from galaxy_jobs.entrypoints.web import wording


FIELDS = 1000
"""How many fields a form may have."""

_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")

_ABSENT: Any = object()


@frozen
class Form:
    """What a browser has sent: texts by the names of fields."""

    texts: Mapping[str, Sequence[str]] = field(factory=dict[str, Sequence[str]])

    @classmethod
    def read(cls, body: bytes) -> Form:
        """Read a URL-encoded body.

        Not Litestar's reader: it keeps the last thousand bodies in memory, tokens
        that were typed into the sign-in form included.

        Raises:
            Refused: It is not one, or holds what no text can (NUL).
        """
        try:
            texts = parse_qs(
                body.decode("ascii"),
                keep_blank_values=True,
                errors="strict",
                max_num_fields=FIELDS,
            )
        except ValueError:
            texts = {"\0": [""]}
        if any("\0" in one for name, found in texts.items() for one in (name, *found)):
            raise Refused("malformed-request", "This is no form that we have sent.")
        return cls(texts)

    def one(self, name: str) -> str:
        """Return what was put in a field; empty if it is not there."""
        return self.all(name)[-1] if self.all(name) else ""

    def all(self, name: str) -> Sequence[str]:
        """Return everything that was put in a field."""
        return self.texts.get(name, ())


@frozen(kw_only=True)
class Field:
    """A field of a form, as a template shows it.

    Attributes:
        id: In the page.
        name: In the form.
        label: For people.
        kind: How it is shown: ``text``, ``number``, ``lines``, ``color``,
            ``check``, ``select``, ``several`` or ``dataset``.
        texts: What stands in it.
        options: What may be chosen.
        required: Whether it may not be left empty.
        minimum: The least number, or None.
        maximum: The greatest number, or None.
        step: For numbers.
        hint: What it takes, in words.
        help: What the workflow's author says of it.
        error: What was wrong with what was sent.
    """

    id: str
    name: str
    label: str
    kind: str
    texts: Sequence[str] = ()
    options: Sequence[str] = ()
    required: bool = False
    minimum: float | None = None
    maximum: float | None = None
    step: str = "any"
    hint: str = ""
    help: str = ""
    error: str | None = None

    @property
    def text(self) -> str:
        """The one text that stands in it."""
        return self.texts[-1] if self.texts else ""


def fields(
    inputs: Sequence[WorkflowInput],
    *,
    entered: Form | None,
    earlier: Mapping[str, Json],
    problems: Mapping[str, str],
) -> Sequence[Field]:
    """Return a field for each input.

    Args:
        inputs: Those that parameters may fill.
        entered: What was sent and is shown again; None: nothing was.
        earlier: What an earlier job was given, shown where nothing was sent.
        problems: What is wrong, by the names of inputs.
    """
    return [
        Field(
            id=f"p{number}",
            name=_name(one),
            label=one.name,
            kind=_kind(one),
            texts=_texts(one, entered, earlier),
            options=_options(one),
            required=one.required,
            minimum=one.minimum,
            maximum=one.maximum,
            step="1" if one.kind is InputKind.INTEGER else "any",
            hint=_hint(one),
            help=one.annotation,
            error=problems.get(one.name),
        )
        for number, one in enumerate(inputs)
    ]


def parameters(
    inputs: Sequence[WorkflowInput], form: Form, earlier: Mapping[str, Json]
) -> dict[str, Json]:
    """Return the parameters that a form says.

    A field that was left empty says nothing, so that the workflow's default holds.
    Where an earlier job was given something there, the default is said aloud: a
    rerun keeps what is not named.
    """
    said: dict[str, Json] = {}
    for one in inputs:
        value = _value(one, form.all(_name(one)))
        if value is not _ABSENT:
            said[one.name] = value
        elif one.name in earlier:
            said[one.name] = one.default
    return said


def _name(one: WorkflowInput) -> str:
    # Not the bare name: a workflow may call an input `dataset_id`.
    return f"p.{one.name}"


def _kind(one: WorkflowInput) -> str:
    if one.kind.is_data:
        return "dataset"
    if one.options:
        return "several" if one.multiple else "select"
    if one.multiple:
        return "lines"
    match one.kind:
        case InputKind.BOOLEAN:
            # A box is ticked or not; where neither may be said, there are three.
            return "select" if one.optional and one.default is None else "check"
        case InputKind.INTEGER | InputKind.FLOAT:
            return "number"
        case InputKind.COLOR:
            return "color" if one.required or one.default else "text"
        case _:
            return "text"


def _options(one: WorkflowInput) -> Sequence[str]:
    if one.kind is InputKind.BOOLEAN:
        return ["true", "false"]
    return [wording.text(option) for option in one.options]


def _texts(
    one: WorkflowInput, entered: Form | None, earlier: Mapping[str, Json]
) -> Sequence[str]:
    if entered is not None:
        return entered.all(_name(one))
    value = earlier.get(one.name, one.default)
    if value is None:
        return ()
    if one.multiple and isinstance(value, Sequence) and not isinstance(value, str):
        texts = [wording.text(single) for single in value]
        return texts if one.options else ["\n".join(texts)]
    return [wording.text(value)]


def _value(one: WorkflowInput, texts: Sequence[str]) -> Any:
    if _kind(one) == "lines":
        texts = [line for text in texts for line in text.splitlines()]
    if _kind(one) == "check":
        texts = texts[-1:]  # before it, a hidden field says false
    filled = [text for text in texts if text != ""]
    if not filled:
        return _ABSENT
    values = [_spelt(one, text) for text in filled]
    return values if one.multiple and not one.kind.is_data else values[-1]


def _spelt(one: WorkflowInput, text: str) -> Json:
    """Return the value of an input's kind that a text spells, or the text."""
    for option in one.options:
        if wording.text(option) == text:
            return option
    match one.kind:
        case InputKind.BOOLEAN:
            return {"true": True, "false": False}.get(text, text)
        case InputKind.INTEGER | InputKind.FLOAT:
            return _number(text.strip())
        case InputKind.DATA | InputKind.COLLECTION:
            return _data(text.strip())
        case _:
            return text


def _number(text: str) -> Json:
    if _WHOLE.fullmatch(text):
        return int(text)
    if _NUMBER.fullmatch(text) and abs(float(text)) != float("inf"):
        return float(text)
    return text


def _data(text: str) -> Json:
    """Return a registered dataset by its id, or what JSON says instead."""
    if text.startswith("{"):
        try:
            value: Json = strict.parse(text.encode())
        except strict.Malformed:
            return text
        return value
    return {"dataset_id": text}


_TAKES: Mapping[InputKind, str] = {
    InputKind.DATA: "a dataset's id",
    InputKind.COLLECTION: "the id of a dataset that is a collection",
    InputKind.INTEGER: "a whole number",
    InputKind.FLOAT: "a number",
    InputKind.COLOR: "a color such as #1f6feb",
}


def _hint(one: WorkflowInput) -> str:
    default = "" if one.required else "may be left empty"
    if one.default is not None:
        default = f"default {wording.text(one.default)}"
    said = (
        "" if one.options else _TAKES.get(one.kind, ""),
        "one on each line" if _kind(one) == "lines" else "",
        _range(one.minimum, one.maximum),
        f"format {' or '.join(one.formats)}" if one.formats else "",
        one.collection_type,
        default,
    )
    return ", ".join(part for part in said if part)


def _range(low: float | None, high: float | None) -> str:
    if low is not None and high is not None:
        return f"{wording.number(low)} to {wording.number(high)}"
    if low is not None:
        return f"at least {wording.number(low)}"
    return "" if high is None else f"at most {wording.number(high)}"
