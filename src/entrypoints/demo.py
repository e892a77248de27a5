"""``make demo``: the whole path on real parts, told as it goes.

A PostgreSQL, a Galaxy, the API and a poller, each a process of its own as in
real life; the job is submitted and watched over HTTP, as any client would.
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
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from http import HTTPStatus
from itertools import count
from pathlib import Path
from typing import Any

import requests

from galaxy_jobs.adapters.embedded.galaxy import LocalGalaxy
from galaxy_jobs.adapters.embedded.samples import (
    SAMPLE_TEXT,
    Sample,
    has_text,
    import_workflow,
    sample_for,
    upload_text,
)
from galaxy_jobs.entrypoints.settings import load


PORT = 8000
DATASET = "fruits"
"""What the sample is registered as, unless that is taken; README goes on with it."""
JOB_LIMIT = 300.0
READY_LIMIT = 60.0


class DemoFailed(Exception):
    """The demo did not get to its end; the message says why."""


def run(*, keep_serving: bool) -> int:
    """Run the demo.

    Args:
        keep_serving: Whether to go on serving until Ctrl-C.

    Returns:
        0; 1 where anything failed.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    told = _Told()
    try:
        with ExitStack() as stack:
            _show(stack, told, keep_serving=keep_serving)
    except KeyboardInterrupt:
        told("stopped")
        return 0
    except (DemoFailed, requests.RequestException) as error:
        told(f"failed: {error}")
        return 1
    return 0


def _show(stack: ExitStack, told: _Told, *, keep_serving: bool) -> None:
    settings = load()
    ours = False
    logs = settings.home / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    if settings.galaxy_url and settings.galaxy_api_key:
        url, key = settings.galaxy()
        told(f"Galaxy        {url} (as configured)")
    else:
        galaxy = LocalGalaxy(settings.home / "galaxy")
        if ours := not galaxy.status().running:
            stack.callback(galaxy.stop)
        access = galaxy.start(told.galaxy)
        url, key = access.url, access.key
        told(f"Galaxy        {url} is up")
    env = {**os.environ, "GALAXY_URL": url, "GALAXY_API_KEY": key}
    port = _port()
    if port != PORT:
        told(f"API           port {PORT} is taken: using {port}")
    api = f"http://127.0.0.1:{port}"
    serve = stack.enter_context(
        _process(["serve", "--port", str(port)], env, logs / "serve.log")
    )
    _wait_ready(api, serve, logs / "serve.log")
    told(f"API           {api} is ready (docs at {api}/docs)")
    poll = stack.enter_context(
        _process(["poll", "--every", "1"], env, logs / "poll.log")
    )
    sample = sample_for(url, key)
    workflow = import_workflow(url, key, sample.path)
    told(f"workflow      {workflow!r} is in Galaxy")
    dataset = _dataset(api, url, key, told)
    wish = {
        "dataset_id": dataset["dataset_id"],
        "workflow_name": workflow,
        "parameters": dict(sample.parameters),
    }
    told(f"POST /jobs      {_json(wish)}")
    answer = _post(api, "/jobs", wish)
    told(f"                -> {_json(answer)}")
    job = _watch(api, answer["invocation_id"], told, poll, logs / "poll.log")
    print(json.dumps(job, indent=2))
    if job["state"] != "completed":
        raise DemoFailed(f"the job is {job['state']}, not completed")
    for output in _get(api, f"/jobs/{job['invocation_id']}/outputs")["items"]:
        told(
            f"output        {output['label']}: {output['name']}, {output['size']} bytes"
        )
    if keep_serving:
        too = ", which stops that Galaxy, too" if ours else ""
        told(f"serving at {api} until Ctrl-C{too} (logs: {logs})")
        said = _next(settings.home, api, dataset["dataset_id"], workflow, sample)
        print(said, flush=True)
        while serve.poll() is None and poll.poll() is None:
            time.sleep(0.5)
        raise DemoFailed(f"a process of the service ended; see {logs}")


def _dataset(api: str, url: str, key: str, told: _Told) -> Any:
    """Return the sample as it is registered; what an earlier demo left serves again."""
    for number in count(1):
        dataset_id = DATASET if number == 1 else f"{DATASET}-{number}"
        known = _find(api, f"/datasets/{dataset_id}")
        if known is None:
            break
        source = known["source"]
        if source["src"] == "hda" and has_text(
            url, key, SAMPLE_TEXT.name, source["id"]
        ):
            told(f"dataset       {dataset_id!r} is registered already: {_json(source)}")
            return known
        told(f"dataset       {dataset_id!r} is other data, or of another Galaxy")
    hda = upload_text(url, key, SAMPLE_TEXT.name, SAMPLE_TEXT.read_text())
    told(f"dataset       {SAMPLE_TEXT.name} uploaded to Galaxy as {hda}")
    body = {
        "dataset_id": dataset_id,
        "name": SAMPLE_TEXT.name,
        "source": {"src": "hda", "id": hda},
    }
    told(f"POST /datasets  {_json(body)}")
    return _post(api, "/datasets", body)


def _next(home: Path, api: str, dataset_id: str, workflow: str, sample: Sample) -> str:
    """Say what to type in a second terminal, where this is left running."""
    parameters = [f"-p {name}={value}" for name, value in sample.parameters.items()]
    submit = ["galaxy-jobs submit", dataset_id, shlex.quote(workflow), *parameters]
    lines = [
        f"export GALAXY_JOBS_HOME={shlex.quote(str(home))}",
        f"curl -s {api}/jobs?limit=1",
        " ".join([*submit, "--wait"]),
    ]
    if api != f"http://127.0.0.1:{PORT}":
        lines.insert(1, f"export GALAXY_JOBS_URL={api}")
    if (activate := Path(sys.prefix, "bin", "activate")).exists():
        lines.insert(0, f". {shlex.quote(str(activate))}")
    typed = "\n".join(f"    {line}" for line in lines)
    return f"\nLeave this running, and type in a second terminal:\n\n{typed}\n"


class _Told:
    """Says one line a stage, with the time since the beginning."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def __call__(self, line: str) -> None:
        print(f"[{time.monotonic() - self._began:6.1f} s] {line}", flush=True)

    def galaxy(self, stage: str) -> None:
        """Tell a stage of the local Galaxy's start."""
        self(f"Galaxy        {stage}")


def _watch(
    api: str,
    invocation_id: str,
    told: _Told,
    poll: subprocess.Popen[bytes],
    log: Path,
) -> Any:
    """Show every change of a job until it has ended."""
    shown = None
    limit = time.monotonic() + JOB_LIMIT
    while time.monotonic() < limit:
        job = _get(api, f"/jobs/{invocation_id}")
        progress = job["progress"]
        now = (
            f"{job['state']:<12}  {progress['ok']} of {progress['total']} jobs ok, "
            f"{progress['running']} running, {progress['waiting']} waiting, "
            f"{progress['failed']} failed"
        )
        if now != shown:
            told(now)
            shown = now
        if job["state"] in {"completed", "failed", "cancelled"}:
            return job
        if poll.poll() is not None:
            raise DemoFailed(f"the poller ended; see {log}")
        time.sleep(0.25)
    raise DemoFailed(f"the job has not ended after {JOB_LIMIT:.0f} s; see {log}")


@contextmanager
def _process(
    arguments: list[str], env: Mapping[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Run one of our commands until the block ends, its output in a file."""
    with log.open("wb") as out:
        process = subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-m", "galaxy_jobs.entrypoints", *arguments],
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            # Ctrl-C is for the demo: it ends the others in their turn.
            start_new_session=True,
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


def _wait_ready(api: str, process: subprocess.Popen[bytes], log: Path) -> None:
    limit = time.monotonic() + READY_LIMIT
    while time.monotonic() < limit:
        if process.poll() is not None:
            last = log.read_text(errors="replace").strip().splitlines()[-1:]
            raise DemoFailed(f"the API did not start: {' '.join(last)}")
        try:
            if requests.get(f"{api}/health/ready", timeout=5).ok:
                return
        except requests.ConnectionError:
            pass
        time.sleep(0.1)
    raise DemoFailed(f"the API is not ready after {READY_LIMIT:.0f} s; see {log}")


def _port() -> int:
    """Return the usual port, or a free one where something else has it."""
    for wanted in (PORT, 0):
        with socket.socket() as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                one.bind(("127.0.0.1", wanted))
            except OSError:
                continue
            port: int = one.getsockname()[1]
            return port
    raise DemoFailed("there is no free port")


def _get(api: str, path: str) -> Any:
    return _answer(requests.get(api + path, timeout=30))


def _find(api: str, path: str) -> Any:
    """Return what is there, or None."""
    response = requests.get(api + path, timeout=30)
    missing = response.status_code == HTTPStatus.NOT_FOUND
    return None if missing else _answer(response)


def _post(api: str, path: str, body: Mapping[str, Any]) -> Any:
    return _answer(requests.post(api + path, json=body, timeout=90))


def _answer(response: requests.Response) -> Any:
    body = response.json()
    if not response.ok:
        raise DemoFailed(f"{response.status_code} {body.get('detail')}")
    return body


def _json(value: object) -> str:
    return json.dumps(value)


def _interrupt(number: int, frame: object) -> None:
    del number, frame
    raise KeyboardInterrupt
