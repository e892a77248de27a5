"""``make demo``: the whole path on real parts, with a line for each stage.

A PostgreSQL, a Galaxy, the API and a poller, each a process of its own as in
production; the job is submitted and watched over HTTP, as by any client.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import count
from math import inf
from pathlib import Path
from subprocess import DEVNULL, Popen, TimeoutExpired
from typing import Any

from galaxy_jobs.adapters.embedded import samples
from galaxy_jobs.adapters.embedded.galaxy import LocalGalaxy
from galaxy_jobs.adapters.embedded.system import free_port, tail
from galaxy_jobs.entrypoints import environment, wording
from galaxy_jobs.entrypoints.client import output
from galaxy_jobs.entrypoints.client.errors import CommandFailed, Refused
from galaxy_jobs.entrypoints.client.http import Answer, Api
from galaxy_jobs.entrypoints.client.watching import changes
from galaxy_jobs.entrypoints.settings import Settings, load


DATASET = "fruits"
"""The id of the sample's dataset, unless that is taken; README goes on with it."""

JOB_TIMEOUT = 300.0  # seconds
READY_TIMEOUT = 60.0  # seconds

STARTED = time.monotonic()
"""The time that the lines of the demo count from."""


def run(*, keep_serving: bool, port: int, galaxy_port: int | None) -> int:
    """Run the demo, then serve on until Ctrl-C if wanted; return the exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with ExitStack() as stack:
            _run(stack, port, galaxy_port, keep_serving=keep_serving)
    except KeyboardInterrupt:
        report("stopped")
    except CommandFailed as error:
        report(f"failed: {error}")
        if error.hint:
            output.line(error.hint)
        return 1
    return 0


def report(topic: str, text: str = "") -> None:
    """Print a line, with the time since the start."""
    seconds = time.monotonic() - STARTED
    output.line(f"[{seconds:6.1f} s] {topic:<12}  {text}".rstrip())


def _run(
    stack: ExitStack, port: int, galaxy_port: int | None, *, keep_serving: bool
) -> None:
    settings = load()
    logs = settings.home / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    url, key, ours = _galaxy(stack, settings, galaxy_port)
    os.environ.update(GALAXY_URL=url, GALAXY_API_KEY=key)
    if (free := free_port(port - 1)) != port:
        report("API", f"port {port} is taken: using {free}")
        port = free
    address = f"http://127.0.0.1:{port}"
    service = environment.read(environment.Service)
    # A token is for the address that it was set with.
    api = Api(service if service.url == address else environment.Service(url=address))
    log = logs / "serve.log"
    serve = stack.enter_context(_process(log, "serve", "--port", str(port)))
    _wait_ready(api, serve, log)
    report("API", f"{address} is ready (docs at {address}/docs)")
    poll = stack.enter_context(_process(logs / "poll.log", "poll", "--every", "1"))
    sample = samples.sample_for(url, key)
    workflow = samples.import_workflow(url, key, sample.path)
    report("workflow", f"{workflow!r} is in Galaxy")
    body = {
        "dataset_id": _dataset(api, url, key),
        "workflow_name": workflow,
        "parameters": dict(sample.parameters),
    }
    report("POST /jobs", json.dumps(body))
    job = api.post("jobs", body=body).data
    report("", f"-> {json.dumps(job)}")

    deadline = time.monotonic() + JOB_TIMEOUT

    def check() -> None:
        if serve.poll() is not None or poll.poll() is not None:
            raise CommandFailed(f"a process of the service ended; see {logs}")
        if time.monotonic() > deadline:
            raise CommandFailed(f"the job has not ended after {JOB_TIMEOUT:.0f} s")

    job = _watch(changes(api, job["invocation_id"], check))
    deadline = inf
    output.line(json.dumps(job, indent=2))
    if job["state"] != "completed":
        raise CommandFailed(f"the job is {job['state']}, not completed")
    for item in api.get("jobs", job["invocation_id"], "outputs").data["items"]:
        report("output", f"{item['label']}: {item['name']}, {item['size']} bytes")
    if keep_serving:
        too = ", which stops that Galaxy, too" if ours else ""
        report(f"serving at {address} until Ctrl-C{too} (logs: {logs})")
        commands = _next_commands(settings, address, job, sample)
        output.line("\nLeave this running, and type in a second terminal:\n")
        output.line("".join(f"    {command}\n" for command in commands))
        while True:
            check()
            time.sleep(0.5)


def _galaxy(
    stack: ExitStack, settings: Settings, port: int | None
) -> tuple[str, str, bool]:
    """Return the address of a Galaxy, a key, and whether it was started for this."""
    if settings.galaxy_url and settings.galaxy_api_key:
        url, key = settings.galaxy()
        report("Galaxy", f"{url} (as configured)")
        return url, key, False
    galaxy = LocalGalaxy.among(settings.home)
    if ours := not galaxy.status().running:
        stack.callback(galaxy.stop)
    access = galaxy.start(lambda stage: report("Galaxy", stage), port)
    report("Galaxy", f"{access.url} is up")
    return access.url, access.key, ours


def _dataset(api: Api, url: str, key: str) -> str:
    """Return the id of the sample's dataset; that of an earlier demo is used again."""
    name = samples.SAMPLE_TEXT.name
    for number in count(1):
        dataset_id = DATASET if number == 1 else f"{DATASET}-{number}"
        try:
            source = api.get("datasets", dataset_id).data["source"]
        except Refused as refusal:
            if refusal.code != "dataset-not-found":
                raise
            break
        if source["src"] == "hda" and samples.has_text(url, key, name, source["id"]):
            known = f"{dataset_id!r} is registered already: {json.dumps(source)}"
            report("dataset", known)
            return dataset_id
        report("dataset", f"{dataset_id!r} is other data, or of another Galaxy")
    hda = samples.upload_text(url, key, name, samples.SAMPLE_TEXT.read_text())
    report("dataset", f"{name} uploaded to Galaxy as {hda}")
    source = {"src": "hda", "id": hda}
    body = {"dataset_id": dataset_id, "name": name, "source": source}
    report("POST /datasets", json.dumps(body))
    api.post("datasets", body=body)
    return dataset_id


def _watch(answers: Iterator[Answer]) -> dict[str, Any]:
    """Show the progress of a job, and return it once it has ended."""
    job: dict[str, Any] = {}
    line = None
    for answer in answers:
        job, previous = answer.data, line
        line = (job["state"], wording.progress(job["progress"], job["state"]))
        if line != previous:
            report(*line)
    return job


def _next_commands(
    settings: Settings, address: str, job: dict[str, Any], sample: samples.Sample
) -> Iterator[str]:
    """Yield the commands for a second terminal, where this is left running."""
    if (activate := Path(sys.prefix, "bin", "activate")).exists():
        yield f". {shlex.quote(str(activate))}"
    yield f"export GALAXY_JOBS_HOME={shlex.quote(str(settings.home))}"
    if not (settings.galaxy_url and settings.galaxy_api_key):
        # The address and a key, for `doctor`, `serve` and `poll`.
        yield "export $(galaxy-jobs galaxy start)"
    if address != environment.Service().url:
        yield f"export GALAXY_JOBS_URL={address}"
    yield f"curl -s {address}/jobs?limit=1"
    submit = ["galaxy-jobs", "submit", job["dataset_id"], job["workflow_name"]]
    for name, value in sample.parameters.items():
        submit += ["-p", f"{name}={value}"]
    yield shlex.join([*submit, "--wait"])


@contextmanager
def _process(log: Path, *arguments: str) -> Iterator[Popen[bytes]]:
    """Run one of our commands until the block ends, its output in a file."""
    command = [sys.executable, "-m", "galaxy_jobs.entrypoints", *arguments]
    with (
        log.open("wb") as out,
        # In a session of its own: Ctrl-C is for the demo, which ends the others.
        Popen(  # noqa: S603 - our own command
            command, stdin=DEVNULL, stdout=out, stderr=out, start_new_session=True
        ) as process,
    ):
        try:
            yield process
        finally:
            process.terminate()
            with suppress(TimeoutExpired):
                process.wait(20)
            process.kill()


def _wait_ready(api: Api, serve: Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + READY_TIMEOUT
    while time.monotonic() < deadline:
        if serve.poll() is not None:
            raise CommandFailed(f"the API did not start: {tail(log, 1)}")
        with suppress(CommandFailed):
            api.get("health", "ready")
            return
        time.sleep(0.1)
    raise CommandFailed(f"the API is not ready after {READY_TIMEOUT:.0f} s; see {log}")
