"""A server of somebody else: keeps whatever is sent to it."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from attrs import define, field


SSL_REQUEST = 80877103
PASSWORD_PLEASE = b"R" + struct.pack("!ii", 8, 3)


@define
class Eavesdropper:
    """Answers HTTP with an empty list, and asks PostgreSQL's clients for a password.

    Attributes:
        port: Where it listens, on 127.0.0.1.
        heard: Everything that it was sent.
    """

    port: int
    heard: bytearray = field(factory=bytearray)

    def secrets(self, *texts: str) -> int:
        """Count the texts that it was sent."""
        return sum(text.encode() in self.heard for text in texts)

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.settimeout(10)
            while data := connection.recv(65536):
                self.heard += data
                if b"HTTP/1." in data:
                    body = b'{"items": [], "next_cursor": null}'
                    connection.sendall(
                        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                        b"Connection: close\r\nContent-Length: %d\r\n\r\n%b"
                        % (len(body), body)
                    )
                    return
                if data[4:8] == struct.pack("!i", SSL_REQUEST):
                    connection.sendall(b"N")
                else:
                    connection.sendall(PASSWORD_PLEASE)


@contextmanager
def eavesdropper() -> Iterator[Eavesdropper]:
    """Run one while the block runs."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        listening = Eavesdropper(server.getsockname()[1])

        def accept() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    threading.Thread(
                        target=listening._serve, args=(connection,), daemon=True
                    ).start()

        threading.Thread(target=accept, daemon=True).start()
        yield listening
        server.shutdown(socket.SHUT_RDWR)
