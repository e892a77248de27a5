"""The command line: ``galaxy-jobs``.

Rules of the file: a command holds no rule of its own; it reads its arguments,
calls one thing and says what came of it. Exit codes: 0 done, 1 it failed or was
refused, 2 usage or settings, 3 the service could not be reached. What an
ordinary command does not need (BioBlend, Alembic, Litestar) is imported inside
the command that does.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import textwrap
from typing import Annotated, Literal

import cyclopts
from cyclopts import Parameter

from galaxy_jobs.entrypoints.client import commands, output
from galaxy_jobs.entrypoints.client.errors import CommandFailed, Refused
from galaxy_jobs.entrypoints.environment import BadSetting


ABOUT = cyclopts.Group("About", sort_key=3)

app = cyclopts.App(
    name="galaxy-jobs",
    help="Runs Galaxy workflows on request and tells the truth about how they went.",
    help_format="markdown",
    group_commands=cyclopts.Group("The service itself", sort_key=2),
    default_parameter=Parameter(show_default=lambda it: it or None),
    version_flags=["--version"],
)
app["--help"].group = app["--version"].group = ABOUT
commands.register(app)


def run(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        arguments: Behind the program's name; None: those it was called with.
    """
    typed = sys.argv[1:] if arguments is None else arguments
    try:
        code = app(
            typed, result_action="return_value", exit_on_error=False, print_error=True
        )
        sys.stdout.flush()
    except cyclopts.CycloptsError as error:  # what is wrong is told already
        chain = " ".join(error.command_chain or ())
        output.note(f"See: galaxy-jobs {chain} --help".replace("  ", " "))
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Who read our output has enough, as `head` does. Python would complain
        # when it flushes what is left.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except BadSetting as error:
        _say(str(error))
        return 2
    except CommandFailed as error:
        _tell(error, as_json="--json" in typed)
        return error.exit_code
    except _expected_errors() as error:
        message = _explained(error)
        _say(message)
        if isinstance(error, _trouble()) and "`galaxy-jobs " not in message:
            output.note("What else may be wrong, and what to do: galaxy-jobs doctor")
        return 1
    return code or 0


def _tell(error: CommandFailed, *, as_json: bool) -> None:
    """Say what went wrong in a client command, and what to type next."""
    if isinstance(error, Refused) and as_json and error.body:
        output.raw(error.body)
    _say(output.clean(str(error)))
    if error.hint:
        output.note(error.hint)


def _expected_errors() -> tuple[type[Exception], ...]:
    """Return the errors whose message is all that a person needs."""
    from galaxy_jobs.adapters.embedded.errors import EmbeddedError
    from galaxy_jobs.domain.errors import DomainError

    return (DomainError, EmbeddedError)


def _explained(error: Exception) -> str:
    from galaxy_jobs.domain.errors import DomainError
    from galaxy_jobs.entrypoints.hints import explain

    return explain(error) if isinstance(error, DomainError) else str(error)


def _trouble() -> tuple[type[Exception], ...]:
    """Return those among them that something around us is to blame for."""
    from galaxy_jobs.adapters.embedded.errors import EmbeddedError
    from galaxy_jobs.domain.errors import RunnerError, StoreUnavailable

    return (RunnerError, StoreUnavailable, EmbeddedError)


def _say(line: str) -> None:
    said = f"galaxy-jobs: {line}"
    if sys.stderr.isatty():  # a terminal would break it within words
        width = shutil.get_terminal_size().columns
        said = textwrap.fill(
            said, width, break_long_words=False, break_on_hyphens=False
        )
    print(said, file=sys.stderr)


@app.command
def serve(
    *,
    host: str = "127.0.0.1",
    port: Annotated[
        int, Parameter(validator=cyclopts.validators.Number(gte=0, lte=65535))
    ] = 8000,
) -> int:
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
    once: Annotated[bool, Parameter(negative=())] = False,
    every: Annotated[
        float | None, Parameter(validator=cyclopts.validators.Number(gt=0))
    ] = None,
    metrics_port: Annotated[
        int | None, Parameter(validator=cyclopts.validators.Number(gte=0, lte=65535))
    ] = None,
) -> int:
    """Ask Galaxy about every job that has not ended, and write what changed.

    Any number of pollers may run at the same time, on any number of machines.

    Args:
        once: One sweep, a line of counts, and out: for cron.
        every: Sweep for ever, every so many seconds (5 if not given).
        metrics_port: Serve Prometheus metrics at this port of 127.0.0.1; 0 takes a
            free one.
    """
    from galaxy_jobs.entrypoints import poller

    if once and every is not None:
        _say("--once and --every exclude each other.")
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
    said = f"Applied: {', '.join(applied)}. " if applied else ""
    print(f"{said}The schema is up to date.")
    return 0


@app.command
def galaxy(action: Literal["start", "stop", "status"], /) -> int:
    """Start, stop or look at the local Galaxy.

    Args:
        action: What to do.
    """
    from galaxy_jobs.entrypoints import local_galaxy

    return local_galaxy.run(action)


app.command(
    "galaxy_jobs.entrypoints.tokens_cli:app",
    name="token",
    help="Say who may use the service: create, list and revoke tokens.",
)


@app.command
def doctor(*, json: Annotated[bool, Parameter(negative=())] = False) -> int:
    """Find what is wrong with the set-up, and what to do about each thing.

    Exits with 0 where nothing fails, with 1 where something does.

    Args:
        json: Print the findings as JSON.
    """
    from galaxy_jobs.entrypoints import doctor_command

    return doctor_command.run(as_json=json)


@app.command(group=ABOUT)
def completion(shell: Literal["bash", "zsh", "fish"], /) -> int:
    """Print a script that makes a shell complete our commands and options.

    Write it to where your shell looks for such scripts, then start a new shell:

    - bash: `~/.local/share/bash-completion/completions/galaxy-jobs`
    - zsh: `_galaxy-jobs` in a folder that is in `$fpath`
    - fish: `~/.config/fish/completions/galaxy-jobs.fish`

    Args:
        shell: Which.
    """
    print(app.generate_completion(shell=shell))
    return 0


@app.command
def demo(*, exit: Annotated[bool, Parameter(negative=())] = False) -> int:  # noqa: A002
    """Show it all working, on a real Galaxy: a job from its submission to its end.

    Uses GALAXY_URL and GALAXY_API_KEY if they are set, else a local Galaxy that
    is installed and started for it.

    Args:
        exit: End when the job has ended, and do not keep serving.
    """
    from galaxy_jobs.entrypoints import demo as show

    return show.run(keep_serving=not exit)
