"""One client that names thousands of things that are not there."""

from __future__ import annotations

import http.client
from urllib.parse import urlsplit

from tests.attacks.measure import Attack, memory
from tests.support.service import Service


LENGTH = 30_000
"""Bytes of each path, whose longest form is limited with the head of its request."""


def test_long_paths(api: Service, attack: Attack) -> None:
    pid = api.commands[-1].process.pid
    parts = urlsplit(api.url)
    assert parts.hostname
    line = http.client.HTTPConnection(parts.hostname, parts.port, timeout=20)
    for number in range(400):
        if number == 100:  # what any work takes once is not what is measured
            before = memory(pid)
        line.request("GET", f"/jobs/{number:0{LENGTH}}")
        line.getresponse().read()
    line.close()
    attack.at_most(4, "memory kept by the API", memory(pid) - before, "MiB")
