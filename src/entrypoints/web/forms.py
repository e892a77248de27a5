"""Forms made from what a workflow declares, and read back into parameters.

Rule of the file: it converts and judges nothing. A text becomes the JSON value that
it spells for its input; where it spells none, it stays a text, and the domain reports
what it expected.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import parse_qs

from attrs import field, frozen

from galaxy_jobs.domain.model.values import Json
from galaxy_jobs.domain.model.workflow import InputKind, WorkflowInput
from galaxy_jobs.entrypoints import wording
from galaxy_jobs.entrypoints.api.problems import Refused
from galaxy_jobs.entrypoints.typed_text import text_of, value_of
from galaxy_jobs.entrypoints.web.render import AnyRequest


MAX_FIELDS = 1000
"""Fields that a form may have."""

_KINDS: Mapping[InputKind, str] = {
    InputKind.BOOLEAN: "boolean",
    InputKind.COLLECTION: "collection",
    InputKind.COLOR: "color",
    InputKind.DATA: "data",
    InputKind.FLOAT: "number",
    InputKind.INTEGER: "integer",
    InputKind.TEXT: "string",
}
"""The kinds of inputs as :mod:`galaxy_jobs.entrypoints.wording` calls them."""

_SELF_EXPLANATORY = {InputKind.BOOLEAN, InputKind.OTHER, InputKind.TEXT}
"""Kinds of inputs whose fields need no hint."""


@frozen
class Form:
    """A form as a browser sent it: texts by the names of fields."""

    fields: Mapping[str, Sequence[str]] = field(factory=dict[str, Sequence[str]])

    @classmethod
    def read(cls, body: bytes) -> Form:
        """Read a URL-encoded body.

        Litestar's own reader keeps the last thousand bodies in memory, tokens that
        were typed into the sign-in form included.

        Raises:
            Refused: It is no form, or a text contains NUL.
        """
        try:
            fields = parse_qs(
                body.decode("ascii"),
                keep_blank_values=True,
                errors="strict",
                max_num_fields=MAX_FIELDS,
            )
        except ValueError:
            fields = {"\0": [""]}
        if any("\0" in text for name in fields for text in (name, *fields[name])):
            raise Refused("malformed-request", "The body is not a form of this page.")
        return cls(fields)

    def get(self, name: str) -> str:
        """Return the last text of a field; empty if it was not sent."""
        return self.getall(name)[-1] if self.getall(name) else ""

    def getall(self, name: str) -> Sequence[str]:
        """Return every text of a field."""
        return self.fields.get(name, ())


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
    return Form.read(await request.body())


@frozen(kw_only=True)
class Field:
    """A field of a form, as a template shows it.

    Attributes:
        id: In the page.
        name: In the form.
        label: For people.
        kind: How it is shown: ``text``, ``number``, ``lines``, ``color``,
            ``check``, ``select``, ``several`` or ``dataset``.
        texts: What it contains.
        options: What may be chosen.
        required: Whether it may not be left empty.
        minimum: The least number, or None.
        maximum: The greatest number, or None.
        step: For numbers.
        hint: What it takes, in words.
        help: The explanation by the workflow's author.
        error: What was wrong with what was sent, or None.
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
        """Its text, where it has one at most."""
        return self.texts[-1] if self.texts else ""


def fields(
    inputs: Sequence[WorkflowInput],
    *,
    form: Form | None,
    earlier: Mapping[str, Json],
    problems: Mapping[str, str],
) -> Sequence[Field]:
    """Return a field for each input.

    Args:
        inputs: Those that parameters may fill.
        form: What was sent and is shown again, or None.
        earlier: The parameters of an earlier job, shown where nothing was sent.
        problems: What is wrong, by the names of inputs.
    """
    return [
        Field(
            id=f"p{number}",
            name=_name(input_),
            label=input_.name,
            kind=_kind(input_),
            texts=_texts(input_, earlier)
            if form is None
            else form.getall(_name(input_)),
            options=_options(input_),
            required=input_.required,
            minimum=input_.minimum,
            maximum=input_.maximum,
            step="1" if input_.kind is InputKind.INTEGER else "any",
            hint=_hint(input_),
            help=input_.annotation,
            error=problems.get(input_.name),
        )
        for number, input_ in enumerate(inputs)
    ]


def parameters(
    inputs: Sequence[WorkflowInput], form: Form, earlier: Mapping[str, Json]
) -> dict[str, Json]:
    """Return the parameters in a form.

    A field that was left empty gives none, so that the workflow's default holds.
    Where the earlier job was given something, the default is given explicitly: a
    rerun keeps what is not named.
    """
    values: dict[str, Json] = {}
    for input_ in inputs:
        texts = form.getall(_name(input_))
        if _kind(input_) == "lines":
            texts = [line for text in texts for line in text.splitlines()]
        elif _kind(input_) == "check":
            texts = texts[-1:]  # before it, a hidden field says false
        # A value that was shown spells itself, whatever else it looks like.
        shown = (*input_.options, earlier.get(input_.name))
        types = _types(input_)
        spelled = [value_of(text, types, shown) for text in texts if text]
        if spelled:
            several = input_.multiple and not input_.kind.is_data
            values[input_.name] = spelled if several else spelled[-1]
        elif input_.name in earlier:
            values[input_.name] = input_.default
    return values


def _name(input_: WorkflowInput) -> str:
    # With a prefix: a workflow may call an input `dataset_id`.
    return f"p.{input_.name}"


def _types(input_: WorkflowInput) -> set[str]:
    match input_.kind:
        case InputKind.OTHER:
            return set()
        case InputKind.COLOR:
            return {"string"}
        case kind:
            return {"data"} if kind.is_data else {_KINDS[kind]}


def _kind(input_: WorkflowInput) -> str:
    if input_.kind.is_data:
        return "dataset"
    if input_.options:
        return "several" if input_.multiple else "select"
    if input_.multiple:
        return "lines"
    match input_.kind:
        case InputKind.BOOLEAN:
            # A box is ticked or not: a third answer, neither, needs a list.
            return "select" if input_.optional and input_.default is None else "check"
        case InputKind.INTEGER | InputKind.FLOAT:
            return "number"
        case InputKind.COLOR:
            return "color" if input_.required or input_.default else "text"
        case _:
            return "text"


def _options(input_: WorkflowInput) -> Sequence[str]:
    if input_.kind is InputKind.BOOLEAN:
        return ["true", "false"]
    return [text_of(option) for option in input_.options]


def _texts(input_: WorkflowInput, earlier: Mapping[str, Json]) -> Sequence[str]:
    value = earlier.get(input_.name, input_.default)
    if value is None:
        return ()
    if input_.multiple and isinstance(value, Sequence) and not isinstance(value, str):
        texts = [text_of(element) for element in value]
        return texts if input_.options else ["\n".join(texts)]
    return [text_of(value)]


def _hint(input_: WorkflowInput) -> str:
    parts = []
    if not input_.options and input_.kind not in _SELF_EXPLANATORY:
        parts.append(
            wording.takes(
                _KINDS.get(input_.kind),
                minimum=input_.minimum,
                maximum=input_.maximum,
                formats=input_.formats,
                collection_type=input_.collection_type,
            )
        )
    if _kind(input_) == "lines":
        parts.append("one per line")
    if input_.default is not None:
        parts.append(f"default {text_of(input_.default)}")
    elif input_.optional:
        parts.append("optional")
    return ", ".join(parts)
