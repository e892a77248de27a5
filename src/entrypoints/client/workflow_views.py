"""How a workflow and the JSON Schema of its parameters are shown."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from galaxy_jobs.entrypoints import wording
from galaxy_jobs.entrypoints.client import output, parameters


Schema = Mapping[str, Any]


def shown(workflow: Mapping[str, Any]) -> RenderableType:
    """Return a workflow with what it takes, and how to run it."""
    schema = workflow["parameters"]
    inputs: Mapping[str, Schema] = schema["properties"]
    required = schema["required"]
    parts: list[RenderableType] = [
        output.fields(
            ("workflow", workflow["name"]),
            ("about", workflow["annotation"] or None),
            ("galaxy id", workflow["workflow_id"]),
            (
                "dataset",
                f"on input {workflow['dataset_input']!r}"
                if workflow["dataset_input"] is not None
                else "on the data input that the parameters leave over",
            ),
        )
    ]
    if inputs:
        parts += [
            "",
            output.table(
                "parameter",
                "takes",
                "default",
                "about",
                rows=[
                    (
                        name,
                        takes(one),
                        "required"
                        if name in required
                        else output.clean(one.get("default", "")),
                        str(one.get("description", "")),
                    )
                    for name, one in inputs.items()
                ],
                cut="parameter takes default about",
            ),
        ]
    command = ["galaxy-jobs", "submit", "DATASET", workflow["name"]]
    for name in required:
        command += ["-p", f"{name}=VALUE"]
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
