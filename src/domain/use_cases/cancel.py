"""Ask a job to stop."""

from __future__ import annotations

from attrs import frozen

from galaxy_jobs.domain.errors import StaleVersion
from galaxy_jobs.domain.model.invocation import Invocation
from galaxy_jobs.domain.model.values import InvocationId
from galaxy_jobs.domain.ports import Clock, InvocationRepository


@frozen
class CancelJob:
    """Asks a job to stop.

    Only the wish is recorded: the poller asks Galaxy, again and again until it
    agrees, and never for a run that has ended, since Galaxy would turn a
    completed invocation ``cancelled``.
    """

    invocations: InvocationRepository
    clock: Clock

    def __call__(self, invocation_id: InvocationId) -> Invocation:
        """Return it with the cancel pending; one cancelled already as it is.

        Raises:
            JobNotFound: There is none.
            AlreadyEnded: It has completed or failed.
        """
        while True:
            before = self.invocations.get(invocation_id)
            after = before.request_cancel(self.clock())
            if after is before:
                return before
            try:
                self.invocations.save(before, after)
            except StaleVersion:
                continue  # a poll came in between: look at what it found
            return after
