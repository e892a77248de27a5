"""The signals that stop the polling loop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from types import FrameType
from typing import Any

import pytest

from galaxy_jobs.entrypoints.poller import StopSignals


def test_a_signal_at_any_instruction_of_the_wait_ends_it() -> None:
    # In a process of its own: a deadlock is seen as one that does not end.
    done = subprocess.run(
        [sys.executable, "-m", __name__],
        check=False,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_second_signal_ends_the_process_at_once(number: signal.Signals) -> None:
    code = (
        "import os, time; from galaxy_jobs.entrypoints.poller import StopSignals\n"
        "signals = StopSignals()\n"
        f"os.kill(os.getpid(), {number:d}); assert signals.wait(0)\n"
        f"os.kill(os.getpid(), {number:d}); time.sleep(60)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, timeout=60)
    assert done.returncode == 128 + number


def interrupted(instruction: int) -> bool:
    """Wait, with a signal at the instruction of this number, if there are so many."""
    left = instruction

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal left
        frame.f_trace_opcodes = True
        if event == "opcode":
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGINT)
        return trace

    signals = StopSignals()
    sys.settrace(trace)
    signals.wait(0.1)
    sys.settrace(None)
    # A signal that came after the last look is seen by the next one.
    if signals.wait(0) != (left <= 0):
        raise AssertionError(f"instruction {instruction}")
    return left <= 0


if __name__ == "__main__":
    instructions = 1
    while interrupted(instructions):
        instructions += 1
    assert instructions > 2
