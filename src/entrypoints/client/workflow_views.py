"""How a workflow and the JSON Schema of its parameters are shown."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from galaxy_jobs.entrypoints.client import output


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
    """Say in words what an input takes."""
    return " or ".join(dict.fromkeys(_words(schema)))


def _words(schema: Schema) -> Iterator[str]:
    if "anyOf" in schema:
        for one in schema["anyOf"]:
            yield from _words(one)
    elif "oneOf" in schema:
        yield "a dataset"
    elif schema.get("type") == "array":
        yield "several"
    elif "enum" in schema:
        yield "one of " + ", ".join(output.clean(one) for one in schema["enum"])
    elif schema.get("type") != "null":
        kind = str(schema.get("format") or schema.get("type") or "a value")
        low, high = schema.get("minimum"), schema.get("maximum")
        bounds = {
            (True, True): f" {low} to {high}",
            (True, False): f" from {low}",
            (False, True): f" to {high}",
        }
        yield kind + bounds.get((low is not None, high is not None), "")
