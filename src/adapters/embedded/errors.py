"""The error of the embedded services.

Rule of the file: a message is one line that a user can act on: the action, the
problem and the remedy. Longer output of other programs stays in their log, whose
path the message contains.
"""

from __future__ import annotations


class EmbeddedError(Exception):
    """An embedded service could not be installed, started, reached or stopped."""
