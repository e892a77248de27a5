"""Sapporo, in an environment of its own, with runs laid out as it does it itself.

Run by that environment's Python: ``FOLDER COUNT PORT``. The runs are written by
sapporo's own functions and indexed by itself when it starts.
"""

import sys
from datetime import datetime, timedelta, timezone


def main() -> None:
    """Make the runs, then serve."""
    folder, count, port = sys.argv[1:]
    sys.argv = ["sapporo", "--run-dir", folder, "--port", port, "--host", "127.0.0.1"]
    from sapporo import app  # noqa: PLC0415 - it reads sys.argv
    from sapporo.run_io import write_file  # noqa: PLC0415
    from sapporo.schemas import State  # noqa: PLC0415

    now = datetime.now(timezone.utc)  # noqa: UP017 - whatever Python it has
    for n in range(int(count)):
        run_id = f"{n:08x}-0000-4000-8000-000000000000"[::-1]
        at = (now - timedelta(seconds=7 * n)).strftime("%Y-%m-%dT%H:%M:%SZ")
        write_file(run_id, "state", State.COMPLETE)
        write_file(run_id, "start_time", at)
        write_file(run_id, "end_time", at)
        write_file(
            run_id,
            "run_request",
            {
                "workflow_type": "CWL",
                "workflow_engine": "cwltool",
                "workflow_url": "https://example.org/w.cwl",
                "workflow_params": "{}",
                "tags": {"dataset": "dataset 0"},
            },
        )
    app.main()


if __name__ == "__main__":
    main()
