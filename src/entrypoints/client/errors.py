"""How a client command can fail, and with which exit code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class CommandFailed(Exception):
    """A command did not do what it was called for; the message is for people.

    Attributes:
        exit_code: Of the program.
        hint: What to do or to type next, or None.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class Usage(CommandFailed):
    """The command was typed in a way that it does not understand."""

    exit_code = 2


class Unreachable(CommandFailed):
    """The service gave no answer that could be understood.

    Attributes:
        arrived: Whether the request may have arrived there.
    """

    exit_code = 3

    def __init__(
        self, message: str, hint: str | None = None, *, arrived: bool = True
    ) -> None:
        super().__init__(message, hint)
        self.arrived = arrived


class Refused(CommandFailed):
    """The service said no, and why.

    Attributes:
        problem: The problem details, as they came.
        body: The same in bytes.
        retry_after: After how many seconds to ask again, if it said so.
    """

    def __init__(
        self,
        problem: Mapping[str, Any],
        body: bytes = b"",
        retry_after: float | None = None,
    ) -> None:
        self.problem = dict(problem)
        self.body = body
        self.retry_after = retry_after
        title = str(self.problem.get("title") or "Refused")
        detail = str(self.problem.get("detail") or "")
        super().__init__(f"{title}. {detail}".strip())

    @property
    def code(self) -> str:
        """What the problem's type ends in."""
        return str(self.problem.get("type", "")).rpartition(":")[2]

    @property
    def status(self) -> int:
        """The HTTP status; 0 where there was none."""
        status = self.problem.get("status")
        return status if isinstance(status, int) else 0
