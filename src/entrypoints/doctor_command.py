"""``galaxy-jobs doctor``: a line for each check, and what to do about it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack

from rich.text import Text

from galaxy_jobs.entrypoints import settings
from galaxy_jobs.entrypoints.client import output
from galaxy_jobs.entrypoints.container import opened
from galaxy_jobs.entrypoints.doctor import CHECKS, Doctor, Finding, Verdict
from galaxy_jobs.entrypoints.environment import BadSetting


MARKS = {
    Verdict.OK: ("ok  ", "green"),
    Verdict.WARN: ("warn", "yellow"),
    Verdict.FAIL: ("FAIL", "bold red"),
    Verdict.LEFT_OUT: ("-   ", "dim"),
}

INDENT = len("ok    ") + max(map(len, CHECKS)) + 2


def run(*, as_json: bool) -> int:
    """Examine the set-up and tell what was found.

    Returns:
        0 where nothing fails; 1 where something does.
    """
    with ExitStack() as stack:
        found = []
        for one in _findings(stack):
            found.append(one)
            if not as_json:
                _show(one)
    failing = [one for one in found if one.verdict is Verdict.FAIL]
    if as_json:
        said = [
            {
                "check": one.check,
                "verdict": one.verdict.value,
                "said": one.said,
                "remedy": one.remedy,
            }
            for one in found
        ]
        print(json.dumps({"ok": not failing, "checks": said}, ensure_ascii=False))
    else:
        print()
        print(_summary(found))
    return 1 if failing else 0


def _summary(found: list[Finding]) -> str:
    verdicts = [one.verdict for one in found]
    if failing := verdicts.count(Verdict.FAIL):
        return f"{failing} to mend."
    if doubtful := verdicts.count(Verdict.WARN):
        return f"Nothing fails; {doubtful} to look at."
    return "All is well."


def _findings(stack: ExitStack) -> Iterator[Finding]:
    try:
        loaded = settings.load()
    except BadSetting as error:
        yield Finding(
            "settings",
            Verdict.FAIL,
            str(error),
            "Correct it, then: galaxy-jobs doctor",
        )
        for name in CHECKS[1:]:
            yield Finding(
                name, Verdict.LEFT_OUT, "Not checked: the settings cannot be read."
            )
        return
    container = stack.enter_context(opened(loaded))
    yield from Doctor(
        settings=loaded,
        folder=container.embedded().folder
        if container.database().is_embedded
        else None,
        engine=container.engine,
        queue=container.queue,
        galaxy=container.galaxy,
        clock=container.clock(),
    )()


def _show(one: Finding) -> None:
    mark, style = MARKS[one.verdict]
    out = output.console()
    body = Text(output.clean(one.said))
    if one.remedy:
        body.append(f"\n-> {output.clean(one.remedy)}", style="bold")
    head = Text.assemble((mark, style), f"  {one.check}")
    head.pad_right(INDENT - len(head))
    lines = body.wrap(out, max(20, out.width - INDENT))
    for number, line in enumerate(lines):
        start = head if number == 0 else Text(" " * INDENT)
        whole = Text.assemble(start, line)
        whole.rstrip()
        out.print(whole)
