"""Sample workflows and data, and their upload to a Galaxy: for the demo and tests.

Rule of the file: plain HTTP with a URL and a key, since test data must not be prepared
with the code under test.
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


class NotFound(EmbeddedError):
    """Galaxy has no object at that path."""


_FILES = Path(__file__).with_name("sample_files")

SAMPLE_TEXT = _FILES / "fruits.txt"
"""A few lines."""

SAMPLE_WORKFLOW = _FILES / "sort-and-count.ga"
"""Sorts a text, then counts its lines; inputs ``text``, ``sleep_s``, ``exit_code``."""


@frozen
class Sample:
    """A sample workflow.

    Attributes:
        path: Its ``.ga`` file.
        tool: The id of the one tool that it uses.
        parameters: The parameters of a run, apart from the text.
    """

    path: Path
    tool: str
    parameters: Mapping[str, int]


SAMPLES = (
    Sample(SAMPLE_WORKFLOW, "gxj_text", {"sleep_s": 2}),
    Sample(_FILES / "copy-twice.ga", "cat1", {}),
)
"""In order of preference; the tool of the last is part of every Galaxy."""

REQUEST_TIMEOUT = 60.0
"""Seconds for one request."""

UPLOAD_TIMEOUT = 120.0
"""Seconds until an uploaded dataset is ready."""


def sample_for(url: str, key: str) -> Sample:
    """Return the first sample whose tool Galaxy has.

    Raises:
        EmbeddedError: It has none of the tools, or did not answer.
    """
    for sample in SAMPLES:
        if _version(url, key, sample.tool) is not None:
            return sample
    tools = " nor ".join(repr(sample.tool) for sample in SAMPLES)
    raise EmbeddedError(
        f"Galaxy at {url} has neither tool {tools}, which the sample workflows "
        "use. Run one of its own workflows with POST /jobs instead."
    )


def import_workflow(url: str, key: str, path: Path) -> str:
    """Import the workflow in the ``.ga`` file *path* into Galaxy; return its name.

    If the user has a workflow of that name already, nothing is imported: names are not
    unique in Galaxy, and the second would make the name ambiguous. The versions of
    its tools are changed to Galaxy's own: it would refuse to run others.

    Raises:
        EmbeddedError: Galaxy refused it, or did not answer.
    """
    workflow = json.loads(path.read_text(encoding="utf-8"))
    name: str = workflow["name"]
    stored = call(url, key, "GET", "workflows")
    if all(other["name"] != name for other in stored):
        steps = [step for step in workflow["steps"].values() if step["tool_id"]]
        for tool in {step["tool_id"] for step in steps}:
            version = _version(url, key, tool)
            for step in steps:
                if step["tool_id"] == tool and version is not None:
                    step["tool_version"] = version
        call(url, key, "POST", "workflows", {"workflow": workflow})
    return name


def _version(url: str, key: str, tool: str) -> str | None:
    """Return the version of a tool in Galaxy; None if it does not have the tool."""
    try:
        version: str = call(url, key, "GET", f"tools/{tool}")["version"]
    except NotFound:
        return None
    return version


def upload_text(
    url: str, key: str, name: str, text: str, history: str | None = None
) -> str:
    """Upload *text* as a dataset called *name* and wait until it is ready.

    Args:
        url: Galaxy's address.
        key: An API key.
        name: The name of the dataset.
        text: Its content.
        history: The id of the history; None creates one.

    Returns:
        The id of the dataset, an ``hda``.

    Raises:
        EmbeddedError: Galaxy refused it, or it was not ready in time.
    """
    if history is None:
        history = call(url, key, "POST", "histories", {"name": "uploads"})["id"]
    element = {"src": "pasted", "paste_content": text, "ext": "txt", "name": name}
    target = {"destination": {"type": "hdas"}, "elements": [element]}
    # Three times as fast as the tool upload1.
    fetched = call(
        url, key, "POST", "tools/fetch", {"history_id": history, "targets": [target]}
    )
    dataset: str = fetched["outputs"][0]["id"]
    deadline = time.monotonic() + UPLOAD_TIMEOUT
    while (shown := call(url, key, "GET", f"datasets/{dataset}"))["state"] != "ok":
        if shown["state"] == "error" or time.monotonic() > deadline:
            raise EmbeddedError(
                f"The upload of {name!r} to Galaxy failed: its state is "
                f"{shown['state']!r} ({shown.get('misc_info') or 'no reason given'})."
            )
        time.sleep(0.2)
    return dataset


def has_text(url: str, key: str, name: str, dataset: str) -> bool:
    """Whether Galaxy has *dataset*, an ``hda`` of that name, ready for use."""
    try:
        shown = call(url, key, "GET", f"datasets/{dataset}")
    except EmbeddedError:  # also for an id of another Galaxy, which is malformed here
        return False
    usable = shown.get("state") == "ok" and not shown.get("deleted")
    return usable and shown.get("name") == name


def call(url: str, key: str, method: str, path: str, body: object = None) -> Any:
    """Send a request to Galaxy's API at *url* and return its JSON; None if empty.

    Raises:
        NotFound: The answer was a 404.
        EmbeddedError: There was no answer, or another error.
    """
    try:
        answer = requests.request(
            method,
            f"{url.rstrip('/')}/api/{path}",
            headers={"x-api-key": key},
            json=body,
            timeout=REQUEST_TIMEOUT,
        )
        answer.raise_for_status()
        return answer.json() if answer.content else None
    except requests.HTTPError as error:
        absent = error.response.status_code == HTTPStatus.NOT_FOUND
        raise (NotFound if absent else EmbeddedError)(
            f"Galaxy refused {method} {path}: {error.response.status_code} "
            f"{error.response.text[:300]}"
        ) from error
    except requests.RequestException as error:
        raise EmbeddedError(
            f"Galaxy at {url} did not answer {method} {path}: {error}"
        ) from error
