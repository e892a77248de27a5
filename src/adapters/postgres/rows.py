"""Rows of the domain's objects, and back, field by field.

Rule of the file: no SQL. Values from clients are stored unchanged or refused. Values
from Galaxy are stored in any case: a NUL or half a character in the output of a tool
must not keep a state from being recorded, so it is replaced.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from attrs import asdict
from sqlalchemy import RowMapping

from galaxy_jobs.domain.errors import InvalidSource, InvalidValue
from galaxy_jobs.domain.model.batch import Batch
from galaxy_jobs.domain.model.dataset import (
    CollectionData,
    DataDescription,
    Dataset,
    GalaxyData,
    Source,
    Src,
    check_schemes,
    masked,
)
from galaxy_jobs.domain.model.invocation import (
    Failure,
    Invocation,
    InvocationState,
    Progress,
    StepSummary,
    Transition,
)
from galaxy_jobs.domain.model.labels import LabelPatch, Labels, check_labels, merged
from galaxy_jobs.domain.model.source_json import source_from_json, source_to_json
from galaxy_jobs.domain.model.submission import (
    IdempotencyKey,
    Problem,
    Request,
    Submission,
    SubmissionState,
)
from galaxy_jobs.domain.model.token import Scope, Token
from galaxy_jobs.domain.model.upload import Upload, UploadState
from galaxy_jobs.domain.model.user import Session, User
from galaxy_jobs.domain.model.values import DatasetId, Identity, Json
from galaxy_jobs.domain.model.viewer import Sees, Viewer
from galaxy_jobs.domain.model.webhook import (
    Delivery,
    DeliveryState,
    EventType,
    Webhook,
    WebhookState,
)


Row = Mapping[str, Any] | RowMapping


def storable(*texts: str) -> bool:
    """Return whether PostgreSQL can hold these texts."""
    try:
        return b"\0" not in "".join(texts).encode()
    except UnicodeEncodeError:
        return False


def cleaned(value: Any) -> Any:
    """Return *value* with characters replaced that PostgreSQL cannot hold."""
    match value:
        case str():
            return value.replace("\0", "\ufffd").encode(errors="replace").decode()
        case Mapping():
            return {cleaned(key): cleaned(member) for key, member in value.items()}
        case list() | tuple():
            return [cleaned(member) for member in value]
        case _:
            return value


# --- datasets -------------------------------------------------------------------


def dataset_to_row(dataset: Dataset) -> dict[str, Any]:
    """Return the row of a dataset."""
    return {
        "dataset_id": dataset.stored_id,
        "owner": dataset.owner,
        "name": dataset.name,
        "source": source_to_json(dataset.source),
        "created_at": dataset.created_at,
        "description": dataset.description and cleaned(asdict(dataset.description)),
        "described_at": dataset.described_at,
        "labels": dict(dataset.labels),
    }


def dataset_from_row(row: Row, viewer: Viewer, schemes: Collection[str]) -> Dataset:
    """Return the dataset of a row, which another program may have written.

    Args:
        row: With its JSON as text: a number in it may be longer than Python reads.
        viewer: Who sees it.
        schemes: Those of addresses that are allowed.

    Raises:
        InvalidSource: The row is malformed, or has an address that is not allowed.
    """
    dataset_id = viewer.id_of(row["dataset_id"])
    try:
        source = _source(json.loads(row["source"] or "null"))
        check_schemes(source, schemes)
        return Dataset(
            dataset_id=dataset_id,
            stored_id=row["dataset_id"],
            owner=row["owner"],
            name=row["name"] if (row["name"] or "").strip() else dataset_id,
            source=source,
            created_at=row["created_at"],
            description=_description(row["description"]),
            described_at=row["described_at"],
            labels=_labels(json.loads(row["labels"])),
        )
    except (InvalidValue, ValueError, RecursionError) as error:
        raise InvalidSource(
            dataset_id,
            f"another program registered it wrongly. {masked(str(error))} Correct its "
            "row in the table `datasets`.",
        ) from error


def _labels(value: Any) -> Labels:
    if isinstance(value, dict) and all(isinstance(v, str) for v in value.values()):
        return value
    raise InvalidValue("Its labels are no object of texts.")


def changed_labels(text: str, patch: LabelPatch) -> Any:
    """Return the labels of a row of a dataset, which are JSON, after a patch.

    Raises:
        InvalidValue: A label is malformed then, or there are too many.
    """
    try:
        labels = _labels(json.loads(text))
        check_labels(labels)
    except (InvalidValue, ValueError, RecursionError):  # by another program
        labels = {}
    return merged(labels, patch)


def _source(value: Any) -> Source:
    match value:
        case {"src": "collection", "listed": int(count), "collection_type": type_}:
            return CollectionData(type_, None, count=count)
        case _:
            return source_from_json(value)


def _description(text: str | None) -> DataDescription | None:
    """Return the description in a row; None for one that another program wrote."""
    try:
        value = json.loads(text or "null")
    except (ValueError, RecursionError):
        return None
    match value:
        case {
            "name": str(name),
            "state": str(state),
            "extensions": list(extensions),
            "collection_type": str() | None as collection_type,
        } if all(isinstance(extension, str) for extension in extensions):
            return DataDescription(
                name=name,
                state=state,
                extensions=tuple(extensions),
                collection_type=collection_type,
            )
        case _:
            return None


# --- submissions ----------------------------------------------------------------


def submission_to_row(submission: Submission) -> dict[str, Any]:
    """Return the row of a submission, without the columns that only the table has."""
    request, key = submission.request, submission.key
    return {
        "submission_id": submission.submission_id,
        "galaxy_url": submission.identity.url,
        "galaxy_user": submission.identity.user_id,
        "dataset_id": request.dataset_id,
        "workflow_name": request.workflow_name,
        "parameters": dict(request.parameters),
        "overwrite": request.overwrite,
        "rerun_of": request.rerun_of,
        "dataset_input": request.dataset_input,
        "use_cached_job": request.use_cached_job,
        "pinned_version": request.workflow_version,
        "labels": dict(request.labels) or None,
        "workflow_id": submission.workflow_id,
        "workflow_version": submission.workflow_version,
        "version_note": submission.version_note,
        "inputs": None if submission.inputs is None else dict(submission.inputs),
        "key_caller": key.caller if key else None,
        "key": key.key if key else None,
        "state": submission.state.value,
        "history_id": submission.history_id,
        "invocation_id": submission.invocation_id,
        "fenced": submission.fenced,
        "problem": _problem_to_json(submission.problem),
        "owner": submission.owner,
        "private": submission.private,
        "batch_id": submission.batch_id,
        "attempts": submission.attempts,
        "created_at": submission.created_at,
        "updated_at": submission.updated_at,
        "version": submission.version,
    }


def submission_from_row(row: Row) -> Submission:
    """Return the submission of a row."""
    problem = row["problem"]
    return Submission(
        submission_id=row["submission_id"],
        identity=Identity(row["galaxy_url"], row["galaxy_user"]),
        request=Request(
            dataset_id=row["dataset_id"],
            workflow_name=row["workflow_name"],
            parameters=row["parameters"],
            overwrite=row["overwrite"],
            rerun_of=row["rerun_of"],
            dataset_input=row["dataset_input"],
            use_cached_job=row["use_cached_job"],
            workflow_version=row["pinned_version"],
            labels=row["labels"] or {},
        ),
        workflow_id=row["workflow_id"],
        workflow_version=row["workflow_version"],
        version_note=row["version_note"],
        inputs=row["inputs"],
        key=None
        if row["key"] is None
        else IdempotencyKey(row["key_caller"], row["key"]),
        state=SubmissionState(row["state"]),
        history_id=row["history_id"],
        invocation_id=row["invocation_id"],
        fenced=row["fenced"],
        problem=None if problem is None else Problem(**problem),
        owner=row["owner"],
        private=row["private"],
        batch_id=row["batch_id"],
        attempts=row["attempts"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        version=row["version"],
    )


def batch_to_row(batch: Batch) -> dict[str, Any]:
    """Return the row of a batch, without the columns that only the table has."""
    key = batch.key
    return {
        "batch_id": batch.batch_id,
        "galaxy_url": batch.identity.url,
        "galaxy_user": batch.identity.user_id,
        "workflow_name": batch.workflow_name,
        "parameters": dict(batch.parameters),
        "overwrite": batch.overwrite,
        "labels": dict(batch.labels),
        "size": batch.size,
        "fingerprint": batch.fingerprint,
        "key_caller": key.caller if key else None,
        "key": key.key if key else None,
        "rerun_of": batch.rerun_of,
        "owner": batch.owner,
        "private": batch.private,
        "created_at": batch.created_at,
        "cancelled_at": batch.cancelled_at,
        "ended_at": batch.ended_at,
    }


def batch_from_row(row: Row) -> Batch:
    """Return the batch of a row."""
    return Batch(
        batch_id=row["batch_id"],
        identity=Identity(row["galaxy_url"], row["galaxy_user"]),
        workflow_name=row["workflow_name"],
        parameters=row["parameters"],
        overwrite=row["overwrite"],
        labels=row["labels"],
        size=row["size"],
        fingerprint=row["fingerprint"],
        key=None
        if row["key"] is None
        else IdempotencyKey(row["key_caller"], row["key"]),
        rerun_of=row["rerun_of"],
        owner=row["owner"],
        private=row["private"],
        created_at=row["created_at"],
        cancelled_at=row["cancelled_at"],
        ended_at=row["ended_at"],
    )


def _problem_to_json(problem: Problem | None) -> dict[str, Any] | None:
    if problem is None:
        return None
    return {
        "code": problem.code,
        "detail": cleaned(problem.detail),
        "extra": cleaned(problem.extra),
    }


# --- invocations ----------------------------------------------------------------


def invocation_to_row(invocation: Invocation) -> dict[str, Any]:
    """Return the row of an invocation, without the columns that only the table has."""
    return {
        "invocation_id": invocation.invocation_id,
        "galaxy_id": galaxy_id_to_column(invocation),
        "submission_id": invocation.submission_id,
        "galaxy_url": invocation.identity.url,
        "galaxy_user": invocation.identity.user_id,
        "history_id": invocation.history_id,
        "dataset_id": invocation.dataset_id,
        "workflow_name": invocation.workflow_name,
        "parameters": dict(invocation.parameters),
        "overwrite": invocation.overwrite,
        "rerun_of": invocation.rerun_of,
        "dataset_input": invocation.dataset_input,
        "use_cached_job": invocation.use_cached_job,
        "workflow_id": invocation.workflow_id,
        "workflow_version": invocation.workflow_version,
        "version_note": invocation.version_note,
        "inputs": None if invocation.inputs is None else dict(invocation.inputs),
        "labels": dict(invocation.labels),
        "superseded_by": invocation.superseded_by,
        "state": invocation.state.value,
        "galaxy_state": cleaned(invocation.galaxy_state),
        "progress": asdict(invocation.progress),
        "steps": steps_to_json(invocation.steps),
        "failure": failure_to_json(invocation.failure),
        "attention": cleaned(invocation.attention),
        "owner": invocation.owner,
        "private": invocation.private,
        "adopted": invocation.adopted,
        "results_deleted_at": invocation.results_deleted_at,
        "intermediates_deleted_at": invocation.intermediates_deleted_at,
        "created_at": invocation.created_at,
        "updated_at": invocation.updated_at,
        "observed_at": invocation.observed_at,
        "version": invocation.version,
    }


def galaxy_id_to_column(invocation: Invocation) -> str | None:
    """Return Galaxy's id as it is stored: NULL if it is the key, empty if it has none.

    The program of the version before writes NULL.
    """
    galaxy_id = invocation.galaxy_id
    return None if galaxy_id == invocation.invocation_id else galaxy_id or ""


def invocation_from_row(row: Row) -> Invocation:
    """Return the invocation of a row."""
    galaxy_id = row["galaxy_id"]
    return Invocation(
        invocation_id=row["invocation_id"],
        galaxy_id=row["invocation_id"] if galaxy_id is None else galaxy_id or None,
        submission_id=row["submission_id"],
        identity=Identity(row["galaxy_url"], row["galaxy_user"]),
        history_id=row["history_id"],
        dataset_id=row["dataset_id"],
        workflow_name=row["workflow_name"],
        parameters=row["parameters"] or {},
        parameters_truncated=row.get("parameters_truncated", False),
        overwrite=row["overwrite"],
        rerun_of=row["rerun_of"],
        dataset_input=row["dataset_input"],
        use_cached_job=row["use_cached_job"],
        workflow_id=row["workflow_id"],
        workflow_version=row["workflow_version"],
        version_note=row["version_note"],
        inputs=row["inputs"],
        labels=row["labels"],
        superseded_by=row["superseded_by"],
        stopping=row["stopping"],
        state=InvocationState(row["state"]),
        galaxy_state=row["galaxy_state"],
        progress=Progress(**row["progress"]),
        # PostgreSQL has an order of its own for the members of an object.
        steps=tuple(
            StepSummary(**{**step, "jobs": dict(sorted(step["jobs"].items()))})
            for step in row["steps"]
        ),
        failure=_failure(row["failure"]),
        attention=row["attention"],
        owner=row["owner"],
        private=row["private"],
        adopted=row["adopted"],
        results_deleted_at=row["results_deleted_at"],
        intermediates_deleted_at=row["intermediates_deleted_at"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        observed_at=row["observed_at"],
        stale_at=row["stale_at"],
        version=row["version"],
    )


def steps_to_json(steps: tuple[StepSummary, ...]) -> list[dict[str, Any]]:
    """Return steps as JSON."""
    return [
        {
            "index": step.index,
            "label": cleaned(step.label),
            "tool": cleaned(step.tool),
            "state": step.state,
            "jobs": cleaned(step.jobs),
        }
        for step in steps
    ]


def failure_to_json(failure: Failure | None) -> dict[str, Any] | None:
    """Return a failure as JSON, as other programs see it in the view.

    The program of the version before accepts no further members. So the element is
    put in brackets at the end of the path, where otherwise the name of the step is.
    """
    if failure is None:
        return None
    value: dict[str, Any] = cleaned(asdict(failure))
    element = value.pop("element")
    if element is not None and f"[{element}]" != value["step"]:
        value["path"] = [*value["path"], f"[{element}]"]
    return value


def _failure(value: dict[str, Any] | None) -> Failure | None:
    if value is None:
        return None
    path, element = value["path"], None
    if path and path[-1].startswith("[") and path[-1] != value["step"]:
        *path, last = path
        element = last[1:-1]
    return Failure(**{**value, "path": tuple(path), "element": element})


def transition_from_row(row: Row) -> Transition:
    """Return the transition of a row."""
    before = row["from_state"]
    return Transition(
        id=row["id"],
        invocation_id=row["invocation_id"],
        from_state=None if before is None else InvocationState(before),
        to_state=InvocationState(row["to_state"]),
        at=row["at"],
        galaxy_state=row["galaxy_state"],
        progress=Progress(**row["progress"]),
        blocked=row["blocked"],
        failure=_failure(row["failure"]),
    )


def data_keys(parameters: Mapping[str, Json]) -> list[str]:
    """Return the keys of all data that parameters, or the like, name.

    See `data_key` for data in Galaxy, and `dataset_key` for registered datasets.
    """
    return sorted(set(_data_keys(parameters)))


def data_key(data: GalaxyData) -> str:
    """Return data in Galaxy as a text to compare by, such as ``hda:5a1c``."""
    return f"{data.src.value}:{data.id}"


def dataset_key(dataset_id: DatasetId) -> str:
    """Return a registered dataset as a text to compare by, such as ``dataset:d1``."""
    return f"dataset:{dataset_id}"


def _data_keys(value: Any) -> Iterator[str]:
    match value:
        case {"dataset_id": str(id_)}:
            yield dataset_key(DatasetId(id_))
        case {"src": "hda" | "ldda" | "hdca" as src, "id": str(id_)}:
            yield data_key(GalaxyData(Src(src), id_))
        case Mapping():
            for member in value.values():
                yield from _data_keys(member)
        case list() | tuple():
            for member in value:
                yield from _data_keys(member)
        case _:
            return


# --- tokens ---------------------------------------------------------------------

_OWN = "own:"


def token_to_row(token: Token) -> dict[str, Any]:
    """Return the row of a token, without the times that the store sets.

    The program of the version before knows no owners: it must not accept a token that
    sees its own objects only, and takes one with the scope `admin` for `submit`.
    """
    sees_all, admin = token.sees is Sees.ALL, token.scope is Scope.ADMIN
    return {
        "token_id": token.token_id,
        "name": token.name,
        "scope": (Scope.SUBMIT if admin else token.scope).value,
        "admin": admin,
        "sees_all": sees_all,
        "digest": token.digest if sees_all else _OWN + token.digest,
        "created_at": token.created_at,
    }


def token_from_row(row: Row) -> Token:
    """Return the token of a row."""
    fields = dict(row)
    admin, sees_all = fields.pop("admin"), fields.pop("sees_all")
    fields["scope"] = Scope.ADMIN if admin else Scope(row["scope"])
    fields["sees"] = Sees.ALL if sees_all else Sees.OWN
    fields["digest"] = row["digest"].removeprefix(_OWN)
    return Token(**fields)


def session_to_row(session: Session) -> dict[str, Any]:
    """Return the row of a session, without the time that the store sets."""
    return {
        "session_id": session.session_id,
        "digest": session.digest,
        "owner": session.user.owner,
        "name": session.user.name,
        "scope": session.user.scope.value,
        "sees": session.user.sees.value,
    }


def session_from_row(row: Row) -> Session:
    """Return the session of a row."""
    user = User(
        owner=row["owner"],
        name=row["name"],
        scope=Scope(row["scope"]),
        sees=Sees(row["sees"]),
        expires_at=row["expires_at"],
        session_id=row["session_id"],
    )
    return Session(session_id=row["session_id"], digest=row["digest"], user=user)


# --- uploads ---------------------------------------------------------------------


def upload_to_row(upload: Upload) -> dict[str, Any]:
    """Return the row of an upload, without the columns that only the table has."""
    return {
        "upload_id": upload.upload_id,
        "owner": upload.owner,
        "name": upload.name,
        "size": upload.size,
        "ext": upload.ext,
        "dataset_id": upload.dataset_id,
        "sha256": upload.sha256,
        "key_caller": upload.key and upload.key.caller,
        "key": upload.key and upload.key.key,
        "state": upload.state.value,
        "ref": upload.ref,
        "stored": upload.stored,
        "problem": _problem_to_json(upload.problem),
        "created_at": upload.created_at,
        "version": upload.version,
    }


def upload_from_row(row: Row) -> Upload:
    """Return the upload of a row."""
    return Upload(
        upload_id=row["upload_id"],
        owner=row["owner"],
        name=row["name"],
        size=row["size"],
        ext=row["ext"],
        dataset_id=row["dataset_id"],
        sha256=row["sha256"],
        key=None
        if row["key"] is None
        else IdempotencyKey(row["key_caller"], row["key"]),
        state=UploadState(row["state"]),
        ref=row["ref"],
        stored=row["stored"],
        problem=None if row["problem"] is None else Problem(**row["problem"]),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        version=row["version"],
    )


# --- webhooks -----------------------------------------------------------------------


def webhook_to_row(webhook: Webhook) -> dict[str, Any]:
    """Return the row of a webhook, without the columns that only the table has."""
    return {
        "webhook_id": webhook.webhook_id,
        "url": webhook.url,
        "events": sorted(type_.value for type_ in webhook.events),
        "labels": dict(webhook.labels),
        "workflow_names": sorted(webhook.workflow_names),
        "secrets": list(webhook.secrets),
        "owner": webhook.owner,
        "private": webhook.private,
        "state": webhook.state.value,
        "created_at": webhook.created_at,
    }


def webhook_from_row(row: Row) -> Webhook:
    """Return the webhook of a row."""
    return Webhook(
        webhook_id=row["webhook_id"],
        url=row["url"],
        events=frozenset(map(EventType, row["events"])),
        labels=row["labels"],
        workflow_names=frozenset(row["workflow_names"]),
        secrets=tuple(row["secrets"]),
        owner=row["owner"],
        private=row["private"],
        state=WebhookState(row["state"]),
        failures=row["failures"],
        created_at=row["created_at"],
    )


def delivery_to_row(delivery: Delivery) -> dict[str, Any]:
    """Return the row of a new delivery."""
    return {
        "delivery_id": delivery.delivery_id,
        "webhook_id": delivery.webhook_id,
        "type": delivery.type.value,
        "subject": delivery.subject,
        "data": cleaned(delivery.data),
        "at": delivery.at,
    }


def delivery_from_row(row: Row) -> Delivery:
    """Return the delivery of a row."""
    return Delivery(
        delivery_id=row["delivery_id"],
        webhook_id=row["webhook_id"],
        number=row["number"],
        type=EventType(row["type"]),
        subject=row["subject"],
        data=row["data"],
        at=row["at"],
        state=DeliveryState(row["state"]),
        attempts=row["attempts"],
        next_attempt_at=row["next_attempt_at"],
        ended_at=row["ended_at"],
        status=row["status"],
        problem=row["problem"],
    )
