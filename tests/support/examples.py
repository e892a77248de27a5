"""The examples in docs/, copied there from the files that the tests run.

``python -m tests.support.examples`` copies them.
"""

from __future__ import annotations

import contextlib
import io
import re
import runpy
from pathlib import Path


DOCS = Path(__file__).parents[2] / "docs"
PAGES = (DOCS / "library.md",)

_BLOCK = re.compile(
    r"<!-- begin (output of )?(\S+) -->\n.*?<!-- end \1?\2 -->", re.DOTALL
)


def updated(page: str) -> str:
    """Return a page with every example as it stands in its file."""
    return _BLOCK.sub(_block, page)


def _block(found: re.Match[str]) -> str:
    output, name = found[1] or "", found[2]
    if output:
        language, text = "text", output_of(DOCS / name)
    else:
        language, text = "python", (DOCS / name).read_text()
    return (
        f"<!-- begin {output}{name} -->\n"
        f"```{language}\n{text.rstrip()}\n```\n"
        f"<!-- end {output}{name} -->"
    )


def output_of(script: Path) -> str:
    """Run a script and return what it prints."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        runpy.run_path(str(script), run_name="__main__")
    return printed.getvalue()


if __name__ == "__main__":
    for one in PAGES:
        one.write_text(updated(one.read_text()))
