"""What a workflow takes, as a JSON Schema that a client can make a form from.

Rule of the file: it says of an input what the domain checks, no more and no
less (:func:`galaxy_jobs.domain.model.workflow.bind`).
"""

from __future__ import annotations

from typing import Any

from galaxy_jobs.domain.model.workflow import InputKind, Workflow, WorkflowInput


Schema = dict[str, Any]

_REGISTERED: Schema = {
    "title": "A registered dataset",
    "type": "object",
    "properties": {"dataset_id": {"type": "string"}},
    "required": ["dataset_id"],
    "additionalProperties": False,
}

_PLAIN: dict[InputKind, Schema] = {
    InputKind.TEXT: {"type": "string"},
    InputKind.COLOR: {"type": "string", "format": "color"},
    InputKind.INTEGER: {"type": "integer"},
    InputKind.FLOAT: {"type": "number"},
    InputKind.BOOLEAN: {"type": "boolean"},
}


def parameters(workflow: Workflow, dataset_input: str | None) -> Schema:
    """Return the schema of the `parameters` of a job.

    Args:
        workflow: As Galaxy declares it.
        dataset_input: The input that takes the job's dataset: it takes nothing
            from the parameters. None: which one it is depends on them.
    """
    taken = [one for one in workflow.inputs if one.name != dataset_input]
    # Where the parameters decide which data input the dataset is put on, none
    # of these is required by itself.
    required = [
        one.name
        for one in taken
        if one.required and not (dataset_input is None and one.kind.is_data)
    ]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {one.name: _input(one) for one in taken},
        "required": required,
        "additionalProperties": False,
    }


def _input(one: WorkflowInput) -> Schema:
    schema = _data(one) if one.kind.is_data else _value(one)
    if one.multiple and not one.kind.is_data:
        # Without a type (an input of a kind unknown here) a list would fit both.
        single = schema if "type" in schema else {**schema, "not": {"type": "array"}}
        schema = {"anyOf": [single, {"type": "array", "items": schema}]}
    if not one.required:
        schema = {"anyOf": [schema, {"type": "null"}]}
    schema = {"title": one.name, **schema}
    if one.annotation:
        schema["description"] = one.annotation
    if one.default is not None:
        schema["default"] = one.default
    return schema


def _value(one: WorkflowInput) -> Schema:
    schema = dict(_PLAIN.get(one.kind, {}))
    if one.options:
        schema["enum"] = list(one.options)
    if one.minimum is not None:
        schema["minimum"] = one.minimum
    if one.maximum is not None:
        schema["maximum"] = one.maximum
    return schema


def _data(one: WorkflowInput) -> Schema:
    sources = ["hdca"] if one.kind is InputKind.COLLECTION else ["hda", "ldda", "hdca"]
    schema: Schema = {
        "oneOf": [
            _REGISTERED,
            {
                "title": "Data in Galaxy",
                "type": "object",
                "properties": {
                    "src": {"enum": sources},
                    "id": {"type": "string", "pattern": "\\S"},
                },
                "required": ["src", "id"],
                "additionalProperties": False,
            },
        ]
    }
    if one.formats:
        schema["x-galaxy-formats"] = list(one.formats)
    if one.collection_type is not None:
        schema["x-galaxy-collection-type"] = one.collection_type
    return schema
