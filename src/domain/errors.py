"""The errors of the core and of its ports.

Rule of the file: an adapter raises these and nothing else. An exception of a
library that crosses a port is a bug; the low-level cause stays on
``__cause__``. Every message is fit to show to a user: what was read, what was
expected, what to do. It holds no key, no token, no SQL and no traceback, and it
names no command, route, header or setting: the core does not know how it is
delivered. A delivery that has them adds its own hint.

``code`` is the error's stable name, the same over HTTP, on the command line
and in a stored submission.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import ClassVar
from uuid import UUID


LISTED = 20
"""The number of names or problems that a message lists at most."""

LISTED_ITEMS = 100
"""The number of items of a batch that a refusal names at most."""

QUOTED_LENGTH = 255
"""The number of characters of a text that a message quotes at most."""


SENTENCE_LENGTH = 1000
"""The number of characters of a sentence about one parameter at most."""


def shortened(text: str, length: int = QUOTED_LENGTH) -> str:
    """Return the first characters of a text, with an ellipsis for the others."""
    return text if len(text) <= length else f"{text[:length]}…"


def quoted(text: str) -> str:
    """Return a text as a message quotes it."""
    return repr(shortened(text))


def listed(values: Collection[object]) -> str:
    """Return values as a message lists them: some, and the number of the others."""
    texts = [
        quoted(value) if isinstance(value, str) else shortened(repr(value))
        for value in islice(values, LISTED)
    ]
    more = len(values) - len(texts)
    return ", ".join(texts) + (f" and {more} more" if more else "")


class DomainError(Exception):
    """Base class: catch it to catch everything this library raises."""

    code: ClassVar[str] = "error"

    def extra(self) -> Mapping[str, object]:
        """Return more for programs, by name; JSON values."""
        return {}


# --- the request is wrong, or its subject does not exist ----------------------


class InvalidValue(DomainError):
    """A value that is wrong by itself, whatever is stored and whatever runs."""

    code = "malformed-request"


class InvalidCollection(InvalidValue):
    """A collection that is well written, and not of the shape that its type has."""

    code = "invalid-source"


class JobNotFound(DomainError):
    """No invocation is recorded under that id."""

    code = "job-not-found"

    def __init__(self, invocation_id: str) -> None:
        super().__init__(f"There is no job {quoted(invocation_id)}.")
        self.invocation_id = invocation_id


class DatasetNotFound(DomainError):
    """No dataset is registered under that id."""

    code = "dataset-not-found"

    def __init__(self, dataset_id: str) -> None:
        super().__init__(
            f"There is no dataset {quoted(dataset_id)}. Register it first."
        )
        self.dataset_id = dataset_id


class InvalidSource(DomainError):
    """A dataset that another program registered has no source that can be used."""

    code = "invalid-source"

    def __init__(self, dataset_id: str, detail: str) -> None:
        super().__init__(f"Dataset {quoted(dataset_id)} cannot be used: {detail}")
        self.dataset_id = dataset_id


class DataMismatch(DomainError):
    """The data that a dataset was to be registered for is not there, or other data."""

    code = "invalid-source"


class DatasetInUse(DomainError):
    """A dataset that jobs or collections still need is not removed."""

    code = "dataset-in-use"

    def __init__(self, dataset_id: str, kind: str, name: str | None) -> None:
        user = f"a {kind} of another owner" if name is None else f"{kind} {name!r}"
        until = "is removed" if kind == "dataset" else "has ended"
        super().__init__(
            f"Dataset {quoted(dataset_id)} is used by {user}. Remove it once that "
            f"{until}."
        )
        self.dataset_id = dataset_id


class SubmissionNotFound(DomainError):
    """No submission is recorded under that id."""

    code = "submission-not-found"

    def __init__(self, submission_id: UUID) -> None:
        super().__init__(f"There is no submission {str(submission_id)!r}.")
        self.submission_id = submission_id


class BatchNotFound(DomainError):
    """No batch is recorded under that id."""

    code = "batch-not-found"

    def __init__(self, batch_id: UUID) -> None:
        super().__init__(f"There is no batch {str(batch_id)!r}.")
        self.batch_id = batch_id


class InvalidItems(DomainError):
    """Items of a batch cannot run, so that none of it is recorded.

    Attributes:
        errors: What is wrong with each, by their places, counting from 0. No more than
            :data:`LISTED_ITEMS` of them.
        more: The number of further items that cannot run.
    """

    code = "invalid-items"

    def __init__(self, errors: Mapping[int, DomainError], size: int) -> None:
        self.errors = dict(islice(errors.items(), LISTED_ITEMS))
        self.more = len(errors) - len(self.errors)
        super().__init__(
            f"{len(errors)} of {size} items cannot run, so nothing was recorded. The "
            f"first is item {min(errors)}: {self.errors[min(errors)]}"
        )

    def extra(self) -> Mapping[str, object]:
        items = [
            {
                "item": place,
                "code": error.code,
                "detail": shortened(str(error), SENTENCE_LENGTH),
            }
            for place, error in self.errors.items()
        ]
        more = {"more_items": self.more} if self.more else {}
        return {"items": items, **more}


class BatchEnded(DomainError):
    """The batch has ended, with nothing left to cancel."""

    code = "already-ended"

    def __init__(self, batch_id: UUID) -> None:
        super().__init__(f"Batch {str(batch_id)!r} has ended; nothing is left of it.")
        self.batch_id = batch_id


class NothingFailed(DomainError):
    """No item of the batch has failed, so that there is none to run again."""

    code = "nothing-failed"

    def __init__(self, batch_id: UUID) -> None:
        super().__init__(f"Nothing of batch {str(batch_id)!r} has failed so far.")
        self.batch_id = batch_id


class DatasetExists(DomainError):
    """Another dataset is registered under that id."""

    code = "dataset-exists"

    def __init__(self, dataset_id: str) -> None:
        super().__init__(
            f"Dataset {quoted(dataset_id)} exists already, with another name or "
            "source. Choose another dataset_id, or leave it out to be given one."
        )
        self.dataset_id = dataset_id


class WorkflowNotAllowed(DomainError):
    """The workflow is not on the allowlist."""

    code = "workflow-not-allowed"

    def __init__(self, name: str, allowed: Sequence[str]) -> None:
        super().__init__(
            f"Workflow {quoted(name)} may not be run here. Allowed are: "
            f"{listed(sorted(allowed)) or 'none'}."
        )
        self.name = name
        self.allowed = tuple(allowed)


class WorkflowNotFound(DomainError):
    """Galaxy has no such workflow, or only a deleted one."""

    code = "workflow-not-found"

    def __init__(self, name: str, detail: str | None = None) -> None:
        super().__init__(
            detail
            or f"Galaxy shows no workflow named {quoted(name)} to the configured key. "
            "Check the name (it is case-sensitive), or share the workflow with "
            "that user."
        )
        self.name = name


class WorkflowVersionNotFound(DomainError):
    """The workflow has no such version, or another one is allowed."""

    code = "workflow-version-not-found"

    def __init__(self, name: str, version: int | None, detail: str) -> None:
        asked = "that version" if version is None else f"version {version}"
        super().__init__(f"There is no {asked} of workflow {quoted(name)}. {detail}")
        self.name = name
        self.version = version


class WorkflowAmbiguous(DomainError):
    """Several workflows in Galaxy have that name: names are not unique there.

    Attributes:
        ids: Their ids.
        twins: For each what tells it from the others, by name: ``id``, ``owner`` and
            ``updated_at``, as far as Galaxy shows them.
    """

    code = "workflow-ambiguous"

    def __init__(
        self, name: str, ids: Sequence[str], twins: Sequence[Mapping[str, str]] = ()
    ) -> None:
        self.name = name
        self.ids = tuple(ids)
        self.twins = tuple(twins) or tuple({"id": id_} for id_ in ids)
        shown = "; ".join(map(_twin, self.twins[:LISTED]))
        more = len(self.twins) - LISTED
        super().__init__(
            f"Galaxy has {len(ids)} workflows named {quoted(name)}: {shown}"
            f"{f' and {more} more' if more > 0 else ''}. "
            "Allow one of them by its id, or rename the others in Galaxy."
        )

    def extra(self) -> Mapping[str, object]:
        return {
            "workflow_ids": list(self.ids[:LISTED]),
            "workflows": [dict(twin) for twin in self.twins[:LISTED]],
        }


def _twin(twin: Mapping[str, str]) -> str:
    owner, at = twin.get("owner"), twin.get("updated_at")
    parts = [f"of {quoted(owner)}"] if owner else []
    parts += [f"changed {shortened(at)}"] if at else []
    return quoted(twin["id"]) + (f" ({', '.join(parts)})" if parts else "")


class WorkflowUnreadable(DomainError):
    """Galaxy fails to show this workflow, or refuses to; others are not affected."""

    code = "workflow-unreadable"

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(
            f"Galaxy cannot show the workflow {quoted(name)}: {reason}. Open it in "
            "Galaxy's workflow editor, correct what is reported there, and save it."
        )
        self.name = name


class InvalidParameters(DomainError):
    """Some parameters do not fit what the workflow declares.

    Galaxy silently ignores an unknown input name, and lets a value of the wrong
    type fail hours later inside a job; so this is checked before invoking.

    Attributes:
        problems: A sentence for each parameter that does not fit, by its name;
            ``dataset_id`` stands for the dataset of the job. No more than
            :data:`LISTED`, and no longer names than :data:`QUOTED_LENGTH`.
        more: The number of further problems.
    """

    code = "invalid-parameters"

    def __init__(self, problems: Mapping[str, str], more: int = 0) -> None:
        some = list(islice(problems.items(), LISTED))
        self.problems = {
            shortened(name): shortened(problem, SENTENCE_LENGTH)
            for name, problem in some
        }
        self.more = more + len(problems) - len(some)
        rest = (f"And {self.more} more problems.",) if self.more else ()
        super().__init__(" ".join([*self.problems.values(), *rest]))

    def extra(self) -> Mapping[str, object]:
        more = {"more_problems": self.more} if self.more else {}
        return {"parameters": self.problems, **more}


class DatasetInputAmbiguous(InvalidParameters):
    """Several inputs of the workflow could take the dataset of the job.

    Attributes:
        inputs: Their names.
    """

    def __init__(self, workflow_name: str, inputs: Sequence[str]) -> None:
        super().__init__(
            {
                "dataset_id": f"Workflow {quoted(workflow_name)} has several data "
                f"inputs that could take the dataset: {listed(inputs)}. Fill all but "
                "one of them in `parameters`, or name one in `dataset_input`."
            }
        )
        self.inputs = tuple(inputs)


class IllegalTransition(DomainError):
    """The state does not accept that event; nothing was changed."""

    code = "already-ended"

    def __init__(self, state: str, event: str) -> None:
        super().__init__(f"What is {state} does not accept {event!r}.")
        self.state = state
        self.event = event


class AlreadyEnded(DomainError):
    """The job has ended, with nothing left to cancel or to review."""

    code = "already-ended"

    def __init__(
        self, invocation_id: str, state: str, action: str = "cancelled"
    ) -> None:
        super().__init__(
            f"Job {quoted(invocation_id)} is {state}; what has ended cannot be "
            f"{action}."
        )
        self.invocation_id = invocation_id
        self.state = state


class StepNotFound(DomainError):
    """The job has no such step, or Galaxy has not recorded it yet."""

    code = "step-not-found"

    def __init__(self, invocation_id: str, place: str) -> None:
        super().__init__(f"Job {quoted(invocation_id)} has no step {quoted(place)}.")
        self.place = place


class OutputNotFound(DomainError):
    """The job has no such output, or it is none that has a file.

    Attributes:
        path: The label of the output, and the names of its elements down to one.
    """

    code = "output-not-found"

    def __init__(
        self, invocation_id: str, path: Sequence[str], detail: str = ""
    ) -> None:
        what = f"output {quoted('/'.join(path))}" if path else "output with a file"
        super().__init__(
            f"Job {quoted(invocation_id)} has no {what}. {detail}".rstrip()
        )
        self.path = tuple(path)


class OutputNotReady(DomainError):
    """The output has no file that is whole: it is not made yet, or failed.

    Attributes:
        state: The engine's state of it.
    """

    code = "output-not-ready"

    def __init__(self, path: Sequence[str], state: str) -> None:
        super().__init__(
            f"Output {quoted('/'.join(path))} is {quoted(state)} in Galaxy; only one "
            "that is ok can be downloaded."
        )
        self.state = state


class ResultsDeleted(DomainError):
    """The output was deleted in the engine, or all results of the job were."""

    code = "results-deleted"

    def __init__(self, path: Sequence[str] = (), when: datetime | None = None) -> None:
        what = f"Output {quoted('/'.join(path))} was" if path else "The results were"
        where = f"on {when:%Y-%m-%d}" if when else "in Galaxy"
        super().__init__(f"{what} deleted {where}.")


class NotEnded(DomainError):
    """The job has not ended, or some of its jobs in the engine have not."""

    code = "not-ended"

    def __init__(self, invocation_id: str, state: str) -> None:
        super().__init__(
            f"Job {quoted(invocation_id)} is {state}, and has not ended in Galaxy; its "
            "results can be deleted after that."
        )
        self.state = state


class ResultsInUse(DomainError):
    """The results are kept: something needs them, or the history is somebody's own.

    Attributes:
        users: What needs them, as far as the owner of the job sees it: kinds and ids.
    """

    code = "results-in-use"

    def __init__(
        self, invocation_id: str, detail: str, users: Sequence[tuple[str, str]] = ()
    ) -> None:
        super().__init__(f"The results of job {quoted(invocation_id)} stay: {detail}")
        self.users = tuple(users)

    def extra(self) -> Mapping[str, object]:
        return {"used_by": [{"kind": kind, "id": id_} for kind, id_ in self.users]}


class NoReview(DomainError):
    """The step waits for no review: it is none, is answered, or has no data yet."""

    code = "no-review"

    def __init__(self, invocation_id: str, place: str, waiting: Sequence[str]) -> None:
        others = f" These do: {listed(waiting)}." if waiting else ""
        super().__init__(
            f"Step {quoted(place)} of job {quoted(invocation_id)} does not wait for a "
            f"review.{others}"
        )
        self.waiting = tuple(waiting)

    def extra(self) -> Mapping[str, object]:
        return {"waiting": list(self.waiting[:LISTED])}


# --- tokens -------------------------------------------------------------------


class BadToken(DomainError):
    """No token, or one that is unknown, revoked or expired."""

    code = "unauthenticated"

    def __init__(self) -> None:
        # One sentence for every case, so that a guess reveals nothing.
        super().__init__(
            "The token is not valid: it is unknown, revoked or expired. Use a new one."
        )


class NoPermission(DomainError):
    """A user whom an identity provider vouches for, and who may do nothing here."""

    code = "forbidden"

    def __init__(self, name: str, scopes: Collection[str]) -> None:
        super().__init__(
            f"User {quoted(name)} has no permission here. The identity provider gives "
            f"one by any of {listed(scopes)}."
        )


class SignInRefused(DomainError):
    """The identity provider does not confirm that this browser has signed in."""

    code = "unauthenticated"

    def __init__(self) -> None:
        super().__init__("The identity provider did not confirm it. Try again.")


class IssuerUnavailable(DomainError):
    """An identity provider could not be asked. Users whom it knows stay let in."""

    code = "issuer-unavailable"

    def __init__(self, issuer: str, reason: str) -> None:
        super().__init__(
            f"The identity provider {quoted(issuer)} is not available: {reason}."
        )
        self.reason = reason


class TokenExists(DomainError):
    """A token of that name is in use."""

    code = "conflict"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"There is a token {quoted(name)} already. Choose another name, or revoke "
            "that one first."
        )
        self.name = name


class TokenNotFound(DomainError):
    """There is no token by that id, and none by that name that is not revoked."""

    code = "not-found"

    def __init__(self, name_or_id: str) -> None:
        super().__init__(
            f"There is no token {quoted(name_or_id)}, or none that is not revoked."
        )
        self.name_or_id = name_or_id


class BadLink(DomainError):
    """A signed address that was altered or has expired, or whose key is replaced."""

    code = "forbidden"

    def __init__(
        self,
        # One sentence for every case, so that a guess reveals nothing.
        detail: str = "The address is not valid: it was altered, or has expired. Ask "
        "for a new one.",
    ) -> None:
        super().__init__(detail)


# --- uploads ------------------------------------------------------------------


class UploadNotFound(DomainError):
    """There is no upload by that id, or it is another owner's."""

    code = "upload-not-found"

    def __init__(self, upload_id: str) -> None:
        super().__init__(f"There is no upload {quoted(upload_id)}.")
        self.upload_id = upload_id


class UploadIncomplete(DomainError):
    """Parts of an upload are not stored yet.

    Attributes:
        missing: Their numbers.
    """

    code = "upload-incomplete"

    def __init__(self, upload_id: str, missing: Sequence[int]) -> None:
        super().__init__(
            f"Upload {quoted(upload_id)} lacks {len(missing)} of its parts: "
            f"{listed(missing)}. Store them first."
        )
        self.missing = tuple(missing)

    def extra(self) -> Mapping[str, object]:
        return {"missing": list(self.missing)}


class UploadExpired(DomainError):
    """The time for an upload is over."""

    code = "upload-expired"

    def __init__(self, upload_id: str) -> None:
        super().__init__(
            f"Upload {quoted(upload_id)} was not completed in time, and has expired. "
            "Begin another one."
        )
        self.upload_id = upload_id


class UploadEnded(DomainError):
    """The upload is complete or was given up."""

    code = "already-ended"

    def __init__(self, upload_id: str, state: str) -> None:
        super().__init__(
            f"Upload {quoted(upload_id)} is {state}, and does not change any more."
        )
        self.upload_id = upload_id
        self.state = state


class SizeMismatch(DomainError):
    """A stored file, or a part of it, has not the size that was declared."""

    code = "size-mismatch"


class ChecksumMismatch(DomainError):
    """A stored file, or a part of it, has not the SHA-256 that was declared."""

    code = "checksum-mismatch"

    @classmethod
    def between(cls, declared: str, computed: str) -> ChecksumMismatch:
        """Return the error for two checksums."""
        return cls(
            f"The file has the SHA-256 {computed}, and {shortened(declared)} was "
            "declared. It is discarded; upload it again."
        )


class QuotaExceeded(DomainError):
    """An owner has too many open uploads, or too much in them."""

    code = "quota-exceeded"


class ObjectNotFound(DomainError):
    """The store has no such file."""

    code = "not-found"

    def __init__(self) -> None:
        super().__init__("The store has no such file.")


class StorageUnavailable(DomainError):
    """The store of files could not be reached, is full, or refuses us."""

    code = "storage-unavailable"


# --- runs begun in Galaxy -----------------------------------------------------


class JobExists(DomainError):
    """A run is followed already, in another way."""

    code = "job-exists"

    def __init__(self, invocation_id: str, how: str) -> None:
        super().__init__(f"Invocation {quoted(invocation_id)} is known already, {how}.")
        self.invocation_id = invocation_id


class RunMismatch(DomainError):
    """A run is of another workflow."""

    code = "workflow-mismatch"

    def __init__(
        self, invocation_id: str, workflow_name: str, actual: str | None
    ) -> None:
        what = "another workflow" if actual is None else f"workflow {quoted(actual)}"
        super().__init__(
            f"Invocation {quoted(invocation_id)} runs {what}, not "
            f"{quoted(workflow_name)}."
        )


# --- webhooks -----------------------------------------------------------------


class WebhookNotFound(DomainError):
    """There is no webhook by that id, or it is another owner's."""

    code = "webhook-not-found"

    def __init__(self, webhook_id: str) -> None:
        super().__init__(f"There is no webhook {quoted(webhook_id)}.")
        self.webhook_id = webhook_id


class ReceiverNotAllowed(DomainError):
    """Events may not be sent to an address."""

    code = "receiver-not-allowed"


class ReceiverUnavailable(DomainError):
    """The receiver of a webhook did not answer as it has to."""

    code = "receiver-unavailable"


# --- idempotency keys ---------------------------------------------------------


class KeyReused(DomainError):
    """The idempotency key was used before, for another request."""

    code = "idempotency-key-reused"

    def __init__(self) -> None:
        super().__init__(
            "This idempotency key was used for another request. "
            "Use a new key for a new request."
        )


class KeyInProgress(DomainError):
    """The first request with that idempotency key is not settled yet."""

    code = "in-progress"

    def __init__(self, submission_id: UUID) -> None:
        super().__init__(
            "The first request with this idempotency key is not settled yet. "
            f"Repeat it later, or look at submission {submission_id}."
        )
        self.submission_id = submission_id

    def extra(self) -> Mapping[str, object]:
        return {"submission_id": str(self.submission_id)}


# --- races ------------------------------------------------------------------


class StaleVersion(DomainError):
    """A newer version was stored since this one was read."""

    code = "conflict"

    def __init__(self, what: str, version: int) -> None:
        super().__init__(
            f"{what} changed meanwhile (it is past version {version}). Read it again."
        )
        self.version = version


# --- the workflow engine and the database -------------------------------------


MAX_RETRY_AFTER = 3600.0
"""The longest wait in seconds that an engine is granted: it may be wrong by years."""


class RunnerError(DomainError):
    """The workflow engine failed or refused a request."""


class RunnerUnavailable(RunnerError):
    """The engine gave no usable answer, and **nothing was started by the request**.

    Raised where connecting failed, on time-outs, 429 and 5xx answers and on
    answers that could not be read, for any request; for an invoke only where it
    is certain that nothing was started. The request can safely be repeated.

    Attributes:
        retry_after: How many seconds the engine asked to wait, from 0 to
            :data:`MAX_RETRY_AFTER`; or None, also for what is no number.
        lasting: Whether waiting does not help, since a setting is wrong, or something
            between this service and the engine.
    """

    code = "galaxy-unavailable"

    def __init__(
        self, detail: str, *, retry_after: float | None = None, lasting: bool = False
    ) -> None:
        super().__init__(detail)
        self.lasting = lasting
        if retry_after is not None:
            retry_after = (
                None
                if math.isnan(retry_after)
                else min(max(retry_after, 0.0), MAX_RETRY_AFTER)
            )
        self.retry_after = retry_after


class ReportUnavailable(RunnerUnavailable):
    """The engine could be reached, and gave no report of this run that can be read.

    It takes too long, or is too large. There may be an outline.
    """


class DataNotMade(RunnerUnavailable):
    """The engine could be reached, and the data of a run could not be made in time.

    Nothing was started. It may go on like that: the data may be too large.
    """


class DataNotChecked(RunnerUnavailable):
    """A dataset is not registered, since the engine could not tell what its data is."""


class RunnerRefusedUs(RunnerError):
    """The engine does not accept our key (401, or 403 without one)."""

    code = "galaxy-refused-us"


class RunRejected(RunnerError):
    """The engine understood the request and will never do it.

    Attributes:
        galaxy_message: Galaxy's own sentence (``err_msg``).
        galaxy_code: Galaxy's own number (``err_code``), or None.
    """

    code = "galaxy-rejected"

    def __init__(
        self,
        galaxy_message: str,
        galaxy_code: int | None = None,
        advice: str | None = None,
    ) -> None:
        message = f"Galaxy refused: {galaxy_message}"
        super().__init__(f"{message.rstrip('.')}. {advice}" if advice else message)
        self.galaxy_message = galaxy_message
        self.galaxy_code = galaxy_code

    def extra(self) -> Mapping[str, object]:
        return {
            "galaxy_message": self.galaxy_message,
            "galaxy_code": self.galaxy_code,
        }


class ToolsMissing(RunRejected):
    """The workflow uses tools that the engine lacks: it would refuse to run it.

    Attributes:
        tools: The ids of the tools.
    """

    def __init__(self, name: str, tools: Sequence[str]) -> None:
        super().__init__(
            f"Following tools missing: {listed(tools)}",
            advice=f"Workflow {quoted(name)} uses them; ask an administrator of Galaxy "
            "to install them.",
        )
        self.tools = tuple(tools)

    def extra(self) -> Mapping[str, object]:
        return {**super().extra(), "missing_tools": list(self.tools[:LISTED])}


class DataNotFound(RunnerError):
    """The engine has no such data, or none that the configured key may use."""

    code = "invalid-source"

    def __init__(self, src: str, id_: str) -> None:
        super().__init__(
            f"Galaxy has no {src} {quoted(id_)} that the configured key may use."
        )
        self.src = src
        self.id = id_


class RunNotFound(RunnerError):
    """The engine answers that it has no such invocation, job or history (a 404)."""

    code = "gone"


class OutcomeUnknown(RunnerError):
    """The answer to an invoke was lost: it may run, or may not.

    Attributes:
        submission_id: The submission that the invoke belongs to, and that will
            show the outcome; None where an adapter raises it.
    """

    code = "outcome-unknown"

    def __init__(self, detail: str, submission_id: UUID | None = None) -> None:
        super().__init__(detail)
        self.submission_id = submission_id

    def extra(self) -> Mapping[str, object]:
        if self.submission_id is None:
            return {}
        return {"submission_id": str(self.submission_id)}


class TooManyJobs(DomainError):
    """More jobs match a filter than a request allows; nothing was changed.

    Attributes:
        at_most: The number that was allowed.
    """

    code = "too-many-jobs"

    def __init__(self, at_most: int, detail: str | None = None) -> None:
        super().__init__(
            detail
            or f"More than {at_most} jobs match; nothing was changed. Narrow the "
            "filter, or allow more."
        )
        self.at_most = at_most

    def extra(self) -> Mapping[str, object]:
        return {"at_most": self.at_most}


class StoreUnavailable(DomainError):
    """The database could not be reached, or broke off; nothing is certain."""

    code = "database-unavailable"
