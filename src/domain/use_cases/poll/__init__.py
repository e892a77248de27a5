"""Polling: when Galaxy is asked, what is asked, and when it is left alone."""

from galaxy_jobs.domain.use_cases.poll.breaker import Breaker
from galaxy_jobs.domain.use_cases.poll.counts import Sweep
from galaxy_jobs.domain.use_cases.poll.schedule import PollPolicy
from galaxy_jobs.domain.use_cases.poll.slow import SLOW_LOOKS, SlowRuns
from galaxy_jobs.domain.use_cases.poll.sweep import Heartbeat, Mapper, Poll, one_by_one


__all__ = [
    "SLOW_LOOKS",
    "Breaker",
    "Heartbeat",
    "Mapper",
    "Poll",
    "PollPolicy",
    "SlowRuns",
    "Sweep",
    "one_by_one",
]
