"""A real Galaxy of our own, from PyPI: installed, started and stopped in one folder.

Rules of the file:

* No process id is written down. Everything that belongs to a Galaxy carries a mark
  in its environment, and the kernel shows that: a record would be wrong after a
  ``kill -9``, a reboot, or when the number is given out again.
* Installing, starting and stopping happen under one lock, so that several processes
  may want the same Galaxy at once. The server itself holds nothing of its starter.
* An installation counts only once its mark is written, last of all.

Port, keys and the secret that Galaxy's ids are made with stay the same from one
start to the next: what was recorded about it remains true.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import requests
from attrs import asdict, define, evolve, field, fields_dict, frozen

from galaxy_jobs.adapters.embedded.errors import EmbeddedError
from galaxy_jobs.adapters.embedded.samples import call
from galaxy_jobs.adapters.embedded.system import (
    absolute,
    is_alive,
    locked,
    need_proc,
    processes,
    tail,
)


Progress = Callable[[str], None]
"""Is told what goes on, a short phrase at a time."""

HOST = "127.0.0.1"
DEFAULT_PORT = 8085
DEFAULT_USER = "demo"
RECIPE = Path(__file__).with_name("galaxy_recipe")

PORT_LIMIT = 2.0
STOP_LIMIT = 20.0
PATIENCE_BETWEEN_WORDS = 15.0

# Galaxy writes these paths into shell scripts and a database URL.
PLAIN_PATH = re.compile(r"[A-Za-z0-9_./+@-]+")


@frozen
class Access:
    """Where a Galaxy is and who may use it."""

    url: str
    key: str = field(repr=False)


@frozen
class Status:
    """How a Galaxy is doing. ``str()`` of it is a sentence for a human."""

    installed: bool
    running: bool  #: its process is alive and answers
    starting: bool  #: its process is alive and does not answer (yet)
    url: str
    log: Path

    def __str__(self) -> str:
        if self.running:
            return f"running at {self.url}"
        if self.starting:
            return f"alive, but not answering at {self.url} yet; see {self.log}"
        return "not running" if self.installed else "not installed"


@frozen
class _State:
    """What stays the same from one start to the next."""

    port: int
    admin_key: str = field(factory=lambda: secrets.token_hex(16), repr=False)
    id_secret: str = field(factory=lambda: secrets.token_hex(16), repr=False)


@define(eq=False)
class LocalGalaxy:
    """The Galaxy that lives in the folder *home*: one folder, one Galaxy.

    Attributes:
        home: Holds its environment, data, log, keys and configuration.
        port: Where to listen, if it was never started. Where the port is taken by
            something else, a free one is chosen and kept from then on.
        patience: Seconds to wait for its first answer.
    """

    home: Path = field(converter=absolute)
    port: int = DEFAULT_PORT
    patience: float = 600.0

    @property
    def log(self) -> Path:
        """What Galaxy has to say; the previous start's is beside it."""
        return self.home / "galaxy.log"

    @property
    def url(self) -> str:
        """Where it listens, or would."""
        return f"http://{HOST}:{self._state().port}"

    def install(self, progress: Progress = lambda _: None) -> None:
        """Install Galaxy into its own environment, unless it is there.

        Raises:
            EmbeddedError: It could not be installed.
        """
        with self._alone(progress):
            self._install(progress)

    def start(self, progress: Progress = lambda _: None) -> Access:
        """Make sure that Galaxy is there, runs and answers.

        Raises:
            EmbeddedError: It could not be installed or started.
        """
        with self._alone(progress):
            if self._server() is None:
                self._install(progress)
                self._launch(progress)
            self._wait(progress)
            url = self.url
            return Access(url, self._key_of(DEFAULT_USER))

    def stop(self) -> None:
        """Stop Galaxy and all it started; its data stay. Twice is harmless.

        Raises:
            EmbeddedError: Something of it cannot be ended.
        """
        with self._alone():
            self._stop()

    def restart(self, progress: Progress = lambda _: None) -> Access:
        """Stop it and start it again, at the same place.

        Raises:
            EmbeddedError: As for stop and start.
        """
        self.stop()
        return self.start(progress)

    def kill(self) -> None:
        """End all of it the hard way, as a power cut would; for tests.

        Raises:
            EmbeddedError: Something of it cannot be ended.
        """
        self._kill()

    def status(self) -> Status:
        """Tell how it is doing; waits for nobody."""
        alive = self._server() is not None
        answers = alive and self._answers()
        return Status(
            installed=self._installed(),
            running=answers,
            starting=alive and not answers,
            url=self.url,
            log=self.log,
        )

    def user_key(self, name: str) -> str:
        """Return the API key of the user *name*, who is created if need be.

        Raises:
            EmbeddedError: Galaxy does not run, or refused.
        """
        with self._alone():
            return self._key_of(name)

    # --- install --------------------------------------------------------------

    @property
    def _environment(self) -> Path:
        return self.home / "venv"

    @property
    def _mark(self) -> Path:
        return self._environment / "installed"

    def _installed(self) -> bool:
        try:
            same = self._mark.read_text(encoding="ascii") == _lock_digest()
        except OSError:
            return False
        # The interpreter is a link, and what it leads to may have been removed.
        return same and (self._environment / "bin/python").exists()

    def _install(self, progress: Progress) -> None:
        if self._installed():
            return
        shutil.rmtree(self._environment, ignore_errors=True)
        lock = str(RECIPE / "requirements.lock")
        python = str(self._environment / "bin/python")
        progress("installing Galaxy: 250 packages, once; a minute or two")
        if uv := _uv():
            self._run(
                [*uv, "venv", "--python", sys.executable, str(self._environment)],
                "Is there room on the disk?",
            )
            self._run(
                [
                    *uv,
                    *("pip", "install", "--python", python, "--no-deps"),
                    *("--compile-bytecode", "--requirements", lock),
                ],
                "Check the network and the package index that uv is set to.",
            )
        else:
            self._run(
                [sys.executable, "-m", "venv", str(self._environment)],
                "On Debian it needs the package python3-venv; or install uv.",
            )
            self._run(
                [python, "-m", "pip", "install", "--no-deps", "--requirement", lock],
                "Check the network and the package index that pip is set to.",
            )
        self._mark.write_text(_lock_digest(), encoding="ascii")

    def _run(self, command: list[str], hint: str) -> None:
        log = self.home / "install.log"
        with log.open("ab") as said:
            done = subprocess.run(  # noqa: S603 - our own command
                command,
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                env=_clean_environment(),
            )
        if done.returncode:
            raise EmbeddedError(
                f"Galaxy could not be installed: {' '.join(command[:4])} ... failed "
                f"({tail(log, 2)}). See {log}. {hint}"
            )

    # --- start and stop -------------------------------------------------------

    @property
    def _config(self) -> Path:
        return self.home / "galaxy.yml"

    @property
    def _serve(self) -> Path:
        return self.home / "recipe/serve.py"

    @property
    def _family_mark(self) -> str:
        """An entry of PATH that leads nowhere.

        It is in PATH, for Galaxy hands hardly anything else on to its jobs.
        """
        return str(self.home / "mark")

    def _launch(self, progress: Progress) -> None:
        self._kill()  # what a killed server left, a job for instance
        state = self._state()
        # Who knows its address will look for it there: worth a moment's wait.
        until = time.monotonic() + PORT_LIMIT
        while not _is_free(state.port) and time.monotonic() < until:
            time.sleep(0.05)
        if not _is_free(state.port):
            state = evolve(state, port=_free_port(state.port))
            progress(f"port {self._state().port} is taken: using {state.port}")
        self._save(state)
        self._write_recipe(state)
        with contextlib.suppress(FileNotFoundError):
            self.log.replace(self.log.with_suffix(".log.1"))
        progress(f"starting Galaxy; its log is {self.log}")
        binaries = self._environment / "bin"
        path = os.environ.get("PATH", os.defpath)
        environment = _clean_environment() | {
            "GALAXY_CONFIG_FILE": str(self._config),
            "VIRTUAL_ENV": str(self._environment),
            "PATH": f"{self._family_mark}:{binaries}:{path}",
        }
        with self.log.open("wb") as log:
            # It forks itself off and returns.
            subprocess.run(  # noqa: S603 - our own command
                [binaries / "python", self._serve, HOST, str(state.port)],
                check=True,
                cwd=self.home,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _write_recipe(self, state: _State) -> None:
        # A copy of our own: the package may be updated or moved while Galaxy runs.
        recipe = self.home / "recipe"
        shutil.rmtree(recipe, ignore_errors=True)
        shutil.copytree(
            RECIPE, recipe, ignore=shutil.ignore_patterns("__pycache__", "*.in")
        )
        data = self.home / "data"
        data.mkdir(exist_ok=True)
        text = (recipe / "config/galaxy.yml").read_text(encoding="utf-8")
        for name, value in {
            "CONFIG": str(recipe / "config"),
            "TOOLS": str(recipe / "tools"),
            "DATA": str(data),
            "ADMIN_KEY": state.admin_key,
            "ID_SECRET": state.id_secret,
        }.items():
            text = text.replace(f"@{name}@", value)
        _write_private(self._config, text)

    def _wait(self, progress: Progress) -> None:
        began = told = time.monotonic()
        while not self._answers():
            now = time.monotonic()
            if self._server() is None:
                raise EmbeddedError(
                    f"Galaxy ended while starting: {tail(self.log)}. See {self.log}."
                )
            if now - began > self.patience:
                raise EmbeddedError(
                    f"Galaxy is alive, but has not answered at {self.url} for "
                    f"{self.patience:g} s. See {self.log}; stop it and try again."
                )
            if now - told > PATIENCE_BETWEEN_WORDS:
                told = now
                progress(f"Galaxy is starting, {now - began:.0f} s so far")
            time.sleep(0.1)

    def _answers(self) -> bool:
        try:
            return requests.get(f"{self.url}/api/version", timeout=5).ok
        except requests.RequestException:
            return False

    def _stop(self) -> None:
        server = self._server()
        if server is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(server, signal.SIGTERM)
            deadline = time.monotonic() + STOP_LIMIT
            while self._server() is not None and time.monotonic() < deadline:
                time.sleep(0.05)
        self._kill()

    def _kill(self) -> None:
        deadline = time.monotonic() + STOP_LIMIT
        killed: set[int] = set()
        # Again and again: what is being killed may just have started another one. A
        # process that is ending has lost its environment, and holds the port still.
        while (found := set(self._family())) or any(map(is_alive, killed)):
            if time.monotonic() > deadline:
                raise EmbeddedError(f"Processes {found} of Galaxy cannot be ended.")
            for pid in found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            killed |= found
            time.sleep(0.02)

    def _family(self) -> Iterator[int]:
        """Yield all processes of this Galaxy: server, task processes, jobs."""
        mark = os.fsencode(self._family_mark)
        for pid in processes():
            # Another user's are not readable, and a zombie has none.
            with contextlib.suppress(OSError):
                environment = Path(f"/proc/{pid}/environ").read_bytes()
                for variable in environment.split(b"\0"):
                    name, _, value = variable.partition(b"=")
                    if name == b"PATH" and mark in value.split(b":"):
                        yield pid

    def _server(self) -> int | None:
        """Return the process that is Galaxy itself, None if it is not alive."""
        serve = os.fsencode(self._serve)
        for pid in self._family():
            with contextlib.suppress(OSError):
                command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                if len(command) > 1 and command[1] == serve:
                    return pid
        return None

    # --- state ----------------------------------------------------------------

    @contextlib.contextmanager
    def _alone(self, progress: Progress = lambda _: None) -> Iterator[None]:
        need_proc()
        if not PLAIN_PATH.fullmatch(str(self.home)):
            raise EmbeddedError(
                f"Galaxy cannot live in {str(self.home)!r}: its scripts need a path of "
                "plain letters, digits and . _ + @ - alone. Set GALAXY_JOBS_HOME."
            )
        try:
            self.home.mkdir(parents=True, exist_ok=True)
            with locked(
                self.home / "galaxy.lock",
                lambda: progress("waiting for another process that is at the same"),
            ):
                yield
        except OSError as error:
            raise EmbeddedError(
                f"Galaxy cannot use {self.home}: {error}. Set GALAXY_JOBS_HOME to a "
                "folder with a gigabyte of room that can be written to."
            ) from error

    @property
    def _state_file(self) -> Path:
        return self.home / "galaxy.json"

    def _state(self) -> _State:
        try:
            known = json.loads(self._state_file.read_text(encoding="utf-8"))
            return _State(**{name: known[name] for name in fields_dict(_State)})
        except FileNotFoundError:
            return _State(port=self.port)
        except (ValueError, KeyError, TypeError) as error:
            raise EmbeddedError(
                f"{self._state_file} is damaged ({error!r}). Remove it: Galaxy then "
                "gets a new port and new keys."
            ) from error

    def _save(self, state: _State) -> None:
        _write_private(self._state_file, json.dumps(asdict(state), indent=1))

    def _key_of(self, name: str) -> str:
        ask = partial(call, self.url, self._state().admin_key)
        found = [user for user in ask("GET", "users") if user["username"] == name]
        if not found:
            wanted = {
                "username": name,
                "email": f"{name}@example.org",
                "password": secrets.token_hex(16),  # nobody is to sign in with it
            }
            found = [ask("POST", "users", wanted)]
        path = f"users/{found[0]['id']}/api_key"
        # To make one is to take the former away from whoever uses it.
        detailed = ask("GET", f"{path}/detailed")
        key: str = detailed["key"] if detailed else ask("POST", path)
        return key


def _lock_digest() -> str:
    lock = (RECIPE / "requirements.lock").read_bytes()
    return hashlib.sha256(lock).hexdigest()


def _uv() -> list[str] | None:
    """Return how to run uv, None where there is none: it is many times faster."""
    if found := shutil.which("uv"):
        return [found]
    if importlib.util.find_spec("uv"):
        return [sys.executable, "-m", "uv"]
    return None


def _clean_environment() -> dict[str, str]:
    """Return our environment without what would lead another Python astray."""
    # GALAXY_CONFIG_OVERRIDE_... would change a Galaxy that is not the one meant.
    # Without bytecode, each start would compile a million lines anew.
    strange = ("GALAXY_", "PYTHON", "VIRTUAL_ENV", "CONDA_")
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(strange)
    }


def _is_free(port: int) -> bool:
    with socket.socket() as asking:
        # As the server will do it: what is left of closed connections is no obstacle.
        asking.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            asking.bind((HOST, port))
        except OSError:
            return False
        return True


def _free_port(taken: int) -> int:
    """Return the next free port above *taken*.

    Not one of the kernel's choice: it chooses among those that it gives to outgoing
    connections too, and the next start might find it in use.
    """
    for port in range(taken + 1, taken + 1000):
        if _is_free(port):
            return port
    raise EmbeddedError(f"No port from {taken} to {taken + 999} is free for Galaxy.")


def _write_private(path: Path, text: str) -> None:
    """Replace *path* as a whole by *text*, for ourselves alone to read."""
    half = path.with_name(f"{path.name}.new")
    half.unlink(missing_ok=True)
    descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 - a descriptor
        file.write(text)
    half.replace(path)
