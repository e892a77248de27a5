"""The options that several client commands have."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Literal

import cyclopts
from attrs import frozen
from cyclopts import Parameter
from cyclopts.validators import Number

from galaxy_jobs.entrypoints.client import parameters
from galaxy_jobs.entrypoints.client.answers import AsJson, View, connect, show_items


GROUP = cyclopts.Group("Jobs, through a running service", sort_key=1)

# Their own commands stand under the same heading, not under the program's other one.
commands_of = partial(cyclopts.App, group=GROUP, group_commands=GROUP)

Id = Annotated[str, Parameter(help="Its id.")]
Pairs = Annotated[
    tuple[str, ...],
    Parameter(
        name=["-p", "--parameter"],
        help="NAME=VALUE of a workflow input, as often as needed. A data input takes "
        "the id of a registered dataset, or hda:ID, ldda:ID, hdca:ID of Galaxy's.",
    ),
]
Labels = Annotated[
    tuple[str, ...],
    Parameter(name="--label", help="KEY=VALUE, as often as needed."),
]
Wait = Annotated[
    bool,
    Parameter(
        help="Follow the job to its end; exit 1 unless it completes. With --json, "
        "print the job as it has ended."
    ),
]
WaitForBatch = Annotated[
    bool, Parameter(negative="--no-wait", help="Whether to follow it.")
]
Key = Annotated[
    str | None,
    Parameter(
        name="--key",
        help="An idempotency key of your own: the same command with the same key runs "
        "nothing twice.",
    ),
]
State = Literal[
    "queued", "in_progress", "cancelling", "completed", "failed", "cancelled"
]


@Parameter(name="*")
@frozen(kw_only=True)
class Run:
    """What is run: the options of commands that submit."""

    parameter: Pairs = ()
    input: Annotated[
        str | None,
        Parameter(
            help="The workflow's data input that takes the dataset; otherwise the one "
            "that the parameters leave over.",
        ),
    ] = None
    use_cached_job: Annotated[
        bool | None,
        Parameter(
            negative="--no-use-cached-job",
            help="Let Galaxy copy the results of equal jobs that it has run before, or "
            "not; as the service is configured if not given.",
        ),
    ] = None
    workflow_version: Annotated[
        int | None,
        Parameter(
            validator=Number(gte=0),
            help="The version of the workflow, counting from 0; the newest if not "
            "given.",
        ),
    ] = None
    label: Labels = ()

    def body(self, workflow_name: str, **more: object) -> dict[str, Any]:
        """Return what is sent, without the parameters."""
        labels = parameters.labels(self.label)
        return {
            "workflow_name": workflow_name,
            "dataset_input": self.input,
            "use_cached_job": self.use_cached_job,
            "workflow_version": self.workflow_version,
            **({"labels": labels} if labels else {}),
            **more,
        }


@Parameter(name="*")
@frozen(kw_only=True)
class Page:
    """A page of a list: the options of commands that list."""

    limit: Annotated[
        int, Parameter(validator=Number(gte=1, lte=200), help="The most to list.")
    ] = 50
    cursor: Annotated[str | None, Parameter(help="Where the next page begins.")] = None
    json: AsJson = False

    def show(self, *path: str, table: View, empty: str, **only: object) -> int:
        """Show what a resource lists, or the sentence that it is *empty*."""
        answer = connect().get(*path, **only, limit=self.limit, cursor=self.cursor)
        return show_items(answer, self.json, table, empty)


RUN = Run()
PAGE = Page()
