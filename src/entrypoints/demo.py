"""``make demo``: the whole path on real parts, with a line for each stage.

A PostgreSQL, a Galaxy, the API and a poller, each a process of its own as in
production; the job is submitted and watched over HTTP, as by any client.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any, TypeAlias

from galaxy_jobs.adapters.embedded.galaxy import LocalGalaxy
from galaxy_jobs.adapters.embedded.samples import (
    SAMPLE_TEXT,
    Sample,
    has_text,
    import_workflow,
    sample_for,
    upload_text,
)
from galaxy_jobs.entrypoints import environment
from galaxy_jobs.entrypoints.client import output
from galaxy_jobs.entrypoints.client.errors import CommandFailed, Refused
from galaxy_jobs.entrypoints.client.http import Api
from galaxy_jobs.entrypoints.client.watching import changes
from galaxy_jobs.entrypoints.settings import load


PORT = 8000
DATASET = "fruits"
"""The id of the sample's dataset, unless that is taken; README goes on with it."""

JOB_TIMEOUT = 300.0
"""Seconds."""
READY_TIMEOUT = 60.0
"""Seconds."""

STARTED = time.monotonic()
"""The time that the lines of the demo count from."""

Process: TypeAlias = subprocess.Popen[bytes]


def run(*, keep_serving: bool) -> int:
    """Run the demo.

    Args:
        keep_serving: Whether to go on serving until Ctrl-C.

    Returns:
        0; 1 where anything failed.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with ExitStack() as stack:
            _run(stack, keep_serving=keep_serving)
    except KeyboardInterrupt:
        report("stopped")
    except CommandFailed as error:
        report(f"failed: {error}")
        return 1
    return 0


def report(topic: str, text: str = "") -> None:
    """Print a line, with the time since the start."""
    seconds = time.monotonic() - STARTED
    print(f"[{seconds:6.1f} s] {topic:<12}  {text}".rstrip(), flush=True)


def _run(stack: ExitStack, *, keep_serving: bool) -> None:
    settings = load()
    logs = settings.home / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    ours = False
    if settings.galaxy_url and settings.galaxy_api_key:
        url, key = settings.galaxy()
        report("Galaxy", f"{url} (as configured)")
    else:
        galaxy = LocalGalaxy(settings.home / "galaxy")
        if ours := not galaxy.status().running:
            stack.callback(galaxy.stop)
        access = galaxy.start(lambda stage: report("Galaxy", stage))
        url, key = access.url, access.key
        report("Galaxy", f"{url} is up")
    os.environ.update(GALAXY_URL=url, GALAXY_API_KEY=key)
    if (port := _free_port()) != PORT:
        report("API", f"port {PORT} is taken: using {port}")
    address = f"http://127.0.0.1:{port}"
    api = Api(environment.Service(url=address))
    log = logs / "serve.log"
    serve = stack.enter_context(_process(log, "serve", "--port", str(port)))
    _wait_ready(api, serve, log)
    report("API", f"{address} is ready (docs at {address}/docs)")
    poll = stack.enter_context(_process(logs / "poll.log", "poll", "--every", "1"))
    sample = sample_for(url, key)
    workflow = import_workflow(url, key, sample.path)
    report("workflow", f"{workflow!r} is in Galaxy")
    body = {
        "dataset_id": _dataset(api, url, key),
        "workflow_name": workflow,
        "parameters": dict(sample.parameters),
    }
    report("POST /jobs", json.dumps(body))
    answer = api.post("jobs", body=body).data
    report("", f"-> {json.dumps(answer)}")

    def check() -> None:
        if serve.poll() is not None or poll.poll() is not None:
            raise CommandFailed(f"a process of the service ended; see {logs}")

    job = _watch(api, answer["invocation_id"], check)
    print(json.dumps(job, indent=2))
    if job["state"] != "completed":
        raise CommandFailed(f"the job is {job['state']}, not completed")
    for item in api.get("jobs", job["invocation_id"], "outputs").data["items"]:
        report("output", f"{item['label']}: {item['name']}, {item['size']} bytes")
    if keep_serving:
        too = ", which stops that Galaxy, too" if ours else ""
        report(f"serving at {address} until Ctrl-C{too} (logs: {logs})")
        commands = _next_commands(settings.home, address, job, sample)
        print(f"\nLeave this running, and type in a second terminal:\n\n{commands}")
        sys.stdout.flush()
        while True:
            check()
            time.sleep(0.5)


def _dataset(api: Api, url: str, key: str) -> str:
    """Return the id of the sample's dataset; that of an earlier demo is used again."""
    name = SAMPLE_TEXT.name
    for number in count(1):
        dataset_id = DATASET if number == 1 else f"{DATASET}-{number}"
        try:
            source = api.get("datasets", dataset_id).data["source"]
        except Refused as refusal:
            if refusal.code != "dataset-not-found":
                raise
            break
        if source["src"] == "hda" and has_text(url, key, name, source["id"]):
            report(
                "dataset", f"{dataset_id!r} is registered already: {json.dumps(source)}"
            )
            return dataset_id
        report("dataset", f"{dataset_id!r} is other data, or of another Galaxy")
    hda = upload_text(url, key, name, SAMPLE_TEXT.read_text())
    report("dataset", f"{name} uploaded to Galaxy as {hda}")
    source = {"src": "hda", "id": hda}
    body = {"dataset_id": dataset_id, "name": name, "source": source}
    report("POST /datasets", json.dumps(body))
    api.post("datasets", body=body)
    return dataset_id


def _watch(api: Api, invocation_id: str, check: Callable[[], None]) -> dict[str, Any]:
    """Show the progress of a job, and return it once it has ended."""
    deadline = time.monotonic() + JOB_TIMEOUT

    def check_time() -> None:
        check()
        if time.monotonic() > deadline:
            raise CommandFailed(f"the job has not ended after {JOB_TIMEOUT:.0f} s")

    job: dict[str, Any] = {}
    last = None
    for answer in changes(api, invocation_id, check_time):
        job = answer.data
        line = (job["state"], output.progress(job["progress"], job["state"]))
        if line != last:
            report(*line)
            last = line
    return job


def _next_commands(
    home: Path, address: str, job: dict[str, Any], sample: Sample
) -> str:
    """Return the commands for a second terminal, where this is left running."""
    submit = ["galaxy-jobs", "submit", job["dataset_id"], job["workflow_name"]]
    for name, value in sample.parameters.items():
        submit += ["-p", f"{name}={value}"]
    lines = [
        f"export GALAXY_JOBS_HOME={shlex.quote(str(home))}",
        f"curl -s {address}/jobs?limit=1",
        shlex.join([*submit, "--wait"]),
    ]
    if address != f"http://127.0.0.1:{PORT}":
        lines.insert(1, f"export GALAXY_JOBS_URL={address}")
    if (activate := Path(sys.prefix, "bin", "activate")).exists():
        lines.insert(0, f". {shlex.quote(str(activate))}")
    return "".join(f"    {line}\n" for line in lines)


@contextmanager
def _process(log: Path, *arguments: str) -> Iterator[Process]:
    """Run one of our commands until the block ends, its output in a file."""
    with log.open("wb") as out:
        process = subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-m", "galaxy_jobs.entrypoints", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,  # Ctrl-C is for the demo, which ends the others
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_ready(api: Api, serve: Process, log: Path) -> None:
    deadline = time.monotonic() + READY_TIMEOUT
    while time.monotonic() < deadline:
        if serve.poll() is not None:
            last = log.read_text(errors="replace").strip().splitlines()[-1:]
            raise CommandFailed(f"the API did not start: {' '.join(last)}")
        with suppress(CommandFailed):
            api.get("health", "ready")
            return
        time.sleep(0.1)
    raise CommandFailed(f"the API is not ready after {READY_TIMEOUT:.0f} s; see {log}")


def _free_port() -> int:
    """Return the usual port, or a free one where something else has it."""
    for wanted in (PORT, 0):
        with (
            suppress(OSError),
            socket.create_server(("127.0.0.1", wanted)) as listener,
        ):
            port: int = listener.getsockname()[1]
            return port
    raise CommandFailed("there is no free port")
