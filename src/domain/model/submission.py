"""The wish to run, recorded before Galaxy is called: nothing lost, nothing twice.

Rule 1: every fact about which change is allowed stands in :data:`TRANSITIONS`.
Rule 2: nothing here does I/O, reads a clock or makes an id.

Invoking on Galaxy and recording it are two writes in two systems, and Galaxy
has no request id. So the wish is written first, the run gets a Galaxy history
of its own that carries the wish's id, and whatever became of it can be found.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from types import MappingProxyType
from typing import Any

from attrs import evolve, field, frozen
from attrs.validators import ge

from galaxy_jobs.domain.errors import DomainError, IllegalTransition, InvalidValue
from galaxy_jobs.domain.model.invocation import Invocation
from galaxy_jobs.domain.model.values import (
    DatasetId,
    HistoryId,
    Identity,
    InvocationId,
    Parameters,
    SubmissionId,
    aware,
)


KEY_LENGTH = 255
"""How many characters an idempotency key may have."""


class SubmissionState(Enum):
    """What became of a submission. The values are what is stored and served."""

    SUBMITTING = "submitting"  #: somebody is at it, or died at it
    UNKNOWN = "unknown"  #: the answer to the invoke was lost
    ACCEPTED = "accepted"  #: Galaxy runs it, as the invocation recorded
    REJECTED = "rejected"  #: it does not run, and will not


class SubmissionEvent(Enum):
    """What can happen to a submission."""

    HISTORY_MADE = "history made"  #: about to be invoked into it
    ANSWER_LOST = "answer lost"  #: the invoke may have reached Galaxy
    RUN_FOUND = "run found"  #: Galaxy answered, or the run was found later
    NO_RUN = "no run"  #: it is certain that there is none


_T = SubmissionState
_E = SubmissionEvent

TRANSITIONS: Mapping[SubmissionState, Mapping[SubmissionEvent, SubmissionState]] = (
    MappingProxyType(
        {
            _T.SUBMITTING: {
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
    """Why a submission was rejected, as it was or would have been answered.

    Attributes:
        code: The error's stable name, such as ``galaxy-rejected``.
        detail: A sentence for people.
        extra: What a program may want to know besides.
    """

    code: str
    detail: str
    extra: Mapping[str, object] = field(factory=dict, hash=False)

    @classmethod
    def of(cls, error: DomainError) -> Problem:
        """Return what is worth keeping of an error."""
        return cls(error.code, str(error), dict(error.extra()))


@frozen(kw_only=True)
class Request:
    """What a client asked for; two with equal fingerprints ask for the same.

    Attributes:
        dataset_id: What to run on.
        workflow_name: What to run.
        parameters: By input name.
        overwrite: Whether it supersedes earlier runs.
        rerun_of: The invocation it repeats, or None.
    """

    dataset_id: DatasetId
    workflow_name: str
    parameters: Parameters = field(factory=dict, hash=False)
    overwrite: bool = False
    rerun_of: InvocationId | None = None

    @property
    def fingerprint(self) -> str:
        """A digest that does not depend on the order of the parameters."""
        said = json.dumps(
            [
                self.dataset_id,
                self.workflow_name,
                dict(self.parameters),
                self.overwrite,
                self.rerun_of,
            ],
            sort_keys=True,
        )
        return hashlib.sha256(said.encode()).hexdigest()


def _short(_: object, attribute: object, value: str) -> None:
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
        caller: Whose it is: the id of the caller's token, ``""`` without one.
        key: 1 to 255 characters.
    """

    caller: str
    key: str = field(validator=_short)


def history_name(submission_id: SubmissionId) -> str:
    """Return the exact name of the Galaxy history made for a submission."""
    return f"galaxy-jobs {submission_id}"


@frozen(kw_only=True)
class Submission:
    """A request that is being, or was, handed to Galaxy.

    Attributes:
        submission_id: Ours; it names the history.
        identity: The Galaxy it goes to.
        request: What was asked for.
        key: The client's idempotency key, or None.
        state: What became of it.
        history_id: The history made for it; None until that is committed.
        invocation_id: The run, once accepted.
        fenced: Whether its history is deleted, or about to be, so that Galaxy
            cancels whatever is invoked into it from then on.
        problem: Why it was rejected.
        created_at: When it was recorded.
        updated_at: When it last changed.
        version: How often it changed.
    """

    submission_id: SubmissionId
    identity: Identity
    request: Request
    key: IdempotencyKey | None = None
    state: SubmissionState = SubmissionState.SUBMITTING
    history_id: HistoryId | None = None
    invocation_id: InvocationId | None = None
    fenced: bool = False
    problem: Problem | None = None
    created_at: datetime = field(validator=aware)
    updated_at: datetime = field(validator=aware)
    version: int = field(default=0, validator=ge(0))

    @property
    def history_name(self) -> str:
        """The exact name of the Galaxy history made for it."""
        return history_name(self.submission_id)

    @property
    def open(self) -> bool:
        """Whether it is still to be found out what became of it."""
        return self.state in {SubmissionState.SUBMITTING, SubmissionState.UNKNOWN}

    def with_history(self, history_id: HistoryId, at: datetime) -> Submission:
        """Return it with its history, ready to be invoked.

        Raises:
            IllegalTransition: Somebody settled it meanwhile.
        """
        return self._after(_E.HISTORY_MADE, at, history_id=history_id)

    def lost(self, at: datetime) -> Submission:
        """Return it as one of which nobody knows whether it runs.

        Raises:
            IllegalTransition: It is settled.
        """
        return self._after(_E.ANSWER_LOST, at)

    def fence(self, at: datetime) -> Submission:
        """Return it as one whose history is being deleted; the state stays."""
        return evolve(self, fenced=True, version=self.version + 1, updated_at=at)

    def touch(self) -> Submission:
        """Return it as looked at without news, so that a stale copy is noticed."""
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

    def invocation(self, invocation_id: InvocationId, at: datetime) -> Invocation:
        """Return the invocation that this submission led to.

        Args:
            invocation_id: Galaxy's id of it.
            at: When it was accepted or found; time-zone aware.
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
            created_at=at,
            updated_at=at,
            observed_at=at,
        )

    def _after(
        self, event: SubmissionEvent, at: datetime, **changes: Any
    ) -> Submission:
        """Look the event up in the table and return what comes of it."""
        try:
            state = TRANSITIONS[self.state][event]
        except KeyError:
            raise IllegalTransition(self.state.value, event.value) from None
        return evolve(
            self, state=state, version=self.version + 1, updated_at=at, **changes
        )
