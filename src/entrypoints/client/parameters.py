"""``-p NAME=VALUE``: values in the types that the workflow's schema asks for.

Rule of the file: it only chooses a type. What does not fit goes out as the text
that it is, and a name that the schema does not have goes out, too: the service
says what is wrong, in one place for all its clients.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from galaxy_jobs.entrypoints.client.errors import Usage


Schema = Mapping[str, Any]

TRUE = frozenset({"true", "yes", "on", "1"})
FALSE = frozenset({"false", "no", "off", "0"})
IN_GALAXY = frozenset({"hda", "ldda", "hdca"})


def pairs(given: Sequence[str]) -> dict[str, list[str]]:
    """Return the texts given for each name, in their order.

    Raises:
        Usage: One has no ``=``, or no name.
    """
    found: dict[str, list[str]] = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not (name and equals):
            raise Usage(f"-p takes NAME=VALUE, got {one!r}.")
        found.setdefault(name, []).append(value)
    return found


def typed(given: Mapping[str, Sequence[str]], schema: Schema) -> dict[str, Any]:
    """Return the `parameters` of a job.

    Args:
        given: From :func:`pairs`.
        schema: Of the `parameters`, as ``GET /workflows/{name}`` says.

    Raises:
        Usage: Several values for what takes one.
    """
    properties = schema.get("properties", {})
    values: dict[str, Any] = {}
    for name, texts in given.items():
        choices = list(_choices(properties.get(name, {})))
        lists = [one for one in choices if one.get("type") == "array"]
        singles = [one for one in choices if one.get("type") != "array"]
        if len(texts) > 1 and not lists:
            raise Usage(f"-p {name}=… is given {len(texts)} times; it takes one value.")
        made = [_value(text, singles) for text in texts]
        values[name] = made[0] if len(made) == 1 else made
    return values


def _choices(schema: Schema) -> Iterator[Schema]:
    for one in schema.get("anyOf", [schema]):
        if one is schema:
            yield one
        else:
            yield from _choices(one)


def _value(text: str, choices: Sequence[Schema]) -> Any:
    """Return *text* as the first of the types that it can be read as."""
    types = {one.get("type") for one in choices}
    options = [option for one in choices for option in one.get("enum", ())]
    if any("oneOf" in one for one in choices):
        return _data(text)
    if text == "" and "null" in types and "string" not in types:
        return None
    for option in options:
        if text in {option, json.dumps(option)}:
            return option
    if "boolean" in types and text.lower() in TRUE | FALSE:
        return text.lower() in TRUE
    if types & {"integer", "number"} and (number := _number(text)) is not None:
        return number
    if choices and types <= {None, "null"}:  # of a kind that is not known here
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def _number(text: str) -> int | float | None:
    # JSON's own way of reading them: neither 1_000 nor infinity is a number.
    try:
        number = json.loads(text, parse_constant=str)
    except ValueError:
        return None
    is_number = isinstance(number, int | float) and not isinstance(number, bool)
    return number if is_number else None


def _data(text: str) -> dict[str, str]:
    """Return a registered dataset, or with ``hda:ID`` one that Galaxy has."""
    src, colon, id_ = text.partition(":")
    if colon and src in IN_GALAXY:
        return {"src": src, "id": id_}
    return {"dataset_id": text}
