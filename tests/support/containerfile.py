"""A Containerfile's steps, taken on this machine: there is no container in the tests.

Rule of the file: the lines themselves are run, but for the folders that they name,
which lie in a folder of the test's own. What a container adds (its own root, its own
network, its base image) is not tried.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from attrs import define, field


@define
class Image:
    """What comes of it.

    Attributes:
        root: Where the folders that the file names lie.
        env: What it sets.
        user: As whom it runs.
        entrypoint: What it runs.
        command: With which arguments, if none are given.
        health: How it asks how it is.
    """

    root: Path
    env: dict[str, str] = field(factory=dict)
    user: str = "0"
    entrypoint: Sequence[str] = ()
    command: Sequence[str] = ()
    health: Sequence[str] = ()
    _workdir: Path = field(init=False, default=Path("/"))

    def built(self, file: Path, context: Path) -> Image:
        """Take every step of a file, and return it."""
        python = self.root / "python"
        subprocess.run([_system_python(), "-m", "venv", python], check=True)
        self.env["PATH"] = f"{python / 'bin'}:/usr/bin:/bin"
        for word, rest in instructions(file.read_text()):
            match word:
                case "WORKDIR":
                    self._workdir = Path(self.here(rest))
                    self._workdir.mkdir(parents=True)
                case "COPY":
                    self._copy(rest.split(), context)
                case "RUN":
                    self._run(rest)
                case "FROM" | "EXPOSE":
                    pass
                case _:
                    self._say(word, rest)
        return self

    def here(self, text: str) -> str:
        """Put the folders that the file makes where we have them."""
        return re.sub(r"(?<![\w.])/(?=opt/|build\b)", f"{self.root}/", text)

    def _say(self, word: str, rest: str) -> None:
        match word:
            case "ENV":
                name, _, text = rest.partition("=")
                before = self.env.get(name, "")
                self.env[name] = self.here(text).replace(f"${name}", before)
            case "USER":
                self.user = rest
            case "ENTRYPOINT":
                self.entrypoint = json.loads(rest)
            case "CMD":
                self.command = json.loads(rest)
            case "HEALTHCHECK":
                self.health = json.loads(rest.partition(" CMD ")[2])
            case _:
                raise ValueError(f"{word} is not known here")

    def _copy(self, words: list[str], context: Path) -> None:
        if words[0].startswith("--from"):  # from a stage: it is all one here
            return
        *sources, target = words
        for source in sources:
            taken = context / source
            if taken.is_dir():
                skipped = shutil.ignore_patterns("__pycache__")
                shutil.copytree(taken, self._workdir / target, ignore=skipped)
            else:
                shutil.copy(taken, self._workdir / target)

    def _run(self, line: str) -> None:
        done = subprocess.run(
            ["/bin/sh", "-euc", self.here(line)],
            check=False,
            cwd=self._workdir,
            env=self.environment(),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"

    def environment(self) -> Mapping[str, str]:
        """Return what it sets, and how this machine's pip finds its registry."""
        pip = {k: v for k, v in os.environ.items() if k.startswith("PIP_")}
        return {**pip, **self.env}


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """Yield the steps: the word, and what stands behind it on one line."""
    lines = [one for one in text.splitlines() if not one.lstrip().startswith("#")]
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        if line.strip():
            word, _, rest = line.partition(" ")
            yield word, rest if "[" in rest else " ".join(rest.split())


def _system_python() -> str:
    """Return a Python that any user of this machine may run."""
    system = shutil.which("python3", path="/usr/local/bin:/usr/bin")
    return system or sys._base_executable  # type: ignore[attr-defined]
