"""Gates in a process of ours: where it comes to a call, it stops until it is killed."""

from __future__ import annotations

import functools
import importlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from attrs import frozen

from galaxy_jobs.domain.model import upload as model
from galaxy_jobs.domain.use_cases import uploads as use_cases


@frozen
class Gate:
    """A call before or after which a process stops.

    Attributes:
        call: A function, as ``module:name`` or ``module:Class.name``.
        stage: Before it is called, or after it has returned.
    """

    call: str
    stage: Literal["before", "after"]

    def close(self, reached: Path) -> None:
        """Have this process stop there; each thread that does makes a file.

        Args:
            reached: The folder of these files.
        """
        module, _, path = self.call.partition(":")
        *above, name = path.split(".")
        owner: Any = importlib.import_module(module)
        for part in above:
            owner = getattr(owner, part)
        setattr(owner, name, self._stopping(getattr(owner, name), reached))

    def _stopping(self, call: Callable[..., Any], reached: Path) -> Callable[..., Any]:
        def stop() -> None:
            (reached / uuid4().hex).touch()
            threading.Event().wait()

        @functools.wraps(call)
        def stopping(*args: Any, **kwargs: Any) -> Any:
            if self.stage == "before":
                stop()
            answer = call(*args, **kwargs)
            stop()
            return answer

        return stopping


def small_parts(size: int, gate: Gate | None = None, reached: Path = Path()) -> None:
    """Have this process make parts of uploads of that size, and stop at a gate."""
    for module in (model, use_cases):
        vars(module)["PART_SIZE"] = size
    if gate is not None:
        gate.close(reached)
