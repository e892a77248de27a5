"""Connections to Galaxy, each request with one deadline.

Rule of the file: requests' own timeout is for each operation on the socket, and a
server that sends a byte a second never exceeds it. Only another thread that shuts
the connection down under the reader ends such a request: the :class:`Watchdog`.
"""

from __future__ import annotations

import threading
import time
from socket import SHUT_RDWR, socket
from typing import Any, Self

from attrs import define, field
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.response import HTTPResponse


@define
class Watchdog:
    """Cuts attempts at their deadlines: one thread, whatever the number of requests.

    The thread starts with the first attempt, and ends when it wakes up and finds
    nothing to watch, a deadline after the last attempt at most. So there is nothing
    to close.
    """

    _attempts: set[Attempt] = field(factory=set, init=False)
    is_stopped: bool = field(default=False, init=False)
    _is_running: bool = field(default=False, init=False)
    _wakes_at: float = field(default=0.0, init=False)
    _changed: threading.Condition = field(
        factory=lambda: threading.Condition(threading.Lock()), init=False
    )

    def add(self, attempt: Attempt) -> None:
        """Watch an attempt until it is removed."""
        with self._changed:
            if self.is_stopped:
                attempt.cut()
                return
            if not self._is_running:
                threading.Thread(
                    target=self._run, name="galaxy-watchdog", daemon=True
                ).start()
                self._is_running = True
            elif attempt.deadline < self._wakes_at:
                self._changed.notify()
            self._attempts.add(attempt)

    def remove(self, attempt: Attempt) -> None:
        """Stop watching an attempt: from now on its connection may serve another."""
        with self._changed:
            self._attempts.discard(attempt)

    def stop(self) -> None:
        """Cut all attempts now, and each later one before it is sent."""
        with self._changed:
            self.is_stopped = True
            while self._attempts:
                self._attempts.pop().cut()

    def _run(self) -> None:
        with self._changed:
            while self._attempts:
                # An attempt that ends wakes nobody: most end long before their
                # deadline, and the thread would do nothing but wake up.
                self._wakes_at = min(attempt.deadline for attempt in self._attempts)
                left = self._wakes_at - time.monotonic()
                if left > 0:
                    self._changed.wait(left)
                    continue
                for attempt in [*self._attempts]:
                    if attempt.deadline <= self._wakes_at:
                        self._attempts.remove(attempt)
                        attempt.cut()
            self._is_running = False


@define(eq=False)
class Attempt:
    """One attempt to send a request and to read its answer.

    Attributes:
        deadline: On the monotonic clock.
        watchdog: Cuts the connection at the deadline.
        sent: Whether Galaxy may have received something of the request.
        reused: Whether its connection has served another request before.
        timed_out: Whether it was cut.
    """

    deadline: float
    watchdog: Watchdog
    sent: bool = field(default=False, init=False)
    reused: bool = field(default=False, init=False)
    timed_out: bool = field(default=False, init=False)
    _connection: HTTPConnection | None = field(default=None, init=False)

    @property
    def time_left(self) -> float:
        """Seconds; never zero, which would mean no limit."""
        return max(self.deadline - time.monotonic(), 0.001)

    def __enter__(self) -> Self:
        self.watchdog.add(self)
        _thread.attempt = self
        return self

    def __exit__(self, *_: object) -> None:
        _thread.attempt = None
        self.watchdog.remove(self)

    def use(self, connection: HTTPConnection) -> None:
        """Remember the connection that is about to be made or used.

        Raises:
            TimeoutError: The attempt was cut before.
        """
        self._connection = connection
        if self.timed_out:
            raise TimeoutError

    def cut(self) -> None:
        """Shut the connection down under its reader."""
        self.timed_out = True
        sock = self._connection.sock if self._connection else None
        if isinstance(sock, socket):
            try:
                # Not TLS's own shutdown, which waits for the other side.
                socket.shutdown(sock, SHUT_RDWR)
            except OSError:
                return  # it had ended by itself


class WatchedAdapter(HTTPAdapter):
    """requests' transport, with connections that belong to an :class:`Attempt`."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager


_thread = threading.local()
"""``attempt``: the one that this thread is making."""


class _Connection(HTTPConnection):
    _has_served = False

    def connect(self) -> None:
        attempt: Attempt = _thread.attempt
        attempt.use(self)
        self._has_served = False
        try:
            super().connect()
        finally:
            # A tunnel through a proxy sends something, but not the request.
            attempt.sent = False
        # Cut between two addresses of the host, there was no socket to shut down.
        attempt.use(self)

    def request(self, *args: Any, **kwargs: Any) -> None:
        attempt: Attempt = _thread.attempt
        attempt.use(self)
        attempt.reused = self._has_served and self.sock is not None
        super().request(*args, **kwargs)

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        _thread.attempt.sent = True
        super().send(data)

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]  # as urllib3
        response = super().getresponse()
        self._has_served = True
        return response


class _TlsConnection(_Connection, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


_POOLS = {"http": _Pool, "https": _TlsPool}
