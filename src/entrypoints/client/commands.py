"""The client commands themselves.

Rule of the file: a command sends a request, shows the answer, and holds no rule of
its own. What only some commands need is imported by those.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import cyclopts
from cyclopts import Parameter

from galaxy_jobs.entrypoints.client import (
    job_views,
    output,
    parameters,
    workflow_views,
)
from galaxy_jobs.entrypoints.client.answers import (
    AsJson,
    connect,
    show_answer,
    show_items,
)
from galaxy_jobs.entrypoints.client.errors import CommandFailed, Refused, Usage
from galaxy_jobs.entrypoints.client.options import (
    GROUP,
    PAGE,
    RUN,
    Id,
    Key,
    Labels,
    Page,
    Pairs,
    Run,
    State,
    Wait,
    WaitForBatch,
    commands_of,
)


if TYPE_CHECKING:
    from galaxy_jobs.entrypoints.client.http import Api

datasets = commands_of(name="datasets", help="Register and look up datasets.")
batches = commands_of(name="batches", help="List, show, cancel and repeat batches.")
workflows = commands_of(name="workflows", help="List workflows and their inputs.")


def submit(
    dataset_id: str,
    workflow_name: str,
    /,
    *,
    run: Run = RUN,
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
    api = connect()
    typed = _typed(api, run.parameter, workflow_name)
    body = run.body(workflow_name, overwrite=overwrite, parameters=typed)
    body["dataset_id"] = dataset_id
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
    api = connect()
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
    label: Labels = (),
    since: str | None = None,
    search: str | None = None,
    batch: str | None = None,
    page: Page = PAGE,
) -> int:
    """List jobs, newest first.

    Args:
        dataset: Only those on this dataset.
        workflow: Only those of this workflow.
        state: Only those in this state; may be repeated.
        owner: Only those of this owner; "me" is your token.
        label: Only those with this label, KEY=VALUE; repeated: with all of them.
        since: Only those submitted since then: 2026-01-31, or 2026-01-31T12:00, of
            the local time zone unless it names one; or 36h, 7d.
        search: Only those with this text in the id or name of their dataset, the name
            of their workflow or the value of a label, or at the beginning of their id.
        batch: Only those of this batch.
    """
    return page.show(
        "jobs",
        dataset_id=dataset,
        workflow_name=workflow,
        state=state,
        owner=owner,
        label=parameters.label_filter(label),
        created_after=parameters.since(since),
        search=search,
        batch_id=batch,
        table=job_views.jobs,
        empty="There are no such jobs.",
    )


def show(job: Id, /, *, json: AsJson = False) -> int:
    """Show a job in full: its steps, and why it failed."""
    return show_answer(connect().get("jobs", job), json, job_views.detail)


def watch(job: Id, /, *, json: AsJson = False) -> int:
    """Follow a job to its end; Ctrl-C leaves it running.

    Shows its steps and its progress as they change: in place on a terminal, else a
    line for each change. Exits with 0 if it completes, with 1 if not.

    Args:
        json: Print the API's JSON of the job for each change, one a line.
    """
    from galaxy_jobs.entrypoints.client import watching

    return watching.follow(connect(), job, as_json=json)


def cancel(job: Id, /, *, json: AsJson = False) -> int:
    """Ask a job to stop."""
    with _hint_for("JOB", job):
        answer = connect().post("jobs", job, "cancel")
    message = f"Job {job} is {answer.data['state']}."
    if answer.data["state"] == "cancelling":
        message += f"\nWatch it stop: galaxy-jobs watch {job}"
    return show_answer(answer, json, lambda _: message)


def adopt(
    job: Id,
    dataset_id: str,
    workflow_name: str | None = None,
    /,
    *,
    json: AsJson = False,
) -> int:
    """Follow a run that somebody started in Galaxy.

    Args:
        job: Galaxy's id of the invocation.
        dataset_id: The registered dataset that it is about.
        workflow_name: Its name in `galaxy-jobs workflows list`, if it is another one
            than in Galaxy.
    """
    body = {
        "invocation_id": job,
        "dataset_id": dataset_id,
        "workflow_name": workflow_name,
    }
    answer = connect().post("jobs", "adopt", body=body)
    message = (
        f"Job {job} is {answer.data['state']}.\nFollow it: galaxy-jobs watch {job}"
    )
    return show_answer(answer, json, lambda _: message)


def clean(
    *,
    older_than: str,
    workflow: str | None = None,
    state: tuple[Literal["completed", "failed", "cancelled"], ...] = (),
    dry_run: bool = False,
    yes: bool = False,
    json: AsJson = False,
) -> int:
    """Delete the results of old jobs in Galaxy, for good; the jobs stay.

    Results that a dataset or an active job needs are kept.

    Args:
        older_than: The time since their end, 30 (days), 30d or 36h; or a date before.
        workflow: Only of jobs of this workflow.
        state: Only of jobs that ended in this state; may be repeated.
        dry_run: Delete nothing, and list these jobs.
        yes: Do not ask.
    """
    from galaxy_jobs.entrypoints.client import cleaning

    before = parameters.since(older_than, "--older-than")
    assert before is not None
    return cleaning.clean(
        connect(), before, workflow, state, dry_run=dry_run, yes=yes, as_json=json
    )


def refresh(job: Id, /, *, json: AsJson = False) -> int:
    """Look at a job in Galaxy again, also after its end."""
    with _hint_for("JOB", job):
        answer = connect().post("jobs", job, "refresh")
    return show_answer(answer, json, job_views.detail)


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
        answer = connect().post(*path, body={"approve": approve})
    return show_answer(answer, json, job_views.detail)


def outputs(job: Id, /, *, json: AsJson = False) -> int:
    """List a job's outputs."""
    answer = connect().get("jobs", job, "outputs")
    return show_items(answer, json, job_views.outputs, "It has no outputs.")


def download(
    job: Id,
    /,
    *,
    label: tuple[str, ...] = (),
    ro_crate: bool = False,
    output: Annotated[Path, Parameter(name=["-o", "--output"])] = Path(),
    force: bool = False,
    json: AsJson = False,
) -> int:
    """Download the outputs of a job, each file whole or not at all.

    What was interrupted is resumed by the same command. Exits with 1 if an output is
    not whole, or was deleted.

    Args:
        label: Only this output; may be repeated.
        ro_crate: Galaxy's export of the whole job instead, as an RO-Crate.
        output: The folder to save them in; made if it is missing.
        force: Replace other files of these names.
    """
    from galaxy_jobs.entrypoints.client import downloading

    with _hint_for("JOB", job):
        return downloading.download(
            connect(), job, label, output, crate=ro_crate, force=force, as_json=json
        )


def history(job: Id, /, *, json: AsJson = False) -> int:
    """List a job's state changes."""
    answer = connect().get("jobs", job, "history")
    return show_items(answer, json, job_views.history, "Nothing has happened.")


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
    label: Labels = (),
    check: Annotated[bool, Parameter(negative="--no-check")] = True,
    json: AsJson = False,
) -> int:
    """Register data that Galaxy has, or can fetch, under a name for people.

    Exactly one of --hda, --ldda, --hdca, --url, --collection and --sheet is needed.

    Args:
        name: For people. With --sheet, that of one dataset of all samples; without it,
            each sample is registered under its own.
        elements: With --collection, NAME=DATA each, with a slash between the names of
            levels: s1/forward=https://example.org/1.fq. DATA is an address, the path
            of a file, which is uploaded, the id of a registered dataset, or hda:ID,
            ldda:ID, hdca:ID of Galaxy's.
        hda: Galaxy's id of a dataset in a history.
        ldda: Galaxy's id of a dataset in a library.
        hdca: Galaxy's id of a collection in a history.
        url: An http, https or ftp address that Galaxy fetches.
        ext: Galaxy's name of the format of the data by address, such as txt, and of
            files whose names do not show it.
        collection: The type of a collection: list, paired, list:paired and so on.
        sheet: A table with tabs or commas, with the columns name, and forward and
            reverse, or url, which hold DATA; if wanted also ext and id.
        id: The id for jobs to use; made up if not given.
        check: Ask Galaxy what the data is; it is not registered if there is none.
    """
    from galaxy_jobs.entrypoints.client import sheets

    register = partial(
        _register, labels=parameters.labels(label), check=check, as_json=json
    )
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
        return register(list(found), id)
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
    return register([("", body)], id)


def _register(
    found: Sequence[tuple[str, dict[str, Any]]],
    dataset_id: str | None,
    *,
    labels: dict[str, str] | None = None,
    check: bool = True,
    as_json: bool,
) -> int:
    """Register datasets, each with its place in a sheet, and upload their files."""
    from galaxy_jobs.entrypoints.client import uploading

    api, unchecked = connect(), {} if check else {"check": "false"}
    labelled = {"labels": labels} if labels else {}
    total = sum(uploading.size(body) for _, body in found)
    with uploading.progress(total) as advance:
        for number, (place, body) in enumerate(found):
            named = {"dataset_id": dataset_id, **body}
            try:
                # The rows of a sheet are registered once, however often it is sent.
                shown = uploading.send(api, named, advance, once=bool(place))
                if shown is None:
                    new = {**named, **labelled}
                    shown = api.post("datasets", body=new, **unchecked).data
                elif labelled:
                    id_ = shown["dataset_id"]
                    shown = api.change("datasets", id_, body=labelled).data
            except CommandFailed:
                if place:
                    output.note(
                        f"{place}: it is not registered, {number} before it are."
                    )
                raise
            if as_json:
                output.document(shown)
            else:
                output.line(job_views.registered(shown))
    return 0


def upload(
    *files: Path,
    ext: str | None = None,
    dataset: str | None = None,
    collection: str | None = None,
    name: str | None = None,
    json: AsJson = False,
) -> int:
    """Upload files; each becomes a dataset.

    An upload that was interrupted is resumed by the same command.

    Args:
        files: The files.
        ext: Galaxy's name of their format, such as fastqsanger.gz; the one that the
            name of each shows if not given.
        dataset: The id of the dataset for jobs to use, or of the collection; made up if
            not given.
        collection: Make the files one dataset: a list, a pair (paired) or a list of
            pairs (list:paired). Pairs are told by _1 and _2, or _R1 and _R2, in names.
        name: The name of the collection, for people; its id, or the name of the first
            file, if not given.
    """
    from galaxy_jobs.entrypoints.client import sheets, uploading

    if not files:
        raise Usage("Give at least one FILE.")
    if dataset is not None and len(files) > 1 and collection is None:
        raise Usage("--dataset names one dataset: give one FILE, or --collection.")
    if name is not None and collection is None:
        raise Usage("--name is that of a collection: give --collection, too.")
    sent = [uploading.to_send(path, ext) for path in files]
    bodies = [
        ("", {"name": path.name, **file})
        for path, file in zip(files, sent, strict=True)
    ]
    if collection is not None:
        elements = uploading.collection(collection, sent)
        source = sheets.source(collection, elements)
        named = name or dataset or files[0].name
        bodies = [("", {"name": named, "source": source})]
    return _register(bodies, dataset, as_json=json)


@datasets.command(name="list")
def list_datasets(
    *,
    search: str | None = None,
    label: Labels = (),
    page: Page = PAGE,
) -> int:
    """List datasets, newest first.

    Args:
        search: Only those with this text in their name or id.
    """
    only = {"search": search, "label": parameters.label_filter(label)}
    such = " such" if search or label else ""
    empty = f"There are no{such} datasets."
    return page.show("datasets", **only, table=job_views.datasets, empty=empty)


@datasets.command(name="show")
def show_dataset(dataset_id: Id, /, *, json: AsJson = False) -> int:
    """Show a dataset."""
    return show_answer(connect().get("datasets", dataset_id), json, job_views.dataset)


@datasets.command
def rename(dataset_id: Id, name: str, /, *, json: AsJson = False) -> int:
    """Give a dataset another name.

    Args:
        name: For people.
    """
    answer = connect().change("datasets", dataset_id, body={"name": name})
    return show_answer(answer, json, job_views.dataset)


@datasets.command
def remove(dataset_id: Id, /, *, json: AsJson = False) -> int:
    """Remove a dataset from the list; its data in Galaxy and its jobs stay."""
    answer = connect().remove("datasets", dataset_id)
    message = f"Dataset {output.clean(dataset_id)} is removed."
    return show_answer(answer, json, lambda _: message)


@workflows.command(name="list")
def list_workflows(*, page: Page = PAGE) -> int:
    """List the workflows that may be run."""
    empty = "There are no workflows that may be run."
    return page.show("workflows", table=workflow_views.workflows, empty=empty)


@workflows.command(name="show")
def show_workflow(name: str, /, *, json: AsJson = False) -> int:
    """Show a workflow and its inputs.

    Args:
        name: See `galaxy-jobs workflows list`.
    """
    return show_answer(connect().get("workflows", name), json, workflow_views.detail)


def submit_many(
    workflow_name: str,
    /,
    *,
    sheet: Path | None = None,
    dataset: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = (),
    dataset_label: tuple[str, ...] = (),
    run: Run = RUN,
    overwrite: bool = False,
    again: bool = False,
    wait: WaitForBatch = True,
    key: Key = None,
    json: AsJson = False,
) -> int:
    """Run a workflow on many datasets, a few at a time.

    Shows the progress to the end; Ctrl-C leaves it running. Typed again, it goes on
    with the same batch, and runs nothing twice. Exits with 1 unless all items complete.

    Args:
        workflow_name: See `galaxy-jobs workflows list`.
        sheet: A table with tabs or commas, with the column dataset; further columns
            are label:KEY, or an input of the workflow.
        dataset: Registered datasets, as many as there are.
        dataset_label: KEY=VALUE: all datasets with that label, the oldest first; with
            several, those that have all.
        overwrite: Take the place of the earlier jobs of each dataset and workflow.
        again: Run it once more, even if it was submitted before.
    """
    from galaxy_jobs.entrypoints.client import batches as client

    api = connect()
    with _hint_for("WORKFLOW", workflow_name):
        schema = _schema(api, workflow_name) if run.parameter or sheet else {}
        body = run.body(
            workflow_name,
            items=client.items(api, sheet, dataset, dataset_label, schema),
            parameters=parameters.typed(parameters.pairs(run.parameter), schema),
            overwrite=overwrite,
        )
        key = key or (None if again else client.key_of(api, body))
        return client.submit(
            api, "batches", body=body, key=key, wait=wait, as_json=json
        )


@batches.command(name="list")
def list_batches(*, page: Page = PAGE) -> int:
    """List batches, newest first."""
    from galaxy_jobs.entrypoints.client import batches as client

    return page.show("batches", table=client.table, empty="There are no batches.")


@batches.command(name="show")
def show_batch(batch: Id, /, *, json: AsJson = False) -> int:
    """Show how many items of a batch are in each state, and the first failures."""
    from galaxy_jobs.entrypoints.client import batches as client

    return show_answer(connect().get("batches", batch), json, client.detail)


@batches.command(name="cancel")
def cancel_batch(batch: Id, /, *, json: AsJson = False) -> int:
    """Cancel a batch: what waits is never started, and what runs is stopped."""
    from galaxy_jobs.entrypoints.client import batches as client

    return show_answer(connect().post("batches", batch, "cancel"), json, client.detail)


@batches.command(name="rerun")
def rerun_batch(
    batch: Id,
    /,
    *,
    wait: WaitForBatch = True,
    key: Key = None,
    json: AsJson = False,
) -> int:
    """Run what has failed of a batch again, as a new batch."""
    from galaxy_jobs.entrypoints.client import batches as client

    path = ("batches", batch, "rerun")
    return client.submit(connect(), *path, body={}, key=key, wait=wait, as_json=json)


def register(app: cyclopts.App) -> None:
    """Add the client commands to the program."""
    jobs = (submit, adopt, show, watch, cancel, refresh, review, rerun)
    results = (outputs, history, upload, download, clean)
    for command in (*jobs, *results, submit_many):
        app.command(command, group=GROUP)
    app.command(list_jobs, name="list", group=GROUP)
    for commands in (datasets, workflows, batches):
        app.command(commands)


def _typed(
    api: Api, arguments: tuple[str, ...], workflow: str | None = None, job: str = ""
) -> dict[str, Any]:
    """Return parameters in the types that a workflow, or that of a job, asks for."""
    texts = parameters.pairs(arguments)
    if not texts:
        return {}
    workflow = workflow or str(api.get("jobs", job).data["workflow_name"])
    return parameters.typed(texts, _schema(api, workflow))


def _schema(api: Api, workflow: str) -> parameters.Schema:
    schema: parameters.Schema = api.get("workflows", workflow).data["parameters"]
    return schema


def _submit(
    api: Api, *parts: str, body: dict[str, Any], key: Key, wait: Wait, as_json: AsJson
) -> int:
    from galaxy_jobs.entrypoints.client import submitting, watching

    submit = submitting.Submitter(api, key)
    try:
        answer = submit(*parts, body=body)
    except KeyboardInterrupt:
        output.note("")
        output.note(f"It may run. Find out with: {submitting.again(submit.key)}")
        return 130
    job = answer.data["invocation_id"]
    if not as_json:
        before = " (it was submitted before)" if answer.is_replayed else ""
        output.show(f"Job {job} is {answer.data['state']}{before}.")
        if "rerun" in parts and (note := api.get("jobs", job).data["version_note"]):
            output.note(note)
    if wait:
        return watching.follow(api, job, as_json=as_json, ended=as_json)
    return show_answer(answer, as_json, lambda _: f"Follow it: galaxy-jobs watch {job}")


@contextmanager
def _hint_for(name: str, argument: str) -> Iterator[None]:
    """Put an argument in the place of its name in the hint of a refusal."""
    try:
        yield
    except Refused as refusal:
        typed = output.clean(shlex.quote(argument))
        refusal.hint = refusal.hint and refusal.hint.replace(name, typed)
        raise
