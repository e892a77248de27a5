"""A process that uses an embedded PostgreSQL, controlled by lines on its input.

Each line is answered by a JSON object with ``ok`` or ``error``. The arguments are a
home, and the account to run as: one that is not root, or ``-`` for no change.
"""

from __future__ import annotations

import ctypes
import json
import os
import pwd
import sys
from pathlib import Path

import psycopg

from galaxy_jobs.adapters.embedded.errors import EmbeddedError
from galaxy_jobs.adapters.embedded.postgres import SYSTEM_FOLDER, EmbeddedPostgres
from galaxy_jobs.adapters.embedded.postgres_programs import program_folder


def become(account: str) -> Path | None:
    """Run as *account* from now on, if we are root; return PostgreSQL's programs."""
    if account == "-" or os.geteuid() != 0:
        return None
    # Found now: the account may not be able to enter the project's folder.
    programs = program_folder(SYSTEM_FOLDER)
    entry = pwd.getpwnam(account)
    os.setgroups([])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)
    return programs


def main() -> None:
    home, account = sys.argv[1:]
    server = EmbeddedPostgres(Path(home), programs=become(account))
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
                    # Sent without waiting: the session is busy when it is killed.
                    busy = psycopg.connect(server.url)
                    busy.execute(b"begin")
                    busy.pgconn.send_query(sql.encode())
                    answer["ok"] = busy.info.backend_pid
                case "adopt":
                    # As in a container whose first process reaps no children: orphans
                    # become ours, and stay zombies.
                    set_child_subreaper = 36
                    answer["ok"] = ctypes.CDLL(None).prctl(set_child_subreaper, 1)
                case _:
                    answer["error"] = f"unknown verb {verb!r}"
        except (EmbeddedError, psycopg.Error) as error:
            answer["error"] = f"{type(error).__name__}: {error}"
        print(json.dumps(answer), flush=True)  # noqa: T201 - the protocol


if __name__ == "__main__":
    main()
