"""Packages of npm that tests use, locked, installed once."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest


ROOT = Path(__file__).parents[2]

needs_npm = pytest.mark.skipif(
    not shutil.which("npm"), reason="needs npm, which comes with node"
)


def node_modules(source: Path) -> Path:
    """Return the folder of the packages that *source* has a lock file of.

    It is kept for later runs.
    """
    lock = source / "package-lock.json"
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()[:12]
    folder = ROOT / f".local/{source.name}-{digest}"
    if not (installed := folder / "installed").exists():
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", lock.name):
            shutil.copy(source / name, folder)
        done = subprocess.run(
            ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
            check=False,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        installed.touch()
    return folder / "node_modules"
