"""What a workflow takes, as a JSON Schema that a client can make a form from.

Rule of the file: it says of an input what the domain checks, no more and no
less (:func:`galaxy_jobs.domain.model.workflow.bind`).
"""

from __future__ import annotations

from typing import Any

from galaxy_jobs.domain import AllowedWorkflow, InputKind, Workflow, WorkflowInput
from galaxy_jobs.domain.model.values import PARAMETERS_SIZE
from galaxy_jobs.domain.model.workflow_input import (
    COLOR,
    DIRECTORY,
    MAX_INTEGER,
    Pattern,
)


Schema = dict[str, Any]


MAX_COUNTED = 30
"""The most data inputs for which the schema limits which are left out: its size grows
with their square."""


def parameters(workflow: Workflow, allowed: AllowedWorkflow) -> Schema:
    """Return the schema of the `parameters` of a job that names no `dataset_input`.

    An input that may take the job's dataset is never required by itself: see
    :func:`galaxy_jobs.domain.model.workflow.dataset_target`.
    """
    data = workflow.data_inputs if allowed.takes_dataset else []
    names = [input_.name for input_ in data]
    required = [input_.name for input_ in workflow.inputs if input_.required]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **_object(
            {input_.name: _input(input_) for input_ in workflow.inputs},
            [name for name in required if name not in names],
        ),
        **_left_out(names, [n for n in required if n in names], allowed.input),
    }


def _left_out(names: list[str], required: list[str], configured: str | None) -> Schema:
    """Return which of the data inputs may be left out together.

    Args:
        names: All of them.
        required: Those that are required.
        configured: The one that takes the dataset if it is left out, or None.
    """
    if configured is not None:
        others = [name for name in required if name != configured]
        absent = {"not": {"required": [configured]}, "required": others}
        rest = _left_out([n for n in names if n != configured], others, None)
        if not (others or rest):
            return {}
        return {"anyOf": [absent, {"required": [configured], **rest}]}
    if len(names) <= 1 or len(names) > MAX_COUNTED:
        return {}
    all_but = [{"required": [n for n in names if n != left]} for left in names]
    one_required = [
        {
            "required": [n for n in required if n != left],
            "not": {"required": [left]},
        }
        for left in required
        if required != names
    ]
    return {"anyOf": [*all_but, *one_required]}


def _object(properties: Schema, required: list[str] | None = None) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties) if required is None else required,
        "additionalProperties": False,
    }


def _input(input_: WorkflowInput) -> Schema:
    is_data = input_.kind.is_data
    notes = {
        "examples": list(input_.suggestions) or None,
        "x-galaxy-labels": list(input_.labels) or None,
        "x-galaxy-formats": list(input_.formats) or None,
        "x-galaxy-collection-type": input_.collection_type,
        "x-galaxy-columns": list(input_.columns) or None,
    }
    limits = {} if is_data else _limits(input_)
    schema = _TYPES[input_.kind] | limits | _given(notes)
    may_be_empty = input_.optional and (not input_.options or input_.offers(""))
    if _RULES & limits.keys() and may_be_empty:
        schema = {"anyOf": [schema, {"type": "string", "const": ""}]}
    if input_.multiple and not is_data:
        # Without a type (an input of a kind unknown here) a list would fit both.
        is_typed = "type" in schema or "anyOf" in schema
        single = schema if is_typed else {**schema, "not": {"type": "array"}}
        several: Schema = {"type": "array", "items": schema}
        if not input_.optional:
            several["minItems"] = 1
        schema = {"anyOf": [single, several]}
    if not input_.required:
        schema = {"anyOf": [schema, {"type": "null"}]}
    sentences = [input_.rule, *(pattern.message for pattern in input_.patterns)]
    description = " ".join(filter(None, [input_.annotation, *sentences]))
    more = {"description": description or None, "default": input_.default}
    return {"title": input_.name, **schema, **_given(more)}


def _limits(input_: WorkflowInput) -> Schema:
    """Return what a single value is held to."""
    limits: Schema = {"enum": list(input_.options) or None}
    for word, bound, excluded in (
        ("minimum", input_.minimum, input_.exclusive_minimum),
        ("maximum", input_.maximum, input_.exclusive_maximum),
    ):
        limits[f"exclusive{word.title()}" if excluded else word] = bound
    if input_.kind.has_rules:
        limits |= {"minLength": input_.min_length or None}
        limits |= {"maxLength": input_.max_length}
        limits["allOf"] = [
            _pattern(pattern) for pattern in input_.patterns if pattern.anchored
        ] or None
    return _given(limits)


_RULES = {"minLength", "maxLength", "allOf"}
"""What the empty text, which is no value, is not held to."""


def _pattern(pattern: Pattern) -> Schema:
    schema: Schema = {"pattern": pattern.anchored}
    if pattern.negated:
        schema = {"not": schema}
    if pattern.max_length < PARAMETERS_SIZE:  # longer texts are not checked
        schema = {"anyOf": [schema, {"minLength": pattern.max_length + 1}]}
    return schema


def _given(schema: Schema) -> Schema:
    return {key: value for key, value in schema.items() if value is not None}


def _data(*sources: str) -> Schema:
    registered = _object({"dataset_id": {"type": "string"}})
    in_galaxy = _object(
        {"src": {"enum": list(sources)}, "id": {"type": "string", "pattern": "\\S"}}
    )
    return {
        "oneOf": [
            {"title": "A registered dataset", **registered},
            {"title": "Data in Galaxy", **in_galaxy},
        ]
    }


_TYPES: dict[InputKind, Schema] = {
    InputKind.TEXT: {"type": "string"},
    InputKind.COLOR: {
        "type": "string",
        "format": "color",
        "pattern": f"^{COLOR.pattern}$",
        "maxLength": len("#rrggbb"),
    },
    InputKind.DIRECTORY: {
        "type": "string",
        "format": "directory-uri",
        "pattern": DIRECTORY.pattern,
    },
    InputKind.INTEGER: {
        "type": "integer",
        "minimum": -MAX_INTEGER,
        "maximum": MAX_INTEGER,
    },
    InputKind.FLOAT: {"type": "number"},
    InputKind.BOOLEAN: {"type": "boolean"},
    InputKind.DATA: _data("hda", "ldda", "hdca"),
    InputKind.COLLECTION: _data("hdca"),
    InputKind.OTHER: {},
}
