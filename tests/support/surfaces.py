"""What each surface answers to each value of each kind of input, as it was recorded.

A surface is HTTP, the command line, or the form on the page in Chromium.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import define

from galaxy_jobs.adapters.galaxy import declarations
from galaxy_jobs.domain import InputKind, Workflow, WorkflowId, WorkflowInput
from tests.support.declared import CELLS, LEFT_OUT, PARAMETERS


RECORDED = Path(__file__).parents[1] / "unit/recorded"
RELEASE = "26.1"
"""The release of Galaxy whose declarations the surfaces are driven with."""

ANSWERS = RECORDED / RELEASE / "surfaces.json"
SURFACES = ("HTTP", "command line", "form")

READS = WorkflowInput(name="reads", kind=InputKind.DATA)

Cell = tuple[str, Any]
"""The label of an input and a value."""


@define
class Answer:
    """What became of a value on a surface.

    Attributes:
        sent: The value in the request to the core, or that it was left out.
        refusal: Why it was refused, if it was.
        galaxy: The value in the request to Galaxy, or that it was left out.
        inexpressible: Why the surface cannot express the value; nothing was sent.
    """

    sent: Any = LEFT_OUT
    refusal: str | None = None
    galaxy: Any = LEFT_OUT
    inexpressible: str | None = None

    @property
    def is_accepted(self) -> bool:
        """Whether Galaxy was sent a request."""
        return self.refusal is None and self.inexpressible is None

    def as_json(self) -> dict[str, Any]:
        """Return it as it is recorded."""
        if self.inexpressible is not None:
            return {"inexpressible": self.inexpressible}
        if self.refusal is not None:
            return {"sent": self.sent, "refusal": self.refusal}
        return {"sent": self.sent, "galaxy": self.galaxy}


def recorded(folder: Path, name: str) -> Any:
    """Return what was recorded on a release under a name."""
    return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))


def workflows(folder: Path) -> dict[str, Workflow]:
    """Return a workflow with each input, as that release declares it."""
    export = recorded(folder, "export_every_kind")["answer"]
    form = recorded(folder, "run_form_every_kind")["answer"]
    read = declarations.workflow("w", WorkflowId("w"), export)
    read = declarations.with_form(read, export, form)
    return {
        input_.name: Workflow(
            workflow_id=WorkflowId("w"), name="w", inputs=(READS, input_)
        )
        for input_ in read.inputs
    }


def cells() -> list[Cell]:
    """Return all of them, in the order of the inputs; the good values first."""
    return [
        (label, value)
        for label in PARAMETERS
        if label in CELLS
        for values in CELLS[label]
        for value in values
    ]


def shown(value: Any) -> str:
    """Return a value as JSON, or that it was left out."""
    return LEFT_OUT if value == LEFT_OUT else json.dumps(value)


def answers() -> dict[tuple[str, str], dict[str, Answer]]:
    """Return what was recorded, by the label and the value as it is shown."""
    return {
        (row["label"], shown(row["value"])): {
            surface: Answer(**row[surface]) for surface in SURFACES
        }
        for row in json.loads(ANSWERS.read_text(encoding="utf-8"))
    }


def passed_on() -> dict[str, list[Any]]:
    """Return the values that Galaxy was sent, by label."""
    values: dict[str, list[Any]] = {}
    for (label, _), row in answers().items():
        values.setdefault(label, []).extend(
            answer.galaxy for answer in row.values() if answer.is_accepted
        )
    return values


def record(surface: str, found: Sequence[Mapping[str, Any]]) -> None:
    """Write down the answers of a surface, in the order of the cells."""
    text = ANSWERS.read_text(encoding="utf-8") if ANSWERS.exists() else "[]"
    before = {(row["label"], shown(row["value"])): row for row in json.loads(text)}
    rows = [
        {"label": label, "value": value}
        | {name: {} for name in SURFACES}
        | before.get((label, shown(value)), {})
        | {surface: answer}
        for (label, value), answer in zip(cells(), found, strict=True)
    ]
    lines = ",\n".join(f" {json.dumps(row)}" for row in rows)
    ANSWERS.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


# --- the table -----------------------------------------------------------------


def outcomes() -> dict[tuple[str, str], Mapping[str, Any]]:
    """Return what became of each value that Galaxy was sent."""
    return {
        (row["label"], shown(row.get("sent", LEFT_OUT))): row
        for row in recorded(RECORDED / RELEASE, "values")
    }


def table() -> str:
    """Return the tables of the documentation, one for each input."""
    seen, became = answers(), outcomes()
    lines: list[str] = []
    title = None
    for label, value in cells():
        if label != title:
            lines += ["", *_heading(label)]
            title = label
        row = seen[label, shown(value)]
        lines.append(f"| {' | '.join(_row(label, value, row, became))} |")
    return "\n".join(lines).strip()


def _heading(label: str) -> list[str]:
    _, kind, state = PARAMETERS[label]
    columns = ["value", *SURFACES, "Galaxy received", "the tool got", "the job"]
    return [
        f"## {label}",
        "",
        f"`{kind}`, declared with {_code(json.dumps(state))}",
        "",
        f"| {' | '.join(columns)} |",
        "|---" * len(columns) + "|",
    ]


def _row(
    label: str,
    value: Any,
    row: Mapping[str, Answer],
    became: Mapping[tuple[str, str], Mapping[str, Any]],
) -> Iterator[str]:
    yield _code(shown(value))
    first = row["HTTP"]
    yield from (_answer(answer, value, first) for answer in row.values())
    if first.refusal is not None:
        yield from ("", "", "")
        return
    outcome = became[label, shown(first.galaxy)]
    received = outcome.get("received", LEFT_OUT)
    yield "its default" if received == LEFT_OUT else _code(shown(received))
    yield _code(shown(outcome["reached"]))
    yield outcome["outcome"]


def _answer(answer: Answer, value: Any, first: Answer) -> str:
    if answer.inexpressible is not None:
        return f"— {answer.inexpressible}"
    text = "accepted" if answer.refusal is None else f"refused: {answer.refusal}"
    if answer is not first and answer.refusal == first.refusal:
        text = text.partition(":")[0]
    if shown(answer.sent) != shown(value):
        sent = "left out" if answer.sent == LEFT_OUT else _code(shown(answer.sent))
        text = f"as {sent}: {text}"
    return text.replace("|", "\\|")


def _code(text: str) -> str:
    return text if text == LEFT_OUT else f"`{text}`".replace("|", "\\|")
