"""README's tables, made from the code they tell of.

``python -m tests.support.tables`` writes them anew; a test sees that they are
what the code says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from galaxy_jobs.domain.model.invocation import TRANSITIONS, InvocationState
from galaxy_jobs.domain.model.verdict import ROWS
from galaxy_jobs.entrypoints.api.problems import ADDRESSED, STATUS
from galaxy_jobs.entrypoints.environment import SETTINGS


README = Path(__file__).parents[2] / "README.md"

MEANINGS: Mapping[InvocationState, str] = {
    InvocationState.QUEUED: "Galaxy has it; no job has started",
    InvocationState.IN_PROGRESS: "a job has started, and not everything is settled",
    InvocationState.CANCELLING: "it was asked to stop, and has not yet",
    InvocationState.COMPLETED: "every job ended well",
    InvocationState.FAILED: "something went wrong for good; `failure` says what",
    InvocationState.CANCELLED: "it was stopped",
}


def states() -> str:
    """Return each state with what may become of it."""
    lines = ["| state | means | may become |", "|---|---|---|"]
    for state, row in TRANSITIONS.items():
        after = [
            f"`{state_.value}`" for state_ in InvocationState if state_ in row.values()
        ]
        others = ", ".join(name for name in after if name != f"`{state.value}`")
        lines.append(f"| `{state.value}` | {MEANINGS[state]} | {others or '—'} |")
    return "\n".join(lines)


def verdict() -> str:
    """Return the rows of the verdict."""
    lines = ["| | what Galaxy shows | the state |", "|---|---|---|"]
    for number, (row, (_, state)) in enumerate(ROWS.items(), 1):
        lines.append(f"| {number} | {row.value} | `{state.value}` |")
    return "\n".join(lines)


def settings() -> str:
    """Return the settings."""
    lines = ["| name | default | meaning |", "|---|---|---|"]
    lines += [
        f"| `{setting.name}` | {setting.default} | {setting.meaning} |"
        for setting in SETTINGS
    ]
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


TABLES: Mapping[str, Callable[[], str]] = {
    "settings": settings,
    "states": states,
    "verdict": verdict,
    "errors": errors,
}


def block(name: str, text: str) -> str:
    """Return a table between the marks that it is found by."""
    return f"<!-- begin {name} -->\n{text}\n<!-- end {name} -->"


def written_anew(readme: str) -> str:
    """Return README with every table as the code says."""
    for name, table in TABLES.items():
        pattern = rf"<!-- begin {name} -->.*?<!-- end {name} -->"
        tables = re.findall(pattern, readme, re.DOTALL)
        if len(tables) != 1:
            raise ValueError(f"README has {len(tables)} tables {name!r}, not one")
        readme = readme.replace(tables[0], block(name, table()))
    return readme


if __name__ == "__main__":
    README.write_text(written_anew(README.read_text()))
