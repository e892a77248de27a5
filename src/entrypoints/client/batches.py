"""Batches: submitted once however often that is typed, and followed to their end."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn

from galaxy_jobs.entrypoints.client import (
    output,
    parameters,
    sheets,
    submitting,
    watching,
)
from galaxy_jobs.entrypoints.client.answers import all_items
from galaxy_jobs.entrypoints.client.errors import Usage
from galaxy_jobs.entrypoints.client.http import Api


Batch = Mapping[str, Any]

POLL_INTERVAL = 2.0
"""Seconds between two looks at a batch."""

MAX_ITEMS = 1000
"""One more dataset than this is looked up at most: the service refuses more."""

ENDED = ("completed", "failed", "cancelled", "rejected")
"""The states of items that have ended; all but the first are no success."""


def items(
    api: Api,
    sheet: Path | None,
    dataset_ids: Sequence[str],
    dataset_labels: Sequence[str],
    schema: parameters.Schema,
) -> list[dict[str, Any]]:
    """Return the items of a batch, as they are sent.

    Args:
        api: Is asked for the datasets with labels.
        sheet: See :func:`sheets.jobs`; or None.
        dataset_ids: The datasets; or none.
        dataset_labels: The labels ``KEY=VALUE`` that the datasets have; or none.
        schema: Of the `parameters`, from ``GET /workflows/{name}``.

    Raises:
        Usage: Not exactly one of the three is given, the sheet cannot be read, or no
            dataset has the labels.
        CommandFailed: The service cannot be asked.
    """
    if [sheet is not None, bool(dataset_ids), bool(dataset_labels)].count(True) != 1:
        raise Usage("Give exactly one of --sheet, --dataset and --dataset-label.")
    if dataset_labels:
        dataset_ids = _labelled(api, dataset_labels)
    if sheet is None:
        return [{"dataset_id": dataset_id} for dataset_id in dataset_ids]
    return [
        {
            "dataset_id": dataset_id,
            "parameters": parameters.typed(texts, schema),
            "labels": labels,
        }
        for dataset_id, texts, labels in sheets.jobs(sheet)
    ]


def _labelled(api: Api, labels: Sequence[str]) -> list[str]:
    """Return the datasets with all of these labels, the oldest first."""
    wanted = parameters.label_filter(labels, "--dataset-label")
    found = islice(all_items(api, "datasets", label=wanted), MAX_ITEMS + 1)
    ids = [dataset["dataset_id"] for dataset in found]
    if not ids:
        raise Usage(f"No dataset has the label {' and '.join(labels)}.")
    return ids[::-1]


def key_of(api: Api, body: Mapping[str, Any]) -> str:
    """Return the idempotency key of a batch: the same for the same content."""
    content = json.dumps([api.service.url, body], sort_keys=True)
    return hashlib.sha256(content.encode(errors="surrogateescape")).hexdigest()


def submit(
    api: Api,
    *parts: str,
    body: Mapping[str, Any],
    key: str | None,
    wait: bool,
    as_json: bool,
) -> int:
    """Submit a batch, and follow it to its end if that is wanted.

    Returns:
        0; 1 if an item was no success; or 130 after Ctrl-C, which leaves it running.

    Raises:
        CommandFailed: As for :class:`submitting.Submitter`.
    """
    answer = submitting.Submitter(api, key)(*parts, body=body)
    batch_id = answer.data["batch_id"]
    come_back = f"galaxy-jobs batches show {batch_id}"
    try:
        if not as_json:
            size = len(answer.data["items"])
            before = " (it was submitted before)" if answer.is_replayed else ""
            output.show(f"Batch {batch_id} has {size} items{before}.")
        if wait:
            return follow(api, batch_id, come_back, as_json=as_json)
    except KeyboardInterrupt:
        output.note(f"It goes on. Follow it: {come_back}")
        return 130
    if as_json:
        output.document(answer.data)
    else:
        output.note(f"Look at it: {come_back}")
    return 0


def follow(api: Api, batch_id: str, come_back: str, *, as_json: bool) -> int:
    """Show the progress of a batch to its end, and the batch as it has ended.

    *come_back* is the command that does so again.

    Returns:
        0 if all of its items have completed; 1 if not.
    """
    answers = watching.answers(
        lambda: api.get("batches", batch_id),
        POLL_INTERVAL,
        come_back,
        answered_at=time.monotonic(),
    )
    columns = (BarColumn(), MofNCompleteColumn(), "{task.description}")
    batch: Batch = {"ended_at": None}
    with output.progress_bar(*columns) as bar:
        task = bar.add_task("", total=None)
        while batch["ended_at"] is None:
            batch = next(answers).data
            done = sum(batch["counts"].get(state, 0) for state in ENDED)
            shown = {"total": batch["size"], "description": _counts(batch)}
            bar.update(task, completed=done, **shown)
    if as_json:
        output.document(batch)
    else:
        output.show(detail(batch))
    return 0 if batch["counts"].get("completed") == batch["size"] else 1


def _counts(batch: Batch) -> str:
    return ", ".join(f"{number} {state}" for state, number in batch["counts"].items())


table = output.listing(
    {
        "batch": "batch_id",
        "workflow": "workflow_name",
        "items": "size",
        "states": _counts,
        "created": lambda it: output.when(it["created_at"]),
    },
    cut="workflow",
)


def detail(batch: Batch) -> RenderableType:
    """Return a batch with its first failures."""
    fields = output.fields(
        ("batch", batch["batch_id"]),
        ("workflow", output.clean(batch["workflow_name"])),
        ("items", f"{batch['size']}: {_counts(batch)}"),
        ("parameters", output.values(batch["parameters"])),
        ("labels", output.values(batch["labels"])),
        ("repeats", batch["rerun_of"]),
        ("created", output.when(batch["created_at"])),
        ("cancelled", batch["cancelled_at"] and output.when(batch["cancelled_at"])),
        ("ended", batch["ended_at"] and output.when(batch["ended_at"])),
    )
    if not batch["failures"]:
        return fields
    return Group(fields, _failures(batch["failures"]))


def _reason(item: Mapping[str, Any]) -> str:
    if item["problem"]:
        return str(item["problem"]["detail"])
    failure = item["failure"] or {}
    return str(failure.get("message") or failure.get("reason") or "")


_failures = output.listing(
    {
        "failed on": "dataset_id",
        "state": lambda it: output.state(it["state"]),
        "why": _reason,
    }
)
