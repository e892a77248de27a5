"""Asks an identity provider for a JSON document.

Rule of the file: whatever it sends, and however slowly, the answer is bounded in size
and time. Redirects are not followed: keys come from where the configuration says.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

import requests
from urllib3.exceptions import HTTPError

from galaxy_jobs.domain.errors import IssuerUnavailable
from galaxy_jobs.domain.model.user import is_secure


TIMEOUT = 5.0
"""Seconds for connecting, for each wait for data, and for the body."""

MAX_DOCUMENT = 256 * 2**10
"""Bytes of a document."""

CHUNK = 16 * 2**10


def ask(
    issuer: str,
    url: object,
    form: Mapping[str, str] | None = None,
    auth: tuple[str, str] | None = None,
) -> tuple[int, dict[str, Any]]:
    """Get a document, or post a form; return the status below 500 and the document.

    Raises:
        IssuerUnavailable: There is no usable answer.
    """
    if not isinstance(url, str) or not is_secure(url):
        raise IssuerUnavailable(issuer, "it names an address that is not https")
    try:
        with requests.request(
            "GET" if form is None else "POST",
            url,
            data=form,
            auth=auth,
            headers={"Accept": "application/json", "Accept-Encoding": "identity"},
            allow_redirects=False,
            stream=True,
            timeout=TIMEOUT,
        ) as response:
            body = _body(issuer, response)
    except (requests.RequestException, HTTPError, OSError, ValueError) as error:
        raise IssuerUnavailable(issuer, "it does not answer") from error
    status = response.status_code
    if 300 <= status < 400 or status >= 500:  # noqa: PLR2004 - of HTTP
        raise IssuerUnavailable(issuer, f"it answers with status {status}")
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise IssuerUnavailable(issuer, "its answer is no JSON object")
    return status, document


def _body(issuer: str, response: requests.Response) -> bytes:
    deadline, body = time.monotonic() + TIMEOUT, b""
    # Not the reading of requests, which waits until a whole chunk is there.
    while chunk := response.raw.read1(CHUNK):
        body += chunk
        if len(body) > MAX_DOCUMENT:
            raise IssuerUnavailable(
                issuer, f"its answer exceeds {MAX_DOCUMENT >> 10} KiB"
            )
        if time.monotonic() > deadline:
            raise IssuerUnavailable(issuer, "its answer takes too long")
    return body
