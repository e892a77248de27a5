"""A runner's report of an invocation *now*: facts, not yet a verdict.

Rule of the file: the names are Galaxy's own, and nothing is interpreted except
the one thing that only the adapter can find out: why a paused job is paused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from enum import Enum
from functools import cached_property

from attrs import Factory, field, frozen
from attrs.converters import optional

from galaxy_jobs.domain.model.dataset import GalaxyData, masked
from galaxy_jobs.domain.model.values import (
    TEXT_LIMIT,
    HistoryId,
    InvocationId,
    JobId,
    Json,
    WorkflowId,
)


class GalaxyState(Enum):
    """The state that Galaxy gives an invocation.

    It is about scheduling, not about success, which the jobs show. An engine of
    another kind needs five of these: NEW, SCHEDULED, CANCELLING, CANCELLED,
    and FAILED for a run that it gives up as a whole.
    """

    REQUIRES_MATERIALIZATION = "requires_materialization"  #: its data is fetched first
    NEW = "new"  #: accepted, and not looked at yet: there are no steps
    READY = "ready"  #: some steps have become jobs
    SCHEDULED = "scheduled"  #: every step has become jobs, however they go
    CANCELLING = "cancelling"  #: a cancel was requested
    CANCELLED = "cancelled"  #: no more jobs come; some may still be stopping
    FAILED = "failed"  #: given up as a whole, for its `messages` and `reasons`
    COMPLETED = "completed"  #: (from 26.0 on) every job settled, failed ones too


class JobState(Enum):
    """The state of a job: Galaxy's states, and two of ours."""

    NEW = "new"  #: created; waits for its inputs
    RESUBMITTED = "resubmitted"
    UPLOAD = "upload"
    WAITING = "waiting"
    QUEUED = "queued"
    RUNNING = "running"
    OK = "ok"
    ERROR = "error"  #: it ran and failed
    FAILED = "failed"  #: it could not be run
    PAUSED = "paused"  #: held for a quota or by a user; it may still go on
    BLOCKED = "blocked"  #: never runs: an input failed or is gone; Galaxy's `paused`
    DELETING = "deleting"
    DELETED = "deleted"  #: stopped, as part of a cancel or by a user
    STOPPING = "stop"
    STOPPED = "stopped"  #: ended early by a user, who keeps its outputs
    SKIPPED = "skipped"  #: its condition was false: a good end
    UNKNOWN = "unknown"  #: a state of a newer Galaxy: counts as not settled


UNSCHEDULED = frozenset(
    {GalaxyState.NEW, GalaxyState.READY, GalaxyState.REQUIRES_MATERIALIZATION}
)
"""The states in which Galaxy may still make jobs."""

STDERR_TAIL = TEXT_LIMIT
"""How many characters of a failed job's stderr are kept, from its end."""

NOT_STARTED = frozenset(
    {
        JobState.NEW,
        JobState.RESUBMITTED,
        JobState.WAITING,
        JobState.QUEUED,
        JobState.PAUSED,
    }
)
"""The states of jobs that have not started."""

GOOD = frozenset({JobState.OK, JobState.SKIPPED})
"""The states of jobs that ended well."""

BAD = frozenset(
    {
        JobState.ERROR,
        JobState.FAILED,
        JobState.BLOCKED,
        JobState.DELETED,
        JobState.STOPPED,
    }
)
"""The states of jobs that ended badly, or will never run."""

SETTLED = GOOD | BAD
"""The states of jobs that will not change by themselves any more."""


@frozen
class JobReport:
    """One job of a step.

    Attributes:
        job_id: Galaxy's id of it.
        state: Its state.
        tool: The id of the tool it runs, or None where Galaxy does not name it.
        created_at: When it was created, by the engine's clock; None: not known.
        updated_at: When it last changed; None: not known.
    """

    job_id: JobId
    state: JobState
    tool: str | None = None
    created_at: datetime | None = field(default=None, kw_only=True, eq=False)
    updated_at: datetime | None = field(default=None, kw_only=True, eq=False)


@frozen(kw_only=True)
class StepReport:
    """One step of an invocation.

    Attributes:
        index: Its place in the workflow, counting from 0.
        label: Its label, or None.
        scheduled: Whether Galaxy has created its jobs (or it needs none).
        expanding: Whether more jobs are still to come (a mapped collection).
        jobs: Its own jobs, in Galaxy's order; none for inputs.
        unlisted: The number of its jobs in each state that are not among *jobs*:
            none, except in an outline (see :meth:`WorkflowRunner.outline`).
        sub: The invocation of the sub-workflow that the step runs, or None.
        empty: Whether it has no jobs because it is mapped over an empty collection.
        review: Whether it is a review that nobody has answered yet.
        needs: The indexes of the steps before it in its workflow, on which it depends;
            None where they are not known. Known if the invocation is ``ready``.
    """

    index: int
    label: str | None = None
    scheduled: bool = True
    expanding: bool = False
    jobs: tuple[JobReport, ...] = ()
    unlisted: Mapping[JobState, int] = field(factory=dict[JobState, int], hash=False)
    sub: InvocationReport | None = None
    empty: bool = False
    review: bool = False
    needs: tuple[int, ...] | None = None

    @property
    def states(self) -> Counter[JobState]:
        """How many of its own jobs are in each state, those not listed included."""
        return Counter(self.unlisted) + Counter(job.state for job in self.jobs)

    @property
    def name(self) -> str:
        """Its label, or ``step 3`` (counting from 1) where it has none."""
        return self.label or f"step {self.index + 1}"

    def all_jobs(self) -> Iterator[JobReport]:
        """Yield its own jobs that are listed, and those of its sub-workflow."""
        yield from self.jobs
        if self.sub is not None:
            yield from self.sub.jobs()

    @property
    def all_states(self) -> Counter[JobState]:
        """The number of its jobs in each state, with those of its sub-workflow."""
        return self.states + (self.sub.states if self.sub else Counter())

    @property
    def tool(self) -> str | None:
        """The id of the tool that its jobs run, or None where it is not known."""
        return next((job.tool for job in self.jobs if job.tool), None)


@frozen
class NamedStep:
    """The step that Galaxy names as it gives an invocation up.

    Attributes:
        index: Its place in its workflow, counting from 0.
        path: The labels of the sub-workflows down to it, its own last.
        dependent: Whether it only needed what failed elsewhere.
    """

    index: int
    path: tuple[str, ...]
    dependent: bool = False


@frozen(kw_only=True)
class InvocationReport:
    """An invocation now, its sub-workflows included.

    Attributes:
        invocation_id: Galaxy's id of it.
        state: Galaxy's state of it.
        steps: Every step Galaxy has recorded so far, in the workflow's order.
            Empty while an invocation is new, and for good if it was cancelled
            before it was looked at: the steps come with scheduling.
        history_id: Where its outputs go.
        messages: Why Galaxy failed or cancelled it, in sentences for people.
        reasons: The same as Galaxy's codes. Two of them count: ``history_deleted``,
            for a run that was cancelled because its history was deleted before it
            began, and ``cancelled_on_review``, for one whose review was rejected.
        quiet_for: The time since any of its own jobs last changed, by the clock of
            the engine; None where that is not known, or it has no job.
        visited_for: The time since the scheduler of the engine last visited it, by the
            clock of the engine; None where that is not known.
        named: The step that the first of the messages is about, or None.
        has_sub_workflows: Whether its workflow has some, which may still be to begin.
            It is known of every run that Galaxy has not finished scheduling.
    """

    invocation_id: InvocationId
    state: GalaxyState
    steps: tuple[StepReport, ...] = ()
    history_id: HistoryId | None = None
    messages: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    quiet_for: timedelta | None = None
    visited_for: timedelta | None = None
    named: NamedStep | None = None
    has_sub_workflows: bool = False

    @property
    def is_expanding(self) -> bool:
        """Whether more jobs may still be made, in it or in a sub-workflow."""
        return any(part.state in UNSCHEDULED for _, part in self.tree())

    def tree(
        self, path: tuple[str, ...] = ()
    ) -> Iterator[tuple[tuple[str, ...], InvocationReport]]:
        """Yield this invocation and all below it, each with its path of labels."""
        yield path, self
        for step in self.steps:
            if step.sub is not None:
                yield from step.sub.tree((*path, step.name))

    def walk(
        self, path: tuple[str, ...] = ()
    ) -> Iterator[tuple[tuple[str, ...], StepReport]]:
        """Yield every step in order, sub-workflows in place, with its path."""
        for step in self.steps:
            yield (*path, step.name), step
            if step.sub is not None:
                yield from step.sub.walk((*path, step.name))

    def places(self, above: str = "") -> Iterator[tuple[str, StepReport]]:
        """Yield every step as :meth:`walk` does, with its place.

        That is its index, such as ``3``; in a sub-workflow behind those of the steps
        above it, such as ``1.3``.
        """
        for step in self.steps:
            place = f"{above}{step.index}"
            yield place, step
            if step.sub is not None:
                yield from step.sub.places(f"{place}.")

    @cached_property
    def bad_jobs(self) -> Sequence[tuple[tuple[str, ...], StepReport, JobReport]]:
        """Every listed job in :data:`BAD`, with its path and step.

        In the workflow's own order, the blocked ones after all others.
        """
        bad = [
            (path, step, job)
            for path, step in self.walk()
            for job in step.jobs
            if job.state in BAD
        ]
        return sorted(bad, key=lambda entry: entry[2].state is JobState.BLOCKED)

    def jobs(self) -> Iterator[JobReport]:
        """Yield every job that is listed, those of sub-workflows too."""
        for _, step in self.walk():
            yield from step.jobs

    @cached_property
    def states(self) -> Counter[JobState]:
        """How many jobs are in each state, those of sub-workflows included."""
        counts = Counter[JobState]()
        for _, step in self.walk():
            counts.update(step.states)
        return counts


def _tail(text: str | None) -> str | None:
    return text[-STDERR_TAIL:] if text else None


@frozen(kw_only=True)
class JobDetails:
    """The details of a job that went wrong.

    Attributes:
        tool: The id of its tool.
        element: The element of a collection that it worked on, such as ``sample-07``,
            or ``plate-1/sample-07`` in a collection of collections; None where it is
            no job of a mapped step, or not known.
        exit_code: The exit code of its process, or None where it never ran.
        stderr: Its standard error. Of a longer text, the last
            :data:`STDERR_TAIL` characters are kept.
        message: Galaxy's own sentence, mostly from the output's ``misc_info``.
    """

    tool: str | None = None
    element: str | None = None
    exit_code: int | None = None
    stderr: str | None = field(default=None, converter=_tail)
    message: str | None = None


def _path(element: Element) -> tuple[str, ...]:
    return tuple(element.name.split("/"))


@frozen(kw_only=True)
class Element:
    """One dataset of a collection.

    Attributes:
        name: Its name in the collection, such as ``sample-07``, or
            ``plate-1/sample-07`` in a collection of collections.
        id: Galaxy's id of the dataset; None for an element without one.
        state: Galaxy's state of the dataset, such as ``ok``, :data:`.DELETED` or
            :data:`.PURGED`; None where not known.
        path: The names from the collection down to it, such as ``plate-1`` and
            ``sample-07``; left out, *name* split at its slashes.
        extension: Its format; None where not known.
        size: In bytes; None where not known.
    """

    name: str
    id: str | None = None
    state: str | None = None
    path: tuple[str, ...] = field(default=Factory(_path, takes_self=True))
    extension: str | None = None
    size: int | None = None


ELEMENTS_LIMIT = 1000
"""How many datasets of a collection are listed; of more, the ``ok`` ones come last."""

VALUE = "value"
"""The kind of an output that is no dataset and no collection, but a value."""


@frozen(kw_only=True)
class Output:
    """One output of an invocation.

    Attributes:
        label: The workflow output's label; where it has none, the engine's name for
            it, by its step and output, such as ``output1 (Step 3)``.
        src: ``hda``, ``hdca``, or :data:`VALUE`. A dataset and a collection may have
            the same label.
        id: Galaxy's id of the dataset or collection; None for a value.
        name: Its name in the history, :func:`masked` since it may be an address, or
            None where it could not be read.
        extension: Its format; None for a collection.
        size: In bytes; None for a collection, or where it is not known.
        state: Galaxy's state of the dataset, such as ``ok``, :data:`.DELETED` or
            :data:`.PURGED`. Of a collection, it is
            ``ok`` if all of its datasets are, and otherwise the state of one that is
            not, preferably ``error``.
        elements: Of a collection, its datasets; those not ``ok`` come first if there
            are more than :data:`ELEMENTS_LIMIT`.
        hidden: Whether Galaxy hides it in the history.
        value: Of a value, what it is.
    """

    label: str
    src: str
    id: str | None = None
    name: str | None = field(default=None, converter=optional(masked))
    extension: str | None = None
    size: int | None = None
    state: str | None = None
    elements: tuple[Element, ...] = ()
    hidden: bool = False
    value: Json = None


@frozen(kw_only=True)
class Invoked:
    """What an invocation was started with, as far as Galaxy shows it.

    Attributes:
        workflow_id: The id of the stored workflow; None where it is not shown.
        workflow_name: The name of that workflow now, or None.
        inputs: The data and parameters, by input name; those without a label, and
            data that is not in Galaxy yet, may be missing.
    """

    workflow_id: WorkflowId | None = None
    workflow_name: str | None = None
    inputs: Mapping[str, GalaxyData | Json] = field(factory=dict, hash=False)


@frozen(kw_only=True)
class JobsSummary:
    """Galaxy's bulk answer about one invocation: enough to see a change.

    Attributes:
        states: The number of jobs in each of Galaxy's states, the jobs of
            sub-workflows and mapped collections included. Galaxy has no state
            ``blocked``: such a job is ``paused``.
        populated: ``new`` while it is still expanding, ``ok`` once all steps
            are scheduled, ``failed`` if it failed or was cancelled.
    """

    states: Mapping[str, int] = field(hash=False)
    populated: str

    @property
    def fingerprint(self) -> str:
        """A short text that is equal as long as nothing has moved."""
        counts = " ".join(f"{name}={n}" for name, n in sorted(self.states.items()))
        return f"{self.populated} {counts}".strip()

    @property
    def idle(self) -> bool:
        """Whether it is still expanding, while none of its jobs has yet to settle.

        It waits for the scheduler, or for somebody's review; or for ever.
        """
        return self.populated == "new" and _PERHAPS_SETTLED.issuperset(self.states)

    @property
    def moving(self) -> bool:
        """Whether this alone shows that the invocation cannot have ended.

        It is still expanding, or some job has yet to settle. A ``paused`` job
        proves nothing: it is held, or blocked for good, and only a full look
        can tell the two apart.
        """
        if self.populated == "failed":
            return False
        return self.populated == "new" or not _PERHAPS_SETTLED.issuperset(self.states)


_PERHAPS_SETTLED = frozenset(
    {state.value for state in SETTLED} | {JobState.PAUSED.value}
)
