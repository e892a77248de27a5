"""How a workflow and the JSON Schema of its parameters are shown."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from math import inf
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from galaxy_jobs.entrypoints import wording
from galaxy_jobs.entrypoints.client import output, parameters
from galaxy_jobs.entrypoints.typed_text import text_of


Schema = Mapping[str, Any]

MAX_INTEGER = 2**63 - 1
"""Every integer is at most that: a bound that is not worth a word."""


workflows = output.listing(
    {
        "workflow": "name",
        ">version": "version",
        "problem": "problem",
    },
    cut="workflow problem",
)


def detail(workflow: Mapping[str, Any]) -> RenderableType:
    """Return a workflow, its inputs, and the command that runs it."""
    schema = workflow["parameters"]
    target, targets = workflow["dataset_input"], workflow["dataset_inputs"]
    required = [name for name in _required(workflow) if name != target]
    where = "on the data input that the parameters leave over"
    if target is not None:
        where = f"on input {target!r}: {takes(schema['properties'][target])}"
    elif not targets:
        where = "on no input: it is what the job is about"
    about = output.fields(
        ("workflow", workflow["name"]),
        ("about", workflow["annotation"] or None),
        ("galaxy id", workflow["workflow_id"]),
        ("version", _version(workflow)),
        ("dataset", where),
        ("missing tools", ", ".join(workflow["missing_tools"]) or None),
        ("set in Galaxy", ", ".join(workflow["run_time_parameters"]) or None),
    )
    parts: list[RenderableType] = [about]
    for name, input_ in schema["properties"].items():
        if name != target:
            parts += ["", *_block(name, input_, is_required=name in required)]
    run = f"Run it: {output.clean(shlex.join(command(workflow)))}"
    # On a narrow terminal, too, it is one line to copy.
    parts += ["", Text(run, no_wrap=True, overflow="ignore")]
    return Group(*parts)


def _block(name: str, schema: Schema, *, is_required: bool) -> list[RenderableType]:
    """Return the lines about a parameter, which wrap at the width of a terminal."""
    columns = _single(schema)[0].get("x-galaxy-columns", ())
    names = [str(column["name"]) for column in columns if "name" in column]
    default = schema.get("default")
    use = "optional" if default is None else f"default: {text_of(default)}"
    lines = [
        takes(schema),
        f"columns: {', '.join(names)}" if names else "",
        "required" if is_required else use,
        str(schema.get("description", "")),
    ]
    return [
        Text(output.clean(name), style="bold", overflow="fold"),
        *(
            Padding(Text(output.clean(line), overflow="fold"), (0, 0, 0, 4))
            for line in lines
            if line
        ),
    ]


def _labelled(single: Schema) -> list[Any]:
    """Return the options, with their labels where these say something else."""
    options = single.get("enum", ())
    labels = single.get("x-galaxy-labels") or options
    return [
        option
        if label in {None, "", text_of(option)}
        else f"{text_of(option)} ({label})"
        for option, label in zip(options, labels, strict=False)
    ]


def _version(workflow: Mapping[str, Any]) -> str | None:
    if workflow["version"] is None:
        return None
    at = workflow["updated_at"]
    return f"{workflow['version']}" + (f", changed {output.when(at)}" if at else "")


def command(workflow: Mapping[str, Any]) -> list[str]:
    """Return a command that runs a workflow, with ``DATASET`` for ids of datasets.

    Parameters that are required have a value that is allowed, as an example.
    """
    properties = workflow["parameters"]["properties"]
    required, targets = _required(workflow), workflow["dataset_inputs"]
    options = []
    target = workflow["dataset_input"]
    if target is None and targets:
        target = next((name for name in targets if name in required), targets[0])
        options = ["--input", target]
    for name in required:
        if name != target:
            options += ["-p", f"{name}={_example(properties[name])}"]
    names = ["DATASET", workflow["name"]]
    if workflow["name"].startswith("-"):
        return ["galaxy-jobs", "submit", *options, "--", *names]
    return ["galaxy-jobs", "submit", *names, *options]


def _required(workflow: Mapping[str, Any]) -> list[str]:
    """Return the inputs that are filled by a parameter or by the dataset."""
    schema = workflow["parameters"]
    targets = workflow["dataset_inputs"]
    return [
        name
        for name, input_ in schema["properties"].items()
        if name in schema["required"]
        or (name in targets and {"type": "null"} not in input_.get("anyOf", ()))
    ]


def _example(schema: Schema) -> str:
    """Return a value of an input, as it is typed."""
    single, _ = _single(schema)
    kind = _kind(single)
    if kind in {"integer", "number"}:
        return wording.number(_example_number(single))
    options = [*single.get("enum", ()), *single.get("examples", ())]
    return text_of(options[0]) if options else _EXAMPLES.get(kind or "", "VALUE")


def _example_number(single: Schema) -> float:
    """Return 1, or the number nearest to it that its bounds leave some room for."""
    low, high = _bound(single, "minimum"), _bound(single, "maximum")
    low, high = (-inf if low is None else low), (inf if high is None else high)
    # Away from a bound that is itself not allowed.
    step = 1 if single["type"] == "integer" else min(1, (high - low) / 2)
    least = low + step if "exclusiveMinimum" in single else low
    most = high - step if "exclusiveMaximum" in single else high
    return min(max(1, least), most)


_EXAMPLES = {
    "boolean": "true",
    "collection": "DATASET",
    "color": "#1f6feb",
    "data": "DATASET",
    "directory-uri": "gxfiles://a/b",
}


def takes(schema: Schema) -> str:
    """Return what an input takes, in words."""
    single, multiple = _single(schema)
    return wording.takes(
        _kind(single),
        options=_labelled(single),
        minimum=_bound(single, "minimum"),
        maximum=_bound(single, "maximum"),
        exclusive_minimum="exclusiveMinimum" in single,
        exclusive_maximum="exclusiveMaximum" in single,
        formats=single.get("x-galaxy-formats", ()),
        collection_type=single.get("x-galaxy-collection-type"),
        multiple=multiple,
    )


def _single(schema: Schema) -> tuple[Schema, bool]:
    """Return the schema of a value of an input, and whether it takes several."""
    singles, multiple = parameters.alternatives(schema)
    given = (single for single in singles if single.get("type") != "null")
    return next(given, {}), multiple


def _bound(single: Schema, word: str) -> float | None:
    """Return a bound; None for that of all integers."""
    bound = single.get(f"exclusive{word.title()}", single.get(word))
    return None if bound is None or abs(bound) >= MAX_INTEGER else float(bound)


def _kind(single: Schema) -> str | None:
    if "oneOf" not in single:
        return single.get("format") or single.get("type")
    _, in_galaxy = single["oneOf"]
    is_collection = in_galaxy["properties"]["src"]["enum"] == ["hdca"]
    return "collection" if is_collection else "data"
