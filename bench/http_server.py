"""The service as it is served, with one more route.

The arguments are ``DATABASE_URL``, and the identity provider that is trusted, if any.

``/raw`` is the limit to compare with: psycopg by itself, one statement that has
PostgreSQL make the whole page, from the same application behind the same door.
"""

from __future__ import annotations

import logging
import sys
import threading
from pathlib import Path
from uuid import uuid4

import psycopg
from litestar import MediaType, Response, get
from tests.support.issuer import AUDIENCE

from galaxy_jobs.adapters.http_server import run_server
from galaxy_jobs.domain import Issuer, Scope, Sees
from galaxy_jobs.entrypoints import logs
from galaxy_jobs.entrypoints.app import create_app
from galaxy_jobs.entrypoints.container import opened
from galaxy_jobs.entrypoints.settings import HttpTable, Settings


SQL = (Path(__file__).parent / "raw.sql").read_text()
STATES = ["queued", "in_progress", "cancelling", "completed", "failed", "cancelled"]

_mine = threading.local()


@get("/raw", sync_to_thread=True)
def raw() -> Response[bytes]:
    """Return the page as PostgreSQL makes it."""
    if not hasattr(_mine, "connection"):
        _mine.connection = psycopg.connect(sys.argv[1], autocommit=True)
    said = _mine.connection.execute(SQL, ["dataset 0", STATES]).fetchone()[0]
    return Response(said.encode(), media_type=MediaType.JSON)


def main() -> None:
    """Serve until told to stop."""
    logs.configure(level=logging.ERROR)
    settings = Settings(
        galaxy_url="http://127.0.0.1:9",
        galaxy_api_key="none",
        database_url=sys.argv[1],
        home=Path("/nonexistent"),
        http=HttpTable(rate=1e9, burst=1e9),
        issuers=[
            Issuer(
                issuer=issuer,
                audience=AUDIENCE,
                scopes={"jobs:submit": Scope.SUBMIT},
                sees=Sees.ALL,
            )
            for issuer in sys.argv[2:]
        ],
    )
    with opened(settings) as container:
        token = container.create_token()(f"bench {uuid4()}", Scope.SUBMIT).text
        app = create_app(container)
        app.register(raw)
        run_server(
            app,
            "127.0.0.1",
            0,
            on_ready=lambda url: print(url, token, flush=True),
            on_stop=lambda: container.broadcast().stop(),
            shutdown_timeout=15,
        )


if __name__ == "__main__":
    main()
