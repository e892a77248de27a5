"""Galaxy's JSON in the domain's words.

Rule of the file: pure functions of an answer. What is missing where Galaxy never
leaves it out raises :class:`Unreadable`; what is new is let through where it can
do no harm, and counts as not settled where it could.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from attrs import frozen

from galaxy_jobs.domain.model.dataset import GalaxyData, Source, UrlData
from galaxy_jobs.domain.model.report import (
    GalaxyState,
    InvocationReport,
    JobDetails,
    JobReport,
    JobsSummary,
    JobState,
    Output,
    StepReport,
)
from galaxy_jobs.domain.model.values import (
    HistoryId,
    InvocationId,
    JobId,
    Json,
    WorkflowId,
)
from galaxy_jobs.domain.model.workflow import InputKind, Workflow, WorkflowInput


T = TypeVar("T")


class Unreadable(Exception):
    """An answer is not what Galaxy says; the adapter makes an error of it."""


def part(content: Any, key: str, kind: type[T]) -> T:
    """Return what an object holds under a key.

    Raises:
        Unreadable: It is no object, or holds nothing of that kind there.
    """
    value = content.get(key) if isinstance(content, Mapping) else None
    if not isinstance(value, kind):
        raise Unreadable(f"no {key!r} in it")
    return value


def objects(content: Any) -> list[dict[str, Any]]:
    """Return a list of objects.

    Raises:
        Unreadable: It is none.
    """
    if not isinstance(content, list):
        raise Unreadable("no list")
    if not all(isinstance(one, dict) for one in content):
        raise Unreadable("a list of something else than objects")
    return content


# --- workflows ----------------------------------------------------------------


def workflow(name: str, content: Any) -> Workflow:
    """Read what a stored workflow declares.

    An input that has no label of its own goes by its step's UUID, which is the
    other name under which Galaxy takes a value for it.
    """
    shown = part(content, "inputs", dict)
    steps = part(content, "steps", dict)
    labels = Counter(part(one, "label", str) for one in shown.values())
    inputs = []
    for index in sorted(shown, key=int):
        step = part(steps, index, dict)
        label, uuid = shown[index]["label"], shown[index].get("uuid")
        # Galaxy fills in a label for an input that has none, but does not answer
        # to it: a value given under that name is dropped without a word.
        named = labels[label] == 1 and label not in _FILLED_IN
        inputs.append(_input(label if named or not uuid else str(uuid), step))
    return Workflow(
        workflow_id=WorkflowId(part(content, "id", str)),
        name=name,
        inputs=tuple(inputs),
        annotation=content.get("annotation") or "",
    )


_FILLED_IN = {"Input Dataset", "Input Dataset Collection", "Input Parameter"}


def _input(name: str, step: Mapping[str, Any]) -> WorkflowInput:
    state = step.get("tool_inputs")
    state = state if isinstance(state, Mapping) else {}
    kind = _KINDS.get(part(step, "type", str), InputKind.OTHER)
    if step["type"] == "parameter_input":
        kind = _PARAMETERS.get(state.get("parameter_type") or "text", InputKind.OTHER)
    low, high = _range(state)
    formats = state.get("format") or ()
    return WorkflowInput(
        name=name,
        kind=kind,
        optional=_true(state.get("optional")),
        default=None if kind.is_data else state.get("default"),
        multiple=_true(state.get("multiple")),
        options=_options(state.get("restrictions")),
        minimum=low,
        maximum=high,
        formats=(formats,) if isinstance(formats, str) else tuple(formats),
        collection_type=state.get("collection_type") or None,
        annotation=step.get("annotation") or "",
    )


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
}


def _true(value: Any) -> bool:
    """Read a truth as Galaxy stores it; workflows of old have texts."""
    return value.lower() == "true" if isinstance(value, str) else bool(value)


def _options(restrictions: Any) -> tuple[Json, ...]:
    """Return the values allowed (suggestions are none: others are fine, too)."""
    if not isinstance(restrictions, Sequence) or isinstance(restrictions, str):
        return ()
    return tuple(
        one.get("value") if isinstance(one, Mapping) else one for one in restrictions
    )


def _range(state: Mapping[str, Any]) -> tuple[float | None, float | None]:
    lows, highs = [state.get("min")], [state.get("max")]
    for one in state.get("validators") or ():
        if one.get("type") != "in_range" or _true(one.get("negate")):
            continue
        # A bound that is excluded is let through here; Galaxy refuses it.
        lows.append(one.get("min"))
        highs.append(one.get("max"))
    return (
        max((n for n in map(_number, lows) if n is not None), default=None),
        min((n for n in map(_number, highs) if n is not None), default=None),
    )


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def given(value: Source | Json) -> Any:
    """Return what is put on an input, in Galaxy's words."""
    match value:
        case GalaxyData(src, id_):
            return {"src": src.value, "id": id_}
        case UrlData(url, ext):
            return {"src": "url", "url": url, "ext": ext}
        case _:
            return value


# --- invocations --------------------------------------------------------------


def invocation(
    content: Any, look: Callable[[InvocationId], InvocationReport]
) -> InvocationReport:
    """Read an invocation shown with its steps' details.

    Args:
        content: The answer.
        look: Reports on the invocation of a sub-workflow. It is called when
            *content* has been read: see :meth:`Galaxy.report` for why.
    """
    word = part(content, "state", str)
    try:
        state = GalaxyState(word)
    except ValueError:
        raise Unreadable(f"an invocation in a state {word!r}") from None
    messages = objects(content.get("messages") or [])
    steps = objects(part(content, "steps", list))
    return InvocationReport(
        invocation_id=InvocationId(part(content, "id", str)),
        state=state,
        steps=tuple(
            _step(one, look) for one in sorted(steps, key=lambda s: s["order_index"])
        ),
        history_id=HistoryId(part(content, "history_id", str)),
        # A warning is no reason for anything.
        messages=tuple(sentence(one) for one in messages if not _is_warning(one)),
        reasons=tuple(one["reason"] for one in messages if not _is_warning(one)),
    )


def _step(
    content: Mapping[str, Any], look: Callable[[InvocationId], InvocationReport]
) -> StepReport:
    scheduled = content.get("state") == "scheduled"
    sub = content.get("subworkflow_invocation_id")
    return StepReport(
        index=part(content, "order_index", int),
        label=content.get("workflow_step_label"),
        scheduled=scheduled,
        # Galaxy schedules a mapped step only when it has made all of its jobs.
        expanding=bool(content.get("implicit_collection_jobs_id")) and not scheduled,
        jobs=tuple(job(one) for one in objects(content.get("jobs") or [])),
        sub=look(InvocationId(sub)) if sub else None,
    )


def job(content: Any) -> JobReport:
    """Read a job as a step lists it."""
    word = part(content, "state", str)
    try:
        state = JobState(word)
    except ValueError:
        state = JobState.UNKNOWN
    # One of our own words, should Galaxy ever take it up, would mean another.
    if state is JobState.BLOCKED:
        state = JobState.UNKNOWN
    return JobReport(JobId(part(content, "id", str)), state, content.get("tool_id"))


def _is_warning(message: Mapping[str, Any]) -> bool:
    return part(message, "reason", str) == "workflow_output_not_found"


def sentence(message: Mapping[str, Any]) -> str:
    """Say what a message of an invocation means.

    Galaxy gives a code and details and leaves the wording to its web client. The
    steps it names are places, in spite of their key ``workflow_step_id``.
    """
    reason = part(message, "reason", str)
    said = _SENTENCES.get(reason, f"Galaxy says: {reason}")
    step, cause = message.get("workflow_step_id"), _place(message, "dependent_")
    inside = message.get("workflow_step_index_path") or ()
    where = "".join(f"step {place + 1} > " for place in inside)
    if step is not None:
        where += f"step {step + 1}"
    details = message.get("details") or message.get("output_name")
    return (
        said
        + (f", at {where.removesuffix(' > ')}" if where else "")
        + (f", because of {cause}" if cause else "")
        + (f": {details}" if details else "")
        + "."
    ).replace("..", ".")


def _place(message: Mapping[str, Any], prefix: str) -> str | None:
    step = message.get(f"{prefix}workflow_step_id")
    return None if step is None else f"step {step + 1}"


_SENTENCES = {
    "user_request": "The run was cancelled on request",
    "history_deleted": "The run was cancelled since its history was deleted",
    "cancelled_on_review": "The run was cancelled at a review",
    "dataset_failed": "A dataset that the run needs has failed or could not be fetched",
    "collection_failed": "A collection that the run needs has failed",
    "job_failed": "A job that the run depends on has failed",
    "output_not_found": "An output that the run needs was not made",
    "expression_evaluation_failed": "An expression could not be evaluated",
    "when_not_boolean": "The condition of a step is neither true nor false",
    "unexpected_failure": "Galaxy met an unexpected failure",
    "workflow_parameter_invalid": "A workflow parameter is not valid",
    "step_input_deleted": "An input of a step was deleted",
}


def summaries(content: Any) -> dict[InvocationId, JobsSummary]:
    """Read the bulk answer; what it does not know is left out."""
    if not isinstance(content, list):
        raise Unreadable("no list")
    return {
        InvocationId(part(one, "id", str)): JobsSummary(
            states=dict(part(one, "states", dict)),
            populated=part(one, "populated_state", str),
        )
        for one in content
        if one is not None
    }


# --- jobs and their outputs ---------------------------------------------------


def details(content: Any, info: str | None) -> JobDetails:
    """Read a job shown in full.

    Args:
        content: The answer.
        info: What Galaxy left on its output, if anybody looked.
    """
    streams = (content.get(key) for key in ("tool_stderr", "stderr", "job_stderr"))
    stderr = next((text for text in streams if isinstance(text, str) and text), None)
    said = [
        one["desc"]
        for one in content.get("job_messages") or ()
        if isinstance(one, Mapping) and one.get("desc")
    ]
    return JobDetails(
        tool=content.get("tool_id"),
        exit_code=content.get("exit_code"),
        stderr=stderr,
        message=info or "; ".join(said) or None,
    )


def outputs_of(content: Any) -> Iterator[tuple[str, str, str]]:
    """Yield the labelled outputs of an invocation: label, kind and id."""
    for key, src in (("outputs", "hda"), ("output_collections", "hdca")):
        for label, one in part(content, key, dict).items():
            yield label, src, part(one, "id", str)


def output(label: str, src: str, id_: str, content: Mapping[str, Any]) -> Output:
    """Read a dataset or a collection that is an output; *content* may be empty."""
    return Output(
        label=label,
        src=src,
        id=id_,
        name=content.get("name"),
        extension=content.get("extension"),
        size=content.get("file_size"),
        state=content.get("state") or content.get("populated_state"),
    )


# --- why jobs are paused ------------------------------------------------------


@frozen
class Pause:
    """Why Galaxy holds a job, as it wrote on the job's output.

    Attributes:
        broken: For an input that failed or is gone: for good.
        behind: For an input that is held itself.
    """

    broken: bool
    behind: bool


def pause(info: str | None) -> Pause:
    """Read the sentence on an output.

    Galaxy has no code for it. These are all the sentences it pauses a job for an
    input with; any other is about a quota, a limit or a user's wish.
    """
    said = info or ""
    broken = any(phrase in said for phrase in _BROKEN)
    return Pause(broken=broken, behind=not broken and _BEHIND in said)


_BROKEN = (
    "its input datasets are in an error state",
    "is in error state",
    "was deleted before the job started",
    "failed to properly set metadata",
)
_BEHIND = "was paused before the job started"
