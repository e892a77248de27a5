"""The installation of Galaxy from PyPI into a virtual environment of its own.

Rule of the file: an installation counts only once its marker is written, last of all.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from attrs import frozen

from galaxy_jobs.adapters.embedded.errors import EmbeddedError
from galaxy_jobs.adapters.embedded.system import Progress, tail


PROGRESS_INTERVAL = 5.0
"""Seconds between two reports of an installation."""

RECIPE = Path(__file__).with_name("galaxy_recipe")
"""The folder of the lock files, and of Galaxy's configuration and tools."""

RELEASES = tuple(
    sorted(
        (lock.stem for lock in (RECIPE / "releases").glob("*.lock")),
        key=lambda release: [int(number) for number in release.split(".")],
    )
)
"""The releases that can be installed, such as ``24.2``, oldest first."""


@frozen
class GalaxyPackage:
    """Galaxy's virtual environment.

    Attributes:
        release: One of :data:`RELEASES`.
        folder: The environment.
        log: The output of the installers.
    """

    release: str
    folder: Path
    log: Path

    @property
    def lock(self) -> Path:
        """The file that holds every package at one version, with hashes."""
        return RECIPE / "releases" / f"{self.release}.lock"

    @property
    def lock_digest(self) -> str:
        """The digest of the lock file."""
        return hashlib.sha256(self.lock.read_bytes()).hexdigest()

    @property
    def marker(self) -> Path:
        """The file that holds the digest of the installed lock file."""
        return self.folder / "installed"

    @property
    def python(self) -> Path:
        """The environment's interpreter."""
        return self.folder / "bin/python"

    def is_installed(self) -> bool:
        """Whether the packages of the lock file are installed."""
        try:
            same = self.marker.read_text(encoding="ascii") == self.lock_digest
        except OSError:
            return False
        # The interpreter is a link, whose target may have been removed.
        return same and self.python.exists()

    def install(self, progress: Progress) -> None:
        """Install Galaxy, unless it is installed.

        Raises:
            EmbeddedError: An installer failed.
        """
        if self.is_installed():
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        progress(f"installing Galaxy {self.release}: 0.7 GB, once")

        def report(seconds: float) -> None:
            last = tail(self.log, 1).strip()
            compiling = ", compiling them" if last.startswith("Installed") else ""
            progress(f"{last}{compiling} ({seconds:.0f} s)")

        uv = shutil.which("uv")
        if uv and not Path(uv).is_relative_to(sys.prefix):
            self._install_by_uv([uv], report)
        elif importlib.util.find_spec("uv"):
            # Who has no uv does not look for a cache of it.
            cache = self.folder.with_name("cache")
            try:
                ours = [sys.executable, "-m", "uv", "--cache-dir", str(cache)]
                self._install_by_uv(ours, report)
            except EmbeddedError as error:
                # It does not know a package index that is configured for pip alone.
                progress(f"{error} Trying pip, which takes longer")
                shutil.rmtree(self.folder, ignore_errors=True)
                self._install_by_pip(report)
            shutil.rmtree(cache, ignore_errors=True)
        else:
            self._install_by_pip(report)
        self.marker.write_text(self.lock_digest, encoding="ascii")

    @property
    def _locked(self) -> tuple[str, ...]:
        # --no-deps: what the locks leave out is left out here only.
        return ("--no-deps", "--require-hashes", "--requirement", str(self.lock))

    def _install_by_uv(self, uv: list[str], report: Callable[[float], None]) -> None:
        install = ("pip", "install", "--python", str(self.python), "--compile-bytecode")
        self._run(
            [*uv, "venv", "--python", sys.executable, str(self.folder)],
            "Is there space on the disk?",
        )
        self._run(
            [*uv, *install, *self._locked],
            "Check the network and the package index configured for uv.",
            report,
        )

    def _install_by_pip(self, report: Callable[[float], None]) -> None:
        self._run(
            [sys.executable, "-m", "venv", str(self.folder)],
            "On Debian it needs the package python3-venv; or install uv.",
        )
        self._run(
            [str(self.python), "-m", "pip", "install", *self._locked],
            "Check the network and the package index configured for pip.",
            report,
        )

    def _run(
        self,
        command: list[str],
        hint: str,
        report: Callable[[float], None] = lambda _: None,
    ) -> None:
        began = time.monotonic()
        with (
            self.log.open("ab") as output,
            subprocess.Popen(  # noqa: S603 - our own command
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=clean_environment(),
            ) as process,
        ):
            while process.poll() is None:
                try:
                    process.wait(PROGRESS_INTERVAL)
                except subprocess.TimeoutExpired:
                    report(time.monotonic() - began)
                except BaseException:  # Ctrl-C, say: it does not go on without us
                    process.kill()
                    raise
        if process.returncode:
            raise EmbeddedError(
                f"Galaxy could not be installed: {' '.join(command[:4])} ... failed "
                f"({tail(self.log, 2)}). See {self.log}. {hint}"
            )


def clean_environment() -> dict[str, str]:
    """Return our environment without secrets, or what changes another Python or Galaxy.

    Proxies and package indexes are the installers' to know.
    """
    # GALAXY_CONFIG_OVERRIDE_... would change a Galaxy that is not the one meant.
    # PYTHONDONTWRITEBYTECODE would have each start compile a million lines.
    prefixes = (
        "GALAXY_",
        "DATABASE_",
        "OIDC_",
        "PG",
        "PYTHON",
        "VIRTUAL_ENV",
        "CONDA_",
    )
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(prefixes)
    }
