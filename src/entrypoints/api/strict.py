"""Bodies of requests: strict JSON, and nothing in it that nobody reads.

Rule of the file: whatever bytes arrive, the outcome is a value of the type
asked for or a :class:`Refused` that names the field, what was read and what is
expected. Litestar's own reading takes ``"true"`` for true and drops unknown
fields without a word, so it is not used.
"""

from __future__ import annotations

import json
import types
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import (
    Annotated,
    Any,
    Literal,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import attrs
from litestar.dto import AbstractDTO, DTOFieldDefinition
from litestar.openapi.spec import Operation, Reference, RequestBody, Schema
from litestar.typing import FieldDefinition

from galaxy_jobs.entrypoints.api.problems import Refused


T = TypeVar("T")

DEPTH = 32
"""How deep a body may be nested; what recurses over it later is safe with that."""

WHOLE = 2**63
"""Integers below this, and above its negative, are taken: what 64 bits hold."""


class Malformed(Refused):
    """A body that is not what was asked for."""

    def __init__(self, detail: str, field: str | None = None) -> None:
        super().__init__(
            "malformed-request", detail, extra={"field": field} if field else {}
        )


class Strict(AbstractDTO[T]):
    """Makes Litestar read a body as this module does: ``dto=Strict[Model]``."""

    def decode_bytes(self, value: bytes) -> T:
        """Read a body.

        Raises:
            Refused: It is not one.
        """
        check_content_type(self.asgi_connection.headers.get("content-type"))
        return read(value, self.model_type)

    @classmethod
    def create_for_field_definition(cls, *args: Any, **kwargs: Any) -> None:
        """Make no machinery: there is none behind this."""

    @classmethod
    def is_supported_model_type_field(cls, field_definition: FieldDefinition) -> bool:
        """Say that it reads every body that it is put on."""
        return field_definition.name == "data"

    @classmethod
    def create_openapi_schema(
        cls, field_definition: FieldDefinition, handler_id: str, schema_creator: Any
    ) -> Reference | Schema:
        """Describe the body by its model."""
        del field_definition, handler_id
        described: Reference | Schema = schema_creator.for_field_definition(
            FieldDefinition.from_annotation(cls.model_type)
        )
        for model in _models(cls.model_type):
            reference = schema_creator.for_field_definition(
                FieldDefinition.from_annotation(model)
            )
            registered = schema_creator.schema_registry.from_reference(reference)
            registered.schema.additional_properties = False
        return described

    @classmethod
    def generate_field_definitions(
        cls, model_type: type[Any]
    ) -> Generator[DTOFieldDefinition]:
        """Not used: the model is read field by field."""
        raise NotImplementedError

    @classmethod
    def detect_nested_field(cls, field_definition: FieldDefinition) -> bool:
        """Not used."""
        raise NotImplementedError


@dataclass
class WithoutBody(Operation):
    """Documents a route whose body may be left out (``operation_class=``)."""

    def __post_init__(self) -> None:
        """Say so: Litestar would call it required."""
        if isinstance(self.request_body, RequestBody):
            self.request_body.required = False


def check_content_type(given: str | None) -> None:
    """Refuse a body that says it is something else than JSON.

    A page of another site can make a browser send forms and plain text without
    asking, but not ``application/json``.

    Raises:
        Refused: It is another.
    """
    media = (given or "application/json").partition(";")[0].strip().lower()
    if media != "application/json" and not media.endswith("+json"):
        raise Refused(
            "unsupported-media-type",
            f"Content-Type is {media!r}; expected 'application/json'.",
            headers={"Accept": "application/json"},
        )


def read(body: bytes, model: type[T]) -> T:
    """Return the value of *model* that a body spells.

    Raises:
        Malformed: It spells none.
    """
    value: T = _fit(parse(body), model, "")
    return value


def parse(body: bytes) -> Any:
    """Return what a body says in JSON.

    Stricter than most: one meaning only (no name twice in an object), nothing
    that cannot be stored or sent on (NaN, numbers beyond 64 bits, NUL and halves
    of characters in texts), nothing nested without end.

    Raises:
        Malformed: It is not such JSON.
    """
    try:
        value = json.loads(
            body.decode(),
            object_pairs_hook=_unique,
            parse_constant=_no_number,
            parse_float=_finite,
            parse_int=_whole,
        )
    except UnicodeDecodeError as error:
        raise Malformed(
            f"The body is not UTF-8 (byte {error.start}); expected a JSON object."
        ) from None
    except json.JSONDecodeError as error:
        raise Malformed(
            f"The body is not JSON: {error.msg} at line {error.lineno}, column "
            f"{error.colno}."
        ) from None
    except RecursionError:
        raise _too_deep() from None
    _check(value, 0)
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise Malformed(f"{_shown(name)} stands twice in one object.", name)
        found[name] = value
    return found


def _no_number(text: str) -> Any:
    raise Malformed(f"{text} is not a number in JSON.")


def _finite(text: str) -> float:
    number = float(text)
    if number in {float("inf"), float("-inf")}:
        raise Malformed(f"{_shown(text)} is beyond the numbers that 64 bits can hold.")
    return number


def _whole(text: str) -> int:
    # Python itself refuses to read thousands of digits, with an error of its own.
    if len(text) > len(str(WHOLE)) + 1 or not -WHOLE <= int(text) < WHOLE:
        raise Malformed(f"{_shown(text)} is beyond the integers that 64 bits can hold.")
    return int(text)


def _too_deep() -> Malformed:
    return Malformed(f"The body is nested too deep; {DEPTH} levels are the most.")


def _check(value: Any, depth: int) -> None:
    """Refuse what cannot be stored, wherever it stands."""
    if depth > DEPTH:
        raise _too_deep()
    match value:
        case str():
            if not storable(value):
                raise Malformed(
                    f"{_shown(value)} has a character that cannot be stored (NUL, or "
                    "half a surrogate pair)."
                )
        case dict():
            for name, inner in value.items():
                _check(name, depth)
                _check(inner, depth + 1)
        case list():
            for inner in value:
                _check(inner, depth + 1)
        case _:
            pass


def storable(text: str) -> bool:
    """Say whether PostgreSQL can hold a text: no NUL, no half characters."""
    return "\0" not in text and not any("\ud800" <= one <= "\udfff" for one in text)


def _fit(value: Any, kind: Any, at: str) -> Any:
    """Return *value* as a *kind*.

    Args:
        value: From JSON.
        kind: An attrs class, or what its fields are annotated with.
        at: Where it stands in the body, such as ``source.id``.
    """
    if get_origin(kind) is Annotated:
        return _fit(value, get_args(kind)[0], at)
    if get_origin(kind) in {Union, types.UnionType}:
        return _fit(value, _member(value, get_args(kind), at), at)
    if attrs.has(kind):
        return _object(value, kind, at)
    if not _is(value, kind):
        raise _misfit(value, _wanted(kind), at)
    return value


def _is(value: Any, kind: Any) -> bool:
    if kind is Any:
        return True
    if get_origin(kind) is Literal:
        return isinstance(value, str) and value in get_args(kind)
    # Not isinstance(value, kind) alone: to Python, True is an integer.
    return type(value) is (get_origin(kind) or kind)


def _member(value: Any, kinds: tuple[Any, ...], at: str) -> Any:
    """Choose the member of a union that a value is to be read as.

    Objects are told apart by their ``src``.
    """
    if value is None and type(None) in kinds:
        return type(None)
    others = [kind for kind in kinds if kind is not type(None)]
    if len(others) == 1:
        return others[0]
    sources = {src: kind for kind in others for src in get_args(_fields(kind)["src"])}
    if not isinstance(value, dict):
        raise _misfit(value, "an object", at)
    if value.get("src") not in list(sources):
        known = Literal[tuple(sources)]  # type: ignore[valid-type]
        if "src" not in value:
            raise _missing("src", known, at)
        raise _misfit(value["src"], _wanted(known), _inner(at, "src"))
    return sources[value["src"]]


def _object(value: Any, kind: type[Any], at: str) -> Any:
    if not isinstance(value, dict):
        raise _misfit(value, "an object", at)
    fields = _fields(kind)
    for name in value:
        if name not in fields:
            raise Malformed(
                f"There is no field {_shown(_inner(at, name))}; there are: "
                f"{', '.join(fields)}.",
                _inner(at, name),
            )
    required = {one.name for one in attrs.fields(kind) if one.default is attrs.NOTHING}
    for name in fields:
        if name in required and name not in value:
            raise _missing(name, fields[name], at)
    return kind(
        **{
            name: _fit(inner, fields[name], _inner(at, name))
            for name, inner in value.items()
        }
    )


def _fields(kind: type[Any]) -> Mapping[str, Any]:
    """Return the types of a model's fields, by name and in order."""
    return get_type_hints(kind)


def _models(kind: Any) -> Iterator[type[Any]]:
    """Yield the models that a body is made of."""
    if attrs.has(kind):
        yield kind
        for inner in _fields(kind).values():
            yield from _models(inner)
    elif get_origin(kind) in {Annotated, Union, types.UnionType}:
        for inner in get_args(kind):
            yield from _models(inner)


def _inner(at: str, name: str) -> str:
    return f"{at}.{name}" if at else name


def _missing(name: str, kind: Any, at: str) -> Malformed:
    where = _inner(at, name)
    return Malformed(f"{where!r} is missing; expected {_wanted(kind)}.", where)


def _misfit(value: Any, wanted: str, at: str) -> Malformed:
    what = repr(at) if at else "The body"
    return Malformed(f"{what} is {_shown(value)}; expected {wanted}.", at or None)


def _wanted(kind: Any) -> str:
    """Say in words what is expected."""
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(repr(one) for one in get_args(kind))
    if get_origin(kind) in {Union, types.UnionType}:
        return " or ".join(
            "null" if one is type(None) else _wanted(one) for one in get_args(kind)
        )
    words: dict[Any, str] = {str: "a text", bool: "true or false"}
    return words.get(kind, "an object")


def _shown(value: Any) -> str:
    """Return a value as JSON, cut where it is long."""
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}…"  # noqa: PLR2004 - a line
