"""How a workflow and the JSON Schema of its parameters are shown."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from galaxy_jobs.entrypoints import wording
from galaxy_jobs.entrypoints.client import output, parameters


Schema = Mapping[str, Any]


def workflows(items: list[Mapping[str, Any]]) -> Table:
    """Return the table of a list of workflows."""
    rows = [(item["name"],) for item in items]
    return output.table("workflow", rows=rows, cut="workflow")


def detail(workflow: Mapping[str, Any]) -> RenderableType:
    """Return a workflow, its inputs, and the command that runs it."""
    schema = workflow["parameters"]
    required = schema["required"]
    where = "the data input that the parameters leave over"
    if workflow["dataset_input"] is not None:
        where = f"input {workflow['dataset_input']!r}"
    about = output.fields(
        ("workflow", workflow["name"]),
        ("about", workflow["annotation"] or None),
        ("galaxy id", workflow["workflow_id"]),
        ("dataset", f"on {where}"),
    )
    parts: list[RenderableType] = [about]
    if schema["properties"]:
        rows = [
            (
                name,
                takes(input_),
                "required"
                if name in required
                else output.clean(input_.get("default", "")),
                str(input_.get("description", "")),
            )
            for name, input_ in schema["properties"].items()
        ]
        columns = ("parameter", "takes", "default", "about")
        parts += ["", output.table(*columns, rows=rows, cut=" ".join(columns))]
    command = ["galaxy-jobs", "submit", "DATASET", workflow["name"]]
    command += [word for name in required for word in ("-p", f"{name}=VALUE")]
    parts += ["", Text(f"Run it: {output.clean(shlex.join(command))}")]
    return Group(*parts)


def takes(schema: Schema) -> str:
    """Return what an input takes, in words."""
    singles, multiple = parameters.alternatives(schema)
    single = next((choice for choice in singles if choice.get("type") != "null"), {})
    return wording.takes(
        _kind(single),
        options=single.get("enum", ()),
        minimum=single.get("minimum"),
        maximum=single.get("maximum"),
        formats=single.get("x-galaxy-formats", ()),
        collection_type=single.get("x-galaxy-collection-type"),
        multiple=multiple,
    )


def _kind(single: Schema) -> str | None:
    if "oneOf" not in single:
        return single.get("format") or single.get("type")
    _, in_galaxy = single["oneOf"]
    is_collection = in_galaxy["properties"]["src"]["enum"] == ["hdca"]
    return "collection" if is_collection else "data"
