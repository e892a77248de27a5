"""``galaxy-jobs doctor``: a line for each finding, and its remedy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack

from rich.table import Table
from rich.text import Text

from galaxy_jobs.entrypoints import settings
from galaxy_jobs.entrypoints.client import output
from galaxy_jobs.entrypoints.container import opened
from galaxy_jobs.entrypoints.doctor import CHECKS, Doctor, Finding, Verdict, many
from galaxy_jobs.entrypoints.environment import BadSetting


MARKS = {
    Verdict.OK: ("ok  ", "green"),
    Verdict.WARN: ("warn", "yellow"),
    Verdict.FAIL: ("FAIL", "bold red"),
    Verdict.LEFT_OUT: ("-   ", "dim"),
}


def run(*, as_json: bool) -> int:
    """Check the set-up and print the findings.

    Returns:
        0 where nothing fails; 1 where something does.
    """
    findings = []
    with ExitStack() as stack:
        for finding in _findings(stack):
            findings.append(finding)
            if not as_json:
                _show(finding)
    failed = any(finding.verdict is Verdict.FAIL for finding in findings)
    if as_json:
        checks = [
            {
                "check": finding.check,
                "verdict": finding.verdict.value,
                "said": finding.message,
                "remedy": finding.remedy,
            }
            for finding in findings
        ]
        print(json.dumps({"ok": not failed, "checks": checks}, ensure_ascii=False))
    else:
        print(f"\n{_summary(findings)}")
    return 1 if failed else 0


def _summary(findings: list[Finding]) -> str:
    verdicts = [finding.verdict for finding in findings]
    if count := verdicts.count(Verdict.FAIL):
        return f"{many(count, 'problem')} found."
    if count := verdicts.count(Verdict.WARN):
        return f"No problems, {many(count, 'warning')}."
    return "All is well."


def _findings(stack: ExitStack) -> Iterator[Finding]:
    try:
        loaded = settings.load()
    except BadSetting as error:
        remedy = "Correct it, then: galaxy-jobs doctor"
        yield Finding("settings", Verdict.FAIL, str(error), remedy)
        message = "Not checked: the settings cannot be read."
        for check in list(CHECKS)[1:]:
            yield Finding(check, Verdict.LEFT_OUT, message)
        return
    container = stack.enter_context(opened(loaded))
    is_embedded = container.database().is_embedded
    yield from Doctor(
        settings=loaded,
        folder=container.embedded().folder if is_embedded else None,
        engine=container.engine,
        queue=container.queue,
        galaxy=container.galaxy,
        clock=container.clock(),
    )()


def _show(finding: Finding) -> None:
    mark, style = MARKS[finding.verdict]
    body = Text(output.clean(finding.message))
    if finding.remedy:
        body.append(f"\n-> {output.clean(finding.remedy)}", style="bold")
    row = Table.grid(padding=(0, 2, 0, 0))
    row.add_column(width=len(mark))
    row.add_column(width=max(map(len, CHECKS)))
    row.add_row(Text(mark, style), finding.check, body)
    output.show(row)
