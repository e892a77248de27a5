"""Moments, sizes and inputs in words, for the terminal and the pages alike.

Rule of the file: standard library only, and no rule of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from galaxy_jobs.entrypoints.typed_text import text_of


JUST_NOW = timedelta(seconds=5)
"""Ages below this, and of clocks a little ahead of ours, are not counted."""

MONTH = timedelta(days=30)
"""Of what is older, the date is given."""

_SIZES = ("B", "kB", "MB", "GB", "TB")
_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))

_KINDS = {
    "boolean": "true or false",
    "collection": "a collection",
    "color": "a color such as #1f6feb",
    "data": "a dataset",
    "directory-uri": "the address of a directory",
    "integer": "an integer",
    "number": "a number",
    "string": "a text",
}


def age(at: datetime, now: datetime) -> str:
    """Return how long ago a moment was, such as ``2 h ago``, or its date."""
    passed = now - at
    if passed < JUST_NOW:
        return "just now"
    if passed > MONTH:
        return f"{at.astimezone(UTC):%Y-%m-%d}"
    return f"{duration(passed, units=1)} ago"


def duration(span: timedelta, *, units: int = 2) -> str:
    """Return a span of time, such as ``1 h 5 min``, in at most so many units."""
    left = max(0, int(span.total_seconds()))
    parts: list[str] = []
    for unit, seconds in _UNITS:
        count, left = divmod(left, seconds)
        if count and len(parts) < units:
            parts.append(f"{count} {unit}")
        elif parts:
            break
    return " ".join(parts) or "0 s"


def size(count: int | None) -> str:
    """Return a number of bytes, such as ``1.5 MB``; of None, the empty text."""
    if count is None:
        return ""
    power = min((len(str(count)) - 1) // 3, len(_SIZES) - 1)
    return f"{count / 1000**power:.1f} {_SIZES[power]}" if power else f"{count} B"


def data(extension: str | None, collection_type: str | None) -> str | None:
    """Return what data is, such as ``list:paired of txt``; None if it is not known."""
    if collection_type is None:
        return extension
    return f"{collection_type} of {extension}" if extension else collection_type


def progress(counts: Mapping[str, int], state: str, noun: str = "jobs ") -> str:
    """Return the progress of a job in that state, from the counts of its Galaxy jobs.

    One that was stopped counts as failed, and need not have failed.
    """
    parts = [f"{counts['ok']} of {counts['total']} {noun}ok"]
    parts += [f"{counts[key]} {key}" for key in ("running", "waiting") if counts[key]]
    if counts["failed"]:
        verb = "stopped or failed" if state.startswith("cancel") else "failed"
        blocked = counts.get("blocked")  # not from a service of before
        note = f" ({blocked} blocked)" if blocked else ""
        parts.append(f"{counts['failed']} {verb}{note}")
    return ", ".join(parts)


def takes(
    kind: str | None,
    *,
    options: Sequence[Any] = (),
    minimum: float | None = None,
    maximum: float | None = None,
    exclusive_minimum: bool = False,
    exclusive_maximum: bool = False,
    formats: Sequence[str] = (),
    collection_type: str | None = None,
    multiple: bool = False,
) -> str:
    """Return what a workflow input takes, such as ``an integer from 1 to 9``.

    Its *kind* is JSON Schema's name of its type, ``color``, ``data`` or ``collection``.
    """
    if options:
        parts = [f"one of {', '.join(map(text_of, options))}"]
    else:
        least = "more than" if exclusive_minimum else "at least"
        most = "less than" if exclusive_maximum else "at most"
        limits = _range((least, minimum), (most, maximum))
        parts = [_KINDS.get(kind or "", "a value") + limits]
    if formats:
        parts.append(f"format {' or '.join(formats)}")
    if collection_type:
        parts.append(collection_type)
    if multiple:
        parts.append("or several")
    return ", ".join(parts)


def _range(*limits: tuple[str, float | None]) -> str:
    """Return the range of a number, such as `` from 1 to 9``; with a leading space."""
    known = [(words, number(bound)) for words, bound in limits if bound is not None]
    match known:
        case [("at least", low), ("at most", high)]:
            return f" from {low} to {high}"
        case []:
            return ""
        case _:
            return f" of {' and '.join(map(' '.join, known))}"


def number(value: float) -> str:
    """Return a number as it is typed: whole ones without a point."""
    return f"{value:.0f}" if value == int(value) else repr(value)
