"""How jobs and datasets are shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from galaxy_jobs.entrypoints import wording
from galaxy_jobs.entrypoints.client import output
from galaxy_jobs.entrypoints.client.output import Columns


Job = Mapping[str, Any]

ENDED = frozenset({"completed", "failed", "cancelled"})


def jobs(items: list[Job]) -> Table:
    """Return the table of a list of jobs, with their owners if any has one."""
    owned = any(job.get("owner") for job in items)
    columns: Columns = {
        "job": "invocation_id",
        "state": lambda it: output.state(it["state"]),
        ">ok": lambda it: f"{it['progress']['ok']}/{it['progress']['total']}",
        "workflow": "workflow_name",
        "dataset": "dataset_id",
        **({"owner": lambda it: it.get("owner")} if owned else {}),
        "submitted": lambda it: output.ago(it["created_at"]),
    }
    return output.listing(columns, cut="workflow dataset owner")(items)


def outputs(items: list[Mapping[str, Any]]) -> Table:
    """Return the table of the outputs of a job."""
    return _outputs(each for item in items for each in (item, *_elements(item)))


def _elements(item: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the datasets of an output that is a collection, as outputs."""
    stack = [(item["label"], element) for element in reversed(item["elements"])]
    while stack:
        above, element = stack.pop()
        label = f"{above}/{element['name']}"
        if element["elements"]:
            stack += [(label, inner) for inner in reversed(element["elements"])]
        else:
            yield {**element, "label": label, "src": "hda", "name": None}


_outputs = output.listing(
    {
        "output": "label",
        "galaxy id": lambda it: f"{it['src']}:{it['id']}" if it["id"] else "",
        "name": "name",
        "type": "extension",
        ">bytes": "size",
        "state": lambda it: output.state(it["state"] or ""),
    },
    cut="output name",
)

history = output.listing(
    {
        "at": lambda it: output.moment(it["at"]),
        "state": lambda it: output.state(it["to_state"]),
        "galaxy says": lambda it: (
            it["galaxy_state"] + (" (reopened)" if it.get("reopened") else "")
        ),
        # With a noun it does not fit into 80 columns.
        "jobs": lambda it: wording.progress(it["progress"], it["to_state"], noun=""),
    },
    cut="jobs",
)

datasets = output.listing(
    {
        "dataset": "dataset_id",
        "name": "name",
        "data": lambda it: ", ".join(filter(None, (_data(it), it["state"]))),
        "source": lambda it: (
            output.short(_source(it["source"])) if it["source"] else "unusable"
        ),
        "registered": lambda it: output.ago(it["created_at"]),
    },
    cut="name data",
)


def dataset(item: Mapping[str, Any]) -> Table:
    """Return everything that is known of a dataset."""
    at = item["described_at"]
    return output.fields(
        ("dataset", item["dataset_id"]),
        ("name", item["name"]),
        ("source", _source(item["source"])),
        ("in Galaxy", item["galaxy_name"]),
        ("data", _data(item)),
        ("state", at and f"{item['state']}, {output.ago(at)}"),
        ("labels", output.values(item["labels"])),
        ("registered", output.when(item["created_at"])),
    )


def registered(item: Mapping[str, Any]) -> str:
    """Return the message about a dataset that is registered."""
    known = ", ".join(filter(None, (item["galaxy_name"], _data(item), item["state"])))
    what = f": {known}" if item["described_at"] else ""
    return output.clean(f"Dataset {item['dataset_id']} is registered{what}.")


def _data(item: Mapping[str, Any]) -> str | None:
    return wording.data(item["extension"], item["collection_type"])


def _source(source: Mapping[str, Any]) -> str:
    if source["src"] == "collection":
        count = source["count"]
        return f"{count} element{'' if count == 1 else 's'}"
    if source["src"] == "upload":
        return "uploaded"
    return source.get("url") or f"{source['src']}:{source['id']}"


def detail(job: Job) -> RenderableType:
    """Return everything that is known of a job."""
    state = output.state(job["state"])
    state.append(f"  (Galaxy says {output.clean(job['galaxy_state'])})", style="dim")
    about = output.fields(
        ("job", job["invocation_id"]),
        ("state", state),
        ("attention", attention(job)),
        ("workflow", workflow(job)),
        ("dataset", job["dataset_id"]),
        ("on input", job["dataset_input"]),
        ("parameters", output.values(job["parameters"])),
        ("labels", output.values(job["labels"])),
        ("progress", wording.progress(job["progress"], job["state"])),
        ("submitted", output.when(job["created_at"])),
        ("changed", output.when(job["updated_at"])),
        ("observed", output.when(job["observed_at"])),
        ("history", job["history_id"]),
        ("rerun of", job["rerun_of"]),
        ("superseded by", job["superseded_by"]),
    )
    parts: list[RenderableType] = [about]
    if job["steps"]:
        parts += ["", steps(job["steps"])]
    if job["failure"]:
        parts += ["", failure(job)]
    return Group(*parts)


def workflow(job: Job) -> str:
    """Return the workflow of a job, with its version, and whether that is another."""
    name, version = job["workflow_name"], job["workflow_version"]
    if version is not None:
        name += f", version {version}"
    return f"{name} ({job['version_note']})" if job["version_note"] else str(name)


steps = output.listing(
    {
        ">#": lambda it: it["index"] + 1,
        "step": "label",
        "tool": "tool",
        "state": lambda it: output.state(it["state"]),
        "jobs": lambda it: ", ".join(f"{n} {name}" for name, n in it["jobs"].items()),
    },
    cut="step tool jobs",
)


def failure(job: Job) -> RenderableType:
    """Return the first failure of a job, its reason, and how to go on."""
    details = job["failure"]
    head = Text("Failed", style="red")
    if step := " > ".join(details["path"]) or details["step"]:
        head.append(f" at step {output.clean(step)}")
    if element := details.get("element"):
        head.append(f", element {output.clean(element)}")
    if details["tool"]:
        head.append(f", tool {output.clean(details['tool'])}")
    if details["exit_code"] is not None:
        head.append(f", exit code {details['exit_code']}")
    head.append(f"  ({output.clean(details['reason'])})", style="dim")
    parts = [head]
    for name in ("message", "stderr"):
        if details[name]:
            text = output.clean(details[name].rstrip(), lines=True)
            parts.append(Text(f"{name}:", style="bold"))
            parts += [Text(f"  {line}") for line in text.split("\n")]
    parts.append(Text(f"Run it again: galaxy-jobs rerun {job['invocation_id']}"))
    return Group(*parts)


def frame(job: Job, now: datetime) -> RenderableType:
    """Return a job at a moment, to be shown in place."""
    seconds = (now - datetime.fromisoformat(job["created_at"])).total_seconds()
    head = Text.assemble(
        (output.clean(job["workflow_name"]), "bold"),
        f" on {output.clean(job['dataset_id'])}  ({job['invocation_id']})",
        overflow="ellipsis",
        no_wrap=True,
    )
    counts = job["progress"]
    status = Table.grid(padding=(0, 2, 0, 0))
    status.add_row(
        output.state(job["state"]),
        ProgressBar(total=max(1, counts["total"]), completed=counts["ok"], width=20),
        wording.progress(counts, job["state"]),
        f"{max(0, seconds):.0f} s",
    )
    parts: list[RenderableType] = [head, status]
    if warning := attention(job):
        parts.append(Text(output.clean(warning), style="yellow"))
    if job["steps"]:
        parts += ["", steps(job["steps"])]
    return Group(*parts)


def line(job: Job) -> str:
    """Return the state and the progress of a job in one line."""
    text = f"{job['state']:<11}  {wording.progress(job['progress'], job['state'])}"
    if warning := attention(job):
        text += f"  ({output.clean(warning)})"
    return text


def attention(job: Job) -> str | None:
    """Return why somebody should look at a job, or None."""
    warnings = [job["attention"]] if job["attention"] else []
    if job["stale"]:
        warnings.append("Not updated for a while. Is a poller running?")
    return " ".join(warnings) or None
