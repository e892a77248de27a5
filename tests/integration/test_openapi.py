"""The OpenAPI document, held against a running service by Schemathesis.

The service listens on a real socket, over a real PostgreSQL; Galaxy is simulated.
Whatever the document allows, and a good deal that it does not, is sent: each answer
has to be one that is documented, and none may be our fault.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from hypothesis import settings

from galaxy_jobs.adapters.testing.memory.galaxy import TEXT
from galaxy_jobs.domain import InputKind, InvocationState, WorkflowInput
from galaxy_jobs.domain.model.token import Scope
from galaxy_jobs.entrypoints.settings import HttpTable
from tests.support.page import Site, seen, site


SLEEP = WorkflowInput(name="sleep_s", kind=InputKind.INTEGER, minimum=0, default=0)


def fill(one: Site) -> None:
    """Put in what the examples of the document speak of."""
    one.galaxy.add_workflow("sort-and-count", TEXT, SLEEP)
    one.dataset("reads-1")
    one.dataset("reads-2")
    for state in InvocationState:
        one.job("sort-and-count", "reads-1", seen(state, ok=1, failed=1))


# Whoever waits for a job that has ended is answered at once, and for others it takes
# as long as is asked for: up to a minute each.
CONFIG = """
[parameters]
"query.wait" = 0
"""

EXAMPLES = settings().max_examples // 6
"""For each operation, beside those of the phases before; the long profile has many."""


def test_every_answer_is_documented(database_url: str, tmp_path: Path) -> None:
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    with site(database_url, http=HttpTable(rate=1e6, burst=1e6)) as one:
        fill(one)
        text = one.container.create_token()("everything", Scope.SUBMIT).text
        done = subprocess.run(
            [
                Path(sys.executable).with_name("schemathesis"),
                "run",
                f"{one.url}/schema/openapi.json",
                *("--header", f"Authorization: Bearer {text}"),
                *("--phases", "examples,coverage,fuzzing,stateful"),
                *("--checks", "all"),
                # What the schema allows can be impossible all the same: a 422.
                *("--exclude-checks", "positive_data_acceptance"),
                *("--max-examples", str(EXAMPLES)),
                # One at a time: CPython 3.11 can lose count in ast.parse in threads.
                *("--workers", "1"),
                *("--request-timeout", "30"),
                "--continue-on-failure",
                "--generation-deterministic",
                *("--warnings", "off"),
                # A stream has no end that one could wait for.
                *("--exclude-path", "/jobs/events"),
                "--no-color",
            ],
            cwd=tmp_path,
            check=False,
            capture_output=True,
            text=True,
            timeout=24 * EXAMPLES,
        )
    assert done.returncode == 0, done.stdout + done.stderr
