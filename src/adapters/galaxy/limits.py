"""What the answers of Galaxy may cost, whatever they hold.

Rule of the file: a method of a port is one :class:`Call`, and everything that it asks
counts against the same limits. Most answers are small and are read side by side;
only one call of the process at a time may hold large ones.
"""

from __future__ import annotations

import json
import time
from threading import Lock
from typing import Any

from attrs import define, field


MAX_ANSWER_BYTES = 24 * 2**20
"""The default limit for the body of one answer. An invocation of ten thousand jobs has
about 4 MB, and takes 31 MiB of memory by the estimate here."""

MAX_MEMORY = 192 * 2**20
"""Bytes that the answers to one call may take in memory, parsed."""

SMALL_ANSWER = 2**20
"""Bytes of a body that is read side by side with others."""

SMALL_CALL = 8 * 2**20
"""Bytes in memory of the answers to a call that is made side by side with others."""

MAX_REQUESTS_OF_CALL = 1000

MAX_TIMEOUTS = 4
"""A call may take so many times the time-out of one request."""


class TooMuch(Exception):
    """The answers to a call cost more than is allowed: a verb and what follows it."""


@define
class Call:
    """The requests that one method of a port makes.

    Attributes:
        timeout: Seconds that one request may take.
        large: Held while this call has large answers.
    """

    timeout: float
    large: Lock
    _deadline: float = field(init=False)
    _requests: int = field(default=0, init=False)
    _memory: int = field(default=0, init=False)
    _is_large: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self._deadline = time.monotonic() + MAX_TIMEOUTS * self.timeout

    def begin_request(self) -> None:
        """Count a request that is about to be sent.

        Raises:
            TooMuch: The call has made too many, or has taken too long.
        """
        self._requests += 1
        if self._requests > MAX_REQUESTS_OF_CALL:
            raise TooMuch(f"took more than {MAX_REQUESTS_OF_CALL} requests")
        if time.monotonic() > self._deadline:
            raise TooMuch(f"took more than {MAX_TIMEOUTS * self.timeout:g} s")

    def receive(self, size: int, timeout: float) -> None:
        """Note that so many bytes of a body have come, and more may.

        Raises:
            TooMuch: It is large, and so were the answers to another call all the time.
        """
        if size > SMALL_ANSWER and not self._is_large:
            if not self.large.acquire(timeout=max(timeout, 0)):
                raise TooMuch("is large, and others were read all the time")
            self._is_large = True

    def parse(self, body: bytearray, timeout: float) -> Any:
        """Return the JSON of a body, which is emptied; NOT_JSON if it is none.

        NaN and the infinities, which are not JSON, are read as null.

        Raises:
            TooMuch: It would take too much memory, or as for :meth:`receive`.
        """
        self._memory += _memory_of(body)
        if self._memory > MAX_MEMORY:
            raise TooMuch(f"takes more than {MAX_MEMORY >> 20} MiB of memory to read")
        if self._memory > SMALL_CALL:
            self.receive(SMALL_ANSWER + 1, timeout)
        try:
            text = body.decode()
            body.clear()
            return _DECODER.decode(text)
        except (ValueError, RecursionError, MemoryError):
            return NOT_JSON

    def end(self) -> None:
        """Let another call have large answers."""
        if self._is_large:
            self._is_large = False
            self.large.release()


NOT_JSON = object()

_DECODER = json.JSONDecoder(parse_constant=lambda _: None)

_OVERHEADS = {b"{": 280, b"[": 100, b",": 40, b'"': 30}
"""Bytes that a value takes in memory, by the character that begins or ends it."""


def _memory_of(body: bytearray) -> int:
    """Return the bytes that a body takes at most while and after it is parsed."""
    # A text with one character beyond the basic ones takes four bytes for each.
    texts = len(body) * (2 if body.isascii() else 8)
    return texts + sum(n * body.count(mark) for mark, n in _OVERHEADS.items())
