"""How values read on a page: moments, sizes, shares, texts of parameters."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from attrs import frozen

from galaxy_jobs.domain.model.invocation import InvocationState
from galaxy_jobs.entrypoints.api.schemas import ProgressJson


STATES: Mapping[str, str] = {
    state.value: state.value.replace("_", " ").capitalize() for state in InvocationState
}
"""Every state by its stored value, as it is said to people."""

_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))

_NOW = timedelta(seconds=5)
_A_MONTH = timedelta(days=30)


def moment(at: datetime) -> str:
    """Say when something was, in UTC."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def ago(at: datetime, now: datetime) -> str:
    """Say how long ago something was; of what is long past, the day."""
    passed = now - at
    if passed < _NOW:
        return "just now"
    if passed > _A_MONTH:
        return at.astimezone(UTC).strftime("%Y-%m-%d")
    return f"{lasted(passed, units=1)} ago"


def lasted(time: timedelta, *, units: int = 2) -> str:
    """Say how long something took, in at most so many units."""
    left = max(0, int(time.total_seconds()))
    said: list[str] = []
    for name, size in _UNITS:
        count, left = divmod(left, size)
        if count and len(said) < units:
            said.append(f"{count} {name}")
        elif said:
            break
    return " ".join(said) or "0 s"


def size(count: int | None) -> str:
    """Say how large something is."""
    if count is None:
        return ""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:  # noqa: PLR2004 - SI units
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def text(value: Any) -> str:
    """Return a parameter's value as it is typed into a form."""
    match value:
        case None:
            return ""
        case str():
            return value
        case _:
            return json.dumps(value, ensure_ascii=False)


def number(value: float) -> str:
    """Return a number as a form takes it."""
    return str(int(value)) if float(value).is_integer() else repr(value)


def segment(id_: str) -> str:
    """Return an id as it stands in a path."""
    return quote(id_, safe="")


@frozen
class Part:
    """A part of a progress bar, in percent of its length."""

    kind: str
    start: float
    length: float


def parts(progress: ProgressJson) -> Sequence[Part]:
    """Return the parts of a progress bar, from left to right; waiting is the rest."""

    def made() -> Iterator[Part]:
        start = 0.0
        for kind in ("ok", "failed", "running"):
            length = 100 * getattr(progress, kind) / max(1, progress.total)
            yield Part(kind, round(start, 2), round(length, 2))
            start += length

    return list(made())


def counted(progress: ProgressJson, state: str) -> str:
    """Say how far a job in some state is; one that was stopped need not have failed."""
    if not progress.total:
        return "no jobs yet"
    failed = "stopped or failed" if state in {"cancelling", "cancelled"} else "failed"
    others = [
        f"{count} {said}"
        for kind, said in (("running",) * 2, ("waiting",) * 2, ("failed", failed))
        if (count := getattr(progress, kind))
    ]
    return ", ".join([f"{progress.ok} of {progress.total} ok", *others])
