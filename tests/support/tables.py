"""The tables in the documentation that are generated from code.

``python -m tests.support.tables`` writes them; a test compares them with the code.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from galaxy_jobs.adapters.galaxy.releases import GAPS
from galaxy_jobs.domain.model.invocation import TRANSITIONS, InvocationState
from galaxy_jobs.domain.model.verdict import ROWS
from galaxy_jobs.entrypoints.api import openapi
from galaxy_jobs.entrypoints.api.problems import ADDRESSED, STATUS
from galaxy_jobs.entrypoints.app import create_app
from galaxy_jobs.entrypoints.container import Container
from galaxy_jobs.entrypoints.settings import SETTINGS, Settings
from tests.support import surfaces
from tests.support.scenario_table import scenarios


ROOT = Path(__file__).parents[2]

MEANINGS: Mapping[InvocationState, str] = {
    InvocationState.QUEUED: "Galaxy has accepted it; no job of it has started",
    InvocationState.IN_PROGRESS: "a job has started, and not everything is settled",
    InvocationState.CANCELLING: "a stop was requested; jobs may still be running",
    InvocationState.COMPLETED: "every job succeeded",
    InvocationState.FAILED: "it failed; `failure` has the reason",
    InvocationState.CANCELLED: "it was stopped on request",
}


def states() -> str:
    """Return each state with the states that may follow it."""
    lines = ["| state | meaning | may become |", "|---|---|---|"]
    for state, row in TRANSITIONS.items():
        followers = [s for s in InvocationState if s in row.values() and s != state]
        names = ", ".join(f"`{follower.value}`" for follower in followers)
        lines.append(f"| `{state.value}` | {MEANINGS[state]} | {names or '—'} |")
    return "\n".join(lines)


def verdict() -> str:
    """Return the rows of the verdict."""
    lines = ["| | what Galaxy reports | state |", "|---|---|---|"]
    for number, (row, (_, state)) in enumerate(ROWS.items(), 1):
        lines.append(f"| {number} | {row.value} | `{state.value}` |")
    return "\n".join(lines)


def settings() -> str:
    """Return the settings."""
    lines = ["| name | default | meaning |", "|---|---|---|"]
    lines += ["| `{name}` | {unset} | {meaning} |".format_map(row) for row in SETTINGS]
    return "\n".join(lines)


def errors() -> str:
    """Return the problems by their status."""
    lines = ["| status | `type` ends in |", "|---|---|"]
    by_status: dict[int, list[str]] = {}
    for code, status in STATUS.items():
        by_status.setdefault(status, []).append(f"`{code}`")
        if code in ADDRESSED:
            by_status.setdefault(404, []).append(f"`{code}` (GET)")
    for status, codes in sorted(by_status.items()):
        lines.append(f"| {status} | {', '.join(codes)} |")
    return "\n".join(lines)


def routes() -> str:
    """Return the routes of the API with their summaries."""
    # An address, so that no embedded database is started.
    container = Container(settings=Settings(database_url="postgresql://none"))
    document = openapi.document(create_app(container))
    lines = ["| route | purpose |", "|---|---|"]
    for tag in openapi.TAGS:
        lines += [
            f"| `{method.upper()} {path}` | {operation['summary']} |"
            for path, methods in document["paths"].items()
            for method, operation in methods.items()
            if tag in operation["tags"]
        ]
    return "\n".join(lines)


def releases() -> str:
    """Return what older releases of Galaxy lack."""
    lines = ["| Galaxy | lacks | what that means here |", "|---|---|---|"]
    for gap in GAPS:
        versions = f"before {gap.until}"
        if gap.since != "0":
            versions = f"from {gap.since} and {versions}"
        lines.append(f"| {versions} | {gap.lacks} | {gap.effect} |")
    return "\n".join(lines)


PAGES: Mapping[Path, Mapping[str, Callable[[], str]]] = {
    ROOT / "README.md": {
        "settings": settings,
        "states": states,
        "releases": releases,
    },
    ROOT / "docs/http.md": {"routes": routes, "errors": errors},
    ROOT / "docs/states.md": {"verdict": verdict},
    ROOT / "docs/scenarios.md": {"scenarios": scenarios},
    ROOT / "docs/inputs.md": {"inputs": surfaces.table},
}
"""The tables of each page, by their names."""


def updated(page: Path) -> str:
    """Return the text of a page, with its tables generated from the code.

    Raises:
        ValueError: A table does not occur exactly once.
    """
    text = page.read_text()
    for name, table in PAGES[page].items():
        blocks = re.findall(
            rf"<!-- begin {name} -->.*?<!-- end {name} -->", text, re.DOTALL
        )
        if len(blocks) != 1:
            raise ValueError(f"{page.name} has {len(blocks)} tables {name!r}, not one")
        block = f"<!-- begin {name} -->\n{table()}\n<!-- end {name} -->"
        text = text.replace(blocks[0], block)
    return text


if __name__ == "__main__":
    for path in PAGES:
        path.write_text(updated(path))
