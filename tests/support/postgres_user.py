"""One process that uses an embedded PostgreSQL, told by lines what to do.

Each line read is answered by one: a JSON object with ``ok``, or ``error``.
Run it with a home, and the account to be: one that is not root, or ``-``.
"""

from __future__ import annotations

import ctypes
import json
import os
import pwd
import sys
from pathlib import Path

import psycopg

from galaxy_jobs.adapters.embedded import postgres
from galaxy_jobs.adapters.embedded.errors import EmbeddedError


def become(account: str) -> None:
    """Be *account* from now on, where we are root."""
    if account == "-" or os.geteuid() != 0:
        return
    # The project may lie where the account cannot enter, so all that is needed
    # later is found now.
    programs = postgres._programs()
    postgres._programs = lambda: programs
    entry = pwd.getpwnam(account)
    os.setgroups([])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)


def main() -> None:
    home, account = sys.argv[1:]
    become(account)
    server = postgres.EmbeddedPostgres(Path(home))
    for line in sys.stdin:
        verb, _, sql = line.strip().partition(" ")
        answer: dict[str, object] = {}
        try:
            match verb:
                case "acquire":
                    answer["ok"] = server.acquire()
                case "revive":
                    server.revive()
                    answer["ok"] = None
                case "release":
                    server.release()
                    answer["ok"] = None
                case "sql":
                    with psycopg.connect(server.url) as connection:
                        cursor = connection.execute(sql.encode())
                        answer["ok"] = cursor.fetchall() if cursor.description else []
                case "begin":
                    # Sent and not waited for: the session is at work when killed.
                    busy = psycopg.connect(server.url)
                    busy.execute(b"begin")
                    busy.pgconn.send_query(sql.encode())
                    answer["ok"] = busy.info.backend_pid
                case "adopt":
                    # As in a container whose first process reaps nobody: orphans
                    # become ours, and zombies for good.
                    set_child_subreaper = 36
                    answer["ok"] = ctypes.CDLL(None).prctl(set_child_subreaper, 1)
                case _:
                    answer["error"] = f"what is {verb!r}?"
        except (EmbeddedError, psycopg.Error) as error:
            answer["error"] = f"{type(error).__name__}: {error}"
        print(json.dumps(answer), flush=True)  # noqa: T201 - the protocol


if __name__ == "__main__":
    main()
