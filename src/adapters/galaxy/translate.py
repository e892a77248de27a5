"""Galaxy's JSON as values of the domain.

Rule of the file: pure functions of an answer. A missing part that Galaxy always
sends raises :class:`Unreadable`, and so does one of another type. An unknown word is
let through where that is harmless; an unknown state counts as not settled. What only
explains, such as a label or an exit code, is left out where it is no label or code.
Everything that is returned is bounded.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from itertools import islice
from typing import Any, TypeVar

from attrs import evolve, frozen

from galaxy_jobs.domain.errors import InvalidValue, quoted, shortened
from galaxy_jobs.domain.model.dataset import (
    DELETED,
    PURGED,
    DataDescription,
    GalaxyData,
    Source,
    Src,
    UploadedFile,
    UrlData,
    masked,
)
from galaxy_jobs.domain.model.datatypes import Datatypes
from galaxy_jobs.domain.model.report import (
    ELEMENTS_LIMIT,
    STDERR_TAIL,
    VALUE,
    Element,
    GalaxyState,
    InvocationReport,
    Invoked,
    JobDetails,
    JobReport,
    JobsSummary,
    JobState,
    NamedStep,
    Output,
    StepReport,
)
from galaxy_jobs.domain.model.values import (
    NAME_LIMIT,
    TEXT_LIMIT,
    HistoryId,
    InvocationId,
    JobId,
    Json,
    WorkflowId,
    engine_id,
    json_size,
)
from galaxy_jobs.domain.model.workflow import ListedWorkflow


T = TypeVar("T")

MAX_STEPS = 2000
"""Steps of a workflow, or of its invocation."""

MAX_MESSAGES = 20
"""Messages of an invocation or a job that are kept."""

MAX_INTEGER = 2**63 - 1

MAX_DEPTH = 8
"""Levels of a default value."""


class Unreadable(Exception):
    """An answer is not of the expected shape; it never crosses a port."""


def part(content: Any, key: str, kind: type[T]) -> T:
    """Return the value of an object's key.

    Raises:
        Unreadable: *content* is no object, or has no value of that type there.
    """
    value = content.get(key) if isinstance(content, Mapping) else None
    if not isinstance(value, kind):
        raise Unreadable(f"no {key!r} in it")
    return value


def objects(content: Any) -> list[dict[str, Any]]:
    """Return *content*, which is a list of objects.

    Raises:
        Unreadable: It is not.
    """
    if not isinstance(content, list):
        raise Unreadable("no list")
    if not all(isinstance(item, dict) for item in content):
        raise Unreadable("a list with other items than objects")
    return content


def version(content: Any) -> str:
    """Return Galaxy's version, such as ``26.1.2``, or only ``26.1``."""
    numbers = (
        part(content, "version_major", str),
        # It says little in a development version, and may be missing.
        content.get("version_minor") or "",
    )
    match = re.fullmatch(
        r"[0-9]{1,4}(\.[0-9a-z]{1,20}){0,4}", ".".join(numbers).rstrip(".")
    )
    if not match:
        raise Unreadable("no version")
    return match[0]


def id_of(content: Any, key: str = "id") -> str:
    """Return the id under an object's key; see :func:`engine_id`.

    Raises:
        Unreadable: *content* is no object, or has no id there.
    """
    try:
        return engine_id(content.get(key) if isinstance(content, Mapping) else None)
    except InvalidValue as error:
        raise Unreadable(f"no {key!r} in it: {error}") from None


def text(value: Any, limit: int = TEXT_LIMIT) -> str | None:
    """Return a text, shortened and storable; None for an empty one and anything else.

    NUL and halves of characters, which neither UTF-8 nor PostgreSQL can hold, are
    replaced.
    """
    if not isinstance(value, str) or not value:
        return None
    return _storable(shortened(value, limit - 1))


def _storable(value: str) -> str:
    return value.replace("\0", "\ufffd").encode(errors="replace").decode()


def name(value: Any) -> str | None:
    """Return a text that is a name or a label; None for anything else."""
    return text(value, NAME_LIMIT)


def whole(value: Any) -> int | None:
    """Return an integer of up to 64 bits; None for anything else."""
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    return value if is_whole and abs(value) <= MAX_INTEGER else None


def moment(value: Any) -> datetime | None:
    """Return a time, which Galaxy gives in UTC without a zone; None for others."""
    try:
        at = datetime.fromisoformat(value)
        return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except (ValueError, TypeError, OverflowError):
        return None


def place(content: Any, key: str) -> int:
    """Return the place of a step in its workflow.

    Raises:
        Unreadable: There is none.
    """
    number = part(content, key, int)
    if isinstance(number, bool) or not 0 <= number < MAX_STEPS:
        raise Unreadable(f"no place in {key!r}")
    return number


def plain(value: Any, levels: int = MAX_DEPTH) -> Json:
    """Return a JSON value that any JSON library can hold, its texts shortened.

    Raises:
        Unreadable: It has a number that is too large, or too many levels.
    """
    match value:
        case str():
            return text(value) or ""
        case None | bool():
            return value
        case int() | float() if abs(value) <= MAX_INTEGER:
            return value
        case list() if levels:
            return [plain(member, levels - 1) for member in value]
        case dict() if levels:
            return {
                text(key) or "": plain(member, levels - 1)
                for key, member in value.items()
            }
    raise Unreadable("a value that is too large or too deep")


def listed_workflow(content: Mapping[str, Any]) -> ListedWorkflow:
    """Read a workflow of a list."""
    tags, annotations = content.get("tags"), content.get("annotations")
    sentences = annotations if isinstance(annotations, list) else []
    return ListedWorkflow(
        name=name(part(content, "name", str)) or "",
        workflow_id=WorkflowId(id_of(content)),
        annotation=" ".join(filter(None, map(text, sentences[:MAX_TAGS]))),
        tags=tuple(
            filter(None, map(name, tags[:MAX_TAGS] if isinstance(tags, list) else []))
        ),
        owner=name(content.get("owner")),
        updated_at=_time(content.get("update_time")),
    )


MAX_TAGS = 50
"""Tags of a workflow that are read."""


def tag(text: str) -> str:
    """Return a tag as Galaxy takes it: it splits and shortens others.

    Blanks, commas and semicolons become underscores.
    """
    key, _, value = re.sub(r"[\s,;]+", "_", text.strip()).partition(":")
    # As it returns it: without a dot at the beginning, and a colon before nothing.
    return (key.removeprefix(".") + (value and f":{value}"))[:TAG_LIMIT]


TAG_LIMIT = 255
"""The most characters of a tag."""


def input_value(value: Source | Json) -> Any:
    """Return the value of an input as Galaxy expects it."""
    match value:
        case GalaxyData(src, id_):
            return {"src": src.value, "id": id_}
        case UrlData():
            return _address(value)
        case _:
            return value


def sent_file(file: UploadedFile) -> dict[str, Any]:
    """Return a file that was sent, as Galaxy expects it."""
    hashes = _hashes(file.sha256)
    return {
        "src": "files",
        "name": file.name,
        "ext": file.ext,
        **({"hashes": hashes} if hashes else {}),
    }


def _hashes(sha256: str | None, md5: str | None = None) -> list[dict[str, str]]:
    return [
        {"hash_function": function, "hash_value": digest}
        for function, digest in (("SHA-256", sha256), ("MD5", md5))
        if digest
    ]


def _address(data: UrlData) -> dict[str, Any]:
    """Return data by address as Galaxy expects it, without what is left to it."""
    options = {
        "name": data.name,
        "hashes": _hashes(data.sha256, data.md5),
        "dbkey": data.dbkey,
        "deferred": data.deferred,
    }
    given = {name: value for name, value in options.items() if value}
    return {"src": "url", "url": data.url, "ext": data.ext, **given}


# --- data ---------------------------------------------------------------------


def description(content: Mapping[str, Any]) -> DataDescription:
    """Read a dataset of a history or a library, or a collection without its elements.

    Older releases show less of a collection: no formats, and no states of its datasets.
    """
    is_collection = "collection_type" in content
    state = name(part(content, "populated_state" if is_collection else "state", str))
    extensions = content.get("elements_datatypes")
    if not is_collection:
        extensions = [content.get("extension") or content.get("file_ext")]
    elif state == "ok":
        state = _state_of_all(content.get("elements_states"))
    known = map(name, extensions) if isinstance(extensions, list) else ()
    return DataDescription(
        name=name(content.get("name")) or "",
        state=_gone(content) or state or "",
        extensions=tuple(sorted({word for word in known if word})[:MAX_WORDS]),
        collection_type=(name(content["collection_type"]) or "")
        if is_collection
        else None,
    )


def _gone(content: Mapping[str, Any]) -> str | None:
    """Return the state of data that is deleted, which Galaxy keeps apart."""
    if content.get("purged"):
        return PURGED
    return DELETED if content.get("deleted") else None


def datatypes(mapping: Any, converters: Any) -> Datatypes:
    """Read the formats that Galaxy knows, and which can be converted to which."""
    classes = part(mapping, "ext_to_class_name", dict)
    ancestors = part(mapping, "class_to_classes", dict)
    targets: dict[str, list[str]] = {}
    for converter in objects(converters):
        source, target = (name(part(converter, key, str)) for key in _CONVERTER)
        targets.setdefault(source or "", []).append(target or "")
    return Datatypes(
        {_word(extension): _word(class_) for extension, class_ in classes.items()},
        {
            _word(class_): frozenset(map(_word, part(ancestors, class_, dict)))
            for class_ in ancestors
        },
        targets,
    )


_CONVERTER = ("source", "target")


def _word(value: Any) -> str:
    return name(value) or ""


def _state_of_all(states: Any) -> str:
    """Return the state of a collection whose datasets are in these states."""
    words = states if isinstance(states, Mapping) else {}
    others = [word for word in map(name, words) if word and word != "ok"]
    return "error" if "error" in others else next(iter(others), "ok")


# --- invocations --------------------------------------------------------------


def invocation(
    content: Any,
    report_sub: Callable[[InvocationId], InvocationReport],
    at: datetime | None = None,
) -> InvocationReport:
    """Read an invocation shown with its steps' details.

    Args:
        content: The answer.
        report_sub: Reports on the invocation of a sub-workflow. It is called
            after *content* was requested: see :meth:`Galaxy.report` for why.
        at: When Galaxy gave the answer, by its own clock; time-zone aware.
    """
    word = part(content, "state", str)
    try:
        state = GalaxyState(word)
    except ValueError:
        raise Unreadable(f"an invocation in a state {quoted(word)}") from None
    # A warning is no reason for a state.
    messages = [
        message
        for message in objects(content.get("messages") or [])
        if part(message, "reason", str) != "workflow_output_not_found"
    ][:MAX_MESSAGES]
    steps = objects(part(content, "steps", list))
    if len(steps) > MAX_STEPS:
        raise Unreadable(f"{len(steps)} steps")
    read = tuple(
        _step(step, report_sub)
        for step in sorted(steps, key=lambda step: place(step, "order_index"))
    )
    placed = [_placed(message, read) for message in messages]
    return InvocationReport(
        invocation_id=InvocationId(id_of(content)),
        state=state,
        steps=read,
        history_id=HistoryId(id_of(content, "history_id")),
        messages=tuple(map(sentence, placed)),
        reasons=tuple(name(message["reason"]) or "" for message in placed),
        quiet_for=quiet_for(
            [job for step in steps for job in step.get("jobs") or ()], at
        ),
        visited_for=quiet_for([content], at),
        named=_named(placed[0], read, content.get("inputs")) if placed else None,
    )


def _placed(
    message: Mapping[str, Any], steps: Sequence[StepReport]
) -> Mapping[str, Any]:
    """Return a message with the indexes of the sub-workflows above its step.

    Releases before 26.1 leave them out. The step that a run was given up for is there,
    and not scheduled; so are the sub-workflows above it. Others have no steps yet.
    """
    index = whole(message.get("workflow_step_id"))
    if "workflow_step_index_path" in message or index is None:
        return message
    path: list[int] = []
    while (step := _left(steps, index)) is None or step.sub is not None:
        above = next((step for step in steps if not step.scheduled and step.sub), None)
        if above is None or above.sub is None or not above.sub.steps:
            break
        path.append(above.index)
        steps = above.sub.steps
    return {**message, "workflow_step_index_path": path} if step else message


def _left(steps: Sequence[StepReport], index: int) -> StepReport | None:
    """Return the step of an index, if it is there and not scheduled."""
    return next((s for s in steps if s.index == index and not s.scheduled), None)


def _named(
    message: Mapping[str, Any], steps: Sequence[StepReport], inputs: Any
) -> NamedStep | None:
    """Return the step that a message names, if it does.

    Args:
        message: The message.
        steps: The steps of the invocation, as far as there are any.
        inputs: The values of its inputs, which have labels, too.
    """
    places = _places(message)
    if not places or whole(message.get("workflow_step_id")) != places[-1]:
        return None
    path: list[str] = []
    for index in places:
        step = next((step for step in steps if step.index == index), None)
        label = step and step.label
        if not path and step is None and isinstance(inputs, Mapping):
            value = inputs.get(str(index))
            label = name(value.get("label")) if isinstance(value, Mapping) else None
        path.append(label or f"step {index + 1}")
        steps = step.sub.steps if step and step.sub else ()
    return NamedStep(
        index=places[-1],
        path=tuple(path),
        dependent=any(message.get(key) is not None for key in _CAUSES),
    )


_CAUSES = ("dependent_workflow_step_id", "job_id", "hda_id", "hdca_id")
"""The keys of a message about what failed before a step could use it."""


def _places(message: Mapping[str, Any]) -> list[int]:
    """Return the indexes of the steps down to the one that a message names.

    The values of ``workflow_step_id`` are indexes of steps, in spite of the name.
    """
    above = message.get("workflow_step_index_path")
    path = [*(above if isinstance(above, list) else ())][:MAX_MESSAGES]
    path.append(message.get("workflow_step_id"))
    return [n for n in map(whole, path) if n is not None and 0 <= n < MAX_STEPS]


def failed_dataset(content: Any) -> str | None:
    """Return the id of the dataset for which Galaxy gave an invocation up, if any."""
    for message in objects(content.get("messages") or [])[:MAX_MESSAGES]:
        if message.get("reason") == "dataset_failed" and message.get("hda_id"):
            return id_of(message, "hda_id")
    return None


def dataset_problem(content: Any) -> str | None:
    """Return what a dataset that failed says of itself, with its address, if any."""
    sources = objects(content.get("sources") or [])
    address = text(sources[0].get("source_uri")) if sources else None
    shown = masked(address, address=True) if address else name(content.get("name"))
    info = text(content.get("misc_info"))
    # In quotes, which end an address wherever it is masked.
    parts = (shown and f"'{shown}'", info and info.strip())
    return text(": ".join(filter(None, parts)))


def failed_input(content: Any) -> str:
    """Return a sentence on a dataset that failed: its name, address and reason."""
    called, problem = name(content.get("name")) or "", dataset_problem(content) or ""
    is_named = problem.startswith(f"'{called}'")
    return problem if is_named else f"{quoted(called)} from {problem}"


def quiet_for(
    contents: Sequence[Mapping[str, Any]], at: datetime | None
) -> timedelta | None:
    """Return the time since any of these objects last changed, if it is known."""
    if at is None or not contents:
        return None
    try:
        # Galaxy's times are in UTC, and most say no time zone.
        times = [datetime.fromisoformat(item["update_time"]) for item in contents]
        return at - max(
            time.replace(tzinfo=UTC) if time.tzinfo is None else time for time in times
        )
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def _step(
    content: Mapping[str, Any], report_sub: Callable[[InvocationId], InvocationReport]
) -> StepReport:
    scheduled = content.get("state") == "scheduled"
    has_sub = content.get("subworkflow_invocation_id") is not None
    mapped = bool(content.get("implicit_collection_jobs_id"))
    jobs = tuple(map(job, objects(content.get("jobs") or [])))
    return StepReport(
        index=place(content, "order_index"),
        label=name(content.get("workflow_step_label")),
        scheduled=scheduled,
        # Galaxy schedules a mapped step only when it has made all of its jobs.
        expanding=mapped and not scheduled,
        jobs=jobs,
        empty=mapped and scheduled and not jobs,
        sub=report_sub(InvocationId(id_of(content, "subworkflow_invocation_id")))
        if has_sub
        else None,
    )


@frozen
class PlannedStep:
    """A step as its workflow declares it.

    Attributes:
        is_review: Whether somebody reviews the data there (Galaxy's ``pause``).
        is_workflow: Whether it runs another workflow.
        needs: The indexes of the steps that it depends on.
    """

    is_review: bool
    is_workflow: bool
    needs: tuple[int, ...]


def plan(content: Any) -> dict[int, PlannedStep]:
    """Read the steps of a workflow, by their index."""
    steps = part(content, "steps", dict)
    if len(steps) > MAX_STEPS or not all(
        re.fullmatch("[0-9]{1,4}", index) for index in steps
    ):
        raise Unreadable(f"{len(steps)} steps, or no indexes of steps")
    return {int(index): _planned(step) for index, step in steps.items()}


def _planned(content: Any) -> PlannedStep:
    # Several connections to one input are a list.
    sources = [
        source
        for given in part(content, "input_steps", dict).values()
        for source in (given if isinstance(given, list) else [given])
    ]
    kind = part(content, "type", str)
    return PlannedStep(
        is_review=kind == "pause",
        is_workflow=kind == "subworkflow",
        needs=tuple(sorted({place(source, "source_step") for source in sources})),
    )


def with_plan(
    report: InvocationReport, shown: Any, planned: Mapping[int, PlannedStep]
) -> InvocationReport:
    """Return a report with what its workflow declares.

    Args:
        report: The invocation.
        shown: The answer that it was read from.
        planned: The steps of its workflow. Those that Galaxy has not recorded yet are
            added as not scheduled.
    """
    answered = {
        step["order_index"]
        for step in part(shown, "steps", list)
        if step.get("action") is not None
    }
    steps = {step.index: step for step in report.steps}
    for index, known in planned.items():
        step = steps.get(index) or StepReport(index=index, scheduled=False)
        review = known.is_review and step.scheduled and index not in answered
        steps[index] = evolve(step, needs=known.needs, review=review)
    return evolve(report, steps=tuple(steps[index] for index in sorted(steps)))


def job(content: Any) -> JobReport:
    """Read a job as a step lists it."""
    return JobReport(
        JobId(id_of(content)),
        job_state(part(content, "state", str)),
        name(content.get("tool_id")),
        created_at=_time(content.get("create_time")),
        updated_at=_time(content.get("update_time")),
    )


def _time(value: Any) -> datetime | None:
    """Read a time: Galaxy's are in UTC, and most say no time zone."""
    try:
        time = datetime.fromisoformat(value)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        return None


def job_state(word: str) -> JobState:
    """Read Galaxy's word for the state of a job."""
    # A word of our own: if Galaxy ever uses it, the meaning is unknown.
    if word == JobState.BLOCKED.value:
        return JobState.UNKNOWN
    try:
        return JobState(word)
    except ValueError:
        return JobState.UNKNOWN


def sentence(message: Mapping[str, Any]) -> str:
    """Return a message of an invocation as a sentence.

    Galaxy sends a code and details, and leaves the wording to its web client.
    """
    reason = part(message, "reason", str)
    words = _SENTENCES.get(reason, f"Galaxy's reason: {name(reason)}")
    steps = [f"step {index + 1}" for index in _places(message)]
    if steps:
        words += f", at {' > '.join(steps)}"
    cause = whole(message.get("dependent_workflow_step_id"))
    if cause is not None:
        words += f", because of step {cause + 1}"
    if details := text(message.get("details")) or text(message.get("output_name")):
        words += f": {details}"
    return shortened(f"{words}.".replace("..", "."), TEXT_LIMIT - 1)


_SENTENCES = {
    "user_request": "The run was cancelled on request",
    "history_deleted": "The run was cancelled because its history was deleted",
    "cancelled_on_review": "The run was cancelled at a review",
    "dataset_failed": "A dataset that the run needs has failed or could not be fetched",
    "collection_failed": "A collection that the run needs has failed",
    "job_failed": "A job that the run depends on has failed",
    "output_not_found": "An output that the run needs was not made",
    "expression_evaluation_failed": "An expression could not be evaluated",
    "when_not_boolean": "The condition of a step is neither true nor false",
    "unexpected_failure": "An unexpected failure in Galaxy",
    "workflow_parameter_invalid": "A workflow parameter is not valid",
    "step_input_deleted": "An input of a step was deleted",
}


def invoked(content: Any, stored: Mapping[str, Any] | None) -> Invoked:
    """Read what an invocation was started with.

    Args:
        content: The invocation.
        stored: Its workflow, or None where Galaxy does not show it.
    """
    inputs: dict[str, GalaxyData | Json] = {}
    for _, data in _members(content, "inputs"):
        if (label := name(data.get("label"))) and data.get("src") in _SOURCES:
            inputs[label] = GalaxyData(Src(data["src"]), id_of(data))
    for key, parameter in _members(content, "input_step_parameters"):
        inputs[name(key) or ""] = plain(parameter.get("parameter_value"))
    return Invoked(
        workflow_id=WorkflowId(id_of(stored)) if stored else None,
        workflow_name=name(stored.get("name")) if stored else None,
        inputs=inputs,
    )


def _members(
    content: Mapping[str, Any], key: str
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the objects in an object that may be missing."""
    members = content.get(key)
    if isinstance(members, Mapping):
        for name_, member in islice(members.items(), MAX_STEPS):
            if isinstance(member, Mapping):
                yield name_, member


_SOURCES = (Src.HDA.value, Src.HDCA.value)


def summaries(content: Any) -> dict[InvocationId, JobsSummary]:
    """Read the bulk answer.

    Invocations that Galaxy does not know, and those whose part of the answer cannot
    be read, are left out.
    """
    if not isinstance(content, list):
        raise Unreadable("no list")
    read = {}
    for item in content:
        with suppress(Unreadable):
            read[InvocationId(id_of(item))] = summary(item)
    return read


def summary(content: Any) -> JobsSummary:
    """Read the counts of the jobs of an invocation, or of one of its steps."""
    states = part(content, "states", dict)
    populated = part(content, "populated_state", str)
    words = [populated, *states]
    counts = map(whole, states.values())
    if len(words) > MAX_WORDS or any(len(word) > NAME_LIMIT for word in words):
        raise Unreadable("states that are none")
    if any(count is None or count < 0 for count in counts):
        raise Unreadable("a number of jobs that is none")
    return JobsSummary(
        states={_storable(word): n for word, n in states.items()},
        populated=_storable(populated),
    )


MAX_WORDS = 50
"""States that jobs can be in; Galaxy has about twenty."""


# --- jobs and their outputs ---------------------------------------------------


def details(content: Any, info: str | None, element: str | None = None) -> JobDetails:
    """Read a job shown in full.

    Args:
        content: The answer.
        info: The message that Galaxy left on one of its outputs, if known.
        element: The element of a collection that it worked on, if known.
    """
    streams = (content.get(key) for key in ("tool_stderr", "stderr", "job_stderr"))
    stderr = next((s for s in streams if isinstance(s, str) and s), "")
    messages = [
        desc
        for message in (content.get("job_messages") or [])[:MAX_MESSAGES]
        if isinstance(message, Mapping) and (desc := text(message.get("desc")))
    ]
    return JobDetails(
        tool=name(content.get("tool_id")),
        element=element,
        exit_code=whole(content.get("exit_code")),
        # Masked while the name of a secret stands before it, even if it is cut off.
        stderr=_storable(masked(stderr[-2 * STDERR_TAIL :])),
        message=info or text("; ".join(messages)),
    )


def outputs_of(content: Any) -> Iterator[tuple[str, str, str]]:
    """Yield the labelled outputs of an invocation: label, kind and id."""
    for key, src in _OUTPUTS:
        for label, item in part(content, key, dict).items():
            yield name(label) or "", src, id_of(item)


def shared_labels(export: Any) -> dict[tuple[int, str], str]:
    """Return the labels that several outputs of a workflow have.

    The keys are the step and the name of each of these outputs.

    Args:
        export: The workflow, as Galaxy exports it.
    """
    labels = {
        (place(step, "id"), part(output, "output_name", str)): output.get("label")
        for step in part(export, "steps", dict).values()
        for output in objects(step.get("workflow_outputs") or [])
    }
    counts = Counter(map(name, labels.values()))
    return {key: label for key, label in labels.items() if label and counts[label] > 1}


def unlisted_outputs(
    content: Any, shared: Mapping[tuple[int, str], str]
) -> Iterator[tuple[str, str, str]]:
    """Yield the outputs of an invocation that have the label of another one.

    Galaxy lists one of them by the label. The others are called as it calls outputs
    without labels.

    Args:
        content: The invocation, shown with what its steps have made.
        shared: See :func:`shared_labels`.
    """
    listed = {(src, id_) for _, src, id_ in outputs_of(content)}
    for step in objects(part(content, "steps", list)):
        index = place(step, "order_index")
        for key, src in _OUTPUTS:
            for output, item in part(step, key, dict).items():
                if (index, output) in shared and (src, id_of(item)) not in listed:
                    yield name(f"{output} (Step {index + 1})") or "", src, id_of(item)


_OUTPUTS = (("outputs", Src.HDA.value), ("output_collections", Src.HDCA.value))


def values_of(content: Any) -> Iterator[Output]:
    """Yield the labelled outputs of an invocation that are no data."""
    values = content.get("output_values")
    for label, value in (values if isinstance(values, Mapping) else {}).items():
        shown: Json = None
        with suppress(Unreadable):
            shown = plain(value)
        if json_size(shown) > TEXT_LIMIT:
            shown = text(json.dumps(shown))  # its beginning
        if isinstance(shown, str):
            shown = masked(shown)
        yield Output(label=name(label) or "", src=VALUE, value=shown)


def elements(content: Any) -> Iterator[Element]:
    """Yield the datasets of a collection, in its order, those in its parts included."""
    for path, shown in _elements(content):
        yield Element(
            name=name("/".join(path)) or "",
            path=path,
            id=id_of(shown) if "id" in shown else None,
            state=_gone(shown) or name(shown.get("state")),
        )


def histories_of_elements(content: Any) -> dict[str, HistoryId | None]:
    """Return the ids of the datasets of a collection, with those of their histories."""
    return {
        id_of(shown): HistoryId(id_of(shown, "history_id"))
        if shown.get("history_id") is not None
        else None
        for _, shown in _elements(content)
        if shown
    }


def _elements(content: Any) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """Yield what a collection shows of its datasets, with their places in it."""
    stack: list[tuple[tuple[str, ...], Mapping[str, Any]]] = [
        ((), item) for item in reversed(objects(content.get("elements") or []))
    ]
    while stack:
        above, item = stack.pop()
        path = (*above, name(item.get("element_identifier")) or "")
        shown = item.get("object")
        shown = shown if isinstance(shown, Mapping) else {}
        if "elements" in shown:
            parts = objects(shown["elements"] or [])
            stack += [(path, part) for part in reversed(parts)]
        else:
            yield path, shown


def with_file(element: Element, content: Mapping[str, Any]) -> Element:
    """Return an element with what Galaxy lists of its dataset, if anything."""
    return evolve(
        element,
        state=_gone(content) or element.state,
        extension=name(content.get("extension")),
        size=_size(content),
    )


def _size(content: Mapping[str, Any]) -> int | None:
    size = whole(content.get("file_size"))
    return None if size is None or size < 0 else size


def output(label: str, src: str, id_: str, content: Mapping[str, Any]) -> Output:
    """Read a dataset or a collection that is an output; *content* may be empty."""
    datasets = list(elements(content)) if src == "hdca" else []
    state = name(content.get("state")) or name(content.get("populated_state"))
    others = [
        element.state for element in datasets if element.state not in {"ok", None}
    ]
    if state == "ok" and others:
        state = "error" if "error" in others else others[0]
    state = _gone(content) or state
    if len(datasets) > ELEMENTS_LIMIT:
        datasets.sort(key=lambda element: element.state == "ok")
    return Output(
        label=label,
        src=src,
        id=id_,
        name=name(content.get("name")),
        extension=name(content.get("extension")),
        size=_size(content),
        state=state,
        elements=tuple(datasets),
        hidden=content.get("visible") is False,
    )


# --- reasons for paused jobs --------------------------------------------------


class Pause(Enum):
    """Why Galaxy paused a job, as it wrote on the job's output."""

    BROKEN_INPUT = auto()  #: an input failed or is deleted: the job will never run
    PAUSED_INPUT = auto()  #: an input is paused itself
    OTHER = auto()  #: a quota, a limit, a user's request, or unknown


def pause(info: Any) -> Pause:
    """Read the message on an output.

    Galaxy has no code for the reason. These are all the phrases with which it
    pauses a job because of an input.
    """
    words = text(info) or ""
    if any(phrase in words for phrase in _BROKEN_INPUT):
        return Pause.BROKEN_INPUT
    return Pause.PAUSED_INPUT if _PAUSED_INPUT in words else Pause.OTHER


_BROKEN_INPUT = (
    "its input datasets are in an error state",
    "is in error state",
    "was deleted before the job started",
    "failed to properly set metadata",
)
_PAUSED_INPUT = "was paused before the job started"
