"""What is typed as NAME=VALUE: values in the types that the workflow's schema asks for.

Rule of the file: it only chooses a type. A value that does not fit is sent as the
text that it is, and so is a name that the schema does not have: the service
reports what is wrong, in one place for all its clients.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from galaxy_jobs.entrypoints import typed_text
from galaxy_jobs.entrypoints.client.errors import Usage


Schema = Mapping[str, Any]


def pairs(arguments: Sequence[str]) -> dict[str, list[str]]:
    """Return the texts given for each name, in their order.

    Raises:
        Usage: An argument has no ``=``, or no name.
    """
    texts: dict[str, list[str]] = {}
    for argument in arguments:
        name, equals, text = argument.partition("=")
        if not (name and equals):
            raise Usage(f"-p takes NAME=VALUE, got {argument!r}.")
        texts.setdefault(name, []).append(text)
    return texts


def labels(arguments: Sequence[str], option: str = "--label") -> dict[str, str]:
    """Return the labels of ``--label KEY=VALUE``, or of another option.

    ``KEY:VALUE``, as in the address of a list, is the same: a key has neither sign.

    Raises:
        Usage: An argument has no ``=``, or two are for the same key.
    """
    values: dict[str, str] = {}
    for argument in arguments:
        key, *rest = re.split("[=:]", argument, maxsplit=1)
        if not rest or key in values:
            raise Usage(f"{option} takes KEY=VALUE once for a key, got {argument!r}.")
        (values[key],) = rest
    return values


def label_filter(arguments: Sequence[str], option: str = "--label") -> list[str]:
    """Return the labels of ``--label``, or another option, as lists are asked for them.

    Raises:
        Usage: As :func:`labels`.
    """
    return [f"{key}:{value}" for key, value in labels(arguments, option).items()]


def since(text: str | None, option: str = "--since") -> str | None:
    """Return the time of ``--since``, or another option, with its zone.

    Raises:
        Usage: It is no time, and no number of days or hours.
    """
    if text is None:
        return None
    try:
        if ago := re.fullmatch("([0-9]{1,6})([dh]?)", text):
            hours = int(ago[1]) * (1 if ago[2] == "h" else 24)
            return (datetime.now(UTC) - timedelta(hours=hours)).isoformat()
        return datetime.fromisoformat(text).astimezone().isoformat()
    except (ValueError, OverflowError):
        raise Usage(
            f"{option} takes a time such as 2026-01-31T12:00, 36h, 7d or 7 (days), got "
            f"{text!r}."
        ) from None


def typed(texts_by_name: Mapping[str, Sequence[str]], schema: Schema) -> dict[str, Any]:
    """Return the `parameters` of a job.

    Args:
        texts_by_name: From :func:`pairs`.
        schema: Of the `parameters`, from ``GET /workflows/{name}``.

    Raises:
        Usage: Several values for an input that takes one.
    """
    properties = schema.get("properties", {})
    parameters: dict[str, Any] = {}
    for name, texts in texts_by_name.items():
        singles, multiple = alternatives(properties.get(name, {}))
        if len(texts) > 1 and not multiple:
            raise Usage(f"-p {name}=… is given {len(texts)} times; it takes one value.")
        types = {"data" if "oneOf" in it else it.get("type", "") for it in singles}
        types.discard("")  # any type
        options = [option for single in singles for option in single.get("enum", ())]
        values = [typed_text.value_of(text, types, options) for text in texts]
        parameters[name] = values[0] if len(values) == 1 else values
    return parameters


def alternatives(schema: Schema) -> tuple[list[Schema], bool]:
    """Return the schemas of one value of an input, and whether it takes several."""
    if "anyOf" not in schema:
        multiple = schema.get("type") == "array"
        return ([] if multiple else [schema]), multiple
    choices = [alternatives(choice) for choice in schema["anyOf"]]
    singles = [single for choice, _ in choices for single in choice]
    return singles, any(multiple for _, multiple in choices)
