"""What others install, and environments to try it in."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path


ROOT = Path(__file__).parents[2]


def run(
    *command: object, cwd: Path = Path("/"), env: Mapping[str, str] | None = None
) -> str:
    """Run a command that must end well, and return what it prints."""
    done = subprocess.run(
        [str(part) for part in command],
        check=False,
        capture_output=True,
        text=True,
        cwd=cwd,
        env=env,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def built_wheel(folder: Path) -> Path:
    """Build the wheel."""
    build = (sys.executable, "-m", "build", "--wheel", "--no-isolation")
    run(*build, "--outdir", folder, ROOT)
    return next(folder.glob("*.whl"))


def environment(folder: Path) -> Path:
    """Make an empty environment, and return its Python."""
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    return folder / "bin" / "python"


def library(python: Path) -> Path:
    """Return where an environment has what is installed."""
    asked = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))")
    return Path(asked.strip())
