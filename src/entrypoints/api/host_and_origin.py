"""Request headers that decide whether a request is let in: Host, Origin and others.

As long as no token was ever made, every client that reaches the address may do
everything, so the service listens on a loopback address. A page of any web site can
still make a browser on the same machine send requests there; these name another
``Host`` (after DNS rebinding) or another ``Origin``, and are refused.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

from litestar.types import Scope

from galaxy_jobs.entrypoints.api.problems import Refused, malformed


SINGLETON_HEADERS = frozenset(
    {
        b"authorization",
        b"content-type",
        b"cookie",
        b"host",
        b"idempotency-key",
        b"last-event-id",
        b"origin",
        b"sec-fetch-site",
    }
)
"""Headers that decide something, and so may be sent once only: a proxy in front could
go by one of them, and the service by the other."""


def check_framing(scope: Scope) -> None:
    """Refuse a request whose headers have more than one meaning.

    A singleton header was sent twice, or the length of the body is given in two ways
    or in an unknown one.
    """
    names: set[bytes] = set()
    for name, value in scope["headers"]:
        if name in names and name in SINGLETON_HEADERS:
            raise malformed(
                f"The {name.decode().title()} header was sent more than once."
            )
        names.add(name)
        if name == b"transfer-encoding" and value.strip().lower() != b"chunked":
            raise malformed("Transfer-Encoding must be chunked, if any.")
    if {b"content-length", b"transfer-encoding"} <= names:
        raise malformed("Content-Length and Transfer-Encoding cannot be sent together.")


def check_host(host: str | None) -> None:
    """Refuse a request whose `Host` is not a loopback address."""
    if host is None or not _is_local(f"//{host}"):
        raise Refused(
            "forbidden",
            f"Host is {host!r}; without tokens, this service answers on localhost, "
            "127.0.0.1 and [::1] only.",
        )


def check_origin(origin: str | None, allowed: frozenset[str] = frozenset()) -> None:
    """Refuse a request that a page of another site has made, by its `Origin`.

    Of the *allowed* ones, ``*`` counts for none: without tokens, anybody may do
    everything.
    """
    if origin is not None and not _is_local(origin) and origin not in allowed - {"*"}:
        raise Refused(
            "forbidden",
            f"Origin is {origin!r}; without tokens, only local pages are let in.",
        )


def _is_local(address: str) -> bool:
    """Whether an address names this machine, by a name that nobody else can own."""
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    if host is None or parts.username is not None or parts.path:
        return False
    return is_loopback(host)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a host."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_same_origin(headers: Mapping[str, str]) -> bool:
    """Whether a browser attests that a page of this service sent a request.

    This is the check of Go's ``http.CrossOriginProtection``: ``Sec-Fetch-Site``, or
    else ``Origin`` against ``Host``. Unlike there, one of them must be present.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:  # set by the browser itself: no page can write it
        return site == "same-origin"
    origin, host = headers.get("origin"), headers.get("host")
    if not origin or not host:
        return False
    try:
        # The scheme is not compared: behind a proxy it is not known.
        return urlsplit(origin).netloc.lower() == host.lower()
    except ValueError:
        return False
