"""Workflows for tests on a real Galaxy, in a few lines each.

A workflow is written as its steps in order; a connection names the step it comes
from by its label. :func:`scenarios` makes one for everything that can become of
a run; each takes a data input ``text`` (``texts``, a collection, for the mapped
ones).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


TOOL = "gxj_text"
"""Sorts, counts or copies lines; sleeps and fails on demand."""

STATES: Mapping[str, Mapping[str, Any]] = {
    TOOL: {"operation": "copy", "sleep_s": 0, "exit_code": 0},
    "gxj_check": {"operation": "check"},
    "gxj_values": {
        **dict.fromkeys(("word", "whole", "ratio", "tint", "mode", "parts")),
        "note": "none",
        "flag": False,
    },
    "param_value_from_file": {"param_type": "text", "remove_newlines": True},
}
"""The values of each tool where a step gives none; Galaxy refuses a step without."""

Step = dict[str, Any]


def data(label: str | None, *, optional: bool = False) -> Step:
    """One dataset."""
    return _step("data_input", label, {"optional": optional, "tag": None})


def collection(label: str, kind: str = "list") -> Step:
    """A collection."""
    state = {"optional": False, "tag": None, "collection_type": kind}
    return _step("data_collection_input", label, state)


def parameter(label: str | None, kind: str = "integer", **state: Any) -> Step:
    """A value; with a ``default``, or not."""
    whole = {"parameter_type": kind, "optional": "default" in state, **state}
    return _step("parameter_input", label, whole)


def tool(label: str | None, source: str, **values: Any) -> Step:
    """Run the text tool on the output of the step named *source*.

    Args:
        label: Of the step.
        source: A label of an input or of another tool step; ``split|lines`` for
            an output of a step that is not called ``output1``.
        values: ``operation``, ``sleep_s`` or ``exit_code``, as values or as the
            labels of inputs (``exit_code="@code"``); ``when``, an expression, and
            ``condition``, the label of its input ``when``; ``tool``, the id of
            another tool, and its ``version``; ``after``, the label of a step to end
            well first; ``output``, the label of the output.
    """
    name, version = values.pop("tool", TOOL), values.pop("version", "1.0.0")
    when, after = values.pop("when", None), values.pop("after", None)
    output = values.pop("output", label and f"{label}_out")
    condition = values.pop("condition", None)
    state = {**STATES.get(name, STATES[TOOL])}
    sources = {"input1": source}
    for key, value in values.items():
        if isinstance(value, str) and value.startswith("@"):
            sources[key] = value[1:]
        else:
            state[key] = value
    for key in sources:
        state[key] = {"__class__": "ConnectedValue"}
    step = _step("tool", label, {**state, "__page__": 0})
    if condition:
        sources["when"] = condition
    step |= {"content_id": name, "tool_id": name, "tool_version": version}
    step |= {"sources": sources, "when": when, "after": after, "output": output}
    return step


def review(label: str | None, source: str) -> Step:
    """Wait until somebody has reviewed the output of the step named *source*."""
    return _step("pause", label, {}) | {"sources": {"input": source}}


def sub(
    label: str,
    workflow: Mapping[str, Any],
    *,
    when: str | None = None,
    after: str | None = None,
    **sources: str,
) -> Step:
    """Run another workflow: its inputs by name, each from a step's label.

    What a step of it made is ``nested|last_out``.

    Args:
        label: Of the step.
        workflow: The other workflow.
        when: An expression.
        after: The label of a step to end well first.
        sources: The labels by the names of inputs.
    """
    step = _step("subworkflow", label, None)
    step |= {"subworkflow": workflow, "sources": sources}
    return step | {"when": when, "after": after}


def _step(kind: str, label: str | None, state: Any) -> Step:
    return {
        "type": kind,
        "label": label,
        "name": label or kind,
        "tool_state": json.dumps(state),
        "tool_id": None,
        "sources": {},
    }


def workflow(name: str, *steps: Step) -> dict[str, Any]:
    """Return a workflow in Galaxy's own format, ready to be imported."""
    places = {step["label"]: index for index, step in enumerate(steps)}
    made = {}
    for index, original in enumerate(steps):
        step = dict(original)
        connections: dict[str, Any] = {
            key: _connection(steps, places, source)
            for key, source in step.pop("sources").items()
        }
        if step["type"] == "subworkflow":
            inner = step["subworkflow"]["steps"]
            for name_, connection in connections.items():
                connection["input_subworkflow_step_id"] = next(
                    place["id"] for place in inner.values() if place["label"] == name_
                )
        if after := step.pop("after", None):
            connections["__NO_INPUT_OUTPUT_NAME__"] = {
                "id": places[after],
                "output_name": "__NO_INPUT_OUTPUT_NAME__",
            }
        outputs = []
        if output := step.pop("output", None):
            outputs = [{"output_name": "output1", "label": output}]
        made[str(index)] = {
            "annotation": "",
            "inputs": [],
            "outputs": [],
            "position": {"left": 200 * index, "top": 0},
            "when": None,
            **step,
            "id": index,
            "input_connections": connections,
            "workflow_outputs": outputs,
        }
    return {
        "a_galaxy_workflow": "true",
        "format-version": "0.1",
        "name": name,
        "annotation": f"{name}, for tests",
        "tags": [],
        "steps": made,
    }


def _connection(
    steps: tuple[Step, ...], places: Mapping[str | None, int], source: str
) -> dict[str, Any]:
    label, _, output = source.partition("|")
    place = places[label]
    is_tool = steps[place]["type"] == "tool"
    return {"id": place, "output_name": output or ("output1" if is_tool else "output")}


def scenarios() -> dict[str, dict[str, Any]]:
    """Return a workflow for each way in which a run can go, by what it shows."""
    text, texts = data("text"), collection("texts")
    inner_bad = workflow(
        "inner",
        text,
        tool("inner good", "text", operation="sort"),
        tool("inner bad", "inner good", exit_code=5),
    )
    inner_review = workflow(
        "inner", text, review("check", "text"), tool("after", "check")
    )
    made = {
        "success": [text, tool("sort", "text", operation="sort")],
        "two steps": [
            text,
            parameter("sleep_s", default=0, validators=[_in_range(0, 60)]),
            parameter("exit_code", default=0),
            tool("sort", "text", sleep_s="@sleep_s", exit_code="@exit_code"),
            tool("count", "sort", operation="count"),
        ],
        "first fails": [
            text,
            tool("bad", "text", exit_code=3),
            tool("behind", "bad"),
            tool("far behind", "behind"),
            tool("apart", "text"),
        ],
        "sub fails": [text, sub("nested", inner_bad, text="text")],
        "sub works": [
            text,
            sub("nested", workflow("inner", text, tool("a", "text")), text="text"),
            tool("last", "text"),
        ],
        "mapped": [texts, tool("each", "texts"), tool("again", "each")],
        "mapped, one fails": [
            texts,
            tool("each", "texts", operation="fail_on_poison"),
            tool("again", "each"),
        ],
        "skipped": [
            text,
            tool("never", "text", when="$(false)"),
            tool("always", "text"),
        ],
        "no jobs": [text],
        "missing tool": [text, tool("absent", "text", tool="not_installed")],
        "wrong when": [text, tool("odd", "text", when="$(1 + 1)")],
        "given up while it runs": [
            text,
            tool("long", "text", sleep_s=60),
            tool("odd", "text", when="$(1 + 1)"),
        ],
        "slow": [text, tool("sleep", "text", sleep_s=20), tool("behind", "sleep")],
        "waits for its turn": [
            text,
            tool("first", "text", sleep_s=2),
            tool("second", "text", after="first"),
        ],
        "review": [
            text,
            tool("sort", "text", operation="sort"),
            review("check", "sort"),
            tool("count", "check", operation="count"),
        ],
        "sub review": [text, sub("nested", inner_review, text="text")],
        "never scheduled": [
            text,
            tool("bad", "text", exit_code=3),
            tool("lines", "bad", tool="gxj_split"),
            tool("each", "lines"),
            tool("behind", "bad"),
            tool("last", "text", after="behind"),
        ],
        "split": [
            text,
            tool("lines", "text", tool="gxj_split"),
            tool("each", "lines", operation="fail_on_poison"),
        ],
    }
    return {name: workflow(name, *steps) for name, steps in made.items()}


def odd_outputs() -> dict[str, Any]:
    """Return a workflow with outputs of each kind, and a step that makes none.

    Two have one label, one has none, and one is hidden.
    """
    made = workflow(
        "odd outputs",
        data("text"),
        tool("first", "text", output="result"),
        tool("second", "text", operation="count", output="result"),
        tool("third", "text", output=None),
        tool("fourth", "text", output="aside"),
        tool("fifth", "text", output="gone"),
        tool("sixth", "text", output=None),
    )
    steps = made["steps"]
    steps["3"]["workflow_outputs"] = [{"output_name": "output1", "label": None}]
    steps["4"]["post_job_actions"] = {
        "HideDatasetActionoutput1": {
            "action_type": "HideDatasetAction",
            "output_name": "output1",
            "action_arguments": {},
        }
    }
    return made


def _in_range(least: int, most: int) -> dict[str, Any]:
    return {"type": "in_range", "min": least, "max": most}
