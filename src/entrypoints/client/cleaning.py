"""Delete the results of many jobs, each by a request of its own."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from galaxy_jobs.entrypoints.client import job_views, output
from galaxy_jobs.entrypoints.client.answers import all_items
from galaxy_jobs.entrypoints.client.errors import CommandFailed, Refused


if TYPE_CHECKING:
    from galaxy_jobs.entrypoints.client.http import Api


def clean(
    api: Api,
    before: str,
    workflow: str | None,
    states: Sequence[str],
    *,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> int:
    """Delete the results of jobs that ended before a time; return the exit code.

    Raises:
        CommandFailed: Nobody said yes.
    """
    ids = list(_jobs(api, before, workflow, states or sorted(job_views.ENDED)))
    deleted: list[str] = []
    kept: list[dict[str, Any]] = []
    if ids and not dry_run:
        _ask(f"Delete the results of {len(ids)} jobs in Galaxy, for good?", yes=yes)
        for id_ in ids:
            try:
                api.remove("jobs", id_, "results")
            except Refused as refusal:
                if refusal.code not in {"results-in-use", "not-ended", "gone"}:
                    raise
                kept.append({"invocation_id": id_, "problem": refusal.problem})
                output.note(f"{output.clean(id_)}: {refusal}")
            else:
                deleted.append(id_)
    found = {"count": len(ids), "dry_run": dry_run, "items": ids}
    if as_json:
        output.document({**found, "deleted": deleted, "kept": kept})
    elif dry_run:
        for id_ in ids:
            output.line(output.clean(id_))
        output.note(f"The results of {len(ids)} jobs would be deleted.")
    else:
        output.line(f"The results of {len(deleted)} jobs are deleted.")
    return 0


def _jobs(
    api: Api, before: str, workflow: str | None, states: Sequence[str]
) -> Iterator[str]:
    """Yield the ids of jobs with results that ended before a time."""
    for job in all_items(
        api, "jobs", workflow_name=workflow, state=states, created_before=before
    ):
        changed_at = datetime.fromisoformat(job["updated_at"])
        if job["results"] == "kept" and changed_at < datetime.fromisoformat(before):
            yield job["invocation_id"]


def _ask(question: str, *, yes: bool) -> None:
    """Ask on a terminal; elsewhere nobody could answer."""
    if yes or not sys.stdin.isatty():
        return
    output.note(f"{question} [y/N]")
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise CommandFailed("Nothing was deleted.")
