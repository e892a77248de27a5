"""Workflows that declare every kind of input, for tests on a real Galaxy.

Each input of :func:`every_kind` is one row of the table that the integration test
makes: it is connected to a tool that writes down the value that reached it.
"""

from __future__ import annotations

import json
from typing import Any

from tests.support.workflows import (
    Step,
    collection,
    data,
    parameter,
    sub,
    tool,
    workflow,
)


VALUES_TOOL = "gxj_values"
"""Writes down the values of its parameters."""

REGEX = {
    "type": "regex",
    "expression": "^s[0-9]+$",
    "message": "A sample is called s1, s2 and so on.",
    "negate": False,
}
NOT_TMP = {
    "type": "regex",
    "expression": "tmp",
    "message": "Nothing temporary.",
    "negate": True,
}
LENGTH = {
    "type": "length",
    "min": 2,
    "max": 4,
    "message": "Two to four letters.",
    "negate": False,
}
FROM_0_BELOW_1 = {
    "type": "in_range",
    "min": 0,
    "max": 1,
    "exclude_min": False,
    "exclude_max": True,
    "message": "A share of one.",
    "negate": False,
}
MODES = [
    {"value": "fast", "label": "Fast but rough"},
    {"value": "exact", "label": "Exact"},
]

PARAMETERS: dict[str, tuple[str, str, dict[str, Any]]] = {
    # label: (parameter of the tool, kind, state)
    "text": ("word", "text", {"optional": False}),
    "text, optional": ("word", "text", {"optional": True}),
    "text, default": ("note", "text", {"optional": False, "default": "a"}),
    "text, optional default": ("note", "text", {"optional": True, "default": "a"}),
    "text, empty default": ("note", "text", {"optional": False, "default": ""}),
    "text, null default": ("word", "text", {"optional": True, "default": None}),
    "text, regex": ("word", "text", {"optional": False, "validators": [REGEX]}),
    "text, negated": ("word", "text", {"optional": True, "validators": [NOT_TMP]}),
    "text, length": ("word", "text", {"optional": False, "validators": [LENGTH]}),
    "restricted": (
        "mode",
        "text",
        {"optional": False, "default": "fast", "restrictions": MODES},
    ),
    "restricted, optional": (
        "mode",
        "text",
        {"optional": True, "restrictions": ["fast", "exact"]},
    ),
    "connected": ("mode", "text", {"optional": False, "restrictOnConnections": True}),
    "suggested": ("word", "text", {"optional": True, "suggestions": ["x", "y"]}),
    "several": (
        "parts",
        "text",
        {
            "optional": True,
            "multiple": True,
            "default": ["head"],
            "restrictOnConnections": True,
        },
    ),
    "several, restricted": (
        "parts",
        "text",
        {"optional": False, "multiple": True, "restrictions": ["head", "body"]},
    ),
    "integer": ("whole", "integer", {"optional": False}),
    "integer, optional": ("whole", "integer", {"optional": True}),
    "integer, default": ("whole", "integer", {"optional": False, "default": 7}),
    "integer, bounds": ("whole", "integer", {"optional": False, "min": 1, "max": 9}),
    "float": ("ratio", "float", {"optional": False, "default": 1.5}),
    "float, range": (
        "ratio",
        "float",
        {"optional": False, "default": 0.5, "validators": [FROM_0_BELOW_1]},
    ),
    "boolean": ("flag", "boolean", {"optional": False, "default": False}),
    "boolean, required": ("flag", "boolean", {"optional": False}),
    "boolean, optional": ("flag", "boolean", {"optional": True}),
    "color": ("tint", "color", {"optional": False, "default": "#00ff00"}),
    "color, optional": ("tint", "color", {"optional": True}),
    "directory": ("word", "directory_uri", {"optional": True}),
}


def one_kind(label: str) -> dict[str, Any]:
    """Return a workflow with that one parameter, given to the tool of values."""
    name, kind, state = PARAMETERS[label]
    return workflow(
        f"kind: {label}",
        parameter(label, kind, **state),
        values("values", **{name: f"@{label}"}),
    )


def every_kind() -> dict[str, Any]:
    """Return a workflow with all of them, two of which take their options of a tool."""
    steps = [
        parameter(label, kind, **state)
        for label, (_, kind, state) in PARAMETERS.items()
    ]
    tools = [values("values", mode="@connected", parts="@several")]
    return workflow("every kind", *steps, *tools)


def values(label: str, **sources: Any) -> Step:
    """Run the tool of values; see :func:`tests.support.workflows.tool`."""
    step = tool(label, "", tool=VALUES_TOOL, **sources)
    state = json.loads(step["tool_state"])
    for name in ("operation", "sleep_s", "exit_code"):
        del state[name]
    if step["sources"].get("input1") == "":
        del step["sources"]["input1"], state["input1"]
    # Galaxy runs no step whose state lacks a parameter of its tool.
    nothing = dict.fromkeys(("input1", "word", "whole", "ratio", "tint", "mode"))
    state = {**nothing, "note": "none", "flag": False, "parts": None, **state}
    return step | {"tool_state": json.dumps(state)}


def typed_data(label: str, *formats: str, **state: Any) -> Step:
    """One dataset of some formats."""
    step = data(label)
    whole = {**json.loads(step["tool_state"]), "format": list(formats), **state}
    return step | {"tool_state": json.dumps(whole)}


def typed_collection(label: str, kind: str, **state: Any) -> Step:
    """A collection of a type, with more of its state."""
    step = collection(label, kind)
    whole = {**json.loads(step["tool_state"]), **state}
    return step | {"tool_state": json.dumps(whole)}


COLUMNS = [
    {
        "name": "treatment",
        "type": "string",
        "optional": False,
        "restrictions": ["yes", "no"],
    },
    {"name": "dose", "type": "int", "optional": True, "default_value": 1},
]


def all_data(*, modern: bool = True) -> dict[str, Any]:
    """Return a workflow with all kinds of data inputs.

    Args:
        modern: With the types of collections that releases from 25.1 have.
    """
    steps = [
        data("any"),
        typed_data("table", "tabular"),
        typed_data("reads", "fastqsanger", "fastqsanger.gz"),
        data("maybe", optional=True),
        collection("list"),
        typed_collection("pairs", "list:paired", format=["txt"]),
        collection("pair", "paired"),
    ]
    if modern:
        steps += [
            collection("mixed", "list:paired_or_unpaired"),
            typed_collection("sheet", "sample_sheet", column_definitions=COLUMNS),
            typed_collection(
                "record",
                "record",
                fields=[
                    {"name": "bam", "type": "File"},
                    {"name": "bai", "type": "File"},
                ],
            ),
        ]
    return workflow("all data", *steps, tool("copy", "any"))


def default_file() -> dict[str, Any]:
    """Return a workflow with a data input that has a file of its own."""
    made = workflow("default file", data("text"), data("reference"), tool("c", "text"))
    made["steps"]["1"]["in"] = {
        "input": {
            "default": {
                "class": "File",
                "location": "base64://YQpiCg==",
                "filetype": "txt",
            }
        }
    }
    return made


def runtime_values() -> dict[str, Any]:
    """Return a workflow with parameters of its tools that are set at run time."""
    made = workflow("runtime values", data("text"), tool("sort", "text"))
    step = made["steps"]["1"]
    state = json.loads(step["tool_state"])
    state |= {
        "operation": {"__class__": "RuntimeValue"},
        "sleep_s": {"__class__": "RuntimeValue"},
    }
    step["tool_state"] = json.dumps(state)
    return made


def missing_tools() -> dict[str, Any]:
    """Return a workflow two of whose tools are not installed, one of them inside."""
    inner = workflow("inner", data("text"), tool("x", "text", tool="absent_too"))
    return workflow(
        "missing tools",
        data("text"),
        parameter("number", "integer", optional=False),
        tool("a", "text", tool="absent"),
        tool("b", "text", tool="absent"),
        sub("nested", inner, text="text"),
    )


def picks_a_value() -> dict[str, Any]:
    """Return a workflow with a step that picks a value."""
    made = workflow(
        "picks a value",
        data("text"),
        tool("sort", "text", operation="sort"),
        tool("count", "text", operation="count", sleep_s=20),
    )
    made["steps"]["3"] = {
        "id": 3,
        "type": "pick_value",
        "label": "pick",
        "name": "Pick value",
        "annotation": "",
        "tool_id": None,
        "content_id": None,
        "errors": None,
        "inputs": [],
        "outputs": [],
        "position": {"left": 800, "top": 0},
        "when": None,
        "workflow_outputs": [],
        "tool_state": json.dumps({"mode": "first_non_null", "num_inputs": 2}),
        "input_connections": {
            "input_0": {"id": 1, "output_name": "output1"},
            "input_1": {"id": 2, "output_name": "output1"},
        },
    }
    return made
