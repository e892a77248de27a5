"""How a job is shown."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from galaxy_jobs.entrypoints.client import output


Job = Mapping[str, Any]

ENDED = frozenset({"completed", "failed", "cancelled"})


def listed(jobs: list[Job]) -> Table:
    """Return a list of jobs."""
    return output.table(
        "job",
        "state",
        ">ok",
        "workflow",
        "dataset",
        "submitted",
        rows=[
            (
                one["invocation_id"],
                output.state(one["state"]),
                f"{one['progress']['ok']}/{one['progress']['total']}",
                one["workflow_name"],
                one["dataset_id"],
                output.ago(one["created_at"]),
            )
            for one in jobs
        ],
        cut="workflow dataset",
    )


def detail(one: Job) -> RenderableType:
    """Return all that is known of a job."""
    state = output.state(one["state"])
    state.append(f"  (Galaxy says {output.clean(one['galaxy_state'])})", style="dim")
    about = output.fields(
        ("job", one["invocation_id"]),
        ("state", state),
        ("attention", attention(one)),
        ("workflow", one["workflow_name"]),
        ("dataset", one["dataset_id"]),
        ("parameters", output.values(one["parameters"])),
        ("progress", output.progress(one["progress"], one["state"])),
        ("submitted", output.when(one["created_at"])),
        ("changed", output.when(one["updated_at"])),
        ("observed", output.when(one["observed_at"])),
        ("history", one["history_id"]),
        ("rerun of", one["rerun_of"]),
        ("superseded by", one["superseded_by"]),
    )
    parts: list[RenderableType] = [about]
    if one["steps"]:
        parts += ["", steps(one)]
    if one["failure"]:
        parts += ["", failure(one)]
    return Group(*parts)


def steps(one: Job) -> Table:
    """Return the steps of a job."""
    return output.table(
        ">#",
        "step",
        "tool",
        "state",
        "jobs",
        rows=[
            (
                str(step["index"] + 1),
                step["label"],
                step["tool"] or "",
                output.state(step["state"]),
                ", ".join(f"{count} {state}" for state, count in step["jobs"].items()),
            )
            for step in one["steps"]
        ],
        cut="step tool jobs",
    )


def failure(job: Job) -> RenderableType:
    """Return what has failed first, and why, and what can be done."""
    one = job["failure"]
    where = " > ".join(one["path"]) or one["step"]
    head = Text("Failed", style="red")
    if where:
        head.append(f" at step {output.clean(where)}")
    if one["tool"]:
        head.append(f", tool {output.clean(one['tool'])}")
    if one["exit_code"] is not None:
        head.append(f", exit code {one['exit_code']}")
    head.append(f"  ({output.clean(one['reason'])})", style="dim")
    parts = [head]
    for name in ("message", "stderr"):
        if one[name]:
            said = output.clean(one[name].rstrip(), lines=True)
            parts += [Text(f"{name}:", style="bold")]
            parts += [Text(f"  {line}") for line in said.split("\n")]
    parts += [Text(f"Run it again: galaxy-jobs rerun {job['invocation_id']}")]
    return Group(*parts)


def frame(one: Job, at: datetime) -> RenderableType:
    """Return how a job is at a moment, to be shown in place."""
    seconds = (at - datetime.fromisoformat(one["created_at"])).total_seconds()
    head = Text.assemble(
        (output.clean(one["workflow_name"]), "bold"),
        f" on {output.clean(one['dataset_id'])}  ({one['invocation_id']})",
        overflow="ellipsis",
        no_wrap=True,
    )
    total = one["progress"]["total"]
    how = Table.grid(padding=(0, 2, 0, 0))
    how.add_row(
        output.state(one["state"]),
        ProgressBar(total=max(1, total), completed=one["progress"]["ok"], width=20),
        output.progress(one["progress"], one["state"]),
        f"{max(0, seconds):.0f} s",
    )
    parts: list[RenderableType] = [head, how]
    if said := attention(one):
        parts.append(Text(output.clean(said), style="yellow"))
    if one["steps"]:
        parts += ["", steps(one)]
    return Group(*parts)


def line(one: Job) -> str:
    """Say in one line how a job is."""
    said = f"{one['state']:<11}  {output.progress(one['progress'], one['state'])}"
    if why := attention(one):
        said += f"  ({output.clean(why)})"
    return said


def attention(one: Job) -> str | None:
    """Say why somebody should look at a job, if somebody should."""
    doubts = [one["attention"]] if one["attention"] else []
    if one["stale"]:
        doubts.append("Nobody has looked at it for long: is a poller running?")
    return " ".join(doubts) or None
