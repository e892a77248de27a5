"""A store of files in memory, and what clients send to it."""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit
from uuid import uuid4

from attrs import field, frozen

from galaxy_jobs.domain.errors import BadLink, ObjectNotFound, SizeMismatch
from galaxy_jobs.domain.model.signing import Signer, SigningKey
from galaxy_jobs.domain.model.upload import StoredPart
from galaxy_jobs.domain.ports import Clock, ObjectStore, SignedRequest


OK, FORBIDDEN, NOT_FOUND, UNPROCESSABLE = 200, 403, 404, 422


class _Beginning(NamedTuple):
    """A file that was begun, and its parts by their numbers."""

    key: str
    parts: dict[int, bytes]


@frozen
class MemoryObjectStore(ObjectStore):
    """Files in a dict. Its addresses are no real ones: :meth:`send` takes requests.

    Attributes:
        clock: Tells when addresses expire.
    """

    clock: Clock
    _signer: Signer = field(
        factory=lambda: Signer([SigningKey(secrets.token_bytes(32))]), init=False
    )
    _begun: dict[str, _Beginning] = field(factory=dict, init=False, repr=False)
    _files: dict[str, bytes] = field(factory=dict, init=False, repr=False)
    _lock: threading.Lock = field(factory=threading.Lock, init=False, repr=False)

    @property
    def keys(self) -> set[str]:
        """The keys under which anything is stored or begun."""
        with self._lock:
            return {*self._files, *(begun.key for begun in self._begun.values())}

    def send(
        self,
        method: str,
        url: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, bytes]:
        """Send a request to an address of a part; return a status of HTTP and a body.

        The status is 200, 403 where the address is not valid for this body, 404 where
        the file takes no parts any more, or 422 where the SHA-256 is another one.
        """
        del method, headers
        split = urlsplit(url)
        query = dict(parse_qsl(split.query, keep_blank_values=True))
        permitted = _fields(split.path, query)
        try:
            self._signer.verify("part", permitted, query, self.clock())
        except BadLink:
            return FORBIDDEN, b""
        if len(body) != int(query["size"]):
            return FORBIDDEN, b""
        if query["sha256"] not in {"", hashlib.sha256(body).hexdigest()}:
            return UNPROCESSABLE, b""
        with self._lock:
            begun = self._begun.get(query["ref"])
            if begun is None:
                return NOT_FOUND, b""
            begun.parts[int(query["number"])] = bytes(body)
        return OK, b""

    def begin(self, key: str, size: int) -> str:
        del size
        ref = uuid4().hex
        with self._lock:
            self._begun[ref] = _Beginning(key, {})
        return ref

    def sign_part(
        self,
        key: str,
        ref: str,
        part: StoredPart,
        *,
        offset: int,
        sha256: str | None = None,
        lifetime: timedelta,
    ) -> SignedRequest:
        del offset
        expires_at = (self.clock() + lifetime).replace(microsecond=0)
        query = {
            "ref": ref,
            "number": str(part.number),
            "size": str(part.size),
            "sha256": sha256 or "",
        }
        signed = self._signer.sign("part", _fields(f"/{key}", query), expires_at)
        return SignedRequest(
            url=f"memory://store/{key}?{urlencode({**query, **signed})}",
            expires_at=expires_at,
        )

    def parts(self, key: str, ref: str) -> Sequence[StoredPart]:
        with self._lock:
            begun = self._begun.get(ref)
            if begun is None or begun.key != key:
                return []
            return [StoredPart(n, len(part)) for n, part in sorted(begun.parts.items())]

    def finish(self, key: str, ref: str, size: int) -> str | None:
        with self._lock:
            if key not in self._files:
                begun = self._begun.get(ref)
                parts = {} if begun is None or begun.key != key else begun.parts
                content = b"".join(part for _, part in sorted(parts.items()))
                _check_size(size, len(content))
                self._files[key] = content
            _check_size(size, len(self._files[key]))
            self._forget(key)
        return None

    def size(self, key: str) -> int | None:
        with self._lock:
            return len(self._files[key]) if key in self._files else None

    @contextmanager
    def read(self, key: str) -> Iterator[Iterator[bytes]]:
        with self._lock:
            if key not in self._files:
                raise ObjectNotFound
            content = self._files[key]
        yield iter([content])

    def sign_read(self, key: str, name: str, lifetime: timedelta) -> str | None:
        del key, name, lifetime
        return None

    def discard(self, key: str) -> None:
        with self._lock:
            self._files.pop(key, None)
            self._forget(key)

    def now(self) -> datetime | None:
        return None

    def _forget(self, key: str) -> None:
        """Remove what is begun under a key."""
        for ref in [ref for ref, begun in self._begun.items() if begun.key == key]:
            del self._begun[ref]


def _check_size(declared: int, size: int) -> None:
    if size != declared or not size:
        raise SizeMismatch(f"The file has {size} bytes; {declared} were declared.")


def _fields(path: str, query: Mapping[str, str]) -> Sequence[str]:
    """Return what the address of a part permits, in the order in which it is signed."""
    declared = [query.get(name, "") for name in ("ref", "number", "size", "sha256")]
    return [path, *declared]
