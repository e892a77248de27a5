"""The memory of a process: its threads, and what it imports."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest


ARENAS = """
import ctypes, os, sys, threading
from galaxy_jobs.adapters.threads import limit_arenas
if sys.argv[1] == "limited":
    limit_arenas()
barrier = threading.Barrier(8)
def allocate():
    ctypes.CDLL(None).malloc(1000)
    barrier.wait()
threads = [threading.Thread(target=allocate) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
libc = ctypes.CDLL(None)
libc.fdopen.restype = ctypes.c_void_p
out = libc.fdopen(1, b"w")
libc.malloc_info(0, ctypes.c_void_p(out))
libc.fflush(ctypes.c_void_p(out))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_threads_share_their_memory() -> None:
    def arenas(mode: str) -> int:
        command = [sys.executable, "-c", ARENAS, mode]
        return subprocess.check_output(command, text=True).count("<heap nr=")

    assert arenas("unlimited") > 2
    assert arenas("limited") <= 2


def test_a_service_imports_nothing_large_that_it_may_never_use() -> None:
    code = "import galaxy_jobs.entrypoints.serve, sys; print(*sys.modules)"
    command = [sys.executable, "-c", code]
    imported = set(subprocess.check_output(command, text=True).split())
    large = {"alembic", "boto3", "botocore", "cryptography", "jwt"}
    assert "bioblend" in imported
    assert not imported & large
