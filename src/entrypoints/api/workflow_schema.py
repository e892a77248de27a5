"""What a workflow takes, as a JSON Schema that a client can make a form from.

Rule of the file: it says of an input what the domain checks, no more and no
less (:func:`galaxy_jobs.domain.model.workflow.bind`).
"""

from __future__ import annotations

from typing import Any

from galaxy_jobs.domain import AllowedWorkflow, InputKind, Workflow, WorkflowInput


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
    limits = {
        "enum": None if is_data else list(input_.options) or None,
        "minimum": input_.minimum,
        "maximum": input_.maximum,
        "x-galaxy-formats": list(input_.formats) or None,
        "x-galaxy-collection-type": input_.collection_type,
    }
    schema = _TYPES[input_.kind] | _given(limits)
    if input_.multiple and not is_data:
        # Without a type (an input of a kind unknown here) a list would fit both.
        single = schema if "type" in schema else {**schema, "not": {"type": "array"}}
        schema = {"anyOf": [single, {"type": "array", "items": schema}]}
    if not input_.required:
        schema = {"anyOf": [schema, {"type": "null"}]}
    more = {"description": input_.annotation or None, "default": input_.default}
    return {"title": input_.name, **schema, **_given(more)}


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
    InputKind.COLOR: {"type": "string", "format": "color"},
    InputKind.INTEGER: {"type": "integer"},
    InputKind.FLOAT: {"type": "number"},
    InputKind.BOOLEAN: {"type": "boolean"},
    InputKind.DATA: _data("hda", "ldda", "hdca"),
    InputKind.COLLECTION: _data("hdca"),
    InputKind.OTHER: {},
}
