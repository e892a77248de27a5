"""Bodies of requests, decoded strictly.

Litestar itself would convert (``"true"`` to true) and would not tell what it
converted, so a body is decoded by msgspec alone. Of two members with one name, the
last one counts; integers may exceed 64 bits.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, ClassVar, TypeVar

import msgspec
from litestar import Request
from litestar.dto import MsgspecDTO
from litestar.openapi.spec import Reference, Schema
from litestar.typing import FieldDefinition
from msgspec import Struct

from galaxy_jobs.domain.errors import shortened
from galaxy_jobs.entrypoints.api.problems import Refused, malformed


T = TypeVar("T", bound=Struct)

MAX_DEPTH = 32
"""The number of levels that a body may be nested."""

MAX_BRACKETS = 70_000
"""The number of opening brackets in a body, those in texts included. More do not fit
into the `parameters` of a job, and would take half a second to decode."""

_PATH = re.compile(r" - at `\$\.?(.*)`$")
_FIELD = re.compile(r"field `(.*?)`")
_BRACKETS = bytes.maketrans(b"{}", b"[]")
_OTHERS = bytes(set(range(256)) - set(b"[]{}"))
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


class Strict(MsgspecDTO[T]):
    """Makes Litestar decode a body strictly: ``dto=Strict[Model]``."""

    content_type: ClassVar[str | None] = None
    """The only type that is taken; None: every type of JSON."""

    def decode_bytes(self, value: bytes) -> T:
        """Decode a body, as :func:`decode` does."""
        sent = self.asgi_connection.headers.get("content-type")
        check_content_type(sent, self.content_type)
        return decode(value, self.model_type)

    @classmethod
    def create_openapi_schema(
        cls, field_definition: FieldDefinition, handler_id: str, schema_creator: Any
    ) -> Reference | Schema:
        """Describe the body by its model."""
        del field_definition, handler_id
        model = FieldDefinition.from_annotation(cls.model_type)
        described: Reference | Schema = schema_creator.for_field_definition(model)
        return described


class MergePatch(Strict[T]):
    """As :class:`Strict`, for a merge patch (RFC 7396) and no other body."""

    content_type = "application/merge-patch+json"


class _Nothing(Struct, forbid_unknown_fields=True):
    """The body of a request that takes none."""


NO_BODY = "no_body"
"""Option of a route that decodes no body."""


async def refuse_members(request: Request[Any, Any, Any]) -> None:
    """Refuse a body with any member: what it asks for would not be done."""
    if body := await request.body():
        check_content_type(request.headers.get("content-type"))
        decode(body, _Nothing)


def check_content_type(content_type: str | None, only: str | None = None) -> None:
    """Refuse a body that claims to be anything but JSON.

    A page of another site can make a browser send forms and plain text without
    asking, but not ``application/json``.

    Args:
        content_type: As it was sent; None: it was not.
        only: The only type that is taken; None: every type of JSON.
    """
    expected = only or "application/json"
    media = (content_type or expected).partition(";")[0].strip().lower()
    if media != expected and (only is not None or not media.endswith("+json")):
        raise Refused(
            "unsupported-media-type",
            f"Content-Type is {media!r}; expected {expected!r}.",
            headers={"Accept": expected},
        )


def decode(body: bytes, model: type[T]) -> T:
    """Return the value of *model* that a body holds.

    Raises:
        Refused: It holds none: ``malformed-request``, with the ``field`` at fault.
    """
    if body.count(b"[") + body.count(b"{") > MAX_BRACKETS:
        raise malformed("The body has too many lists and objects.")
    try:
        value: T | None = _decoder(model).decode(body)
    except msgspec.ValidationError as error:
        raise _misfit(str(error), model) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise malformed(f"The body is not JSON: {error}. Expected an object.") from None
    except RecursionError:
        value = None
    if value is None or _depth_exceeds(body, MAX_DEPTH):
        raise malformed(
            f"The body is nested too deep; the limit is {MAX_DEPTH} levels."
        )
    if rb"\u0000" in body and _NUL.search(body):
        raise malformed("The body contains a NUL, which cannot be stored.")
    return value


@lru_cache
def _decoder(model: type[T]) -> msgspec.json.Decoder[T]:
    return msgspec.json.Decoder(model)


def _misfit(message: str, model: type[Struct]) -> Refused:
    """Return the refusal of a body of which msgspec says that it does not fit."""
    at, names = _PATH.search(message), _FIELD.findall(message)
    for name in names:
        message = message.replace(name, shortened(name))
    field = ".".join(filter(None, (at[1] if at else "", *map(shortened, names))))
    if "unknown field" in message and not at:
        known = ", ".join(model.__struct_encode_fields__)
        message = f"{message}; its fields are: {known}"
    extra = {"field": field} if field else {}
    return malformed(f"The body does not fit: {message}.", **extra)


def _depth_exceeds(body: bytes, levels: int) -> bool:
    """Whether JSON is nested deeper; walking through its values would take longer."""
    unescaped = body.replace(rb"\\", b"").replace(rb"\"", b"")
    outside_strings = b"".join(unescaped.split(b'"')[::2])
    brackets = outside_strings.translate(_BRACKETS, _OTHERS)
    while brackets and levels:
        brackets, levels = brackets.replace(b"[]", b""), levels - 1
    return bool(brackets)
