"""One run of one workflow on one dataset, and the rules for how it changes.

Rule 1: every fact about which change is allowed stands in :data:`TRANSITIONS`.
Rule 2: nothing here does I/O, reads a clock or makes an id.

A poll is level-triggered: it shows the state *now*. An event that is no news leads
back to the same state in the table.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import Enum
from types import MappingProxyType

from attrs import Factory, evolve, field, frozen
from attrs.converters import optional
from attrs.validators import ge
from attrs.validators import optional as optionally

from galaxy_jobs.domain.errors import (
    AlreadyEnded,
    IllegalTransition,
    RunNotFound,
    shortened,
)
from galaxy_jobs.domain.model.dataset import masked
from galaxy_jobs.domain.model.labels import Labels
from galaxy_jobs.domain.model.values import (
    LISTED_PARAMETERS_SIZE,
    TEXT_LIMIT,
    DatasetId,
    HistoryId,
    Identity,
    InvocationId,
    Parameters,
    SubmissionId,
    WorkflowId,
    aware,
    json_size,
)
from galaxy_jobs.domain.model.viewer import Viewer


STALE_AFTER = timedelta(minutes=2)
"""How late a look at an invocation may be, by default, before it is stale."""


class InvocationState(Enum):
    """The state of an invocation. The values are stored and served."""

    QUEUED = "queued"  #: Galaxy has accepted it; no job has started
    IN_PROGRESS = "in_progress"  #: a job has started, and not everything is settled
    CANCELLING = "cancelling"  #: a stop was asked for; jobs may still be running
    COMPLETED = "completed"  #: every job ended well
    FAILED = "failed"  #: something went wrong for good
    CANCELLED = "cancelled"  #: stopped on request

    @property
    def is_terminal(self) -> bool:
        """Whether it has ended: it changes only if it is reopened."""
        return not TRANSITIONS[self]


class Event(Enum):
    """An event in the life of an invocation."""

    CANCEL_REQUESTED = "cancel requested"  #: by a client of this service
    SEEN_QUEUED = "seen queued"
    SEEN_IN_PROGRESS = "seen in progress"
    SEEN_CANCELLING = "seen cancelling"  #: also if requested in Galaxy itself
    SEEN_COMPLETED = "seen completed"
    SEEN_FAILED = "seen failed"
    SEEN_CANCELLED = "seen cancelled"


SEEN: Mapping[InvocationState, Event] = MappingProxyType(
    {state: Event[f"SEEN_{state.name}"] for state in InvocationState}
)
"""The event of a poll that found an invocation in that state."""

_CANCELS = frozenset({InvocationState.CANCELLING, InvocationState.CANCELLED})

_ENDS: Mapping[Event, InvocationState] = {
    Event.SEEN_COMPLETED: InvocationState.COMPLETED,
    Event.SEEN_FAILED: InvocationState.FAILED,
    Event.SEEN_CANCELLED: InvocationState.CANCELLED,
}

TRANSITIONS: Mapping[InvocationState, Mapping[Event, InvocationState]] = (
    MappingProxyType(
        {
            InvocationState.QUEUED: {
                Event.CANCEL_REQUESTED: InvocationState.CANCELLING,
                Event.SEEN_QUEUED: InvocationState.QUEUED,
                Event.SEEN_IN_PROGRESS: InvocationState.IN_PROGRESS,
                Event.SEEN_CANCELLING: InvocationState.CANCELLING,
                **_ENDS,
            },
            InvocationState.IN_PROGRESS: {
                Event.CANCEL_REQUESTED: InvocationState.CANCELLING,
                # A job was resubmitted and waits again: still under way.
                Event.SEEN_QUEUED: InvocationState.IN_PROGRESS,
                Event.SEEN_IN_PROGRESS: InvocationState.IN_PROGRESS,
                Event.SEEN_CANCELLING: InvocationState.CANCELLING,
                **_ENDS,
            },
            InvocationState.CANCELLING: {
                Event.CANCEL_REQUESTED: InvocationState.CANCELLING,
                # While a cancel is pending, whatever has not ended is cancelling.
                Event.SEEN_QUEUED: InvocationState.CANCELLING,
                Event.SEEN_IN_PROGRESS: InvocationState.CANCELLING,
                Event.SEEN_CANCELLING: InvocationState.CANCELLING,
                **_ENDS,
            },
            InvocationState.COMPLETED: {},
            InvocationState.FAILED: {},
            InvocationState.CANCELLED: {},
        }
    )
)


@frozen(kw_only=True)
class Progress:
    """How many jobs an invocation has, by how far they are.

    ``ok + running + waiting + failed == total``; jobs that Galaxy has not created
    yet are not counted, since their number is not known.

    Attributes:
        total: All jobs created so far, those of sub-workflows included.
        ok: Ended well, skipped ones included.
        running: Started and not settled.
        waiting: Not started, paused ones included.
        failed: In error, deleted, stopped, or blocked by one that is (see
            :attr:`Invocation.blocked`); or not settled when Galaxy lost the
            invocation.
    """

    total: int = 0
    ok: int = 0
    running: int = 0
    waiting: int = 0
    failed: int = 0


def _message(text: str) -> str:
    return shortened(masked(text), TEXT_LIMIT - 1)


@frozen(kw_only=True)
class Failure:
    """Why an invocation failed, or what has failed so far while it still runs.

    Attributes:
        reason: ``job-failed``, ``gone``, or Galaxy's own code, such as
            ``when_not_boolean`` or ``dataset_failed``.
        step: The label of the first failing step, or ``step 3``; None where no
            step is to blame.
        step_index: Its place in its workflow, counting from 0.
        path: The labels of the sub-workflows down to the step, its own last.
        element: The element of a collection that the failing job worked on, such as
            ``plate-1/sample-07``; None where it is no job of a mapped step, or not
            known.
        tool: The id of its tool.
        exit_code: The exit code of the job's process; None where it never ran.
        stderr: The tail of the job's standard error, :func:`masked`.
        message: Galaxy's own sentence, or several, masked, too; of a longer text, the
            first ``TEXT_LIMIT`` characters.
    """

    reason: str
    step: str | None = None
    step_index: int | None = None
    path: tuple[str, ...] = ()
    element: str | None = None
    tool: str | None = None
    exit_code: int | None = None
    stderr: str | None = field(default=None, converter=optional(masked))
    message: str | None = field(default=None, converter=optional(_message))


BLOCKED = "blocked"
"""The word for jobs that will never run in the counts of a step."""


@frozen(kw_only=True)
class StepSummary:
    """A step, as it is shown to clients.

    Attributes:
        index: Its place in the workflow, counting from 0.
        label: Its label, or ``step 3`` (counting from 1).
        tool: The id of its tool, or None.
        state: ``waiting``, ``running``, ``ok``, ``failed``, or ``blocked`` (by a
            failed one).
        jobs: The number of its jobs (those of a sub-workflow included) in each
            state, by Galaxy's name of the state.
    """

    index: int
    label: str
    tool: str | None
    state: str
    jobs: Mapping[str, int] = field(hash=False)


@frozen(kw_only=True)
class Sighting:
    """The result of one full look at an invocation, verdict included.

    Attributes:
        state: The verdict.
        galaxy_state: Galaxy's own name of the state.
        progress: The counts of its jobs.
        steps: Its steps.
        failure: What has failed, or None.
        attention: A sentence for people, where they should look at it; or None.
    """

    state: InvocationState
    galaxy_state: str
    progress: Progress = Progress()
    steps: tuple[StepSummary, ...] = ()
    failure: Failure | None = None
    attention: str | None = None


REPLACED = "Galaxy does not have the run any more: it has given its id to another one."

CHANGED_AFTER_END = "Changed in Galaxy after the end: refresh the job to see how."

_AFTER_FAILURE = frozenset(
    {InvocationState.FAILED, InvocationState.CANCELLING, InvocationState.CANCELLED}
)
"""The verdicts that are no news of an invocation that has failed."""


@frozen(kw_only=True)
class Revision:
    """What of an invocation differs whenever anything but `observed_at` has changed.

    Attributes:
        version, state, stale_at: As for :class:`Invocation`.
    """

    version: int
    state: InvocationState
    stale_at: datetime | None

    def is_stale(self, now: datetime) -> bool:
        """Return what :meth:`Invocation.is_stale` does."""
        return (
            not self.state.is_terminal
            and self.stale_at is not None
            and self.stale_at < now
        )


@frozen(kw_only=True)
class Invocation:
    """A run that Galaxy has accepted, and its state.

    Values are never changed in place: each method returns the next one, or
    ``self`` where there is no news. ``version`` counts the changes; repositories
    compare it to prevent lost updates.

    Attributes:
        invocation_id: The key: Galaxy's id, or that with a suffix if the id was given
            to a later run (see :meth:`set_apart`).
        galaxy_id: Galaxy's id; None if this Galaxy has given it to another run.
        submission_id: The submission it came from.
        identity: The Galaxy it runs on.
        history_id: The Galaxy history created for it, or None.
        dataset_id: The dataset it runs on.
        workflow_name: The workflow it runs, as the client named it.
        parameters: By input name, as the client sent them.
        parameters_truncated: Whether they were left out, as in lists.
        overwrite: Whether it supersedes earlier ones once it has completed.
        rerun_of: The invocation it repeats, or None.
        dataset_input: The input that the client named for the dataset, or None.
        workflow_id: The stored workflow; None where an earlier version of this program
            submitted it.
        workflow_version: The version of the workflow; None where that is not known.
        version_note: A sentence for people, where it runs another version than the
            invocation that it repeats; or None.
        inputs: What each input was given, by name: see :attr:`Plan.given`. None where
            that is not known.
        use_cached_job: Whether the client let Galaxy copy results of equal jobs; None:
            it did not say.
        labels: Its labels, which clients may change.
        superseded_by: The later invocation that took its place, or None.
        stopping: Whether the jobs that were left at its end are to be stopped.
        state: The verdict on it.
        galaxy_state: Galaxy's own name of the state.
        progress: The counts of its jobs.
        steps: Its steps.
        failure: Why it failed, or what has failed so far; None if nothing has.
        attention: A sentence for people, where they should look at it; or None.
        owner: The owner that submitted it, or None.
        private: Whether the owner sees their own objects only.
        adopted: Whether somebody started it in Galaxy itself. Then its history is
            theirs: only what they ask for is deleted in it.
        results_deleted_at: When its results were deleted; None: they are kept.
        intermediates_deleted_at: When what is no workflow output was deleted; None: it
            is kept.
        created_at: When Galaxy accepted it.
        updated_at: When any field but `observed_at` and `stale_at` last changed.
        observed_at: When Galaxy last gave an answer about it.
        stale_at: The time from which on its state counts as out of date, unless
            Galaxy answers before; None: never. Repositories set it at each look.
        version: The number of changes.
    """

    invocation_id: InvocationId
    submission_id: SubmissionId
    identity: Identity
    history_id: HistoryId | None
    dataset_id: DatasetId
    workflow_name: str
    galaxy_id: InvocationId | None = field(
        default=Factory(lambda self: self.invocation_id, takes_self=True)
    )
    parameters: Parameters = field(factory=dict, hash=False)
    parameters_truncated: bool = False
    overwrite: bool = False
    rerun_of: InvocationId | None = None
    dataset_input: str | None = None
    use_cached_job: bool | None = None
    workflow_id: WorkflowId | None = None
    workflow_version: int | None = None
    version_note: str | None = None
    inputs: Parameters | None = field(default=None, hash=False)
    labels: Labels = field(factory=dict, hash=False)
    superseded_by: InvocationId | None = None
    stopping: bool = False
    state: InvocationState = InvocationState.QUEUED
    galaxy_state: str = "new"
    progress: Progress = Progress()
    steps: tuple[StepSummary, ...] = ()
    failure: Failure | None = None
    attention: str | None = None
    owner: str | None = None
    private: bool = False
    adopted: bool = False
    results_deleted_at: datetime | None = field(
        default=None, validator=optionally(aware)
    )
    intermediates_deleted_at: datetime | None = field(
        default=None, validator=optionally(aware)
    )
    created_at: datetime = field(validator=aware)
    updated_at: datetime = field(validator=aware)
    observed_at: datetime = field(validator=aware)
    stale_at: datetime | None = field(
        default=None, validator=optionally(aware), eq=False
    )
    version: int = field(default=0, validator=ge(0))

    @property
    def has_jobs_left(self) -> bool:
        """Whether it has failed while jobs of it are not settled.

        Galaxy gives some invocations up while their jobs run on.
        """
        progress = self.progress
        return self.state is InvocationState.FAILED and bool(
            progress.running or progress.waiting
        )

    @property
    def is_new(self) -> bool:
        """Whether Galaxy has not answered about it yet, since it was accepted."""
        return self.observed_at == self.created_at

    @property
    def tags(self) -> frozenset[str]:
        """What people find its history by in Galaxy, as well as by its name."""
        return self.label_tags | {f"dataset:{self.dataset_id}"}

    @property
    def label_tags(self) -> frozenset[str]:
        """Those of its :attr:`tags` that its labels are."""
        return frozenset(f"{key}:{value}" for key, value in self.labels.items())

    @property
    def is_followed(self) -> bool:
        """Whether looks at it go on: it has not ended, or has jobs left."""
        return not self.state.is_terminal or self.has_jobs_left

    @property
    def ended_at(self) -> datetime | None:
        """When it was noticed that it has ended; None if it has not.

        What came later, that it was superseded say, or a look without news, does not
        count.
        """
        if not self.state.is_terminal:
            return None
        return min(self.updated_at, self.observed_at)

    @property
    def results(self) -> str:
        """``kept``, or ``deleted`` with its history."""
        return "kept" if self.results_deleted_at is None else "deleted"

    @property
    def needs_cancel(self) -> bool:
        """Whether the engine still has to be asked to stop it, or its jobs."""
        return self.state is InvocationState.CANCELLING or self.stopping

    def listed(self) -> Invocation:
        """Return it as lists show it.

        That is without what its inputs were given, and without parameters that take
        much space.
        """
        if json_size(self.parameters) <= LISTED_PARAMETERS_SIZE:
            return evolve(self, inputs=None)
        return evolve(self, inputs=None, parameters={}, parameters_truncated=True)

    def shown_to(self, viewer: Viewer) -> Invocation:
        """Return it with the ids of datasets as a viewer calls them."""
        return evolve(
            self,
            dataset_id=viewer.id_of(self.dataset_id),
            parameters=viewer.shown(self.parameters),
        )

    def supersedes(self, earlier: Invocation) -> bool:
        """Return whether it supersedes another run if it is to overwrite.

        A run of the same Galaxy, dataset and workflow; of another owner only if neither
        of the two sees their own objects alone, for a job must not refer to one that
        its owner does not see.
        """
        shared = not (self.private or earlier.private)
        return (
            self.identity == earlier.identity
            and self.dataset_id == earlier.dataset_id
            and self.workflow_name == earlier.workflow_name
            and (shared or self.owner == earlier.owner)
        )

    def is_stale(self, now: datetime) -> bool:
        """Return whether what is known of it may be out of date.

        An invocation that has ended never is.

        Args:
            now: Time-zone aware.
        """
        return self.revision.is_stale(now)

    @property
    def blocked(self) -> int:
        """How many of the failed jobs never ran, since another one failed."""
        return sum(step.jobs.get(BLOCKED, 0) for step in self.steps)

    @property
    def revision(self) -> Revision:
        """Its revision."""
        return Revision(version=self.version, state=self.state, stale_at=self.stale_at)

    @property
    def key_aside(self) -> InvocationId:
        """The key that it gets if another Galaxy gives its id to a later run.

        No engine gives out an id with a comma (see :func:`engine_id`).
        """
        digest = hashlib.sha256(str(self.identity).encode()).hexdigest()
        return InvocationId(f"{self.invocation_id},{digest[:8]}")

    def set_apart(self, later: Invocation) -> tuple[Invocation, Invocation]:
        """Return this invocation with another key, and the later run that has its key.

        A Galaxy that was restored from a backup gives out ids again, and does not have
        the earlier run any more: it is gone. One that had not ended has failed; of one
        that had, the state stays. Two Galaxies may give out the same ids: the earlier
        run is another Galaxy's, and nothing but its key changes.

        The later run may repeat the earlier one. Its version is higher than that of the
        earlier one, so that a key and a version together never mean two things.

        Args:
            later: The run that Galaxy has given the same id to; not stored yet.
        """
        at = later.created_at
        if self.identity == later.identity:
            after = evolve(
                self.replaced(at),
                invocation_id=InvocationId(
                    f"{later.galaxy_id},{self.submission_id.hex[:8]}"
                ),
            )
        else:
            after = evolve(self, invocation_id=self.key_aside)
        after = evolve(after, version=self.version + 1, updated_at=at)
        repeats = later.rerun_of == self.invocation_id
        later = evolve(
            later,
            rerun_of=after.invocation_id if repeats else later.rerun_of,
            version=max(after.version, later.version),
        )
        return after, later

    def may_be_in(self, history_id: HistoryId | None) -> bool:
        """Return whether a run in a history can be its run.

        Args:
            history_id: The history; None: not known.
        """
        return history_id is None or self.history_id in {None, history_id}

    def replaced(self, at: datetime) -> Invocation:
        """Return this invocation after its Galaxy has given its id to another run.

        It is gone there: one that had not ended has failed; of one that had, the state
        stays. Its key stays, too.

        Args:
            at: When that was noticed; time-zone aware.
        """
        if self.galaxy_id is None:
            return self
        return evolve(
            self.lost(at) if self.is_followed else self,
            galaxy_id=None,
            galaxy_state="gone",
            attention="Galaxy does not have this run any more: it has given its id, "
            f"{self.galaxy_id}, to another one.",
            version=self.version + 1,
            updated_at=at,
        )

    def id_on(self, identity: Identity) -> InvocationId:
        """Return the id by which a Galaxy can be asked about it.

        Raises:
            RunNotFound: It ran on another Galaxy, or as another user of it; or this
                Galaxy has given its id to a later run.
        """
        if self.identity != identity:
            raise RunNotFound(
                "The job ran on another Galaxy, or as another user of it."
            )
        if self.galaxy_id is None:
            raise RunNotFound(REPLACED)
        return self.galaxy_id

    def seen(self, sighting: Sighting, at: datetime) -> Invocation:
        """Return this invocation after a look at it.

        One that has failed keeps its state and the reason. The look only shows how
        far the jobs are that were left. One that is being cancelled, or is cancelled,
        keeps the failure that was known before.

        Args:
            sighting: The result of the look.
            at: When the look began; time-zone aware. Becomes `observed_at`.

        Raises:
            IllegalTransition: It has ended already, with every job settled; nothing
                changes.
        """
        after = evolve(
            self,
            galaxy_state=sighting.galaxy_state,
            progress=sighting.progress,
            steps=self._with_tools(sighting.steps),
        )
        if self.has_jobs_left:
            failure = sighting.failure or self.failure
            stopping = self.stopping and after.has_jobs_left
            after = evolve(after, failure=failure, stopping=stopping)
            if sighting.state not in _AFTER_FAILURE:
                after = evolve(after, attention=CHANGED_AFTER_END)
        else:
            kept = self.failure if sighting.state in _CANCELS else None
            after = evolve(
                after,
                state=_next(self.state, SEEN[sighting.state]),
                failure=sighting.failure or kept,
                attention=sighting.attention,
            )
        if after != self:
            after = evolve(after, version=self.version + 1, updated_at=at)
        return evolve(after, observed_at=at)

    def refreshed(self, sighting: Sighting, at: datetime) -> Invocation:
        """Return this invocation after a look that was asked for.

        As :meth:`seen`, but one that has ended may change its state, since people
        repair runs in the engine itself: it is reopened. That its last jobs were
        stopped after a failure, or it was cancelled then, changes no failure.

        Args:
            sighting: The result of the look.
            at: When the look began; time-zone aware. Becomes `observed_at`.
        """
        if not self.state.is_terminal:
            return self.seen(sighting, at)
        stopped = sighting.state in _CANCELS
        same = self._has_end(sighting)
        note = None if self.attention == CHANGED_AFTER_END else self.attention
        after = evolve(
            self,
            state=self.state if same else sighting.state,
            galaxy_state=sighting.galaxy_state,
            progress=sighting.progress,
            steps=self._with_tools(sighting.steps),
            failure=sighting.failure or (self.failure if stopped else None),
            attention=sighting.attention or (note if same else None),
        )
        after = evolve(after, stopping=self.stopping and after.has_jobs_left)
        if after != self:
            after = evolve(after, version=self.version + 1, updated_at=at)
        return evolve(after, observed_at=at)

    def _has_end(self, sighting: Sighting) -> bool:
        """Whether a later look shows the same end."""
        if self.state is InvocationState.FAILED and sighting.state in _CANCELS:
            return True
        return sighting.state is self.state

    def compared(self, sighting: Sighting, at: datetime) -> Invocation:
        """Return this invocation after a look that nobody asked for, after its end.

        Its state stays; `attention` says if Galaxy shows another one. Of one that is
        still followed, nothing changes.

        Args:
            sighting: The result of the look.
            at: When the look began; time-zone aware.
        """
        if self._has_end(sighting):
            return self
        return self.noted(CHANGED_AFTER_END, at)

    def labelled(self, labels: Labels, at: datetime) -> Invocation:
        """Return this invocation with other labels, in whatever state it is.

        Args:
            labels: Those that it has from then on.
            at: The time; time-zone aware.
        """
        if labels == self.labels:
            return self
        return evolve(self, labels=labels, version=self.version + 1, updated_at=at)

    def noted(self, attention: str, at: datetime) -> Invocation:
        """Return this invocation, which has ended, with another note for people.

        Of one that is still followed, nothing changes: looks set its note.

        Args:
            attention: The note.
            at: The time; time-zone aware.
        """
        if self.is_followed or self.attention == attention:
            return self
        return evolve(
            self, attention=attention, version=self.version + 1, updated_at=at
        )

    def without_results(self, at: datetime) -> Invocation:
        """Return this invocation after its results were deleted.

        Args:
            at: When; time-zone aware.
        """
        if self.results_deleted_at is not None:
            return self
        return evolve(
            self, results_deleted_at=at, version=self.version + 1, updated_at=at
        )

    def without_intermediates(self, at: datetime) -> Invocation:
        """Return this invocation after what is no workflow output was deleted.

        Args:
            at: When; time-zone aware.
        """
        if self.intermediates_deleted_at is not None:
            return self
        return evolve(
            self, intermediates_deleted_at=at, version=self.version + 1, updated_at=at
        )

    def _with_tools(self, steps: tuple[StepSummary, ...]) -> tuple[StepSummary, ...]:
        """Return steps with the tools that were known before, where none is known."""
        if all(step.tool for step in steps):
            return steps
        known = {_index_text(step.index): step.tool for step in self.steps}
        return tuple(
            step if step.tool else evolve(step, tool=known.get(_index_text(step.index)))
            for step in steps
        )

    def request_cancel(self, at: datetime) -> Invocation:
        """Return this invocation with a cancel pending.

        One that is cancelled, or about to be, is returned as it is. One that has
        failed keeps its state, and the jobs that are left are to be stopped.

        Raises:
            AlreadyEnded: It has completed, or failed with every job settled.
        """
        if self.state is InvocationState.CANCELLED or self.stopping:
            return self
        if self.has_jobs_left:
            return evolve(self, stopping=True, version=self.version + 1, updated_at=at)
        try:
            state = _next(self.state, Event.CANCEL_REQUESTED)
        except IllegalTransition:
            raise AlreadyEnded(self.invocation_id, self.state.value) from None
        if state is self.state:
            return self
        return evolve(self, state=state, version=self.version + 1, updated_at=at)

    def lost(self, at: datetime) -> Invocation:
        """Return this invocation as failed, since Galaxy no longer has it.

        Jobs that were not settled count as failed. Of one that has failed before, the
        reason stays.

        Raises:
            IllegalTransition: It has ended already, with every job settled; nothing
                changes.
        """
        counts = self.progress
        failed = counts.failed + counts.running + counts.waiting
        progress = evolve(counts, running=0, waiting=0, failed=failed)
        if self.has_jobs_left:
            return evolve(
                self,
                progress=progress,
                attention="Galaxy does not know this invocation any more.",
                stopping=False,
                version=self.version + 1,
                updated_at=at,
            )
        return evolve(
            self,
            progress=progress,
            state=_next(self.state, Event.SEEN_FAILED),
            failure=Failure(
                reason="gone",
                message="Galaxy does not know this invocation any more.",
            ),
            attention=None,
            version=self.version + 1,
            updated_at=at,
        )


def _next(state: InvocationState, event: Event) -> InvocationState:
    """Look the event up in the table."""
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        raise IllegalTransition(state.value, event.value) from None


@frozen(kw_only=True)
class Transition:
    """A recorded change of state; it is never altered.

    Attributes:
        id: Grows with every transition of any invocation, in the order in which
            they became visible: streams resume by it.
        invocation_id: The invocation that changed.
        from_state: The state before; None for its creation.
        to_state: The state after.
        at: When the change was noticed.
        galaxy_state: Galaxy's own name of its state then.
        progress: The counts of its jobs then.
        blocked: How many of the failed jobs never ran, since another one failed.
        failure: What had failed by then, or None.
    """

    id: int
    invocation_id: InvocationId
    from_state: InvocationState | None
    to_state: InvocationState
    at: datetime
    galaxy_state: str
    progress: Progress
    blocked: int = 0
    failure: Failure | None = None

    @property
    def reopened(self) -> bool:
        """Whether it changed an invocation that had ended."""
        return self.from_state is not None and self.from_state.is_terminal


def _index_text(index: object) -> str:
    """Return the index of a step as a text; Galaxy may say anything there."""
    try:
        return str(index)
    except ValueError:  # too many digits
        return ""
