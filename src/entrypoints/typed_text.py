"""Values that people type: on the command line (``-p NAME=VALUE``) and into forms.

Rule of the file: a text becomes the value that it spells in one of the types an
input takes. A text that spells none of them stays a text, and the service reports
what it expected. Standard library only: client commands import this at start.

==================  ========================================================
type                texts
==================  ========================================================
``boolean``         ``true``, ``yes``, ``on``, ``1`` and ``false``, ``no``,
                    ``off``, ``0``, in any case
``integer``,        decimal, such as ``3``, ``-0.5``, ``1e3``; for an integer,
``number``          ``1e3`` is 1000. Neither ``1_000`` nor ``nan`` nor ``inf``.
``data``,           the id of a registered dataset; ``hda:ID``, ``ldda:ID`` or
``collection``      ``hdca:ID`` of Galaxy's; or either as a JSON object
``null``            the empty text, where the input takes no ``string``
``string``          any text, as it is
none of these       JSON, else the text
==================  ========================================================

The value of an option is chosen by its text, whatever its type.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Any


TRUE = frozenset({"true", "yes", "on", "1"})
FALSE = frozenset({"false", "no", "off", "0"})
GALAXY_SOURCES = frozenset({"hda", "ldda", "hdca"})

MAX_DEPTH = 32
"""Levels of nesting in JSON that is typed."""

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
_EXACT = 2**53
"""Up to here every integer is a float, too."""


def value_of(text: str, types: Collection[str], options: Sequence[Any] = ()) -> Any:
    """Return the JSON value that a text spells; see the module.

    The *types* are those that the input takes; none of the known ones: anything.
    """
    for option in options:
        if text == text_of(option):
            return option
    if "data" in types or "collection" in types:
        return _data(text.strip())
    if text == "" and "null" in types and "string" not in types:
        return None
    if "boolean" in types and text.lower() in TRUE | FALSE:
        return text.lower() in TRUE
    if "integer" in types or "number" in types:
        number = _number(text.strip(), whole="number" not in types)
        if number is not None:
            return number
    if not set(types) - {"null"}:
        return _json(text, default=text)
    return text


def text_of(value: Any) -> str:
    """Return the text that spells a value; of None, the empty one."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _number(text: str, *, whole: bool) -> int | float | None:
    if not _NUMBER.fullmatch(text):
        return None
    with suppress(ValueError):  # a point, an exponent, or thousands of digits
        return int(text)
    number = float(text)
    if math.isinf(number):
        return None
    if whole and number.is_integer() and abs(number) <= _EXACT:
        return int(number)
    return number


def _data(text: str) -> Any:
    src, colon, id_ = text.partition(":")
    if colon and src in GALAXY_SOURCES:
        return {"src": src, "id": id_}
    value = _json(text, default=None)
    return value if isinstance(value, dict) else {"dataset_id": text}


def _json(text: str, default: Any) -> Any:
    """Return what a text spells in JSON that can be stored, or *default*."""
    try:
        value = json.loads(text)
        # NUL and halves of surrogate pairs can be spelled, and not be stored.
        written = json.dumps(value, ensure_ascii=False, allow_nan=False)
        written.encode()
        fits = "\\u0000" not in written and _depth(value) <= MAX_DEPTH
    except (ValueError, RecursionError):
        return default
    return value if fits else default


def _depth(value: Any) -> int:
    if not isinstance(value, dict | list):
        return 0
    inner = value.values() if isinstance(value, dict) else value
    return 1 + max(map(_depth, inner), default=0)
