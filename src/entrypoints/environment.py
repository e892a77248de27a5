"""Settings that are environment variables, or lines of a ``.env`` file.

Rule of the file: it imports next to nothing, since client commands start at once.
A setting is a field of an attrs class, and has its name, default, form and meaning
there; README's table and the errors are made from them. A ``.env`` file may be another
person's: it never becomes part of the environment.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from attrs import AttrsInstance, field, fields, fields_dict, frozen


T = TypeVar("T", bound=AttrsInstance)

MAX_ENV_FILE = 64 * 2**10
"""Bytes of a ``.env`` file."""


class BadSetting(Exception):
    """A setting is missing or malformed; the message is one line for people."""


def setting(
    name: str,
    parse: Callable[[str], Any],
    default: Any = None,
    *,
    expected: str,
    meaning: str,
    unset: str | None = None,
    shown: Callable[[str], str] = repr,
    secrets: Collection[str] = (),
) -> Any:
    """Return a field that an environment variable sets.

    Args:
        name: The variable.
        parse: Returns the value of a text; raises ValueError where it has none.
        default: The value where it is not set, or an attrs `Factory` of it.
        expected: Its form, in words.
        meaning: Its use, in words.
        unset: The default in words, if it does not speak for itself.
        shown: Returns a bad text as it may be shown; for secrets, which are left
            out of the `repr`.
        secrets: The variables whose values are sent to this address.
    """
    metadata = {
        "name": name,
        "parse": parse,
        "expected": expected,
        "meaning": meaning,
        "unset": unset or str(default or "none"),
        "shown": shown,
        "secrets": secrets,
    }
    return field(default=default, repr=shown is repr, metadata=metadata)


def read(cls: type[T], env_file: Path | None = Path(".env")) -> T:
    """Return an instance of a class, with its settings read.

    The environment wins over the file, which need not exist and has ``NAME=value``
    lines, where names that are no setting are ignored. An empty value counts as not
    set.

    Raises:
        BadSetting: One is malformed, the file cannot be read, or an address is in the
            file and its secret in the environment, or the other way round.
    """
    settings = {field.name: about for field in fields(cls) if (about := field.metadata)}
    file = {} if env_file is None else _lines(env_file)
    names = [about["name"] for about in settings.values()]
    texts = {name: file.get(name) for name in names} | os.environ
    pairs = [(it["name"], other) for it in settings.values() for other in it["secrets"]]
    for pair in pairs:
        inside, outside = sorted(pair, key=os.environ.__contains__)
        mixed = inside not in os.environ and outside in os.environ
        if mixed and texts.get(inside) and texts.get(outside):
            raise BadSetting(
                f"{inside} is set in {env_file}, and {outside} in the environment; "
                "expected both in the same place, so that no secret is sent to an "
                "address that it is not for."
            )
    values = {}
    for field_name, about in settings.items():
        if text := texts.get(about["name"]):
            try:
                values[field_name] = about["parse"](text)
            except ValueError:
                shown, expected = about["shown"](text), about["expected"]
                message = f"{about['name']} is {shown}; expected {expected}."
                raise BadSetting(message) from None
    return cls(**values)


def _lines(path: Path) -> Mapping[str, str | None]:
    """Return the names and values of a ``.env`` file; none if there is no file."""
    if not os.access(path, os.F_OK):
        return {}
    import dotenv  # noqa: PLC0415 - seldom there, and slow to import

    text = None
    with suppress(OSError, ValueError):
        # A named pipe would keep us waiting.
        if path.is_file() and path.stat().st_size <= MAX_ENV_FILE:
            text = path.read_text("utf-8")
    if text is None:
        expected = f"a UTF-8 text file of at most {MAX_ENV_FILE >> 10} KiB"
        raise BadSetting(f"{path} could not be read; expected {expected}.")
    # Not interpolated: a value could name a secret of the environment.
    return dotenv.dotenv_values(stream=io.StringIO(text), interpolate=False)


def missing(cls: type[Any], name: str) -> BadSetting:
    """Return the error of a field that is needed and not set."""
    about = fields_dict(cls)[name].metadata
    return BadSetting(
        f"{about['name']} is not set; expected {about['expected']}. "
        "(`galaxy-jobs galaxy start` gives you a local Galaxy to try.)"
    )


def address(text: str) -> str:
    """Return an HTTP address without a trailing slash, or raise ValueError."""
    parts = urlsplit(text)
    is_http = parts.scheme in {"http", "https"} and bool(parts.hostname)
    if not is_http or parts.query or parts.username is not None:
        raise ValueError(text)
    return text.rstrip("/")


def _token(text: str) -> str:
    if not (text.isascii() and text.isprintable()):
        raise ValueError(text)
    return text


@frozen(kw_only=True)
class Service:
    """The service that the client commands use, and their token there."""

    url: str = setting(
        "GALAXY_JOBS_URL",
        address,
        "http://127.0.0.1:8000",
        expected="the address of a running `galaxy-jobs serve`",
        meaning="the service that the client commands use",
        secrets=["GALAXY_JOBS_TOKEN"],
    )
    token: str | None = setting(
        "GALAXY_JOBS_TOKEN",
        _token,
        expected="a token as `galaxy-jobs token create` printed it",
        meaning="the token that the client commands send",
        shown=lambda _: "a text with characters that no token has",
    )
