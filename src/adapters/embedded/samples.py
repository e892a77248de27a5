"""Something to run, and how to bring it into a Galaxy: for the demo and for tests.

Rule of the file: plain HTTP with a URL and a key, nothing of ours in between. What
the tests prepare here must not go through what they test.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

import requests
from attrs import frozen

from galaxy_jobs.adapters.embedded.errors import EmbeddedError


class NoSuchThing(EmbeddedError):
    """Galaxy has nothing at that path."""


_FILES = Path(__file__).with_name("sample_files")

SAMPLE_TEXT = _FILES / "fruits.txt"
"""A few lines."""

SAMPLE_WORKFLOW = _FILES / "sort-and-count.ga"
"""Sorts a text, then counts its lines; inputs ``text``, ``sleep_s``, ``exit_code``."""


@frozen
class Sample:
    """A workflow to show with.

    Attributes:
        path: Its ``.ga`` file.
        tool: The id of the one tool that it is made of.
        parameters: What to run it with, besides a text.
    """

    path: Path
    tool: str
    parameters: Mapping[str, int]


SAMPLES = (
    Sample(SAMPLE_WORKFLOW, "gxj_text", {"sleep_s": 2}),
    Sample(_FILES / "copy-twice.ga", "cat1", {}),
)
"""The better one first; the other is made of a tool that every Galaxy comes with."""

ANSWER_LIMIT = 60.0
UPLOAD_LIMIT = 120.0


def sample_for(url: str, key: str) -> Sample:
    """Return the sample whose tool Galaxy has.

    Raises:
        EmbeddedError: It has none of them, or could not be asked.
    """
    for sample in SAMPLES:
        if _version(url, key, sample.tool) is not None:
            return sample
    tools = " nor ".join(repr(sample.tool) for sample in SAMPLES)
    raise EmbeddedError(
        f"Galaxy at {url} has neither tool {tools}, of which the sample workflows "
        "are made. Run a workflow of its own with POST /jobs instead."
    )


def import_workflow(url: str, key: str, path: Path) -> str:
    """Bring the workflow in the ``.ga`` file *path* into Galaxy; return its name.

    A workflow of that name that the user has already is left as it is: names are
    not unique in Galaxy, and two of one name could not be told apart. Its tools are
    taken in the version that Galaxy has: it would refuse to run another.

    Raises:
        EmbeddedError: Galaxy did not take it.
    """
    workflow = json.loads(path.read_text(encoding="utf-8"))
    name: str = workflow["name"]
    known = call(url, key, "GET", "workflows")
    if not any(one["name"] == name for one in known):
        steps = [one for one in workflow["steps"].values() if one["tool_id"]]
        for tool in {one["tool_id"] for one in steps}:
            version = _version(url, key, tool)
            for step in steps:
                if step["tool_id"] == tool and version is not None:
                    step["tool_version"] = version
        call(url, key, "POST", "workflows", {"workflow": workflow})
    return name


def _version(url: str, key: str, tool: str) -> str | None:
    """Return the version of a tool that Galaxy has; None where it has none."""
    try:
        shown = call(url, key, "GET", f"tools/{tool}")
    except NoSuchThing:
        return None
    version: str = shown["version"]
    return version


def upload_text(
    url: str, key: str, name: str, text: str, history: str | None = None
) -> str:
    """Upload *text* as a dataset called *name* and wait until it is ready.

    It goes into *history*; where that is None, into a new one. What is returned is
    the dataset's id, an ``hda``.

    Raises:
        EmbeddedError: Galaxy refused it, or did not get it ready in time.
    """
    if history is None:
        history = call(url, key, "POST", "histories", {"name": "uploads"})["id"]
    element = {"src": "pasted", "paste_content": text, "ext": "txt", "name": name}
    target = {"destination": {"type": "hdas"}, "elements": [element]}
    # Not upload1: the same text would take it three times as long.
    fetched = call(
        url, key, "POST", "tools/fetch", {"history_id": history, "targets": [target]}
    )
    dataset: str = fetched["outputs"][0]["id"]
    deadline = time.monotonic() + UPLOAD_LIMIT
    while (now := call(url, key, "GET", f"datasets/{dataset}"))["state"] != "ok":
        if now["state"] == "error" or time.monotonic() > deadline:
            raise EmbeddedError(
                f"Galaxy did not get {name!r} ready: it is in state {now['state']!r} "
                f"({now.get('misc_info') or 'no reason given'})."
            )
        time.sleep(0.2)
    return dataset


def has_text(url: str, key: str, name: str, dataset: str) -> bool:
    """Say whether Galaxy has *dataset*, an ``hda``, by that name and ready to use."""
    try:
        shown = call(url, key, "GET", f"datasets/{dataset}")
    except EmbeddedError:  # also for an id of another Galaxy, which it cannot read
        return False
    usable = shown.get("state") == "ok" and not shown.get("deleted")
    return usable and shown.get("name") == name


def call(url: str, key: str, method: str, path: str, body: object = None) -> Any:
    """Ask Galaxy's API at *url* for *path* and return what it answers.

    Raises:
        NoSuchThing: It answered with a 404.
        EmbeddedError: It could not be reached, or answered with another error.
    """
    try:
        answer = requests.request(
            method,
            f"{url.rstrip('/')}/api/{path}",
            headers={"x-api-key": key},
            json=body,
            timeout=ANSWER_LIMIT,
        )
        answer.raise_for_status()
        return answer.json() if answer.content else None
    except requests.HTTPError as error:
        absent = error.response.status_code == HTTPStatus.NOT_FOUND
        raise (NoSuchThing if absent else EmbeddedError)(
            f"Galaxy refused {method} {path}: {error.response.status_code} "
            f"{error.response.text[:300]}"
        ) from error
    except requests.RequestException as error:
        raise EmbeddedError(
            f"Galaxy at {url} did not answer {method} {path}: {error}"
        ) from error
