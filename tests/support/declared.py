"""Workflows that declare every kind of input, for tests on a real Galaxy.

Each input of :func:`every_kind` is one row of the table that the integration test
makes: it is connected to a tool that writes down the value that reached it.
"""

from __future__ import annotations

import json
from typing import Any, Protocol

from tests.support.wait import until
from tests.support.workflows import (
    Step,
    collection,
    data,
    parameter,
    sub,
    tool,
    workflow,
)


class Lab(Protocol):
    """A user of a Galaxy."""

    def call(self, method: str, path: str, body: object = None) -> Any:
        """Ask Galaxy's API."""


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
        state.pop(name, None)
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


# --- values of parameters ----------------------------------------------------------

LEFT_OUT = "(left out)"

Values = tuple[list[Any], list[Any]]

NO_TEXT = [5, True, {"a": 1}, ["a"]]
NO_INTEGER = ["3", "x", 1.5, 1e30, True, {"a": 1}, [1]]
NO_NUMBER = ["2.5", True, {}, []]
NO_BOOLEAN = ["true", "yes", 0, 1, {}, []]
NO_COLOR = ["red", "#123", "", "#12345g", 5]

CELLS: dict[str, Values] = {
    # label of the input: what fits, what does not
    "text": (["b", ""], [None, LEFT_OUT, *NO_TEXT]),
    "text, optional": (["b", "", None, LEFT_OUT], NO_TEXT),
    "text, default": (["b", "", None, LEFT_OUT], NO_TEXT),
    "text, optional default": (["b", "", None, LEFT_OUT], NO_TEXT),
    "text, empty default": (["b", None, LEFT_OUT], NO_TEXT),
    "text, null default": (["b", None, LEFT_OUT], NO_TEXT),
    "text, regex": (["s1"], ["x1", "s1x", "", None, LEFT_OUT]),
    "text, negated": (["ok", "", None, LEFT_OUT], ["tmp", "tmp2"]),
    "text, length": (["ab", "abcd"], ["a", "abcde", "", None, LEFT_OUT]),
    "restricted": (["fast", "exact", None, LEFT_OUT], ["slow", "", 1, ["fast"]]),
    "restricted, optional": (["exact", None, LEFT_OUT], ["slow", "", {}]),
    "connected": (["exact"], ["slow", "", None, LEFT_OUT]),
    "suggested": (["x", "z", None, LEFT_OUT], NO_TEXT),
    "several": ([["head", "tail"], "body", [], None, LEFT_OUT], [["nose"], "", {}]),
    "several, restricted": (
        [["head"], ["head", "body"], "body"],
        [["nose"], [], "tail", None, LEFT_OUT],
    ),
    "integer": ([3, 3.0, -1], [None, LEFT_OUT, *NO_INTEGER]),
    "integer, optional": ([3, 3.0, None, LEFT_OUT], NO_INTEGER),
    "integer, default": ([3, None, LEFT_OUT], NO_INTEGER),
    "float": ([2, 2.5, None, LEFT_OUT], NO_NUMBER),
    "float, range": ([0, 0.99, None, LEFT_OUT], [1, -0.1, *NO_NUMBER]),
    "boolean": ([True, False, None, LEFT_OUT], NO_BOOLEAN),
    "boolean, required": ([True, False], [None, LEFT_OUT, *NO_BOOLEAN]),
    "boolean, optional": ([True, False, None, LEFT_OUT], NO_BOOLEAN),
    "color": (["#123456", "#ABCDEF", None, LEFT_OUT], NO_COLOR),
    "color, optional": (["#123456", None, LEFT_OUT], NO_COLOR),
    "directory": (["", None, LEFT_OUT], [5, {}]),
}

CHANGED_AT_IMPORT = {"text, negated", "text, length", "float, range"}
"""Inputs whose rules Galaxy before 26.1 changes when a workflow is imported."""

DEFAULTS: dict[str, Any] = {
    "text, default": "a",
    "text, empty default": "",
    "restricted": "fast",
    "integer, default": 7,
    "float": 1.5,
    "float, range": 0.5,
    "boolean": False,
    "color": "#00ff00",
}
"""What holds where nothing, or null, is given to an input that is not optional."""

OPTIONAL_DEFAULTS: dict[str, Any] = {"text, optional default": "a", "several": ["head"]}
"""The same where nothing is given to an input that is optional; null is no value."""


def expected(label: str, value: Any) -> Any:
    """Return what has to reach Galaxy."""
    if value == LEFT_OUT and label in OPTIONAL_DEFAULTS:
        return OPTIONAL_DEFAULTS[label]
    if value is None or value == LEFT_OUT:
        return DEFAULTS.get(label)
    return int(value) if label.startswith("integer") else value


SANITIZED = str.maketrans(
    {
        "[": "__ob__",
        "]": "__cb__",
        "{": "__oc__",
        "}": "__cc__",
        "'": "__sq__",
        '"': "__dq__",
    }
)
"""What Galaxy replaces in the texts that it hands to tools."""


def reaching(label: str, meant: Any) -> Any:
    """Return the value that the tool gets for a value."""
    name = PARAMETERS[label][0]
    if name in {"word", "note"} and isinstance(meant, str):
        return meant.translate(SANITIZED)
    if name == "parts":
        return meant if isinstance(meant, list) else [] if meant is None else [meant]
    if name == "flag":  # the tool's own is not optional
        return bool(meant)
    return meant


def came_of(lab: Lab, run: str, label: str) -> dict[str, Any]:
    """Wait for the end of a run, and return what Galaxy and the tool received.

    Returns:
        The state of the job or of the run under ``outcome``, and, where there is such a
        value, ``received`` and ``reached``.
    """

    def ended() -> Any:
        shown = lab.call("GET", f"invocations/{run}?step_details=true")
        jobs = [job for step in shown["steps"] for job in step["jobs"]]
        over = jobs and all(job["state"] in {"ok", "error"} for job in jobs)
        return (shown, jobs) if over or shown["state"] == "failed" else None

    shown, jobs = until(ended, 120.0, every=0.2)
    found: dict[str, Any] = {"outcome": jobs[0]["state"] if jobs else shown["state"]}
    if (given := shown["input_step_parameters"].get(label)) is not None:
        found["received"] = given["parameter_value"]
    if found["outcome"] == "ok":
        job = lab.call("GET", f"jobs/{jobs[0]['id']}")
        path = f"datasets/{job['outputs']['output1']['id']}/display"
        found["reached"] = lab.call("GET", path)[PARAMETERS[label][0]]
    return found
