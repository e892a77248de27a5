"""The real Galaxy that all tests share, and a user of one session's own on it."""

from __future__ import annotations

import fcntl
import os
import zlib
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from typing import Any

from attrs import define, evolve, field

from galaxy_jobs.adapters.embedded.galaxy import LocalGalaxy
from galaxy_jobs.adapters.embedded.galaxy_package import RELEASES
from galaxy_jobs.adapters.embedded.samples import call, upload_text
from tests.support import workflows


GALAXY = LocalGalaxy.among(
    Path(__file__).parents[2] / ".local", os.environ.get("GALAXY") or RELEASES[-1]
)
"""The Galaxy of this clone: of the release in the variable GALAXY, or the newest."""

GALAXY_HOME = GALAXY.home

STARTED_BY_TESTS = GALAXY_HOME / "started-by-tests"
USERS_LOCK = GALAXY_HOME / "sessions.lock"


def port_for(folder: Path) -> int:
    """Return a port that depends on a folder.

    Two Galaxies that start at the same time both find a port free, and take it only
    half a minute later.
    """
    return 20_000 + zlib.crc32(bytes(folder)) % 10_000


@define(eq=False)
class SharedGalaxy:
    """The Galaxy of this clone, started in the background and used by many at once.

    Its environment, data and keys stay from one session to the next: a test makes
    what it needs under names of its own. The kernel counts the users by shared locks
    on one file, so that a killed session counts no more.

    Attributes:
        progress: Called with each stage of the start, a short phrase.
    """

    progress: Callable[[str], None]
    _start: Future[LocalGalaxy] = field(factory=Future, init=False)
    _leave: Event = field(factory=Event, init=False)
    _user: Thread = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._user = Thread(target=self._use, name="galaxy", daemon=True)
        self._user.start()

    def get(self) -> LocalGalaxy:
        """Wait until it answers, and return it.

        Raises:
            EmbeddedError: It could not be installed or started.
        """
        return self._start.result()

    def leave(self) -> None:
        """Stop using it. It goes on running: see :func:`stop_unused_galaxy`."""
        self._leave.set()
        self._user.join()

    def _use(self) -> None:
        GALAXY_HOME.mkdir(parents=True, exist_ok=True)
        with USERS_LOCK.open("w") as users:
            fcntl.flock(users, fcntl.LOCK_SH)
            try:
                local = evolve(GALAXY, port=port_for(GALAXY_HOME))
                if not local.status().running:
                    STARTED_BY_TESTS.touch()
                local.start(self.progress)
            except BaseException as error:  # noqa: BLE001 - raised where it is used
                self._start.set_exception(error)
            else:
                self._start.set_result(local)
                self._leave.wait()


def stop_unused_galaxy() -> None:
    """Stop the Galaxy of this clone if tests have started it and none uses it."""
    if not STARTED_BY_TESTS.exists():
        return
    with USERS_LOCK.open("w") as users, suppress(BlockingIOError):
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if STARTED_BY_TESTS.exists():
            GALAXY.stop()
            STARTED_BY_TESTS.unlink()


@contextmanager
def shared_galaxy(progress: Callable[[str], None]) -> Iterator[LocalGalaxy]:
    """The Galaxy of this clone, running; left running only where it ran before.

    Args:
        progress: Called with each stage of the start.
    """
    shared = SharedGalaxy(progress)
    try:
        yield shared.get()
    finally:
        shared.leave()
        stop_unused_galaxy()


@define
class Lab:
    """What a user of Galaxy has done by hand before the service is used.

    Attributes:
        url: Galaxy's address.
        key: The user's key.
        scenarios: The names of those that are imported; all by default.
        text: A text dataset (``hda``).
        texts: A list of three texts (``hdca``), one of which says ``poison``.
    """

    url: str
    key: str
    scenarios: Collection[str] = field(factory=workflows.scenarios, kw_only=True)
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
        imported = workflows.scenarios()
        for name in self.scenarios:
            self._import(imported[name])

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
