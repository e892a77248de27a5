"""A client of server-sent events, reading in a thread, as browsers parse them."""

from __future__ import annotations

import json
import queue
import socket
import threading
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Any
from urllib.parse import urlsplit

from attrs import frozen


@frozen
class Event:
    id: str
    kind: str
    data: Any


class Events:
    """A stream that is open; what comes is kept until it is asked for."""

    def __init__(self, url: str, last_id: str = "", **headers: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname
        connection = HTTPConnection(parts.hostname, parts.port, timeout=120)
        connection.connect()
        self._socket: socket.socket = connection.sock
        sent = {"Last-Event-ID": last_id} if last_id else {}
        target = f"{parts.path}?{parts.query}"
        connection.request("GET", target, headers={**sent, **headers})
        self._answer: HTTPResponse = connection.getresponse()
        self.status = self._answer.status
        self.headers = self._answer.headers
        self.last_id = last_id
        self.begun = False
        self.heartbeats = 0
        self.ended = threading.Event()
        self._come: queue.Queue[Event] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def next(self, timeout: float = 20) -> Event:
        """Return the next event, once it has come."""
        return self._come.get(timeout=timeout)

    def take(self, count: int) -> list[Event]:
        """Return the next events."""
        return [self.next() for _ in range(count)]

    def come(self) -> list[Event]:
        """Return what has come that nobody asked for."""
        found = []
        while not self._come.empty():
            found.append(self._come.get())
        return found

    def close(self) -> None:
        """Hang up, as a browser does whose page is closed."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self.ended.wait(20)
        self._socket.close()

    def _read(self) -> None:
        kind, data = "message", ""
        with suppress(OSError, HTTPException):
            while raw := self._answer.readline():
                line = raw.decode().rstrip("\n")
                name, _, value = line.partition(":")
                value = value.removeprefix(" ")
                if line.startswith(":"):
                    self.heartbeats += 1
                    self.begun = True
                elif name == "id":
                    self.last_id = value
                elif name == "event":
                    kind = value
                elif name == "data":
                    data += value
                elif not line:
                    if data and kind != "connected":
                        self._come.put(Event(self.last_id, kind, json.loads(data)))
                    kind, data = "message", ""
                    self.begun = True
        self.ended.set()
