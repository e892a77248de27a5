"""A user of the tests' own on the real Galaxy, with data and every scenario."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from attrs import define, field

from galaxy_jobs.adapters.embedded.galaxy import LocalGalaxy
from galaxy_jobs.adapters.embedded.samples import call, upload_text
from tests.support import workflows


GALAXY_HOME = Path(__file__).parents[2] / ".local/galaxy"


@contextmanager
def shared_galaxy(say: Callable[[str], None]) -> Iterator[LocalGalaxy]:
    """Give a Galaxy that runs; left running only where it ran before.

    Its environment, data and keys stay from one session to the next: a test makes
    what it needs anew, under names of its own. Several sessions may share it: the
    last one that leaves stops it, if one of them started it.

    Args:
        say: Told how far it is.
    """
    local = LocalGalaxy(GALAXY_HOME)
    GALAXY_HOME.mkdir(parents=True, exist_ok=True)
    ours = GALAXY_HOME / "started-by-tests"
    with (GALAXY_HOME / "sessions.lock").open("w") as sessions:
        fcntl.flock(sessions, fcntl.LOCK_SH)
        if not local.status().running:
            ours.touch()
        try:
            local.start(say)
            yield local
        finally:
            with suppress(BlockingIOError):
                fcntl.flock(sessions, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if ours.exists():
                    local.stop()
                    ours.unlink()


@define
class Lab:
    """What a user of Galaxy has done by hand before the service is used.

    Attributes:
        url: Galaxy's address.
        key: The user's key.
        text: A text dataset (``hda``).
        texts: A list of three texts (``hdca``), one of which says ``poison``.
    """

    url: str
    key: str
    text: str = field(init=False)
    texts: str = field(init=False)

    def __attrs_post_init__(self) -> None:
        history = self.call("POST", "histories", {"name": "test data"})["id"]
        lines = ("banana\napple\ncherry\n", "poison\n", "date\nelder\n")
        members = [
            {
                "src": "hda",
                "name": f"text {number}",
                "id": upload_text(self.url, self.key, f"{number}.txt", text, history),
            }
            for number, text in enumerate(lines)
        ]
        self.text = members[0]["id"]
        self.texts = self.call(
            "POST",
            f"histories/{history}/contents/dataset_collections",
            {
                "name": "texts",
                "collection_type": "list",
                "element_identifiers": members,
            },
        )["id"]
        for workflow in workflows.scenarios().values():
            self._import(workflow)

    def call(self, method: str, path: str, body: object = None) -> Any:
        """Ask Galaxy's API."""
        return call(self.url, self.key, method, path, body)

    def add(self, workflow: dict[str, Any]) -> str:
        """Import a workflow, and return the id of the stored workflow.

        Not one of a scenario's name: everybody's submissions would be ambiguous.
        """
        assert workflow["name"] not in workflows.scenarios(), workflow["name"]
        return self._import(workflow)

    def _import(self, workflow: dict[str, Any]) -> str:
        body = {"workflow": workflow}
        stored: str = self.call("POST", "workflows", body)["id"]
        return stored
