"""Whether this process can serve: the database, its schema, and Galaxy.

Galaxy is information only: reads work without it, and a service that is taken out of
rotation because Galaxy is down would lose those, too. No request is sent to it here:
the last news of it is returned.
"""

from __future__ import annotations

from attrs import frozen
from sqlalchemy import Engine

from galaxy_jobs.adapters.postgres import schema_state
from galaxy_jobs.domain.errors import StoreUnavailable
from galaxy_jobs.domain.use_cases import GalaxyNews, WhoAmI


@frozen(kw_only=True)
class Ready:
    """The readiness of this process.

    Attributes:
        database: Whether it answers.
        migrations: ``current``, ``ahead``, ``behind`` or ``empty``; None where
            the database does not answer.
        galaxy: The last news of Galaxy, or None.
        problem: Why it is not ready, in a sentence, or None.
    """

    database: bool
    migrations: str | None
    galaxy: GalaxyNews | None
    problem: str | None = None

    @property
    def ok(self) -> bool:
        """Whether requests can be served."""
        return self.database and self.migrations in {"current", "ahead"}

    @property
    def status(self) -> str:
        """That, in a word."""
        return "ready" if self.ok else "unavailable"


@frozen
class Readiness:
    """Checks the readiness of this process."""

    engine: Engine
    whoami: WhoAmI

    def __call__(self) -> Ready:
        """Return the readiness, after a request to the database."""
        news = self.whoami.last
        try:
            migrations = schema_state(self.engine).value
        except StoreUnavailable as error:
            problem = str(error)
            return Ready(database=False, migrations=None, galaxy=news, problem=problem)
        return Ready(database=True, migrations=migrations, galaxy=news)
