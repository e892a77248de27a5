"""The processes of the embedded servers, by their marker."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from galaxy_jobs.adapters.embedded.system import EXEC_TIMEOUT, marked_processes


LOOKS = 100
"""Of these, some ten fall on a moment in which the process becomes another program."""


def test_a_process_that_becomes_another_program_keeps_its_marker(
    tmp_path: Path,
) -> None:
    marker = str(tmp_path / "mark")
    script = tmp_path / "script"
    script.write_text('exec /bin/sh "$0"\n')
    with subprocess.Popen(["/bin/sh", script], env={"PATH": marker}) as process:
        try:
            found = [marked_processes(marker) for _ in range(LOOKS)]
        finally:
            process.kill()
    assert found == [{process.pid}] * LOOKS


def test_a_process_without_an_environment_is_no_reason_to_wait(tmp_path: Path) -> None:
    with subprocess.Popen(["/bin/sleep", "60"], env={}) as process:
        try:
            began = time.monotonic()
            assert not marked_processes(str(tmp_path / "mark"))
            assert time.monotonic() - began < EXEC_TIMEOUT
        finally:
            process.kill()
