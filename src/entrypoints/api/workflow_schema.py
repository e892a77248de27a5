"""What a workflow takes, as a JSON Schema that a client can make a form from.

Rule of the file: it says of an input what the domain checks, no more and no
less (:func:`galaxy_jobs.domain.model.workflow.bind`).
"""

from __future__ import annotations

from typing import Any

from galaxy_jobs.domain import InputKind, Workflow, WorkflowInput


Schema = dict[str, Any]


def parameters(workflow: Workflow, dataset_input: str | None) -> Schema:
    """Return the schema of the `parameters` of a job.

    The *dataset_input* takes the job's dataset, and nothing from the parameters.
    None: which input it is depends on them.
    """
    inputs = [input_ for input_ in workflow.inputs if input_.name != dataset_input]
    # Where the parameters decide which data input the dataset is put on, none
    # of these is required by itself.
    required = [
        input_.name
        for input_ in inputs
        if input_.required and not (dataset_input is None and input_.kind.is_data)
    ]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **_object({input_.name: _input(input_) for input_ in inputs}, required),
    }


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
