"""The one error of the embedded services.

Rule of the file: a message is one line a user can act on: what was tried, what
went wrong, what to do. Longer output of the programs we run stays in their log,
whose path the message names.
"""

from __future__ import annotations


class EmbeddedError(Exception):
    """An embedded service could not be installed, started, reached or stopped."""
