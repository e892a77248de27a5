"""Trials of both ways to hand files over to Galaxy, for diagnosis."""

from __future__ import annotations

import time

from attrs import frozen

from galaxy_jobs.adapters.galaxy import purging, sent, translate
from galaxy_jobs.adapters.galaxy.client import Client, Refused
from galaxy_jobs.domain.errors import RunnerUnavailable
from galaxy_jobs.domain.model.dataset import UploadedFile, UrlData, masked


HISTORY = "galaxy-jobs doctor"

POLL_INTERVAL = 0.5
"""Seconds between two looks at the dataset."""

_SETTLED = frozenset({"ok", "error", "failed_metadata", "discarded"})


@frozen
class Trial:
    """Tries to hand a file over.

    Attributes:
        client: Sends the requests.
        timeout: Seconds for Galaxy to fetch a file: it may have to wait in a queue.
    """

    client: Client
    timeout: float = 60.0

    def fetched(self, data: UrlData) -> str | None:
        """Have Galaxy fetch a file into a history that is purged afterwards.

        Returns:
            Why it does not; None: it does.

        Raises:
            RunnerUnavailable: It did not answer, or not fetch it in time.
        """
        with self.client.domain_errors(Refused.unexpected):
            history = self.client.post("histories", {"name": HISTORY}, keys="id")
            history_id = translate.id_of(history)
            target = {
                "destination": {"type": "hdas"},
                "items": [translate.input_value(data)],
            }
            body = {"history_id": history_id, "targets": [target]}
            try:
                answer = self.client.post("tools/fetch", body)
                (output,) = translate.objects(translate.part(answer, "outputs", list))
                return self._outcome(translate.id_of(output))
            except Refused as refusal:
                return masked(refusal.message)
            finally:
                purging.delete_history(self.client, history_id, purge=True)

    def _outcome(self, id_: str) -> str | None:
        deadline = time.monotonic() + self.timeout
        while time.monotonic() < deadline:
            shown = self.client.get(f"datasets/{id_}")
            if (state := shown.get("state")) in _SETTLED:
                reason = translate.text(shown.get("misc_info")) or f"it is {state}"
                return None if state == "ok" else masked(reason)
            time.sleep(POLL_INTERVAL)
        raise RunnerUnavailable(
            f"Galaxy has not fetched a file within {self.timeout:g} s. It may be busy."
        )

    def sent(self, file: UploadedFile) -> str | None:
        """Send a file to Galaxy, of which no dataset is made.

        Returns:
            Why it does not take it; None: it does.
        """
        try:
            with self.client.domain_errors():
                sent.send(self.client, file, time.monotonic() + self.timeout)
        except (Refused, RunnerUnavailable) as error:
            return str(error)
        return None
