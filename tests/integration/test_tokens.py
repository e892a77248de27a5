"""Tokens on a real service: made on the command line, asked for over HTTP."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests

from galaxy_jobs.adapters.embedded.postgres import EmbeddedPostgres
from galaxy_jobs.adapters.postgres import make_engine
from galaxy_jobs.entrypoints.api.auth import COOKIE, TOKEN_CACHE_TTL, TOKENS_EXIST_TTL
from tests.support.jobs import Jobs
from tests.support.service import Service, environment, service
from tests.support.sse import Events
from tests.support.wait import until


@pytest.fixture
def jobs(database_url: str) -> Iterator[Jobs]:
    engine = make_engine(database_url)
    yield Jobs(engine)
    engine.dispose()


@pytest.fixture
def ours(tmp_path: Path, database_url: str) -> Iterator[Service]:
    # What is asked of here is not Galaxy's business: nobody listens there.
    with service(
        tmp_path, database=database_url, galaxy="http://127.0.0.1:9", key="none"
    ) as running:
        yield running


def made(ours: Service, name: str, scope: str, *more: str) -> str:
    done = ours.run("token", "create", name, "--scope", scope, *more)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def status(ours: Service, method: str, path: str, text: str | None) -> int:
    headers = {} if text is None else {"Authorization": f"Bearer {text}"}
    return ours.request(method, path, **headers).status_code


def test_a_token_from_its_making_to_its_end(ours: Service) -> None:
    ours.serve()
    assert status(ours, "GET", "/jobs", None) == 200

    reading = made(ours, "dashboard", "read")
    until(lambda: status(ours, "GET", "/jobs", None) == 401, 2 * TOKENS_EXIST_TTL + 10)
    writing = made(ours, "portal", "submit", "--expires", "30")
    assert status(ours, "GET", "/jobs", reading) == 200
    assert status(ours, "POST", "/jobs/none/cancel", reading) == 403
    assert status(ours, "GET", "/jobs", writing) == 200
    assert status(ours, "POST", "/jobs/none/cancel", writing) == 404
    assert status(ours, "GET", "/health/ready", None) == 200

    done = ours.run("token", "revoke", "dashboard")
    assert done.returncode == 0
    assert "is revoked" in done.stdout
    until(lambda: status(ours, "GET", "/jobs", reading) == 401, TOKEN_CACHE_TTL + 10)
    assert status(ours, "GET", "/jobs", writing) == 200

    logged = "".join(command.log.read_text() for command in ours.commands)
    for text in (reading, writing):
        assert text[21:] not in logged


def test_the_audit_lists_who_did_what(ours: Service) -> None:
    assert ours.run("audit").stdout == "Nothing is recorded.\n"
    made(ours, "dashboard", "read")
    assert ours.run("token", "revoke", "dashboard").returncode == 0
    revoked, created = json.loads(ours.run("audit", "--json").stdout)
    assert (created["action"], revoked["action"]) == ("create", "revoke")
    assert created["object_kind"] == "token"
    assert created["object_id"] == revoked["object_id"]
    assert created["at"].endswith("Z")
    shown = ours.run("audit", "--action", "revoke", "--limit", "5").stdout
    assert "revoke token" in shown
    assert "create" not in shown
    for nothing in (("--owner", "web"), ("--since", "2999-01-01")):
        assert ours.run("audit", *nothing).stdout == "Nothing is recorded.\n"
    assert "create token" in ours.run("audit", "--since", "2026-01-01T00:00:00").stdout
    assert ours.run("audit", "--action", "none").returncode == 2
    assert ours.run("poll", "--once").returncode == 1  # Galaxy is away


def test_a_token_is_never_made_in_a_new_database_by_mistake(
    tmp_path: Path,
) -> None:
    embedded = EmbeddedPostgres(tmp_path)
    env = environment(tmp_path, database="", galaxy="http://127.0.0.1:9", key="none")
    ours = Service(env, tmp_path)
    create = ("token", "create", "portal", "--scope", "read")
    try:
        refused = ours.run(*create)
        assert refused.returncode == 2
        (line,) = refused.stderr.splitlines()
        assert f"No service has used embedded:{embedded.folder} yet" in line
        assert "GALAXY_JOBS_HOME" in line
        assert refused.stdout == ""
        assert not embedded.folder.exists()

        done = ours.run(*create, "--new-database")
        assert done.stdout.startswith("gjt_")
        assert done.stdout.count("\n") == 1
        database = f"Database: embedded:{embedded.folder}\n"
        assert done.stderr.startswith(database)
        assert ours.run("token", "revoke", "portal").stderr == database
        assert ours.run("migrate").stderr == database
        assert ours.run(*create).returncode == 2

        ours.serve()
        ours.stop()
        assert ours.run(*create).returncode == 0
    finally:
        ours.stop()
        shutil.rmtree(embedded.folder, ignore_errors=True)


def test_an_open_service_is_told_how_to_close_it(tmp_path: Path) -> None:
    embedded = EmbeddedPostgres(tmp_path)
    env = environment(tmp_path, database="", galaxy="http://127.0.0.1:9", key="none")
    ours = Service(env, tmp_path)
    try:
        warnings = [w for w in ours.serve().logged() if w["level"] == "warning"]
        ours.stop()
        first = warnings[0]
        assert first["event"].split(":")[0] == "no tokens"
        remedy = first["remedy"]
        assert remedy.startswith(
            f"GALAXY_JOBS_HOME={tmp_path} galaxy-jobs token create"
        )
        _, _, *words = shlex.split(remedy)
        assert ours.run(*words).returncode == 0
        logged = {line["event"].split(":")[0] for line in ours.serve().logged()}
        assert "no tokens" not in logged
    finally:
        ours.stop()
        shutil.rmtree(embedded.folder, ignore_errors=True)


def test_they_are_listed_without_what_is_secret(ours: Service) -> None:
    assert "no tokens" in ours.run("token", "list").stdout
    text = made(ours, "portal", "submit", "--sees", "own", "--expires", "0.5")
    given = json.loads(made(ours, "dashboard", "read", "--json"))
    ours.run("token", "revoke", given["token_id"])
    listed = ours.run("token", "list", "--json").stdout
    dashboard, portal = json.loads(listed)
    assert list(portal) == [
        "token_id",
        "name",
        "scope",
        "sees",
        "created_at",
        "expires_at",
        "revoked_at",
    ]
    assert portal["token_id"] in text
    assert (portal["name"], portal["scope"]) == ("portal", "submit")
    assert (portal["sees"], dashboard["sees"]) == ("own", "all")
    assert portal["expires_at"] > portal["created_at"]
    assert portal["revoked_at"] is None
    assert dashboard["expires_at"] is None
    assert dashboard["revoked_at"] is not None
    assert dashboard == {k: v for k, v in given.items() if k != "token"} | {
        "revoked_at": dashboard["revoked_at"]
    }
    for_people = ours.run("token", "list").stdout
    heading, *lines = for_people.splitlines()
    assert heading.split()[:2] == ["token", "name"]
    assert len(lines) == 2
    assert {line[heading.index("name") :].split()[0] for line in lines} == {
        "portal",
        "dashboard",
    }
    for secret in (text[21:], given["token"][21:]):
        assert secret not in listed + for_people


def test_what_is_wrong_is_said_in_a_line(ours: Service) -> None:
    made(ours, "taken", "read")
    for arguments, code, message in (
        ("create a", 2, "scope"),
        ("create a --scope owner", 2, "owner"),
        ("create a --scope read --sees some", 2, "some"),
        ("create a --scope admin --sees own", 1, "sees all"),
        ("create a --scope read --expires 0", 2, "expires"),
        ("create a --scope read --expires 1e9", 1, "36500"),
        ("create taken --scope read", 1, "'taken' already"),
        ("revoke none", 1, "There is no token 'none', or none that is not revoked"),
    ):
        done = ours.run("token", *arguments.split())
        assert done.returncode == code, arguments
        assert message in done.stderr
        assert "Traceback" not in done.stderr
        assert "galaxy-jobs doctor" not in done.stderr  # nothing is wrong around it
        assert done.stdout == ""


def test_other_addresses_are_served_once_there_is_a_token(ours: Service) -> None:
    done = ours.run("serve", "--host", "0.0.0.0", "--port", "0")
    assert done.returncode == 2
    assert "no tokens yet" in done.stderr
    assert "galaxy-jobs token create" in done.stderr

    text = made(ours, "portal", "read")
    ours.run("token", "revoke", "portal")  # that there was one is what counts
    serving = ours.serve("--host", "0.0.0.0")
    (ready,) = [line for line in serving.logged() if line["event"] == "serving"]
    assert ready["docs"].startswith("http://127.0.0.1:")  # what a browser can open
    assert status(ours, "GET", "/jobs", None) == 401
    assert status(ours, "GET", "/jobs", text) == 401
    other = made(ours, "portal", "read")
    assert status(ours, "GET", "/jobs", other) == 200


def test_what_is_open_for_long_ends_with_its_token(ours: Service, jobs: Jobs) -> None:
    ours.serve()
    jobs.accept("inv1")
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor())

        def opened(**headers: str) -> list[Future[int]]:
            """Open what stays open; return how each ends: with 401, or otherwise."""
            ends = []
            for path in ("/jobs/events", "/ui/events", "/ui/jobs/inv1/events"):
                stream = Events(ours.url + path, **headers)
                stack.callback(stream.close)
                ends.append(
                    pool.submit(lambda ended: 401 * ended.wait(60), stream.ended)
                )
            url, sent = f"{ours.url}/jobs/inv1?wait=60", dict(headers)
            ends.append(
                pool.submit(
                    lambda: requests.get(url, headers=sent, timeout=90).status_code
                )
            )
            return ends

        anonymous = opened()
        text = made(ours, "reader", "read")
        assert [end.result() for end in anonymous] == [401] * 4
        other = made(ours, "other", "read")
        by_token = opened(Authorization=f"Bearer {text}")
        by_cookie = opened(Cookie=f"{COOKIE}={text}")
        stays = Events(f"{ours.url}/jobs/events", Authorization=f"Bearer {other}")
        stack.callback(stays.close)
        assert ours.run("token", "revoke", "reader").returncode == 0
        assert [end.result() for end in (*by_token, *by_cookie)] == [401] * 8
        assert not stays.ended.is_set()
