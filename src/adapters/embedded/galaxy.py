"""A local Galaxy server, from PyPI: installed, started and stopped in one folder.

Rules of the file:

* No process id is written down. Every process of a Galaxy has a marker in its
  environment, which the kernel shows: a record would be wrong after a ``kill -9``, a
  reboot, or when the id is used again.
* Installing, starting and stopping happen under one lock, so that several processes
  may start the same Galaxy at once. The server inherits nothing of its starter.

Port, keys and the secret that encodes Galaxy's ids stay the same from one start to
the next, so that recorded addresses and ids remain valid.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Collection, Iterator
from functools import partial
from pathlib import Path

import requests
from attrs import asdict, define, evolve, field, fields_dict, frozen

from galaxy_jobs.adapters.embedded.errors import EmbeddedError
from galaxy_jobs.adapters.embedded.galaxy_package import (
    RECIPE,
    RELEASES,
    GalaxyPackage,
    clean_environment,
)
from galaxy_jobs.adapters.embedded.samples import call
from galaxy_jobs.adapters.embedded.system import (
    HOST,
    Progress,
    absolute,
    free_port,
    is_free,
    kill_marked,
    locked,
    marked_processes,
    need_proc,
    tail,
    write_private,
)


DEFAULT_PORT = 8085
DEFAULT_USER = "demo"

PORT_TIMEOUT = 2.0
"""Seconds to wait for the known port to become free."""

STOP_TIMEOUT = 20.0
"""Seconds for a clean stop, and again for killing what is left."""

PROGRESS_INTERVAL = 15.0
"""Seconds between two reports of progress during a start."""

PLAIN_PATH = re.compile(r"[A-Za-z0-9_./+@-]+")
"""Paths that Galaxy can write into shell scripts and a database URL."""


@frozen
class Access:
    """The address of a Galaxy, and the API key of one of its users."""

    url: str
    key: str = field(repr=False)


@frozen
class Status:
    """The status of a Galaxy; ``str()`` returns it in words."""

    version: str  #: such as ``24.2.4``; only the release unless it runs
    installed: bool
    running: bool  #: its process is alive and answers
    starting: bool  #: its process is alive and does not answer (yet)
    url: str
    log: Path

    def __str__(self) -> str:
        if self.running:
            state = f"running at {self.url}; `galaxy-jobs galaxy start` prints its key"
        elif self.starting:
            state = f"starting: no answer at {self.url} yet; see {self.log}"
        else:
            state = "not running" if self.installed else "not installed"
        return f"Galaxy {self.version}: {state}"


@frozen
class _State:
    """Values that stay the same from one start to the next."""

    port: int
    admin_key: str = field(factory=lambda: secrets.token_hex(16), repr=False)
    id_secret: str = field(factory=lambda: secrets.token_hex(16), repr=False)


@define(eq=False)
class LocalGalaxy:
    """The Galaxy in the folder *home*: one folder, one Galaxy.

    Attributes:
        home: The folder of its environment, data, log, keys and configuration.
        port: The port of the first start. If it is taken, a free one is chosen and
            kept from then on.
        start_timeout: Seconds to wait for the first answer.
        release: One of :data:`RELEASES`.
    """

    home: Path = field(converter=absolute)
    port: int = DEFAULT_PORT
    start_timeout: float = 600.0
    release: str = RELEASES[-1]

    @classmethod
    def among(
        cls, folder: Path, release: str = RELEASES[-1], port: int = DEFAULT_PORT
    ) -> LocalGalaxy:
        """Return the Galaxy of a release; each has a home of its own in *folder*.

        The newest keeps its home when it is replaced by a newer one, and its data.

        Raises:
            EmbeddedError: It is none of :data:`RELEASES`.
        """
        if release not in RELEASES:
            raise EmbeddedError(
                f"Galaxy {release} cannot be installed. These can: "
                f"{', '.join(RELEASES)}."
            )
        name = "galaxy" if release == RELEASES[-1] else f"galaxy-{release}"
        return cls(folder / name, port=port, release=release)

    @classmethod
    def addresses(cls, folder: Path) -> Collection[str]:
        """Return the addresses of all that were ever started in *folder*.

        None of them has Galaxy's pages for browsers, only its API.
        """
        found = []
        for release in RELEASES:
            galaxy = cls.among(folder, release)
            if galaxy._state_file.exists():  # noqa: SLF001 - of this class
                with contextlib.suppress(EmbeddedError):
                    found.append(galaxy.url)
        return found

    @property
    def log(self) -> Path:
        """Galaxy's log; that of the previous start is beside it."""
        return self.home / "galaxy.log"

    @property
    def url(self) -> str:
        """Its address, running or not."""
        return f"http://{HOST}:{self._state().port}"

    def install(self, progress: Progress = lambda _: None) -> None:
        """Install Galaxy into its own environment, unless it is installed.

        Raises:
            EmbeddedError: It could not be installed.
        """
        with self._locked(progress):
            self._package.install(progress)

    def start(
        self, progress: Progress = lambda _: None, port: int | None = None
    ) -> Access:
        """Install and start Galaxy if needed, and wait until it answers.

        Args:
            progress: Is called with each stage.
            port: The port from now on, unless it runs already; None: that of before.

        Raises:
            EmbeddedError: It could not be installed or started.
        """
        with self._locked(progress):
            if self.server() is None:
                self._package.install(progress)
                if port is not None:
                    self._save(evolve(self._state(), port=port))
                self._launch(progress)
            self._wait(progress)
            return Access(self.url, self._key_of(DEFAULT_USER))

    def stop(self) -> None:
        """Stop Galaxy and its jobs; its data stay. Safe to repeat.

        Raises:
            EmbeddedError: A process of it cannot be ended.
        """
        with self._locked():
            if (server := self.server()) is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(server, signal.SIGTERM)
                deadline = time.monotonic() + STOP_TIMEOUT
                while self.server() is not None and time.monotonic() < deadline:
                    time.sleep(0.05)
            self.kill()

    def remove(self) -> None:
        """Stop it, and delete its installation and its data. Safe to repeat.

        Raises:
            EmbeddedError: It could not be stopped or deleted.
        """
        if self.home.exists():
            self.stop()
            with self._locked():
                shutil.rmtree(self.home)

    def restart(self, progress: Progress = lambda _: None) -> Access:
        """Stop it and start it again, at the same address.

        Raises:
            EmbeddedError: As for stop and start.
        """
        self.stop()
        return self.start(progress)

    def kill(self) -> None:
        """Kill all its processes, as a power cut would; for tests.

        Raises:
            EmbeddedError: A process of it cannot be ended.
        """
        kill_marked(self._path_marker, STOP_TIMEOUT)

    def status(self) -> Status:
        """Return its status, without waiting."""
        alive = self.server() is not None
        version = self._version() if alive else None
        return Status(
            version=version or self.release,
            installed=self._package.is_installed(),
            running=version is not None,
            starting=alive and version is None,
            url=self.url,
            log=self.log,
        )

    def user_key(self, name: str) -> str:
        """Return the API key of the user *name*, who is created if needed.

        Raises:
            EmbeddedError: Galaxy does not run, or refused it.
        """
        with self._locked():
            return self._key_of(name)

    def processes(self) -> set[int]:
        """Return the ids of its processes: server, task processes and jobs."""
        return marked_processes(self._path_marker)

    def server(self) -> int | None:
        """Return the id of the server's process; None if it is not alive."""
        script = os.fsencode(self._server_script)
        for pid in self.processes():
            with contextlib.suppress(OSError):
                command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                if len(command) > 1 and command[1] == script:
                    return pid
        return None

    # --- start and stop -------------------------------------------------------

    @property
    def _package(self) -> GalaxyPackage:
        return GalaxyPackage(
            self.release, self.home / "venv", self.home / "install.log"
        )

    @property
    def _config(self) -> Path:
        return self.home / "galaxy.yml"

    @property
    def _server_script(self) -> Path:
        return self.home / "recipe/serve.py"

    @property
    def _path_marker(self) -> str:
        """The marker of its processes: an entry of PATH that does not exist.

        Galaxy passes PATH to its jobs, and hardly any other variable.
        """
        return str(self.home / "mark")

    def _launch(self, progress: Progress) -> None:
        self.kill()  # leftovers of a killed server, such as jobs
        state = self._state()
        # Its clients know the address, so a short wait for the port is worthwhile.
        deadline = time.monotonic() + PORT_TIMEOUT
        while not is_free(state.port) and time.monotonic() < deadline:
            time.sleep(0.05)
        if not is_free(state.port):
            free = free_port(state.port)
            progress(f"port {state.port} is taken: using {free}")
            state = evolve(state, port=free)
        self._save(state)
        self._write_recipe(state)
        with contextlib.suppress(FileNotFoundError):
            self.log.replace(self.log.with_suffix(".log.1"))
        progress(f"starting Galaxy; its log is {self.log}")
        python = self._package.python
        path = os.environ.get("PATH", os.defpath)
        environment = clean_environment() | {
            "GALAXY_CONFIG_FILE": str(self._config),
            "VIRTUAL_ENV": str(self._package.folder),
            "PATH": f"{self._path_marker}:{python.parent}:{path}",
        }
        with self.log.open("wb") as log:
            # The script detaches the server and returns.
            subprocess.run(  # noqa: S603 - our own command
                [python, self._server_script, HOST, str(state.port)],
                check=True,
                cwd=self.home,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _write_recipe(self, state: _State) -> None:
        # A copy: this program may be updated or moved while Galaxy runs.
        recipe = self.home / "recipe"
        shutil.rmtree(recipe, ignore_errors=True)
        shutil.copytree(
            RECIPE, recipe, ignore=shutil.ignore_patterns("__pycache__", "releases")
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
        write_private(self._config, text)

    def _wait(self, progress: Progress) -> None:
        began = reported = time.monotonic()
        while self._version() is None:
            now = time.monotonic()
            if self.server() is None:
                raise EmbeddedError(
                    f"Galaxy ended while starting: {tail(self.log)}. See {self.log}."
                )
            if now - began > self.start_timeout:
                raise EmbeddedError(
                    f"Galaxy runs, but did not answer at {self.url} within "
                    f"{self.start_timeout:g} s. See {self.log}; stop it and try again."
                )
            if now - reported > PROGRESS_INTERVAL:
                reported = now
                progress(f"Galaxy is still starting after {now - began:.0f} s")
            time.sleep(0.1)

    def _version(self) -> str | None:
        """Return the version that it answers; None without an answer."""
        try:
            answer = requests.get(f"{self.url}/api/version", timeout=5)
            answer.raise_for_status()
            version = answer.json()
        except requests.RequestException:
            return None
        return f"{version['version_major']}.{version['version_minor']}"

    # --- state ----------------------------------------------------------------

    @contextlib.contextmanager
    def _locked(self, progress: Progress = lambda _: None) -> Iterator[None]:
        need_proc()
        if not PLAIN_PATH.fullmatch(str(self.home)):
            raise EmbeddedError(
                f"Galaxy cannot be installed in {str(self.home)!r}: its scripts need a "
                "path of letters, digits and . _ + @ - only. Set GALAXY_JOBS_HOME."
            )
        try:
            self.home.mkdir(parents=True, exist_ok=True)
            with locked(
                self.home / "galaxy.lock",
                lambda: progress("waiting for another process that starts or stops it"),
            ):
                yield
        except OSError as error:
            raise EmbeddedError(
                f"Galaxy cannot use {self.home}: {error}. Set GALAXY_JOBS_HOME to a "
                "folder that you can write to, with a gigabyte of free space."
            ) from error

    @property
    def _state_file(self) -> Path:
        return self.home / "galaxy.json"

    def _state(self) -> _State:
        try:
            saved = json.loads(self._state_file.read_text(encoding="utf-8"))
            return _State(**{name: saved[name] for name in fields_dict(_State)})
        except FileNotFoundError:
            return _State(port=self.port)
        except (ValueError, KeyError, TypeError) as error:
            raise EmbeddedError(
                f"{self._state_file} is damaged ({error!r}). Remove it: Galaxy then "
                "gets a new port and new keys."
            ) from error

    def _save(self, state: _State) -> None:
        write_private(self._state_file, json.dumps(asdict(state), indent=1))

    def _key_of(self, name: str) -> str:
        request = partial(call, self.url, self._state().admin_key)
        users = request("GET", "users")
        user = next((user for user in users if user["username"] == name), None)
        if user is None:
            user = request(
                "POST",
                "users",
                {
                    "username": name,
                    "email": f"{name}@example.org",
                    "password": secrets.token_hex(16),  # never used to sign in
                },
            )
        path = f"users/{user['id']}/api_key"
        # Creating a key would revoke the one in use.
        details = request("GET", f"{path}/detailed")
        key: str = details["key"] if details else request("POST", path)
        return key
