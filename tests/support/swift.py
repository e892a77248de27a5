"""OpenStack Swift with its S3 interface, in an environment of its own.

Its packages are locked, installed once, and kept below ``.local``: 16 packages of
60 MB, in seconds. What is missing is an error, never a skip.
"""

from __future__ import annotations

import hashlib
import secrets
import subprocess
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3

from galaxy_jobs.adapters.embedded.store import BUCKET, REGION, StoreAccess
from galaxy_jobs.adapters.embedded.system import free_port, locked
from tests.support.wait import until


ROOT = Path(__file__).parents[2]
SOURCE = Path(__file__).with_name("swift_server")
START_TIMEOUT = 90.0


def swift_python() -> Path:
    """Return the Python that has Swift, which is installed for the first caller."""
    lock = SOURCE / "requirements.txt"
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()[:12]
    folder = ROOT / f".local/swift-{digest}"
    python = folder / "bin/python"
    folder.parent.mkdir(exist_ok=True)
    with locked(folder.with_suffix(".lock")):
        if not (installed := folder / "installed").exists():
            venv.create(folder, with_pip=True, clear=True)
            done = subprocess.run(
                [python, "-m", "pip", "install", "--quiet", "--no-deps", "-r", lock],
                check=False,
                capture_output=True,
                text=True,
                timeout=300,
            )
            assert done.returncode == 0, done.stdout + done.stderr
            installed.touch()
    return python


@contextmanager
def swift(folder: Path) -> Iterator[StoreAccess]:
    """Run Swift, with an empty bucket, until the block ends.

    Args:
        folder: An empty one for its files.
    """
    port, key_id, secret = free_port(18_600), "tests:files", secrets.token_hex(16)
    log = folder / "log"
    with log.open("wb") as out:
        server = subprocess.Popen(
            [swift_python(), SOURCE / "serve.py", folder, str(port), key_id, secret],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
    access = StoreAccess(f"http://127.0.0.1:{port}", BUCKET, REGION, key_id, secret)
    try:

        def ready() -> bool:
            assert server.poll() is None, log.read_text()
            return "\nlistening" in log.read_text()

        until(ready, START_TIMEOUT)
        _make_bucket(access)
        yield access
    finally:
        server.kill()
        server.wait()


def _make_bucket(access: StoreAccess) -> None:
    boto3.session.Session().client(
        "s3",
        endpoint_url=access.endpoint,
        region_name=access.region,
        aws_access_key_id=access.key_id,
        aws_secret_access_key=access.secret,
    ).create_bucket(Bucket=access.bucket)
