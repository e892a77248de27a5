"""``-p NAME=VALUE``: values in the types that the workflow's schema asks for.

Rule of the file: it only chooses a type. A value that does not fit is sent as the
text that it is, and so is a name that the schema does not have: the service
reports what is wrong, in one place for all its clients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
