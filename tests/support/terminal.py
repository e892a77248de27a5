"""Our command on a terminal of its own, as a person has it."""

from __future__ import annotations

import codecs
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from fcntl import ioctl
from pathlib import Path
from struct import pack
from termios import TIOCSWINSZ

from attrs import define, field


_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07")


@define
class Terminal:
    """Runs one command and keeps all that it has written.

    Attributes:
        written: Everything, with its escape sequences.
    """

    arguments: tuple[str, ...]
    env: Mapping[str, str]
    folder: Path
    columns: int = 80
    written: str = field(default="", init=False)
    _master: int = field(init=False)
    _process: subprocess.Popen[bytes] = field(init=False)
    _decoder: codecs.IncrementalDecoder = field(
        factory=lambda: codecs.getincrementaldecoder("utf-8")("replace"), init=False
    )

    def __attrs_post_init__(self) -> None:
        self._master, slave = pty.openpty()
        ioctl(slave, TIOCSWINSZ, pack("HHHH", 24, self.columns, 0, 0))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "galaxy_jobs.entrypoints", *self.arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**self.env, "TERM": "xterm-256color"},
            cwd=self.folder,
            start_new_session=True,
        )
        os.close(slave)

    @property
    def text(self) -> str:
        """What a person could read, older states of the screen included."""
        return _ESCAPES.sub("", self.written)

    def read_until(self, wanted: str, timeout: float = 60) -> None:
        """Read on until something has been written.

        Raises:
            AssertionError: It was not, in time.
        """
        limit = time.monotonic() + timeout
        while wanted not in self.text:
            assert time.monotonic() < limit, f"no {wanted!r} in:\n{self.text}"
            if not self._read():
                break
        assert wanted in self.text, self.text

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self._process.send_signal(signal.SIGINT)

    def end(self, timeout: float = 60) -> int:
        """Read to the end, and return the exit code."""
        limit = time.monotonic() + timeout
        while self._read():
            assert time.monotonic() < limit, self.text
        os.close(self._master)
        return self._process.wait(timeout)

    def _read(self) -> bool:
        ready, _, _ = select.select([self._master], [], [], 1)
        if not ready:
            return True
        try:
            chunk = os.read(self._master, 65536)
        except OSError:  # the other side is closed
            return False
        self.written += self._decoder.decode(chunk)
        return bool(chunk)
