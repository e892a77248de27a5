"""The table of scenarios: what a real Galaxy said of each, and what we said."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


RECORDED = Path(__file__).parents[1] / "unit/recorded"

Seen = Mapping[str, Any]


def recorded_file(release: str) -> Path:
    """Return the file of what was seen on a release of Galaxy."""
    return RECORDED / release / "scenarios.json"


def recorded() -> dict[str, dict[str, Seen]]:
    """Return what was seen, by release (the newest last) and by scenario."""
    files = sorted(RECORDED.glob("*/scenarios.json"))
    return {file.parent.name: json.loads(file.read_text()) for file in files}


def scenarios() -> str:
    """Return the tables, one for each kind of scenario."""
    seen = recorded()
    newest = list(seen)[-1]
    kinds = dict.fromkeys(row["kind"] for row in seen[newest].values())
    return "\n\n".join(_section(kind, seen) for kind in kinds)


def _section(kind: str, seen: Mapping[str, Mapping[str, Seen]]) -> str:
    lines = [
        f"## {kind}",
        "",
        "| scenario | Galaxy | Galaxy says | galaxy-jobs says |",
        "|---|---|---|---|",
    ]
    names = {
        name: None
        for rows in reversed(list(seen.values()))
        for name, row in rows.items()
        if row["kind"] == kind
    }
    for name in names:
        for number, (releases, galaxy, ours) in enumerate(_rows(name, seen)):
            shown = f"{name}" if number == 0 else ""
            lines.append(f"| {shown} | {releases} | {galaxy} | {ours} |")
    return "\n".join(lines)


def _rows(
    name: str, seen: Mapping[str, Mapping[str, Seen]]
) -> Iterator[tuple[str, str, str]]:
    """Yield each distinct result of a scenario, with the releases that it is of."""
    found: dict[tuple[str, str], list[str]] = {}
    for release, rows in seen.items():
        if row := rows.get(name):
            key = (_galaxy(row["galaxy"]), _ours(row["ours"]))
            found.setdefault(key, []).append(release)
    for (galaxy, ours), releases in found.items():
        yield ", ".join(releases), galaxy, ours


def _galaxy(said: Seen | None) -> str:
    if said is None:
        return "—"
    parts = [f"`{said['state']}`"]
    if inside := said["inside"]:
        parts.append(f"inside: {_words(inside)}")
    if said["jobs"]:
        parts.append(f"jobs: {_counts(said['jobs'])}")
    if said["reasons"]:
        parts.append(_words(said["reasons"]))
    return "; ".join(parts)


def _ours(said: Seen) -> str:
    parts = [f"**{said['state']}**"]
    if reason := said["reason"]:
        parts.append(f"`{reason}`")
    if path := said.get("path"):
        element = said.get("element")
        parts.append(f"at `{path}`" + (f", `{element}`" if element else ""))
    if said.get("exit_code") is not None:
        parts.append(f"exit code {said['exit_code']}")
    if said["jobs"]:
        parts.append(_counts(said["jobs"]))
    outputs = said.get("outputs") or {}
    if others := [f"`{o}` {state}" for o, state in outputs.items() if state != "ok"]:
        parts.append(f"outputs: {', '.join(others)}")
    for text in (said.get("message"), said.get("attention")):
        if text:
            first = text.strip().splitlines()[0].replace("|", "\\|")
            parts.append(f"“{first}”")
    if len(said["states"]) > 1:
        parts.append(f"reopened after {_words(said['states'][:-1])}")
    return "; ".join(parts)


def _words(words: list[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def _counts(counts: Mapping[str, int]) -> str:
    words = ", ".join(
        f"{number} {name}" for name, number in counts.items() if name != "blocked"
    )
    blocked = counts.get("blocked")
    return f"{words} ({blocked} of them blocked)" if blocked else words
