"""The command line: ``galaxy-jobs``.

Rules of the file: a command holds no rule of its own; it reads its arguments, calls
one function and prints the result. Exit codes: 0 done, 1 it failed or was refused,
2 usage or settings, 3 the service could not be reached. What client commands do not
need (BioBlend, Alembic, Litestar) is imported by the commands that do.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Annotated, Literal

import cyclopts
from cyclopts import Parameter
from cyclopts.validators import Number

from galaxy_jobs.entrypoints.client import commands, output, webhooks
from galaxy_jobs.entrypoints.client.errors import CommandFailed, Refused
from galaxy_jobs.entrypoints.environment import BadSetting


ABOUT = cyclopts.Group("About", sort_key=3)

Port = Annotated[int, Parameter(validator=Number(gte=0, lte=65535))]

app = cyclopts.App(
    name="galaxy-jobs",
    help="Runs Galaxy workflows on request and reports honestly how they went.",
    help_format="markdown",
    group_commands=cyclopts.Group("The service itself", sort_key=2),
    default_parameter=Parameter(negative=(), show_default=lambda it: it or None),
    version_flags=["--version"],
)
app["--help"].group = app["--version"].group = ABOUT
commands.register(app)
app.command(webhooks.app)


def run(arguments: list[str] | None = None) -> int:
    """Run the command line, by default that of the process; return its exit code."""
    tokens = sys.argv[1:] if arguments is None else arguments
    output.guard_terminal()
    try:
        code = app(
            tokens,
            console=output.Screen(),
            error_console=output.Screen(stderr=True),
            result_action="return_value",
            exit_on_error=False,
            print_error=True,
        )
        sys.stdout.flush()
    except cyclopts.CycloptsError as error:  # it is printed already
        chain = " ".join(error.command_chain or ())
        output.note(f"See: galaxy-jobs {chain} --help".replace("  ", " "))
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output has closed it, as `head` does. Python would
        # complain when it flushes the rest.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except BadSetting as error:
        output.error(str(error))
        return 2
    except CommandFailed as error:
        if isinstance(error, Refused) and "--json" in tokens:
            output.document(error.problem)
        output.error(str(error), error.hint)
        return error.exit_code
    except Exception as error:
        from galaxy_jobs.adapters.embedded.errors import EmbeddedError
        from galaxy_jobs.domain.errors import DomainError, RunnerError, StoreUnavailable
        from galaxy_jobs.entrypoints.hints import explain

        if not isinstance(error, DomainError | EmbeddedError):
            raise
        message = explain(error) if isinstance(error, DomainError) else str(error)
        from_without = isinstance(error, RunnerError | StoreUnavailable | EmbeddedError)
        hint = "For other problems, and remedies: galaxy-jobs doctor"
        has_remedy = not from_without or "`galaxy-jobs " in message
        output.error(message, None if has_remedy else hint)
        return 1
    return code or 0


@app.command
def serve(*, host: str = "127.0.0.1", port: Port = 8000) -> int:
    """Serve the HTTP API.

    Args:
        host: The address to listen on.
        port: The port to listen on; 0 takes a free one.
    """
    from galaxy_jobs.entrypoints import serve

    return serve.serve(host, port)


@app.command
def poll(
    *,
    once: bool = False,
    every: Annotated[float | None, Parameter(validator=Number(gt=0))] = None,
    metrics_port: Port | None = None,
) -> int:
    """Ask Galaxy about every job that has not ended, and store the changes.

    Any number of pollers may run at the same time, on any number of machines.

    Args:
        once: Sweep once, print a line of counts and exit: for cron.
        every: Seconds from one sweep to the next, without end (5 if not given).
        metrics_port: Serve Prometheus metrics at this port of 127.0.0.1; 0 takes a
            free one.
    """
    from galaxy_jobs.entrypoints import poller

    if once and every is not None:
        output.error("--once and --every exclude each other.")
        return 2
    if once:
        return poller.sweep_once(metrics_port)
    return poller.sweep_for_ever(every or 5.0, metrics_port)


@app.command
def migrate() -> int:
    """Bring the database's schema up to date; forward only, safe to repeat."""
    from galaxy_jobs.adapters.postgres import migrate as upgrade
    from galaxy_jobs.entrypoints import container, settings

    with container.opened(settings.load()) as wired:
        applied = upgrade(wired.engine())
        output.note(f"Database: {wired.database().where()}")
    changes = f"Applied: {', '.join(applied)}. " if applied else ""
    output.line(f"{changes}The schema is up to date.")
    return 0


@app.command
def database(action: Literal["status", "remove"], /, *, yes: bool = False) -> int:
    """Show where the embedded database is, or remove it.

    Args:
        action: One of these.
        yes: Delete all jobs, datasets and tokens in it.
    """
    from galaxy_jobs.adapters.embedded.postgres import EmbeddedPostgres
    from galaxy_jobs.entrypoints import settings

    embedded = EmbeddedPostgres(settings.load().home)
    if action == "status":
        there = embedded.data.exists()
        output.line(f"{embedded.folder}: {'a database' if there else 'none yet'}")
        return 0 if there else 1
    if embedded.folder.exists() and not yes:
        message = f"All jobs, datasets and tokens in {embedded.folder} will be deleted."
        output.error(message, "If that is meant: galaxy-jobs database remove --yes")
        return 2
    embedded.remove()
    output.line("removed")
    return 0


@app.command(version_flags=[])
def galaxy(
    action: Literal["start", "stop", "status", "remove"],
    /,
    *,
    version: str | None = None,
    port: Port | None = None,
) -> int:
    """Start, stop or remove a local Galaxy, or show its status.

    Args:
        action: One of these. `start` prints the address and a key, as lines that
            `export` takes; `remove` deletes the installation and all its data.
        version: Its release, such as 24.2; the newest is started without it, and
            all are stopped, shown or removed.
        port: The port to start it on; by default that of before, or the first one
            from 8085 that is free.
    """
    from galaxy_jobs.adapters.embedded.galaxy import LocalGalaxy
    from galaxy_jobs.adapters.embedded.galaxy_package import RELEASES
    from galaxy_jobs.entrypoints import settings

    home = settings.load().home
    if action == "start":
        local = LocalGalaxy.among(home, version or RELEASES[-1])
        access = local.start(lambda stage: output.note(f"{stage} …"), port)
        output.line(f"GALAXY_URL={access.url}\nGALAXY_API_KEY={access.key}")
        return 0
    galaxies = [
        LocalGalaxy.among(home, release)
        for release in ((version,) if version else RELEASES)
    ]
    known = [local for local in galaxies if local.home.exists()] or galaxies[-1:]
    if action == "status":
        shown = [local.status() for local in known]
        output.line("\n".join(map(str, shown)))
        return 0 if any(status.running for status in shown) else 1
    for local in known:
        if action == "stop":
            local.stop()
        else:
            local.remove()
    output.line("stopped" if action == "stop" else "removed")
    return 0


@app.command
def store(
    action: Literal["start", "stop", "status", "remove"],
    /,
    *,
    port: Port | None = None,
) -> int:
    """Start, stop or remove a local store of files, or show its status.

    It is SeaweedFS, which speaks S3: for trying out `[storage]`.

    Args:
        action: One of these. `start` prints its key, as lines that `export` takes, and
            what to write into GALAXY_JOBS_CONFIG; `remove` deletes all its data.
        port: The port to start it on; by default that of before, or the first one
            from 8333 that is free.
    """
    from galaxy_jobs.adapters.embedded.store import LocalStore
    from galaxy_jobs.entrypoints import settings

    local = LocalStore(settings.load().home / "store")
    if action == "start":
        access = local.start(lambda stage: output.note(f"{stage} …"), port)
        output.note(
            f'[storage]\nendpoint = "{access.endpoint}"\nbucket = "{access.bucket}"'
        )
        output.line(
            f"AWS_ACCESS_KEY_ID={access.key_id}\nAWS_SECRET_ACCESS_KEY={access.secret}"
        )
        return 0
    if action == "status":
        running = local.running
        state = f"running at {local.access.endpoint}" if running else "not running"
        output.line(f"SeaweedFS: {state}")
        return 0 if running else 1
    if action == "stop":
        local.stop()
    else:
        local.remove()
    output.line("stopped" if action == "stop" else "removed")
    return 0


app.command(
    "galaxy_jobs.entrypoints.tokens_cli:app",
    name="token",
    help="Create, list and revoke the tokens that give access to the service.",
)


app.command(
    "galaxy_jobs.entrypoints.audit_cli:audit",
    name="audit",
    help="List who did what, newest first.",
)


@app.command
def doctor(*, json: bool = False, uploads: bool = False) -> int:
    """Check the set-up, and print a remedy for each problem.

    Exits with 0 if no check fails, with 1 if one does.

    Args:
        json: Print the findings as JSON.
        uploads: Have Galaxy fetch a small file as it fetches uploads, while `serve`
            runs: into a history that is purged afterwards.
    """
    from galaxy_jobs.entrypoints import doctor

    return doctor.run(as_json=json, try_uploads=uploads)


@app.command(group=ABOUT)
def completion(shell: Literal["bash", "zsh", "fish"], /) -> int:
    """Print the completion script of a shell, for our commands and options.

    Write it to the file that your shell reads, then start a new shell:

    - bash: `~/.local/share/bash-completion/completions/galaxy-jobs`
    - zsh: `_galaxy-jobs` in a folder that is in `$fpath`
    - fish: `~/.config/fish/completions/galaxy-jobs.fish`

    Args:
        shell: The shell.
    """
    output.line(app.generate_completion(shell=shell).rstrip())
    return 0


@app.command
def demo(
    *,
    exit: bool = False,  # noqa: A002
    port: Port = 8000,
    galaxy_port: Port | None = None,
) -> int:
    """Run everything on a real Galaxy: a job from its submission to its end.

    Uses GALAXY_URL and GALAXY_API_KEY if they are set, else a local Galaxy that
    is installed and started for it.

    Args:
        exit: Stop when the job has ended, instead of serving on.
        port: The port of the API, or the first one above it that is free.
        galaxy_port: The port of the local Galaxy.
    """
    from galaxy_jobs.entrypoints import demo

    return demo.run(keep_serving=not exit, port=port, galaxy_port=galaxy_port)
