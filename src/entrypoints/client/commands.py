"""The client commands themselves.

Rule of the file: a command sends a request, shows the answer, and holds no rule of
its own. What only some commands need is imported by those.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import cyclopts
from cyclopts import Parameter
from cyclopts.validators import Number
from rich.console import RenderableType

from galaxy_jobs.entrypoints import environment
from galaxy_jobs.entrypoints.client import (
    job_views,
    output,
    parameters,
    workflow_views,
)
from galaxy_jobs.entrypoints.client.errors import CommandFailed, Refused, Usage


if TYPE_CHECKING:
    from galaxy_jobs.entrypoints.client.http import Answer, Api

GROUP = cyclopts.Group("Jobs, through a running service", sort_key=1)

# Their own commands stand under the same heading, not under the program's other one.
_group = partial(cyclopts.App, group=GROUP, group_commands=GROUP)
datasets = _group(name="datasets", help="Register and look up datasets.")
workflows = _group(name="workflows", help="List workflows and their inputs.")

View = Callable[[Any], RenderableType]

State = Literal[
    "queued", "in_progress", "cancelling", "completed", "failed", "cancelled"
]

Id = Annotated[str, Parameter(help="Its id.")]
AsJson = Annotated[bool, Parameter(name="--json", help="Print the API's JSON instead.")]
Pairs = Annotated[
    tuple[str, ...],
    Parameter(
        name=["-p", "--parameter"],
        help="NAME=VALUE of a workflow input, as often as needed. A data input takes "
        "the id of a registered dataset, or hda:ID, ldda:ID, hdca:ID of Galaxy's.",
    ),
]
Input = Annotated[
    str | None,
    Parameter(
        name="--input",
        help="The workflow's data input that takes the dataset; otherwise the one that "
        "the parameters leave over.",
    ),
]
Cached = Annotated[
    bool | None,
    Parameter(
        name="--use-cached-job",
        negative="--no-use-cached-job",
        help="Let Galaxy copy the results of equal jobs that it has run before, or "
        "not; as the service is configured if not given.",
    ),
]
Version = Annotated[
    int | None,
    Parameter(
        name="--workflow-version",
        validator=Number(gte=0),
        help="The version of the workflow, counting from 0; the newest if not given.",
    ),
]
Wait = Annotated[
    bool,
    Parameter(
        help="Follow the job to its end; exit 1 unless it completes. With --json, "
        "print the job as it has ended."
    ),
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
    int, Parameter(validator=Number(gte=1, lte=200), help="The most to list.")
]
Cursor = Annotated[str | None, Parameter(help="Where the next page begins.")]


def submit(
    dataset_id: str,
    workflow_name: str,
    /,
    *,
    parameter: Pairs = (),
    input: Input = None,  # noqa: A002 - the name of the option
    use_cached_job: Cached = None,
    workflow_version: Version = None,
    overwrite: bool = False,
    wait: Wait = False,
    key: Key = None,
    json: AsJson = False,
) -> int:
    """Run a workflow on a dataset.

    Args:
        dataset_id: A registered dataset; see `galaxy-jobs datasets list`.
        workflow_name: See `galaxy-jobs workflows list`.
        overwrite: Take the place of the earlier jobs of this dataset and workflow;
            their results are deleted once this one has completed.
    """
    api = _api()
    body = {
        "dataset_id": dataset_id,
        "workflow_name": workflow_name,
        "overwrite": overwrite,
        "dataset_input": input,
        "use_cached_job": use_cached_job,
        "workflow_version": workflow_version,
        "parameters": _typed(api, parameter, workflow_name),
    }
    with _hint_for("WORKFLOW", workflow_name):
        return _submit(api, "jobs", body=body, key=key, wait=wait, as_json=json)


def rerun(
    job: Id,
    /,
    *,
    parameter: Pairs = (),
    input: str | None = None,  # noqa: A002 - the name of the option
    overwrite: Annotated[bool | None, Parameter(negative="--no-overwrite")] = None,
    workflow_version: int | Literal["same"] | None = None,
    wait: Wait = False,
    key: Key = None,
    json: AsJson = False,
) -> int:
    """Run a job again, as a new job; parameters not given stay as they were.

    Args:
        input: The workflow's data input that takes the dataset; as the last time if
            not given.
        overwrite: Take the place of the earlier jobs of this dataset and workflow,
            or not; as the last time if not given.
        workflow_version: The version to run, or "same": that of the job; the newest if
            not given.
    """
    api = _api()
    changed = _typed(api, parameter, job=job)
    body = {
        "parameters": changed or None,
        "overwrite": overwrite,
        "dataset_input": input,
        "workflow_version": workflow_version,
    }
    path = ("jobs", job, "rerun")
    return _submit(api, *path, body=body, key=key, wait=wait, as_json=json)


def list_jobs(
    *,
    dataset: str | None = None,
    workflow: str | None = None,
    state: tuple[State, ...] = (),
    owner: str | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    json: AsJson = False,
) -> int:
    """List jobs, newest first.

    Args:
        dataset: Only those on this dataset.
        workflow: Only those of this workflow.
        state: Only those in this state; may be repeated.
        owner: Only those of this owner; "me" is your token.
    """
    only = {
        "dataset_id": dataset,
        "workflow_name": workflow,
        "state": state,
        "owner": owner,
    }
    answer = _api().get("jobs", **only, limit=limit, cursor=cursor)
    return _show_page(answer, json, job_views.jobs, "There are no such jobs.")


def show(job: Id, /, *, json: AsJson = False) -> int:
    """Show a job in full: its steps, and why it failed."""
    return _show(_api().get("jobs", job), json, job_views.detail)


def watch(job: Id, /, *, json: AsJson = False) -> int:
    """Follow a job to its end; Ctrl-C leaves it running.

    Shows its steps and its progress as they change: in place on a terminal, else a
    line for each change. Exits with 0 if it completes, with 1 if not.

    Args:
        json: Print the API's JSON of the job for each change, one a line.
    """
    from galaxy_jobs.entrypoints.client import watching

    return watching.follow(_api(), job, as_json=json)


def cancel(job: Id, /, *, json: AsJson = False) -> int:
    """Ask a job to stop."""
    with _hint_for("JOB", job):
        answer = _api().post("jobs", job, "cancel")
    message = f"Job {job} is {answer.data['state']}."
    if answer.data["state"] == "cancelling":
        message += f"\nWatch it stop: galaxy-jobs watch {job}"
    return _show(answer, json, lambda _: message)


def refresh(job: Id, /, *, json: AsJson = False) -> int:
    """Look at a job in Galaxy again, also after its end."""
    with _hint_for("JOB", job):
        answer = _api().post("jobs", job, "refresh")
    return _show(answer, json, job_views.detail)


def review(
    job: Id,
    step: str,
    /,
    *,
    approve: Annotated[bool, Parameter(negative="--reject")],
    json: AsJson = False,
) -> int:
    """Answer a review that a job waits for.

    Args:
        step: The index of the step, counting from 0, as attention names it: 2, or 1.2
            in a sub-workflow.
        approve: Whether the job goes on; else it is cancelled.
    """
    with _hint_for("JOB", job):
        path = ("jobs", job, "steps", step, "review")
        answer = _api().post(*path, body={"approve": approve})
    return _show(answer, json, job_views.detail)


def outputs(job: Id, /, *, json: AsJson = False) -> int:
    """List a job's outputs."""
    answer = _api().get("jobs", job, "outputs")
    return _show_page(answer, json, job_views.outputs, "It has no outputs.")


def download(
    job: Id,
    /,
    *,
    label: tuple[str, ...] = (),
    output: Annotated[Path, Parameter(name=["-o", "--output"])] = Path(),
    force: bool = False,
    json: AsJson = False,
) -> int:
    """Download the outputs of a job, each file whole or not at all.

    What was interrupted is resumed by the same command. Exits with 1 if an output is
    not whole, or was deleted.

    Args:
        label: Only this output; may be repeated.
        output: The folder to save them in; made if it is missing.
        force: Replace other files of these names.
    """
    from galaxy_jobs.entrypoints.client import downloading

    with _hint_for("JOB", job):
        return downloading.download(
            _api(), job, label, output, force=force, as_json=json
        )


def history(job: Id, /, *, json: AsJson = False) -> int:
    """List a job's state changes."""
    answer = _api().get("jobs", job, "history")
    return _show_page(answer, json, job_views.history, "Nothing has happened.")


@datasets.command
def add(
    name: str | None = None,
    /,
    *elements: str,
    hda: str | None = None,
    ldda: str | None = None,
    hdca: str | None = None,
    url: str | None = None,
    ext: str | None = None,
    collection: str | None = None,
    sheet: Path | None = None,
    id: str | None = None,  # noqa: A002 - the name of the option
    check: Annotated[bool, Parameter(negative="--no-check")] = True,
    json: AsJson = False,
) -> int:
    """Register data that Galaxy has, or can fetch, under a name for people.

    Exactly one of --hda, --ldda, --hdca, --url, --collection and --sheet is needed.

    Args:
        name: For people. With --sheet, that of one dataset of all samples; without it,
            each sample is registered under its own.
        elements: With --collection, NAME=DATA each, with a slash between the names of
            levels: s1/forward=https://example.org/1.fq. DATA is an address, the id of
            a registered dataset, or hda:ID, ldda:ID, hdca:ID of Galaxy's.
        hda: Galaxy's id of a dataset in a history.
        ldda: Galaxy's id of a dataset in a library.
        hdca: Galaxy's id of a collection in a history.
        url: An http, https or ftp address that Galaxy fetches.
        ext: Galaxy's name of the format of the data by address, such as txt.
        collection: The type of a collection: list, paired, list:paired and so on.
        sheet: A table with tabs or commas, with the columns name, and forward and
            reverse, or url, which hold DATA; if wanted also ext and id.
        id: The id for jobs to use; made up if not given.
        check: Ask Galaxy what the data is; it is not registered if there is none.
    """
    from galaxy_jobs.entrypoints.client import sheets

    options = {"hda": hda, "ldda": ldda, "hdca": hdca, "url": url}
    options |= {"collection": collection, "sheet": str(sheet) if sheet else None}
    given = {src: value for src, value in options.items() if value is not None}
    if len(given) != 1:
        raise Usage(
            f"Give exactly one of {', '.join(f'--{name}' for name in options)}."
        )
    if elements and collection is None:
        raise Usage("Elements are given with --collection alone.")
    if sheet is not None:
        if id is not None and name is None:
            raise Usage("--id names one dataset; give the sheet a column id.")
        found = sheets.sheet(sheet, name, ext)
        return _register(list(found), id, check=check, as_json=json)
    if name is None:
        raise Usage("Give the dataset a NAME.")
    if collection is not None:
        source = sheets.collection(collection, elements, ext)
    elif (ext is not None) != (url is not None):
        raise Usage("--url and --ext go together.")
    else:
        ((src, value),) = given.items()
        where = {"id": value} if url is None else {"url": url, "ext": ext}
        source = {"src": src, **where}
    body = {"name": name, "source": source}
    return _register([("", body)], id, check=check, as_json=json)


def _register(
    found: Sequence[tuple[str, dict[str, Any]]],
    dataset_id: str | None,
    *,
    check: bool,
    as_json: bool,
) -> int:
    """Register datasets, each with its place in a sheet."""
    api, unchecked = _api(), {} if check else {"check": "false"}
    for number, (place, body) in enumerate(found):
        named = {"dataset_id": dataset_id, **body}
        try:
            answer = api.post("datasets", body=named, **unchecked)
        except CommandFailed:
            if place:
                output.note(f"{place}: it is not registered, {number} before it are.")
            raise
        _show(answer, as_json, job_views.registered)
    return 0


def upload(
    *files: Path,
    ext: str,
    dataset: str | None = None,
    collection: str | None = None,
    name: str | None = None,
    json: AsJson = False,
) -> int:
    """Upload files; each becomes a dataset.

    An upload that was interrupted is resumed by the same command.

    Args:
        files: The files.
        ext: Galaxy's name of their format, such as fastqsanger.gz.
        dataset: The id of the dataset for jobs to use, or of the collection; made up if
            not given.
        collection: Make the files one dataset: a list, a pair (paired) or a list of
            pairs (list:paired). Pairs are told by _1 and _2, or _R1 and _R2, in names.
        name: The name of the collection, for people.
    """
    from galaxy_jobs.entrypoints.client import uploading

    if not files:
        raise Usage("Give at least one FILE.")
    if dataset is not None and len(files) > 1 and collection is None:
        raise Usage("--dataset names one dataset: give one FILE, or --collection.")
    if (name is not None) != (collection is not None):
        raise Usage("--collection and --name go together.")
    if collection is not None:  # names that do not fit, before anything is sent
        uploading.collection(collection, [(path.name, "") for path in files])
    api, registered = _api(), []
    total = sum(map(uploading.size, files))
    with uploading.progress(total) as advance:
        for path in files:
            id_ = dataset if collection is None else None
            uploaded = uploading.upload(
                api, path, ext=ext, dataset_id=id_, advance=advance
            )
            registered.append((path.name, uploaded))
    if collection is None:
        for _, shown in registered:
            if json:
                output.document(shown)
            else:
                output.line(job_views.registered(shown))
        return 0
    members = [(file, shown["dataset_id"]) for file, shown in registered]
    source = {
        "src": "collection",
        "collection_type": collection,
        "elements": uploading.collection(collection, members),
    }
    body = {"name": name, "source": source}
    return _register([("", body)], dataset, check=True, as_json=json)


@datasets.command(name="list")
def list_datasets(
    *,
    search: str | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    json: AsJson = False,
) -> int:
    """List datasets, newest first.

    Args:
        search: Only those with this text in their name or id.
    """
    answer = _api().get("datasets", search=search, limit=limit, cursor=cursor)
    empty = "There are no such datasets." if search else "There are no datasets."
    return _show_page(answer, json, job_views.datasets, empty)


@datasets.command(name="show")
def show_dataset(dataset_id: Id, /, *, json: AsJson = False) -> int:
    """Show a dataset."""
    return _show(_api().get("datasets", dataset_id), json, job_views.dataset)


@datasets.command
def rename(dataset_id: Id, name: str, /, *, json: AsJson = False) -> int:
    """Give a dataset another name.

    Args:
        name: For people.
    """
    answer = _api().change("datasets", dataset_id, body={"name": name})
    return _show(answer, json, job_views.dataset)


@datasets.command
def remove(dataset_id: Id, /, *, json: AsJson = False) -> int:
    """Remove a dataset from the list; its data in Galaxy and its jobs stay."""
    answer = _api().remove("datasets", dataset_id)
    message = f"Dataset {output.clean(dataset_id)} is removed."
    return _show(answer, json, lambda _: message)


@workflows.command(name="list")
def list_workflows(
    *, limit: Limit = 50, cursor: Cursor = None, json: AsJson = False
) -> int:
    """List the workflows that may be run."""
    answer = _api().get("workflows", limit=limit, cursor=cursor)
    empty = "There are no workflows that may be run."
    return _show_page(answer, json, workflow_views.workflows, empty)


@workflows.command(name="show")
def show_workflow(name: str, /, *, json: AsJson = False) -> int:
    """Show a workflow and its inputs.

    Args:
        name: See `galaxy-jobs workflows list`.
    """
    return _show(_api().get("workflows", name), json, workflow_views.detail)


def register(app: cyclopts.App) -> None:
    """Add the client commands to the program."""
    for command in (submit, show, watch, cancel, refresh, review, rerun):
        app.command(command, group=GROUP)
    for command in (outputs, history):
        app.command(command, group=GROUP)
    app.command(upload, group=GROUP)
    app.command(download, group=GROUP)
    app.command(list_jobs, name="list", group=GROUP)
    app.command(datasets)
    app.command(workflows)


def _api() -> Api:
    from galaxy_jobs.entrypoints.client.http import Api

    return Api(environment.read(environment.Service))


def _typed(
    api: Api, arguments: tuple[str, ...], workflow: str | None = None, job: str = ""
) -> dict[str, Any]:
    """Return parameters in the types that a workflow, or that of a job, asks for."""
    texts = parameters.pairs(arguments)
    if not texts:
        return {}
    if workflow is None:
        workflow = str(api.get("jobs", job).data["workflow_name"])
    return parameters.typed(texts, api.get("workflows", workflow).data["parameters"])


def _submit(
    api: Api, *parts: str, body: dict[str, Any], key: Key, wait: Wait, as_json: AsJson
) -> int:
    import uuid

    from galaxy_jobs.entrypoints.client import submitting, watching

    key = key or str(uuid.uuid4())
    try:
        answer = submitting.Submitter(api, key)(*parts, body=body)
    except KeyboardInterrupt:
        output.note("")
        output.note(f"It may run. Find out with: {submitting.again(key)}")
        return 130
    job = answer.data["invocation_id"]
    if not as_json:
        replayed = "Idempotent-Replayed" in answer.headers
        before = " (it was submitted before)" if replayed else ""
        output.show(f"Job {job} is {answer.data['state']}{before}.")
        if "rerun" in parts and (note := api.get("jobs", job).data["version_note"]):
            output.note(note)
    if wait:
        return watching.follow(api, job, as_json=as_json, ended=as_json)
    return _show(answer, as_json, lambda _: f"Follow it: galaxy-jobs watch {job}")


def _show(answer: Answer, as_json: AsJson, view: View) -> int:
    if as_json:
        output.document(answer.data)
    else:
        output.show(view(answer.data))
    return 0


def _show_page(answer: Answer, as_json: AsJson, table: View, empty: str) -> int:
    items = answer.data["items"]
    _show(answer, as_json, lambda _: table(items) if items else empty)
    if answer.data["next_cursor"] and not as_json:
        output.note(f"There are more: add  --cursor {answer.data['next_cursor']}")
    return 0


@contextmanager
def _hint_for(name: str, argument: str) -> Iterator[None]:
    """Put an argument in the place of its name in the hint of a refusal."""
    try:
        yield
    except Refused as refusal:
        typed = output.clean(shlex.quote(argument))
        refusal.hint = refusal.hint and refusal.hint.replace(name, typed)
        raise
