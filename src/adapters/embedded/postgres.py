"""An embedded PostgreSQL server, shared by all processes of one user.

Rules of the file:

* The kernel counts the processes that use it. Each holds a shared ``flock``, which
  a ``kill -9`` releases too; the last one to leave stops the server. A list of
  process ids on disk would keep killed ones for ever.
* Starting, stopping and creating happen under one exclusive lock.
* Leftovers of a killed process never block a start: a cluster appears by a rename,
  and a lock file of a postmaster that is gone is made harmless.
* Committed rows survive: ``fsync`` stays on, and recovery gets its time.

Under root the server runs as another account. If that cannot enter the home, its data
lie under ``/var/lib/galaxy-jobs``, as they do if they were created there before.
Permissions of folders that we did not create are never changed.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import re
import shutil
import signal
import stat
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType

from attrs import define, field
from psycopg import pq

from galaxy_jobs.adapters.embedded.errors import EmbeddedError
from galaxy_jobs.adapters.embedded.postgres_programs import (
    program_folder,
    remove_unused_programs,
    server_account,
)
from galaxy_jobs.adapters.embedded.system import (
    absolute,
    is_alive,
    locked,
    need_proc,
    own_environment,
    process_ids,
    tail,
)


logger = logging.getLogger(__name__)

SYSTEM_FOLDER = Path("/var/lib/galaxy-jobs")
"""The parent of data that cannot lie in their home, under root."""

UNUSED_PID = 1 << 22
"""The kernel's limit of process ids, which none ever has."""

MAX_SOCKET_PATH = 107
"""Bytes; the kernel's limit."""

PLAIN_PATH = re.compile(r"[A-Za-z0-9_./+-]+")
"""Paths that can stand in a connection URL as they are."""

START_POLL_INTERVAL = 0.05
"""Seconds between two looks at a server that is starting."""

START_RETRY_INTERVAL = 0.2
"""Seconds until a start that another process was in the way of is repeated."""

REVIVAL_TIMEOUT = 10.0
"""Seconds for which :meth:`EmbeddedPostgres.revive` waits; requests wait with it."""

REVIVAL_INTERVAL = 1.0
"""Seconds after a failed revival in which another one fails at once."""

SETTINGS = {
    "listen_addresses": "",  # the socket alone: a port could be taken, or guessed
    "unix_socket_permissions": "0700",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "jit": "off",  # compiling costs more than any query of ours takes
    "log_checkpoints": "off",
}


@define(eq=False)
class EmbeddedPostgres:
    """A PostgreSQL server, started by its first user and stopped by the last.

    Attributes:
        home: The folder that identifies the server: one home, one server (and another
            one for root, see the module), whatever the number of its users.
        start_timeout: Seconds, crash recovery included.
        system_folder: The parent of data that cannot lie in *home*, under root.
        programs: The folder of PostgreSQL's programs; None: found when needed.
    """

    home: Path = field(converter=absolute)
    start_timeout: float = 120.0
    system_folder: Path = SYSTEM_FOLDER
    programs: Path | None = None
    _users_lock: int | None = field(default=None, init=False, repr=False)
    _mutex: threading.Lock = field(factory=threading.Lock, init=False, repr=False)
    _failure: str = field(default="", init=False, repr=False)
    _failed_at: float = field(default=-REVIVAL_INTERVAL, init=False, repr=False)

    @property
    def folder(self) -> Path:
        """The folder of everything: below home, or the system folder under root."""
        inside = self.home / "postgres"
        if (account := server_account()) is None:
            return inside
        outside = self.system_folder / f"postgres-{self._key}"
        if (server := inside / "server").exists():
            usable = server.stat().st_uid in {0, account.pw_uid}  # 0: it is being made
        else:
            usable = not outside.exists() and is_open_to_all(inside)
        return inside if usable else outside

    @property
    def server_folder(self) -> Path:
        """The folder that the server itself may enter; the locks lie beside it."""
        return self.folder / "server"

    @property
    def data(self) -> Path:
        """The folder of the cluster."""
        return self.server_folder / "data"

    @property
    def log(self) -> Path:
        """The server's log file."""
        return self.server_folder / "log"

    @property
    def service_mark(self) -> Path:
        """The file that exists once a service has been started on this database."""
        return self.folder / "service"

    @property
    def socket_folder(self) -> Path:
        """The folder of the socket.

        The kernel limits a socket's path to 107 bytes, and libpq splits it at commas:
        where ours is too long or has other characters, the socket lies in a private
        folder in ``/tmp``. Not in ``$TMPDIR``, because a cron job must find the same
        one as a login shell.
        """
        path = str(self.server_folder)
        if PLAIN_PATH.fullmatch(path) and (
            len(f"{path}/.s.PGSQL.5432.lock") <= MAX_SOCKET_PATH
        ):
            return self.server_folder
        return Path(f"/tmp/galaxy-jobs-{os.geteuid()}-{self._key}")  # noqa: S108 - checked

    @property
    def url(self) -> str:
        """The connection URL, without a driver."""
        # With the port, or PGPORT in the environment would be used.
        return f"postgresql://postgres@/postgres?host={self.socket_folder}&port=5432"

    def acquire(self) -> str:
        """Start the server if needed, keep it running, and return its URL.

        A second call changes nothing, except that it starts a server that died.

        Raises:
            EmbeddedError: It could not be created or started.
        """
        with self._mutex:
            self._ensure_running(self.start_timeout)
            return self.url

    def revive(self) -> None:
        """Start the server again if it does not answer; cheap if it does.

        Several processes may call it at once: one starts the server, the others wait.
        Where it cannot be started, as on a full disk, many callers do not wait for
        one attempt each: an attempt counts for all calls of the next second.

        Raises:
            EmbeddedError: It could not be started, does not answer yet, or was never
                acquired.
        """
        with self._mutex:
            if self._users_lock is None:
                raise EmbeddedError("The embedded PostgreSQL was not acquired.")
            if self._ping() is pq.Ping.OK:
                return
            if time.monotonic() < self._failed_at + REVIVAL_INTERVAL:
                raise EmbeddedError(self._failure)
            try:
                self._ensure_running(REVIVAL_TIMEOUT)
            except EmbeddedError as error:
                self._failure, self._failed_at = str(error), time.monotonic()
                raise

    def release(self) -> None:
        """Stop using the server; its last user stops it. Safe to repeat.

        Raises:
            EmbeddedError: It could not be stopped.
        """
        with self._mutex:
            if self._users_lock is None:
                return
            ours, self._users_lock = self._users_lock, None
            with locked(self.folder / "start.lock"):
                # Close ours first and test with a new descriptor: a forked child
                # shares ours, and still counts as a user.
                os.close(ours)
                test = os.open(self.folder / "users.lock", os.O_RDWR)
                try:
                    fcntl.flock(test, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    self._stop()
                except BlockingIOError:
                    pass
                finally:
                    os.close(test)

    def remove(self) -> None:
        """Stop the server and delete its data. Safe to repeat.

        Raises:
            EmbeddedError: A process uses it, or it could not be stopped or deleted.
        """
        folder = self.folder
        if not folder.exists():
            return
        try:
            with locked(folder / "start.lock", timeout=self.start_timeout):
                users = os.open(folder / "users.lock", os.O_RDWR | os.O_CREAT, 0o600)
                try:
                    fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    self._stop()
                    shutil.rmtree(folder)
                except BlockingIOError:
                    raise EmbeddedError(
                        f"A process uses the database in {folder}. Stop it first."
                    ) from None
                finally:
                    os.close(users)
        except OSError as error:
            raise EmbeddedError(f"{folder} cannot be deleted: {error}.") from error
        if folder.parent == self.system_folder:
            remove_unused_programs(self.system_folder)

    def __enter__(self) -> str:
        return self.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    # --- private --------------------------------------------------------------

    @property
    def _key(self) -> str:
        return hashlib.sha256(os.fsencode(self.home)).hexdigest()[:12]

    def _ensure_running(self, timeout: float) -> None:
        need_proc()
        try:
            self._prepare_folders()
            with locked(self.folder / "start.lock", timeout=timeout):
                if not (self.data / "PG_VERSION").exists():
                    self._create()
                if self._ping() is not pq.Ping.OK:
                    self._start(timeout)
                if self._users_lock is None:
                    users = os.open(
                        self.folder / "users.lock", os.O_RDWR | os.O_CREAT, 0o600
                    )
                    fcntl.flock(users, fcntl.LOCK_SH)
                    self._users_lock = users
        except OSError as error:
            raise EmbeddedError(
                f"The embedded PostgreSQL cannot use {self.folder}: {error}. "
                f"{_remedy()}"
            ) from error

    def _prepare_folders(self) -> None:
        if os.geteuid() == 0:
            self.home.mkdir(parents=True, exist_ok=True)
            # Explicitly: a strict umask would shut the other account out.
            folder = self.folder
            outside = folder.parent == self.system_folder
            for created in (self.system_folder, folder) if outside else (folder,):
                created.mkdir(parents=True, exist_ok=True)
                created.chmod(0o755)
            if (
                outside and not (owner := self.folder / "home").exists()
            ):  # the disk may be full
                owner.write_text(f"{self.home}\n", encoding="utf-8")
                logger.info(
                    "%s is closed to the account of PostgreSQL: the database is in %s",
                    self.home,
                    folder,
                )
        else:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.server_folder.mkdir(mode=0o700, exist_ok=True)
        _give_to_server(self.server_folder)

    def _prepare_socket_folder(self) -> None:
        folder = self.socket_folder
        if folder == self.server_folder:
            return
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
        if (
            not stat.S_ISDIR(status.st_mode)
            or status.st_uid != os.geteuid()
            or status.st_mode & 0o077
        ):
            raise EmbeddedError(
                f"{folder} must be a folder that only you can enter, for the socket of "
                "the embedded PostgreSQL. Remove it, or set GALAXY_JOBS_HOME to a "
                "shorter path."
            )
        logger.warning(
            "%s is too long for the path of a socket, or has special characters; the "
            "socket is in %s",
            self.server_folder,
            folder,
        )

    def _create(self) -> None:
        """Create a cluster and rename it: a killed initdb leaves no partial one."""
        for leftover in self.server_folder.glob("new-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        # A new name each time: the initdb of a killed process may still be writing.
        partial = Path(tempfile.mkdtemp(prefix="new-", dir=self.server_folder))
        _give_to_server(partial)
        done = self._run(
            "initdb",
            *("--pgdata", str(partial), "--username=postgres", "--auth=trust"),
            *("--encoding=UTF8", "--no-locale", "--no-instructions"),
        )
        if done.returncode:
            raise EmbeddedError(
                f"initdb could not create a database in {partial}: "
                f"{_error_lines(done.stdout)}. {_remedy()}"
            )
        partial.rename(self.data)

    def _start(self, timeout: float) -> None:
        self._prepare_socket_folder()
        deadline = time.monotonic() + timeout
        while (answer := self._ping()) is not pq.Ping.OK:
            left = deadline - time.monotonic()
            if left <= 0:
                raise EmbeddedError(
                    "The embedded PostgreSQL did not start within "
                    f"{timeout:g} s ({tail(self.log, 1)}). See {self.log}. "
                    "Crash recovery may still be under way: try again."
                )
            if answer is pq.Ping.REJECT:  # it is starting, recovering or stopping
                time.sleep(START_POLL_INTERVAL)
                continue
            self._clear_leftovers()
            log_size = self.log.stat().st_size if self.log.exists() else 0
            options = [("unix_socket_directories", str(self.socket_folder))]
            options += SETTINGS.items()
            done = self._run(
                "pg_ctl",
                *("start", "--wait", f"--timeout={max(1, int(left))}"),
                *("--log", "log", "--silent"),
                *(
                    "--options",
                    " ".join(f"-c {name}={value}" for name, value in options),
                ),
            )
            # Out of time, pg_ctl fails, too, while the server goes on starting.
            if not done.returncode or self._ping() is not pq.Ping.NO_RESPONSE:
                continue
            lines = _error_lines(tail(self.log, 20, log_size, "\n") or done.stdout)
            # Another start is under way, or a killed server is not quite gone.
            if not re.search("already exists|still in use", lines):
                raise EmbeddedError(
                    "The embedded PostgreSQL did not start: "
                    f"{lines}. See {self.log}. {_remedy()}"
                )
            time.sleep(START_RETRY_INTERVAL)

    def _stop(self) -> None:
        if self._postmaster() is None:
            return
        # "fast" ends sessions and writes everything out; "immediate" is a kill, which
        # the next start recovers from.
        for mode in ("fast", "immediate"):
            self._run("pg_ctl", "stop", f"--mode={mode}", "--wait", "--timeout=30")
            if self._postmaster() is None:
                if self.socket_folder != self.server_folder:
                    shutil.rmtree(self.socket_folder, ignore_errors=True)
                return
        raise EmbeddedError(
            f"The embedded PostgreSQL does not stop; see {self.log}. Kill process "
            f"{self._postmaster()}: no committed row is lost."
        )

    def _ping(self) -> pq.Ping:
        """Ask the server itself: its socket exists while it is still recovering."""
        return pq.Ping(pq.PGconn.ping(f"{self.url}&connect_timeout=5".encode()))

    def _postmaster(self) -> int | None:
        """Return the id of the living postmaster of this cluster."""
        try:
            first = (self.data / "postmaster.pid").read_text("utf-8").split("\n", 1)[0]
            pid = int(first)
        except (OSError, ValueError):
            return None
        return pid if self._is_server(pid) else None

    def _is_server(self, pid: int) -> bool:
        # Every process of a server has its data folder as working directory, and no
        # other program of that name has. A zombie has neither.
        try:
            program = os.readlink(f"/proc/{pid}/exe").removesuffix(" (deleted)")  # noqa: PTH115
            folder = os.readlink(f"/proc/{pid}/cwd")  # noqa: PTH115
            same = os.path.samefile(folder, self.data)  # noqa: PTH121
        except OSError:
            return False
        return same and program.endswith("/postgres") and is_alive(pid)

    def _clear_leftovers(self) -> None:
        """Remove the obstacles that a killed server left, if its postmaster is gone.

        PostgreSQL trusts a lock file for as long as any process has its id: with a
        zombie that is never reaped, or another process after a reboot, it would never
        start again. Only the id is replaced, since PostgreSQL must still check the
        shared memory named in the same file. Orphaned backends, which work on rows
        that were never committed, prevent a start too; they are killed.
        """
        if self._postmaster() is not None:
            return
        for orphan in filter(self._is_server, process_ids()):
            try:
                os.kill(orphan, signal.SIGKILL)
            except ProcessLookupError:
                continue
        for file in (
            self.data / "postmaster.pid",
            self.socket_folder / ".s.PGSQL.5432.lock",
        ):
            try:
                text = file.read_text(encoding="utf-8")
            except FileNotFoundError:
                continue
            _, newline, rest = text.partition("\n")
            # In place, so that the file keeps its owner, and on a full disk its block.
            with file.open("r+", encoding="utf-8") as lock:
                lock.write(f"{UNUSED_PID}{newline}{rest}")
                lock.truncate()

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one of PostgreSQL's programs as the server's account.

        Returns:
            Its result; ``stdout`` has both outputs.
        """
        # pg_ctl puts an argument -D into a shell command; the variable stays whole.
        environment = own_environment() | {"LC_ALL": "C", "PGDATA": str(self.data)}
        account = server_account()
        programs = self.programs or program_folder(self.system_folder)
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
            # A file and no pipe: the server inherits it, and a pipe would not end.
            done = subprocess.run(  # noqa: S603 - our own command
                [str(programs / program), *arguments],
                check=False,
                cwd=self.server_folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # a Ctrl-C in the terminal is not for it
                user=account.pw_uid if account else None,
                group=account.pw_gid if account else None,
                extra_groups=() if account else None,
            )
            output.seek(0)
            return subprocess.CompletedProcess(
                done.args, done.returncode, output.read()
            )


def is_open_to_all(path: Path) -> bool:
    """Whether all folders above a path that exist can be entered by every account."""
    existing = (parent for parent in path.parents if parent.exists())
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in existing)


def _give_to_server(path: Path) -> None:
    if account := server_account():
        os.chown(path, account.pw_uid, account.pw_gid)


def _remedy() -> str:
    if os.geteuid() == 0:
        return "Run as a normal user, or set DATABASE_URL to a server of your own."
    return (
        "Set GALAXY_JOBS_HOME to a folder that you can write to, or DATABASE_URL to a "
        "server of your own."
    )


def _error_lines(output: str) -> str:
    """Return the last lines of a program's output that report an error, as one line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [
        line
        for line in lines
        if re.search(r"error|fatal|panic|detail:|could not", line, re.IGNORECASE)
    ]
    return " | ".join((errors or lines)[-3:]) or "no output"
