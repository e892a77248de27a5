"""Submissions: requests recorded before Galaxy is called, so that none runs twice.

Rule 1: every fact about which change is allowed stands in :data:`TRANSITIONS`.
Rule 2: nothing here does I/O, reads a clock or makes an id.

Invoking on Galaxy and recording it are two writes in two systems, and Galaxy
has no request id. So the submission is stored first, and the run gets a Galaxy
history of its own whose name has its id: whatever happens, the run can be found.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import Enum
from types import MappingProxyType
from typing import Any

from attrs import evolve, field, frozen
from attrs.validators import ge

from galaxy_jobs.domain.errors import (
    DomainError,
    IllegalTransition,
    InvalidParameters,
    InvalidValue,
    quoted,
    shortened,
)
from galaxy_jobs.domain.model.invocation import STALE_AFTER, Invocation
from galaxy_jobs.domain.model.labels import Labels, check_labels
from galaxy_jobs.domain.model.values import (
    PARAMETERS_SIZE,
    BatchId,
    DatasetId,
    HistoryId,
    Identity,
    InvocationId,
    Parameters,
    SubmissionId,
    WorkflowId,
    aware,
    check_length,
    check_not_empty,
    json_size,
)
from galaxy_jobs.domain.model.viewer import Viewer


KEY_LENGTH = 255
"""The longest idempotency key, in characters."""


MAX_ATTEMPTS = 3
"""How many times an item of a batch is begun, if each attempt breaks off."""


HISTORY_NAME_LENGTH = 255
"""The characters of the name of a history that Galaxy stores."""


class SubmissionState(Enum):
    """The state of a submission. The values are stored and served."""

    WAITING = "waiting"  #: recorded as an item of a batch, and not begun
    SUBMITTING = "submitting"  #: under way, or its submitter died
    UNKNOWN = "unknown"  #: the answer to the invoke was lost
    ACCEPTED = "accepted"  #: Galaxy runs it, as the invocation recorded
    REJECTED = "rejected"  #: it does not run, and will not


class SubmissionEvent(Enum):
    """An event in the life of a submission."""

    BEGUN = "begun"  #: an item of a batch that somebody submits now
    PUT_OFF = "put off"  #: it is certain that nothing was invoked; it is begun later
    HISTORY_MADE = "history made"  #: about to be invoked into it
    ANSWER_LOST = "answer lost"  #: the invoke may have reached Galaxy
    RUN_FOUND = "run found"  #: Galaxy answered, or the run was found later
    NO_RUN = "no run"  #: it is certain that there is none


_T = SubmissionState
_E = SubmissionEvent

TRANSITIONS: Mapping[SubmissionState, Mapping[SubmissionEvent, SubmissionState]] = (
    MappingProxyType(
        {
            _T.WAITING: {_E.BEGUN: _T.SUBMITTING, _E.NO_RUN: _T.REJECTED},
            _T.SUBMITTING: {
                _E.PUT_OFF: _T.WAITING,
                _E.HISTORY_MADE: _T.SUBMITTING,
                _E.ANSWER_LOST: _T.UNKNOWN,
                _E.RUN_FOUND: _T.ACCEPTED,
                _E.NO_RUN: _T.REJECTED,
            },
            _T.UNKNOWN: {
                _E.ANSWER_LOST: _T.UNKNOWN,
                _E.RUN_FOUND: _T.ACCEPTED,
                _E.NO_RUN: _T.REJECTED,
            },
            # A run is a fact: whatever turns up later is adopted all the same.
            _T.REJECTED: {_E.RUN_FOUND: _T.ACCEPTED, _E.NO_RUN: _T.REJECTED},
            _T.ACCEPTED: {},
        }
    )
)


@frozen
class Problem:
    """Why a submission was rejected, as its client was or would have been told.

    Attributes:
        code: The error's stable name, such as ``galaxy-rejected``.
        detail: A sentence for people.
        extra: What a program needs in addition, by name; JSON values.
    """

    code: str
    detail: str
    extra: Mapping[str, object] = field(factory=dict, hash=False)

    @classmethod
    def of(cls, error: DomainError) -> Problem:
        """Return the problem that an error stands for."""
        return cls(error.code, str(error), dict(error.extra()))


@frozen(kw_only=True)
class Request:
    """A request to run a workflow; equal fingerprints mean equal requests.

    Attributes:
        dataset_id: The dataset to run on.
        workflow_name: The workflow to run.
        parameters: By input name.
        overwrite: Whether it supersedes earlier runs.
        rerun_of: The invocation it repeats, or None.
        dataset_input: The input that is to take the dataset; None: see
            :func:`~galaxy_jobs.domain.model.workflow.dataset_target`.
        use_cached_job: Whether Galaxy may copy the results of equal jobs that it has
            run before; None: as the workflow is configured.
        workflow_version: The version of the workflow to run; None: the newest, or that
            which is configured.
        labels: The labels of the run; those of a rerun are inherited.
    """

    dataset_id: DatasetId
    workflow_name: str
    parameters: Parameters = field(factory=dict, hash=False)
    overwrite: bool = False
    rerun_of: InvocationId | None = None
    dataset_input: str | None = None
    use_cached_job: bool | None = None
    workflow_version: int | None = None
    labels: Labels = field(factory=dict, hash=False)

    @property
    def fingerprint(self) -> str:
        """A digest that does not depend on the order of parameters and labels.

        A rerun inherits its labels, which may change before it is repeated: they do not
        count.
        """
        canonical = json.dumps(
            [
                self.dataset_id,
                self.workflow_name,
                dict(self.parameters),
                self.overwrite,
                self.rerun_of,
                self.dataset_input,
                self.use_cached_job,
                self.workflow_version,
                dict(self.labels) if self.rerun_of is None else {},
            ],
            sort_keys=True,
        )
        return hashlib.sha256(canonical.encode()).hexdigest()

    def shown_to(self, viewer: Viewer) -> Request:
        """Return a stored request with the ids of datasets as a viewer calls them."""
        return evolve(
            self,
            dataset_id=viewer.id_of(self.dataset_id),
            parameters=viewer.shown(self.parameters),
        )

    def check_size(self) -> None:
        """Check that it is not too large to be submitted; stored ones may be larger.

        Raises:
            InvalidValue: A name or id is empty, or too long; or labels are not as
                :func:`check_labels` wants them.
            InvalidParameters: The parameters take too much space.
        """
        for name in ("dataset_id", "workflow_name", "dataset_input"):
            if (text := getattr(self, name)) is not None:
                check_not_empty(name, text)
                check_length(name, text)
        check_labels(self.labels)
        if (size := json_size(self.parameters)) > PARAMETERS_SIZE:
            name = max(
                self.parameters,
                key=lambda name: json_size({name: self.parameters[name]}),
            )
            part = json_size({name: self.parameters[name]})
            raise InvalidParameters(
                {
                    name: f"The parameters take {size} bytes as JSON; expected at most "
                    f"{PARAMETERS_SIZE}. The largest is {quoted(name)}, with {part}."
                }
            )


def _key_length(_: object, attribute: object, value: str) -> None:
    del attribute
    if not 0 < len(value) <= KEY_LENGTH:
        raise InvalidValue(
            f"An idempotency key of {len(value)} characters was given; expected 1 to "
            f"{KEY_LENGTH}."
        )


@frozen
class IdempotencyKey:
    """A client's name for one request, so that repeating it is safe.

    Attributes:
        caller: The id of the token of the client, ``""`` without one.
        key: 1 to 255 characters.
    """

    caller: str
    key: str = field(validator=_key_length)


def history_mark(submission_id: SubmissionId) -> str:
    """Return the text in the name of a history by which its submission is known.

    Once it was the whole name, and some histories have it still.
    """
    return f"galaxy-jobs {submission_id}"


def history_name(
    submission_id: SubmissionId, workflow_name: str, dataset_id: str
) -> str:
    """Return the exact name of the Galaxy history created for a submission.

    It has at most :data:`HISTORY_NAME_LENGTH` characters, and none that Galaxy changes.
    """
    about = f"{_plain(workflow_name)} on {_plain(dataset_id)}"
    return f"{about} ({history_mark(submission_id)})"


def _plain(text: str) -> str:
    """Return a text, shortened, without controls, breaks and double underscores.

    Galaxy reads ``__gt__`` and the like as other characters.
    """
    printable = "".join(char if char.isprintable() else " " for char in text)
    text = re.sub("__+", "_", " ".join(printable.split()))
    return shortened(text, 95)


@frozen(kw_only=True)
class Submission:
    """A request that is being, or was, handed to Galaxy.

    Attributes:
        submission_id: Its id; the history is named after it.
        identity: The Galaxy it goes to.
        request: The client's request.
        workflow_id: The stored workflow that is invoked; None where an earlier
            version of this program recorded the submission.
        workflow_version: The version of it that is invoked; None where not known.
        version_note: A sentence for people, where the repeated invocation ran another
            version; or None.
        inputs: What each input is given, by name; None where not known.
        key: The client's idempotency key, or None.
        state: Its state.
        history_id: The history created for it; None until that is stored.
        invocation_id: The run, once accepted.
        fenced: Whether its history is deleted, or about to be, so that Galaxy
            cancels whatever is invoked into it from then on.
        problem: Why it was rejected, or None.
        owner: The owner that made it, or None.
        private: Whether the owner sees their own objects only.
        batch_id: The batch that it is an item of, or None.
        attempts: How many times it was begun as an item of a batch, without those in
            which Galaxy could not be asked.
        created_at: When it was recorded.
        updated_at: When it last changed.
        version: The number of changes.
    """

    submission_id: SubmissionId
    identity: Identity
    request: Request
    workflow_id: WorkflowId | None = None
    workflow_version: int | None = None
    version_note: str | None = None
    inputs: Parameters | None = field(default=None, hash=False)
    key: IdempotencyKey | None = None
    state: SubmissionState = SubmissionState.SUBMITTING
    history_id: HistoryId | None = None
    invocation_id: InvocationId | None = None
    fenced: bool = False
    problem: Problem | None = None
    owner: str | None = None
    private: bool = False
    batch_id: BatchId | None = None
    attempts: int = field(default=0, validator=ge(0))
    created_at: datetime = field(validator=aware)
    updated_at: datetime = field(validator=aware)
    version: int = field(default=0, validator=ge(0))

    @property
    def history_name(self) -> str:
        """The exact name of the Galaxy history created for it."""
        request = self.request
        return history_name(
            self.submission_id, request.workflow_name, request.dataset_id
        )

    @property
    def viewer(self) -> Viewer:
        """The viewer that made it."""
        return Viewer(owner=self.owner, sees_all=not self.private)

    @property
    def open(self) -> bool:
        """Whether it is neither accepted nor rejected yet."""
        return self.state not in {SubmissionState.ACCEPTED, SubmissionState.REJECTED}

    def begun(self, at: datetime) -> Submission:
        """Return an item of a batch as one that is submitted now.

        Raises:
            IllegalTransition: It does not wait.
        """
        return self._after(_E.BEGUN, at, attempts=self.attempts + 1)

    def not_invoked(
        self, problem: Problem, at: datetime, *, counts: bool = True
    ) -> Submission:
        """Return it as one that was broken off before anything was invoked.

        An item of a batch waits again, unless that was the last of its
        :data:`MAX_ATTEMPTS`; any other is rejected. The process that began it can
        record no more, since its version is another one.

        Args:
            problem: Why it is rejected, if it is.
            at: When; time-zone aware.
            counts: Whether this counts as an attempt: not if Galaxy could not be asked.

        Raises:
            IllegalTransition: It may have been invoked, or is settled.
        """
        if self.batch_id is None or (counts and self.attempts >= MAX_ATTEMPTS):
            return self.rejected(problem, at)
        # The program of the version before counts none.
        attempts = self.attempts if counts else max(self.attempts - 1, 0)
        return self._after(_E.PUT_OFF, at, history_id=None, attempts=attempts)

    def with_history(self, history_id: HistoryId, at: datetime) -> Submission:
        """Return it with its history, ready to be invoked.

        Raises:
            IllegalTransition: It was settled meanwhile.
        """
        return self._after(_E.HISTORY_MADE, at, history_id=history_id)

    def lost(self, at: datetime) -> Submission:
        """Return it as one that may run or not.

        Raises:
            IllegalTransition: It is settled.
        """
        return self._after(_E.ANSWER_LOST, at)

    def fence(self, at: datetime) -> Submission:
        """Return it as one whose history is being deleted; the state stays."""
        return evolve(self, fenced=True, version=self.version + 1, updated_at=at)

    def touch(self) -> Submission:
        """Return it with a higher version alone, so that stale copies are refused."""
        return evolve(self, version=self.version + 1)

    def accepted(self, invocation_id: InvocationId, at: datetime) -> Submission:
        """Return it with its run.

        Raises:
            IllegalTransition: It has one already.
        """
        return self._after(_E.RUN_FOUND, at, invocation_id=invocation_id, problem=None)

    def rejected(self, problem: Problem, at: datetime) -> Submission:
        """Return it as one that does not run.

        One that was rejected before keeps its first problem.

        Raises:
            IllegalTransition: It runs.
        """
        return self._after(_E.NO_RUN, at, problem=self.problem or problem)

    def invocation(
        self,
        invocation_id: InvocationId,
        at: datetime,
        stale_after: timedelta = STALE_AFTER,
    ) -> Invocation:
        """Return the invocation that this submission led to.

        Args:
            invocation_id: Galaxy's id of it.
            at: When it was accepted or found; time-zone aware.
            stale_after: How long it may wait for its first look.
        """
        return Invocation(
            invocation_id=invocation_id,
            submission_id=self.submission_id,
            identity=self.identity,
            history_id=self.history_id,
            dataset_id=self.request.dataset_id,
            workflow_name=self.request.workflow_name,
            parameters=self.request.parameters,
            overwrite=self.request.overwrite,
            rerun_of=self.request.rerun_of,
            dataset_input=self.request.dataset_input,
            use_cached_job=self.request.use_cached_job,
            workflow_id=self.workflow_id,
            workflow_version=self.workflow_version,
            version_note=self.version_note,
            inputs=self.inputs,
            labels=self.request.labels,
            owner=self.owner,
            private=self.private,
            created_at=at,
            updated_at=at,
            observed_at=at,
            stale_at=at + stale_after,
        )

    def _after(
        self, event: SubmissionEvent, at: datetime, **changes: Any
    ) -> Submission:
        """Return it in the state that the table gives for the event."""
        try:
            state = TRANSITIONS[self.state][event]
        except KeyError:
            raise IllegalTransition(self.state.value, event.value) from None
        return evolve(
            self, state=state, version=self.version + 1, updated_at=at, **changes
        )
