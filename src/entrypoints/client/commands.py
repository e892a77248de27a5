"""The client commands themselves.

Rule of the file: a command asks the API, shows what it said, and holds no rule of
its own.
"""

from __future__ import annotations

import shlex
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any, Literal

import cyclopts
from cyclopts import Parameter

from galaxy_jobs.entrypoints import environment
from galaxy_jobs.entrypoints.client import output, parameters
from galaxy_jobs.entrypoints.client.errors import Refused, Usage
from galaxy_jobs.entrypoints.client.http import Answer, Api, path


GROUP = cyclopts.Group("Jobs, through a running service", sort_key=1)

# Their own commands stand under the same heading, not under the program's other one.
datasets = cyclopts.App(
    name="datasets",
    group=GROUP,
    group_commands=GROUP,
    help="Register and look up datasets.",
)
workflows = cyclopts.App(
    name="workflows",
    group=GROUP,
    group_commands=GROUP,
    help="See what may be run, and what it takes.",
)

State = Literal[
    "queued", "in_progress", "cancelling", "completed", "failed", "cancelled"
]

AsJson = Annotated[
    bool, Parameter(name="--json", negative=(), help="Print the API's JSON instead.")
]
Pairs = Annotated[
    tuple[str, ...],
    Parameter(
        name=["-p", "--parameter"],
        negative=(),
        help="NAME=VALUE of a workflow input, as often as needed. A data input takes "
        "the id of a registered dataset, or hda:ID, ldda:ID, hdca:ID of Galaxy's.",
    ),
]
Wait = Annotated[
    bool,
    Parameter(negative=(), help="Follow the job to its end; exit 1 unless it works."),
]
Key = Annotated[
    str | None,
    Parameter(
        name="--key",
        help="An idempotency key of your own: the same command with the same key runs "
        "nothing twice.",
    ),
]
Limit = Annotated[
    int,
    Parameter(
        validator=cyclopts.validators.Number(gte=1, lte=200), help="How many at most."
    ),
]
Cursor = Annotated[str | None, Parameter(help="Where the next page begins.")]


def submit(
    dataset_id: str,
    workflow_name: str,
    /,
    *,
    parameter: Pairs = (),
    overwrite: Annotated[bool, Parameter(negative=())] = False,
    wait: Wait = False,
    key: Key = None,
    json: AsJson = False,
) -> int:
    """Run a workflow on a dataset.

    Args:
        dataset_id: A registered dataset; see `galaxy-jobs datasets list`.
        workflow_name: As `galaxy-jobs workflows list` says it.
        overwrite: Take the place of the earlier jobs of this dataset and workflow;
            their results are deleted once this one has completed.
    """
    api = _api()
    body = {
        "dataset_id": dataset_id,
        "workflow_name": workflow_name,
        "overwrite": overwrite,
        "parameters": _typed(api, parameter, lambda: workflow_name),
    }
    with _knowing(WORKFLOW=workflow_name):
        return _submitted(api, "/jobs", body, key=key, wait=wait, as_json=json)


def rerun(
    job: str,
    /,
    *,
    parameter: Pairs = (),
    overwrite: bool | None = None,
    wait: Wait = False,
    key: Key = None,
    json: AsJson = False,
) -> int:
    """Run a job again, as a new job; parameters not given stay as they were.

    Args:
        job: Its id.
        overwrite: Take the place of the earlier jobs of this dataset and workflow,
            or not; as the last time if not given.
    """
    api = _api()
    given = _typed(
        api,
        parameter,
        lambda: str(api.get(path("jobs", job)).said["workflow_name"]),
    )
    body = {"parameters": given or None, "overwrite": overwrite}
    return _submitted(
        api, path("jobs", job, "rerun"), body, key=key, wait=wait, as_json=json
    )


def list_jobs(
    *,
    dataset: str | None = None,
    workflow: str | None = None,
    state: Annotated[tuple[State, ...], Parameter(negative=())] = (),
    limit: Limit = 50,
    cursor: Cursor = None,
    json: AsJson = False,
) -> int:
    """List jobs, newest first.

    Args:
        dataset: Only those on this dataset.
        workflow: Only those of this workflow.
        state: Only those in this state; may be repeated.
    """
    answer = _api().get(
        "/jobs",
        dataset_id=dataset,
        workflow_name=workflow,
        state=state,
        limit=limit,
        cursor=cursor,
    )
    from galaxy_jobs.entrypoints.client import job_views

    return _page(answer, job_views.listed, "There are no such jobs.", json)


def show(job: str, /, *, json: AsJson = False) -> int:
    """Show all that is known of a job: its steps, and why it has failed.

    Args:
        job: Its id.
    """
    from galaxy_jobs.entrypoints.client import job_views

    answer = _api().get(path("jobs", job))
    return _shown(answer, json, lambda said: output.show(job_views.detail(said)))


def watch(job: str, /, *, json: AsJson = False) -> int:
    """Follow a job to its end; Ctrl-C leaves it running.

    Shows its steps and its progress as they go: in place on a terminal, else a line
    for each change. Exits with 0 if it has completed, with 1 if not.

    Args:
        job: Its id.
        json: Print the API's JSON of the job for each change, one a line.
    """
    from galaxy_jobs.entrypoints.client import watching

    return watching.follow(_api(), job, as_json=json)


def cancel(job: str, /, *, json: AsJson = False) -> int:
    """Ask a job to stop.

    Args:
        job: Its id.
    """

    def told(said: Mapping[str, Any]) -> None:
        output.show(f"Job {job} is {said['state']}.")
        if said["state"] == "cancelling":
            output.show(f"Watch it stop: galaxy-jobs watch {job}")

    with _knowing(JOB=job):
        answer = _api().ask("POST", path("jobs", job, "cancel"))
    return _shown(answer, json, told)


def outputs(job: str, /, *, json: AsJson = False) -> int:
    """Show what a job has made.

    Args:
        job: Its id.
    """
    return _page(
        _api().get(path("jobs", job, "outputs")),
        lambda items: output.table(
            "output",
            "galaxy id",
            "name",
            "type",
            ">bytes",
            "state",
            rows=[
                (
                    one["label"],
                    f"{one['src']}:{one['id']}",
                    one["name"] or "",
                    one["extension"] or "",
                    "" if one["size"] is None else str(one["size"]),
                    output.state(one["state"] or ""),
                )
                for one in items
            ],
            cut="output name",
        ),
        "It has no labelled outputs.",
        json,
    )


def history(job: str, /, *, json: AsJson = False) -> int:
    """Show how a job came to where it is.

    Args:
        job: Its id.
    """
    return _page(
        _api().get(path("jobs", job, "history")),
        lambda items: output.table(
            "at",
            "state",
            "galaxy says",
            "jobs",
            rows=[
                (
                    output.moment(one["at"]),
                    output.state(one["to_state"]),
                    one["galaxy_state"],
                    # Else it does not fit into 80 columns.
                    output.progress(one["progress"], one["to_state"], noun=""),
                )
                for one in items
            ],
            cut="jobs",
        ),
        "Nothing has happened.",
        json,
    )


@datasets.command
def add(
    name: str,
    /,
    *,
    hda: str | None = None,
    ldda: str | None = None,
    hdca: str | None = None,
    url: str | None = None,
    ext: str | None = None,
    id: str | None = None,  # noqa: A002 - what it is called
    json: AsJson = False,
) -> int:
    """Register a dataset: where Galaxy finds the data, under a name for people.

    Exactly one of --hda, --ldda, --hdca and --url says where.

    Args:
        name: For people.
        hda: Galaxy's id of a dataset in a history.
        ldda: Galaxy's id of a dataset in a library.
        hdca: Galaxy's id of a collection in a history.
        url: An http, https or ftp address that Galaxy fetches.
        ext: Galaxy's name of the format of what is at --url, such as txt.
        id: What jobs call it; made up if not given.
    """
    places = {"hda": hda, "ldda": ldda, "hdca": hdca, "url": url}
    given = {src: value for src, value in places.items() if value is not None}
    if len(given) != 1:
        raise Usage("Give exactly one of --hda, --ldda, --hdca and --url.")
    if (ext is not None) != (url is not None):
        raise Usage("--url and --ext go together.")
    ((src, value),) = given.items()
    source = {"src": src, "id": value}
    if url is not None:
        source = {"src": src, "url": value, "ext": ext or ""}
    body: dict[str, object] = {"name": name, "source": source}
    if id is not None:
        body["dataset_id"] = id

    def told(said: Mapping[str, Any]) -> None:
        output.show(f"Dataset {output.clean(said['dataset_id'])} is registered.")

    return _shown(_api().ask("POST", "/datasets", body), json, told)


@datasets.command(name="list")
def list_datasets(
    *, limit: Limit = 50, cursor: Cursor = None, json: AsJson = False
) -> int:
    """List datasets, newest first."""
    return _page(
        _api().get("/datasets", limit=limit, cursor=cursor),
        lambda items: output.table(
            "dataset",
            "name",
            "source",
            "registered",
            rows=[
                (
                    one["dataset_id"],
                    one["name"],
                    output.short(_source(one["source"])),
                    output.ago(one["created_at"]),
                )
                for one in items
            ],
            cut="name",
        ),
        "There are no datasets.",
        json,
    )


@datasets.command(name="show")
def show_dataset(dataset_id: str, /, *, json: AsJson = False) -> int:
    """Show a dataset.

    Args:
        dataset_id: Its id.
    """

    def told(one: Mapping[str, Any]) -> None:
        output.show(
            output.fields(
                ("dataset", one["dataset_id"]),
                ("name", one["name"]),
                ("source", _source(one["source"])),
                ("registered", output.when(one["created_at"])),
            )
        )

    return _shown(_api().get(path("datasets", dataset_id)), json, told)


@workflows.command(name="list")
def list_workflows(*, json: AsJson = False) -> int:
    """List the workflows that may be run."""
    return _page(
        _api().get("/workflows"),
        lambda items: output.table(
            "workflow", rows=[(one["name"],) for one in items], cut="workflow"
        ),
        "There are no workflows that may be run.",
        json,
    )


@workflows.command(name="show")
def show_workflow(name: str, /, *, json: AsJson = False) -> int:
    """Show what a workflow takes.

    Args:
        name: As `galaxy-jobs workflows list` says it.
    """
    from galaxy_jobs.entrypoints.client import workflow_views

    return _shown(
        _api().get(path("workflows", name)),
        json,
        lambda said: output.show(workflow_views.shown(said)),
    )


def register(app: cyclopts.App) -> None:
    """Add the client commands to the program."""
    for command in (submit, show, watch, cancel, rerun, outputs, history):
        app.command(command, group=GROUP)
    app.command(list_jobs, name="list", group=GROUP)
    app.command(datasets)
    app.command(workflows)


def _api() -> Api:
    return Api(environment.service())


def _typed(
    api: Api, given: tuple[str, ...], workflow: Callable[[], str]
) -> dict[str, Any]:
    """Return the parameters in the types that the workflow asks for."""
    texts = parameters.pairs(given)
    if not texts:
        return {}
    schema = api.get(path("workflows", workflow())).said["parameters"]
    return parameters.typed(texts, schema)


def _submitted(
    api: Api,
    address: str,
    body: Mapping[str, Any],
    *,
    key: str | None,
    wait: bool,
    as_json: bool,
) -> int:
    from galaxy_jobs.entrypoints.client import submitting

    key = key or str(uuid.uuid4())
    try:
        answer = submitting.Submitter(api, key)(address, body)
    except KeyboardInterrupt:
        output.note("")
        output.note(f"It may run. Find out with: {submitting.again(key)}")
        return 130
    job = answer.said["invocation_id"]
    if not as_json:
        replayed = " (it was submitted before)" * (
            "Idempotent-Replayed" in answer.headers
        )
        output.show(f"Job {job} is {answer.said['state']}{replayed}.")
    if wait:
        from galaxy_jobs.entrypoints.client import watching

        return watching.follow(api, job, as_json=as_json)
    if as_json:
        output.raw(answer.body)
    else:
        output.show(f"Follow it: galaxy-jobs watch {job}")
    return 0


def _shown(
    answer: Answer,
    as_json: bool,  # noqa: FBT001
    show: Callable[[Mapping[str, Any]], object],
) -> int:
    if as_json:
        output.raw(answer.body)
    else:
        show(answer.said)
    return 0


def _page(
    answer: Answer,
    tabled: Callable[[list[Any]], Any],
    nothing: str,
    as_json: bool,  # noqa: FBT001
) -> int:
    def told(said: Mapping[str, Any]) -> None:
        output.show(tabled(said["items"]) if said["items"] else nothing)
        if said["next_cursor"]:
            output.note(f"There are more: add  --cursor {said['next_cursor']}")

    return _shown(answer, as_json, told)


def _source(one: Mapping[str, str]) -> str:
    return one["url"] if one["src"] == "url" else f"{one['src']}:{one['id']}"


NEXT: Mapping[str, str] = {
    "unauthenticated": "Set GALAXY_JOBS_TOKEN. Whoever runs the service makes one "
    "with `galaxy-jobs token create NAME --scope submit`.",
    "forbidden": "Set GALAXY_JOBS_TOKEN to a token that may: `galaxy-jobs token create "
    "NAME --scope submit` makes one, on the service's side.",
    "job-not-found": "See which there are: galaxy-jobs list",
    "dataset-not-found": "See which there are: galaxy-jobs datasets list; register "
    "one: galaxy-jobs datasets add",
    "dataset-exists": "See which there are: galaxy-jobs datasets list",
    "workflow-not-found": "See which there are: galaxy-jobs workflows list",
    "workflow-not-allowed": "See which there are: galaxy-jobs workflows list",
    "workflow-ambiguous": "Look into it, on the service's side: galaxy-jobs doctor",
    "invalid-parameters": "See what it takes: galaxy-jobs workflows show WORKFLOW",
    "galaxy-refused-us": "Look into it, on the service's side: galaxy-jobs doctor",
    "galaxy-unavailable": "Look into it, on the service's side: galaxy-jobs doctor",
    "database-unavailable": "Look into it, on the service's side: galaxy-jobs doctor",
    "already-ended": "Run it again: galaxy-jobs rerun JOB",
    "idempotency-key-reused": "Choose another --key, or leave it out.",
}
"""What to do about a refusal, by the code of its problem."""


@contextmanager
def _knowing(**names: str) -> Iterator[None]:
    """Put what was typed into what a refusal says is to be typed next."""
    try:
        yield
    except Refused as refusal:
        said = hint(refusal)
        for name, typed in names.items():
            said = said and said.replace(name, output.clean(shlex.quote(typed)))
        refusal.hint = said
        raise


def hint(refusal: Refused) -> str | None:
    """Say what to do about a refusal."""
    return refusal.hint or NEXT.get(refusal.code)
