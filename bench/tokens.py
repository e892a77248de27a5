"""A token of an identity provider against one of our own, both known already.

Compared is the time that the process works for a request, the least of five: other work
on the machine disturbs it less than the rate of requests.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from tests.support.issuer import local_issuer
from tests.support.rows import fill

from bench.http import SECONDS, load, serving
from bench.store import postgres, store
from bench.table import Row
from galaxy_jobs.adapters.oidc import OidcProviders


LIST = "/jobs?limit=1"
VERIFICATIONS = 500
TURNS = 5


def rows() -> Iterator[Row]:
    """Measure."""
    with local_issuer() as issuer, postgres() as server, store(server) as one:
        fill(one.url, 100)
        hour = int(time.time()) + 3600
        with serving(one.url, issuer.url) as (url, own, process):
            tokens = {"theirs": issuer.token(exp=hour), "own": own}
            costs: dict[str, list[float]] = {name: [] for name in tokens}
            for _ in range(TURNS):
                for name, text in tokens.items():
                    before = _seconds(process.pid)
                    rate, _ = load(url + LIST, text)
                    spent = _seconds(process.pid) - before
                    costs[name].append(spent / (rate * SECONDS) * 1e6)
        ours, theirs = map(min, costs.values())
        yield Row(
            "list: CPU us of a request with an identity provider's token, against ours",
            ours,
            theirs,
            ours / theirs,
            "ratio <= 1.05",
            ours / theirs <= 1.05,
        )
        providers = OidcProviders((issuer.issuer(),), lambda: datetime.now(UTC))
        texts = [issuer.token(jti=str(n), exp=hour) for n in range(VERIFICATIONS)]
        first, again = (_microseconds(providers, texts) for _ in range(2))
        yield Row(
            "a token of an identity provider, us, once verified, against before",
            again,
            first,
            again / first,
            "ratio <= 0.1",
            again / first <= 0.1,
        )


def _microseconds(providers: OidcProviders, texts: list[str]) -> float:
    began = time.perf_counter()
    for text in texts:
        providers.verify(text)
    return (time.perf_counter() - began) / len(texts) * 1e6


def _seconds(pid: int) -> float:
    """Return the CPU time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
