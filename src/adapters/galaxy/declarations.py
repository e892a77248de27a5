"""What workflows declare of their inputs, from Galaxy's export and its own run form.

Rule of the file: the export is complete and is what Galaxy keeps, so it has to be
readable; the run form adds what only Galaxy itself can work out, the options that an
input takes from a connected tool, and a workflow without it is shown without these.
"""

from __future__ import annotations

import json
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from http import HTTPStatus
from itertools import islice
from typing import Any, TypeAlias

from attrs import evolve, frozen

from galaxy_jobs.adapters.galaxy.client import Client, NoAnswer, Refused
from galaxy_jobs.adapters.galaxy.translate import (
    MAX_INTEGER,
    MAX_STEPS,
    Unreadable,
    id_of,
    moment,
    name,
    objects,
    part,
    plain,
    text,
    whole,
)
from galaxy_jobs.domain.errors import WorkflowNotFound, WorkflowUnreadable
from galaxy_jobs.domain.model.dataset import masked
from galaxy_jobs.domain.model.values import Json, WorkflowId
from galaxy_jobs.domain.model.workflow import ListedWorkflow, Workflow
from galaxy_jobs.domain.model.workflow_input import (
    InputKind,
    Pattern,
    WorkflowInput,
)


MAX_KEPT = 200
"""Workflows whose declarations are kept."""

DECLARATION_TTL = 3600.0
"""Seconds for which a declaration is kept: the tools that it takes options from may
change, and the workflow does not."""

PARTIAL_DECLARATION_TTL = 60.0
"""The same where Galaxy did not give its run form: it may take its whole deadline."""

MISSING_TOOLS_TTL = 600.0
"""The same for the tools that a workflow lacks, which only lists show for so long."""

MAX_OPTIONS = 5000
"""Options of an input; one with more takes any value."""

MAX_DEPTH = 20
"""Levels of sub-workflows, and of groups of parameters in a tool."""

MAX_MISSING = 100
"""Missing tools that are named."""

NOT_INSTALLED = "Tool is not installed"
"""What Galaxy's export notes at a step whose tool is missing."""

HISTORY_NAME = "galaxy-jobs"
"""The history that is made for the run form where the user has none at all."""


@frozen
class Stored:
    """A stored workflow, as Galaxy lists it.

    Attributes:
        id: Its id.
        update_time: When it was changed, in Galaxy's spelling; None: not known.
        newest: The UUID of its newest version; None: not known.
    """

    id: WorkflowId
    update_time: str | None
    newest: str | None = None

    @classmethod
    def read(cls, content: Any) -> Stored:
        """Read it as Galaxy lists or shows it.

        Raises:
            Unreadable: It has no id.
        """
        return cls(
            WorkflowId(id_of(content)),
            name(content.get("update_time")),
            name(content.get("latest_workflow_uuid")),
        )

    @property
    def state(self) -> tuple[str, str | None] | None:
        """What differs after each change of it; None: not known."""
        return (self.update_time, self.newest) if self.update_time else None


_Kept: TypeAlias = tuple[tuple[str, str | None], float, Workflow]
"""The state of a workflow, when it is to be read again, and its declaration."""


class Declarations:
    """The declarations of workflows: each is read once, until the workflow changes."""

    def __init__(self, client: Client, monotonic: Callable[[], float]) -> None:
        self._client = client
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[WorkflowId, int | None], _Kept] = OrderedDict()

    def read(self, called: str, stored: Stored, version: int | None = None) -> Workflow:
        """Return a workflow.

        Args:
            called: The name that clients use.
            stored: The workflow.
            version: One of its versions, counting from 0; None: the newest.

        Raises:
            WorkflowNotFound: Galaxy has none by that id.
            WorkflowUnreadable: Galaxy fails to export it.
            RunnerUnavailable, RunnerRefusedUs: Galaxy could not be asked.
        """
        with self._lock:
            kept = self._kept.get((stored.id, version))
        # A missing tool may be installed at any moment.
        if kept and self._holds(kept, stored) and not kept[2].missing_tools:
            return evolve(kept[2], name=called)
        found, is_whole = self._ask(called, stored.id, version)
        found = evolve(found, updated_at=moment(stored.update_time))
        if stored.state:
            ttl = DECLARATION_TTL if is_whole else PARTIAL_DECLARATION_TTL
            ttl = MISSING_TOOLS_TTL if found.missing_tools else ttl
            expiry = self._monotonic() + ttl
            with self._lock:
                self._kept[stored.id, version] = (stored.state, expiry, found)
                self._kept.move_to_end((stored.id, version))
                while len(self._kept) > MAX_KEPT:
                    self._kept.popitem(last=False)
        return found

    def _holds(self, kept: _Kept, stored: Stored) -> bool:
        return kept[0] == stored.state and self._monotonic() < kept[1]

    def with_known(self, listed: ListedWorkflow, stored: Stored) -> ListedWorkflow:
        """Add to a workflow of a list what is known of its newest version."""
        with self._lock:
            kept = self._kept.get((stored.id, None))
        if not kept or not self._holds(kept, stored):
            return listed
        _, _, known = kept
        return evolve(listed, version=known.version, missing_tools=known.missing_tools)

    def _ask(
        self, called: str, workflow_id: WorkflowId, version: int | None
    ) -> tuple[Workflow, bool]:
        """Return a workflow, and whether the run form could be read."""
        path = f"workflows/{workflow_id}/download"
        only = {} if version is None else {"version": version}
        try:
            with self._client.domain_errors():
                # By name: what a plain "export" is depends on Galaxy's settings.
                export = self._client.get(path, style="ga", **only)
                found = workflow(called, workflow_id, export)
        except Refused as refusal:
            if refusal.is_missing:
                raise WorkflowNotFound(called) from refusal
            raise WorkflowUnreadable(called, refusal.message) from refusal
        except NoAnswer as error:
            if error.status == HTTPStatus.INTERNAL_SERVER_ERROR:
                raise WorkflowUnreadable(called, "it answers with an error 500") from (
                    error
                )
            raise
        if found.missing_tools or not _needs_form(export):
            return found, True
        try:
            with self._client.domain_errors():
                form = self._client.get(
                    path, style="run", history_id=self._any_history(), **only
                )
                return with_form(found, export, form), True
        except (Refused, NoAnswer):
            return found, False

    def _any_history(self) -> str:
        """Return the newest history: Galaxy shows no run form without one."""
        histories = objects(self._client.get("histories", limit=1, keys="id"))
        if not histories:
            histories = [self._client.post("histories", {"name": HISTORY_NAME})]
        return id_of(histories[0])


def workflow(called: str, workflow_id: WorkflowId, export: Any) -> Workflow:
    """Read a workflow and its inputs from its export.

    An input without a label of its own is named by its step's UUID, the other name
    under which Galaxy accepts a value for it.

    Args:
        called: The name that clients use.
        workflow_id: The id of the stored workflow.
        export: Galaxy's own format of workflows.

    Raises:
        Unreadable: It is none.
    """
    steps = _steps(export)
    missing = dict.fromkeys(_missing_tools(steps, MAX_DEPTH))
    return Workflow(
        workflow_id=workflow_id,
        name=called,
        inputs=tuple(_input(given, step) for given, step in _named(steps)),
        annotation=text(export.get("annotation")) or "",
        version=whole(export.get("version")),
        missing_tools=tuple(islice(missing, MAX_MISSING)),
        run_time_parameters=tuple(islice(_run_time_parameters(steps), MAX_STEPS)),
    )


def _steps(export: Any) -> list[Mapping[str, Any]]:
    """Return the steps of a workflow in their order.

    Raises:
        Unreadable: It is no workflow, or has too many.
    """
    steps = part(export, "steps", dict)
    if len(steps) > MAX_STEPS:
        raise Unreadable(f"{len(steps)} steps")
    return [part(steps, place, dict) for place in sorted(steps, key=int)]


def _named(
    steps: Sequence[Mapping[str, Any]],
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the steps that are inputs, each with the input's name."""
    inputs = [
        (step, name(step.get("label")) or name(_state(step).get("name")) or "")
        for step in steps
        if part(step, "type", str).endswith("_input")
    ]
    labels = Counter(label for _, label in inputs)
    for step, label in inputs:
        uuid = name(step.get("uuid"))
        has_name = label and labels[label] == 1 and label not in _DEFAULT_LABELS
        yield label if has_name or uuid is None else uuid, step


_DEFAULT_LABELS = {"Input Dataset", "Input Dataset Collection", "Input Parameter"}


def _state(step: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the state of a step, which an export holds as a text."""
    state = step.get("tool_state")
    if isinstance(state, str):
        try:
            state = json.loads(state)
        except (ValueError, RecursionError):
            raise Unreadable("a step whose state is no JSON") from None
    return state if isinstance(state, Mapping) else {}


def _missing_tools(steps: Sequence[Mapping[str, Any]], depth: int) -> Iterator[str]:
    for step in steps:
        if step.get("errors") == NOT_INSTALLED:
            yield name(step.get("tool_id")) or name(step.get("content_id")) or "?"
        elif step.get("type") == "subworkflow" and depth and step.get("subworkflow"):
            yield from _missing_tools(_steps(step["subworkflow"]), depth - 1)


def _run_time_parameters(steps: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the parameters of tools that the author left to the run form."""
    for number, step in enumerate(steps, 1):
        if step.get("type") == "tool":
            connections = step.get("input_connections")
            connected = connections if isinstance(connections, Mapping) else {}
            label = name(step.get("label")) or f"step {number}"
            for path in _open(_state(step), "", MAX_DEPTH):
                # In old workflows connected inputs look like that, too.
                if path not in connected:
                    yield f"{label}|{name(path)}"


def _open(state: Any, path: str, depth: int) -> Iterator[str]:
    if isinstance(state, str) and state.startswith(("{", "[")):
        try:
            state = json.loads(state)
        except (ValueError, RecursionError):
            return
    if isinstance(state, Mapping):
        if state.get("__class__") == "RuntimeValue":
            yield path
        elif depth:
            for key, member in state.items():
                below = f"{path}|{key}" if path else str(key)
                yield from _open(member, below, depth - 1)
    elif isinstance(state, list) and depth:
        for index, member in enumerate(state):
            yield from _open(member, f"{path}_{index}", depth - 1)


def _input(called: str, step: Mapping[str, Any]) -> WorkflowInput:
    state = _state(step)
    kind = _KINDS.get(step["type"], InputKind.OTHER)
    if step["type"] == "parameter_input":
        word = state.get("parameter_type") or "text"
        kind = _PARAMETERS.get(str(word), InputKind.OTHER)
    options, labels = _options(state.get("restrictions"))
    made = WorkflowInput(
        name=called,
        kind=kind,
        optional=_boolean(state.get("optional")),
        default=_default(kind, step, state),
        multiple=_boolean(state.get("multiple")),
        options=options,
        labels=labels,
        suggestions=_options(state.get("suggestions"))[0],
        formats=_formats(state.get("format")),
        collection_type=name(state.get("collection_type")),
        columns=_columns(state.get("column_definitions")),
        annotation=text(step.get("annotation")) or "",
    )
    return _with_rules(made, state)


_KINDS = {
    "data_input": InputKind.DATA,
    "data_collection_input": InputKind.COLLECTION,
}
_PARAMETERS = {
    "text": InputKind.TEXT,
    "integer": InputKind.INTEGER,
    "float": InputKind.FLOAT,
    "boolean": InputKind.BOOLEAN,
    "color": InputKind.COLOR,
    "directory_uri": InputKind.DIRECTORY,
}


def _default(
    kind: InputKind, step: Mapping[str, Any], state: Mapping[str, Any]
) -> Json:
    if not kind.is_data:
        return plain(state.get("default"))
    given = step.get("in")
    given = given.get("input") if isinstance(given, Mapping) else None
    file = plain(given.get("default")) if isinstance(given, Mapping) else None
    if isinstance(file, dict) and isinstance(address := file.get("location"), str):
        file["location"] = masked(address, address=True)
    return file


def _boolean(value: Any) -> bool:
    """Read a boolean; old workflows store it as a string."""
    return value.lower() == "true" if isinstance(value, str) else bool(value)


def _formats(formats: Any) -> tuple[str, ...]:
    if isinstance(formats, str):
        formats = formats.split(",")
    if not isinstance(formats, Sequence):
        return ()
    names = (name(item.strip() if isinstance(item, str) else item) for item in formats)
    return tuple(filter(None, names))


def _columns(columns: Any) -> tuple[Json, ...]:
    if not isinstance(columns, list):
        return ()
    return tuple(plain(column) for column in columns if isinstance(column, dict))


def _options(options: Any) -> tuple[tuple[Json, ...], tuple[str, ...]]:
    """Return values, and their labels, where these are others than the values.

    Options are values, objects, or, in the run form, lists.
    """
    if not isinstance(options, Sequence) or isinstance(options, str):
        return (), ()
    if len(options) > MAX_OPTIONS:
        return (), ()
    pairs = list(map(_option, options))
    values = tuple(value for value, _ in pairs)
    labels = tuple(str(value) if label is None else label for value, label in pairs)
    return values, () if labels == tuple(map(str, values)) else labels


def _option(option: Any) -> tuple[Json, str | None]:
    match option:
        case Mapping():
            return plain(option.get("value")), name(option.get("label"))
        case [label, value, *_]:
            return plain(value), name(label)
        case _:
            return plain(option), None


def _with_rules(input_: WorkflowInput, state: Mapping[str, Any]) -> WorkflowInput:
    """Add what the author's validators demand.

    Those that Galaxy alone can judge are left to it, and so are negated ranges.
    """
    lows, highs = (
        [(_number(state.get("min")), False)],
        [(_number(state.get("max")), False)],
    )
    shortest, longest, patterns, sentences = 0, [], [], []
    validators = state.get("validators")
    for validator in validators if isinstance(validators, list) else ():
        if not isinstance(validator, Mapping):
            raise Unreadable("a validator that is no object")
        negated = _boolean(validator.get("negate"))
        sentence = (text(validator.get("message")) or "").replace("%s", "The value")
        match validator.get("type"):
            case "regex" if expression := text(validator.get("expression")):
                patterns.append(
                    Pattern(expression=expression, negated=negated, message=sentence)
                )
            case "in_range" if not negated:
                low, high = validator.get("min"), validator.get("max")
                lows.append((_number(low), _boolean(validator.get("exclude_min"))))
                highs.append((_number(high), _boolean(validator.get("exclude_max"))))
                sentences.append(sentence)
            case "length" if not negated:
                shortest = max(shortest, whole(validator.get("min")) or 0)
                most = whole(validator.get("max"))
                longest.extend([] if most is None else [most])
                sentences.append(sentence)
            case "empty_field" if not negated:
                shortest = max(shortest, 1)
                sentences.append(sentence)
    low, no_minimum = max(
        ((n, excluded) for n, excluded in lows if n is not None), default=(None, False)
    )
    high, no_maximum = min(
        ((n, excluded) for n, excluded in highs if n is not None),
        key=lambda bound: (bound[0], not bound[1]),
        default=(None, False),
    )
    return evolve(
        input_,
        minimum=low,
        maximum=high,
        exclusive_minimum=no_minimum,
        exclusive_maximum=no_maximum,
        min_length=shortest,
        max_length=min(longest, default=None),
        patterns=tuple(patterns),
        rule=" ".join(filter(None, sentences)),
    )


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if abs(number) <= MAX_INTEGER else None


def _needs_form(export: Any) -> bool:
    """Whether an input takes its options from what it is connected to."""
    return any(
        step.get("type") == "parameter_input"
        and _boolean(_state(step).get("restrictOnConnections"))
        for step in _steps(export)
    )


def with_form(found: Workflow, export: Any, form: Any) -> Workflow:
    """Add the options that Galaxy offers in its own run form.

    Args:
        found: The workflow, read from its *export*.
        export: The same.
        form: The run form.

    Raises:
        Unreadable: It is no form.
    """
    shown = {step.get("step_index"): step for step in objects(form.get("steps"))}
    places = [
        place
        for place, step in enumerate(_steps(export))
        if step["type"].endswith("_input")
    ]
    inputs = []
    for place, input_ in zip(places, found.inputs, strict=True):
        fields = objects(part(shown.get(place), "inputs", list))
        if input_.kind is InputKind.TEXT and fields[0].get("type") == "select":
            options, labels = _options(fields[0].get("options"))
            input_ = evolve(input_, options=options, labels=labels)  # noqa: PLW2901
        inputs.append(input_)
    return evolve(found, inputs=tuple(inputs))
