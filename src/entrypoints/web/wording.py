"""Values in words, as the pages show them; see also the wording of all entrypoints."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import quote

from markupsafe import Markup, escape

from galaxy_jobs.domain.model.invocation import InvocationState
from galaxy_jobs.entrypoints.api.schemas import ProgressJson


STATES: Mapping[str, str] = {
    state.value: state.value.replace("_", " ").capitalize() for state in InvocationState
}
"""The states in words, by their stored values."""


def moment(at: datetime) -> str:
    """Return a date and time in UTC, to the second."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def segment(id_: str) -> str:
    """Return an id as a segment of a path."""
    return quote(id_, safe="")


def code(sentence: str) -> Markup:
    """Return a sentence as HTML, in which backticks enclose code."""
    html = re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(sentence)))
    return Markup(html)  # noqa: S704 - escaped above


def counted(progress: ProgressJson, state: str) -> str:
    """Return the progress of a job in words.

    A job of Galaxy's that was stopped counts as failed, and need not have failed.
    """
    if not progress.total:
        return "no jobs yet"
    failed = "stopped or failed" if state in {"cancelling", "cancelled"} else "failed"
    counts = [
        (progress.running, "running"),
        (progress.waiting, "waiting"),
        (progress.failed, failed),
    ]
    others = [f"{count} {name}" for count, name in counts if count]
    return ", ".join([f"{progress.ok} of {progress.total} ok", *others])
