"""The filters of the list of jobs, in the query of each route that takes them."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Annotated, TypeAlias

import msgspec

from galaxy_jobs.domain import (
    BatchId,
    DatasetId,
    InvocationState,
    JobFilter,
    Label,
    Viewer,
)
from galaxy_jobs.domain.errors import quoted
from galaxy_jobs.entrypoints.api import schemas
from galaxy_jobs.entrypoints.api.parameters import Needs, name_query, query
from galaxy_jobs.entrypoints.api.problems import malformed


TIME = "a time with its zone, such as 2026-01-02T12:00:00Z"

LabelTexts: TypeAlias = Annotated[
    list[str] | None,
    query(
        "`key:value`: only those with that label (repeat it for several, which all "
        "have to be there)",
        ["project:plate-7"],
        name="label",
    ),
]

time_query = partial(query, schema_extra={"format": "date-time"})


def job_filter(
    *,
    viewer: Needs[Viewer],
    dataset_id: Annotated[
        DatasetId | None, name_query("a text: only jobs on this dataset", "reads-1")
    ] = None,
    workflow_name: Annotated[
        str | None, name_query("a text: only jobs of this workflow", "sort-and-count")
    ] = None,
    # A parameter *named* state would be given the application's state.
    states: Annotated[
        list[InvocationState] | None,
        query(
            "one of "
            + ", ".join(state.value for state in InvocationState)
            + " (repeat it for several)",
            ["queued", "in_progress"],
            name="state",
        ),
    ] = None,
    owner: Annotated[
        str | None,
        name_query("the name of an owner, or `me`: only jobs of that owner", "me"),
    ] = None,
    labels: LabelTexts = None,
    created_after: Annotated[
        str | None,
        time_query(f"{TIME}: only jobs created then or later", "2026-01-02T12:00:00Z"),
    ] = None,
    created_before: Annotated[
        str | None,
        time_query(f"{TIME}: only jobs created before", "2026-01-03T12:00:00Z"),
    ] = None,
    search: Annotated[
        str | None,
        name_query(
            "a text: only jobs that have it, in upper or lower case, in the id or name "
            "of the dataset, the name of the workflow or the value of a label, or at "
            "the beginning of their id",
            "plate-7",
        ),
    ] = None,
    batch_id: Annotated[
        BatchId | None,
        query(
            "a UUID: only jobs of that batch", "9b6a2f0e-53d1-4d0f-8f0c-6f2f5d7f1a11"
        ),
    ] = None,
) -> JobFilter:
    """Return the filter that a query names (a dependency of routes).

    Raises:
        Refused: A time is malformed.
        InvalidValue: As for :class:`JobFilter` and :class:`Label`.
    """
    return JobFilter(
        dataset_ids=frozenset(() if dataset_id is None else [dataset_id]),
        workflow_names=frozenset(() if workflow_name is None else [workflow_name]),
        states=frozenset(states or ()),
        owner=viewer.owner_called(owner),
        labels=frozenset(map(Label.parse, labels or ())),
        created_after=_time("created_after", created_after),
        created_before=_time("created_before", created_before),
        search=search or "",
        batch_id=batch_id,
    )


def name_of(wanted: JobFilter) -> list[object]:
    """Return what tells a list of jobs from others, for its cursors."""
    [dataset] = wanted.dataset_ids or [None]
    [workflow] = wanted.workflow_names or [None]
    states = sorted(state.value for state in wanted.states)
    name: list[object] = ["jobs", dataset, workflow, states, wanted.owner]
    labels = sorted(map(str, wanted.labels))
    more: list[object] = [
        labels,
        wanted.created_after,
        wanted.created_before,
        wanted.search,
        *([wanted.batch_id] if wanted.batch_id else []),
    ]
    return [*name, *map(str, more)] if any(more) else name


def _time(name: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return msgspec.convert(text, schemas.Time)
    except msgspec.ValidationError:
        raise malformed(
            f"Query parameter {name!r} is {quoted(text)}; expected {TIME}.", field=name
        ) from None
