"""Forms made from what a workflow declares, and read back into parameters.

Rule of the file: it converts and judges nothing. A text becomes the JSON value that
it spells for its input; where it spells none, it stays a text, and the domain reports
what it expected.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
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

_TYPES: Mapping[InputKind, Collection[str]] = {
    InputKind.BOOLEAN: {"boolean"},
    InputKind.COLLECTION: {"data"},
    InputKind.COLOR: {"string"},
    InputKind.DATA: {"data"},
    InputKind.FLOAT: {"number"},
    InputKind.INTEGER: {"integer"},
    InputKind.OTHER: (),
    InputKind.TEXT: {"string"},
}
"""What the kinds of inputs take, by the types of typed text."""

_EXPLAINED: Mapping[InputKind, str] = {
    InputKind.COLLECTION: "collection",
    InputKind.COLOR: "color",
    InputKind.DATA: "data",
    InputKind.FLOAT: "number",
    InputKind.INTEGER: "integer",
}
"""The kinds of inputs whose hint names accepted values, by their names in wording."""

SEVERAL = {"lines", "several"}
"""Kinds of fields that take several values."""


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
    """The field of a form for an input of a workflow.

    Attributes:
        id: Of its element in the page.
        input: The input.
        sent: The texts that were sent; None: the form was not sent yet.
        value: What it contains until then; None: nothing.
        error: What is wrong with what was sent, or None.
    """

    id: str
    input: WorkflowInput
    sent: Sequence[str] | None = None
    value: Json = None
    error: str | None = None

    @property
    def name(self) -> str:
        """Its name in the form."""
        return name_of(self.input)

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
                unset = self.input.optional and self.input.default is None
                return "select" if unset else "check"
            case InputKind.INTEGER | InputKind.FLOAT:
                return "number"
            case InputKind.COLOR if self.input.required or self.input.default:
                return "color"
            case _:
                return "text"

    @property
    def options(self) -> Sequence[str]:
        """The texts of the values to choose from."""
        boolean = self.input.kind is InputKind.BOOLEAN
        return [*map(text_of, (True, False) if boolean else self.input.options)]

    @property
    def texts(self) -> Sequence[str]:
        """What it contains."""
        if self.sent is not None:
            return self.sent
        if self.value is None:
            return ()
        values = [self.value]
        if self.kind in SEVERAL and isinstance(self.value, list | tuple):
            values = [*self.value]
        texts = [*map(text_of, values)]
        return ["\n".join(texts)] if self.kind == "lines" else texts

    @property
    def text(self) -> str:
        """What it contains, where that is one text."""
        return self.texts[-1] if self.texts else ""

    @property
    def hint(self) -> str:
        """What it takes, in words."""
        parts = []
        if not self.input.options and self.input.kind in _EXPLAINED:
            parts.append(
                wording.takes(
                    _EXPLAINED[self.input.kind],
                    minimum=self.input.minimum,
                    maximum=self.input.maximum,
                    formats=self.input.formats,
                    collection_type=self.input.collection_type,
                )
            )
        if self.kind == "lines":
            parts.append("one per line")
        if self.input.default is not None:
            parts.append(f"default {text_of(self.input.default)}")
        else:
            parts.append("required" if self.input.required else "optional")
        return ", ".join(parts)

    def values(self) -> Sequence[Json]:
        """Return the values that were sent; none, if it was left empty."""
        texts = self.sent or ()
        if self.kind == "lines":
            texts = [line for text in texts for line in text.splitlines()]
        elif self.kind != "several":
            texts = texts[-1:]  # before that of a box, a hidden field sends false
        # A value that was shown is spelled by its text, whatever that looks like.
        shown = (*self.input.options, self.value)
        return [
            value_of(text, _TYPES[self.input.kind], shown) for text in texts if text
        ]


def name_of(input_: WorkflowInput) -> str:
    """Return the name of an input's field: a workflow may name one `dataset_id`."""
    return f"p.{input_.name}"


def parameters(fields: Iterable[Field], earlier: Mapping[str, Json]) -> dict[str, Json]:
    """Return the parameters in a form.

    A field that was left empty gives none, so that the workflow's default holds.
    Where the earlier job was given something, the default is given explicitly: a
    rerun keeps what is not named.
    """
    parameters: dict[str, Json] = {}
    for entry in fields:
        values = entry.values()
        if values:
            several = entry.kind in SEVERAL
            parameters[entry.input.name] = [*values] if several else values[-1]
        elif entry.input.name in earlier:
            parameters[entry.input.name] = entry.input.default
    return parameters
