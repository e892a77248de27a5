"""Ways to let things go wrong between the core and its ports, at one exact call.

Wrap the ports with :meth:`Faults.around`, then say what happens at which call.
A call is named ``port.method``; the moment is *before* it, or *after* it: then
the other side has done it, and nobody heard.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from threading import Event, Thread
from typing import Any, Generic, TypeVar, cast

from attrs import define, field


T = TypeVar("T")


class Killed(BaseException):
    """The process has died here: nothing may catch it."""


class When(Enum):
    BEFORE = "before"
    AFTER = "after"


@define
class Faults:
    """Knows every call that goes through it, and strikes at some.

    Attributes:
        calls: The names of all calls begun so far.
        strikes: What happens at a moment of a call: raises, waits, or whatever.
            Each happens once. A call goes by its name, or by its number among
            `calls`, counting from 0.
    """

    calls: list[str] = field(factory=list)
    strikes: dict[tuple[str | int, When], Callable[[], None]] = field(factory=dict)

    def around(self, name: str, port: T) -> T:
        """Return a stand-in for the port; it says it is one."""
        return cast("T", _Wrapped(name, port, self))

    def raises(self, call: str | int, when: When, error: BaseException) -> None:
        def strike() -> None:
            raise error

        self.strikes[call, when] = strike

    def kills(self, call: str | int, when: When) -> None:
        self.raises(call, when, Killed())

    def strike(self, number: int, when: When) -> None:
        for call in (number, self.calls[number]):
            action = self.strikes.pop((call, when), None)
            if action is not None:
                action()


class _Wrapped:
    def __init__(self, name: str, port: object, faults: Faults) -> None:
        self._name = name
        self._port = port
        self._faults = faults

    def __getattr__(self, method: str) -> Callable[..., Any]:
        call = f"{self._name}.{method}"
        real = getattr(self._port, method)

        def through(*args: Any, **kwargs: Any) -> Any:
            number = len(self._faults.calls)
            self._faults.calls.append(call)
            self._faults.strike(number, When.BEFORE)
            result = real(*args, **kwargs)
            self._faults.strike(number, When.AFTER)
            return result

        return through


@define
class Paused(Generic[T]):
    """Something that was begun, stopped in the middle, and can be let go on.

    It runs in a thread of its own, but never at the same time as its caller:
    what happens is the same each time.
    """

    begun: Callable[[], T]
    error: BaseException | None = None
    result: T | None = None
    _reached: Event = field(factory=Event, init=False)
    _go: Event = field(factory=Event, init=False)
    _thread: Thread = field(init=False)

    def start(self) -> None:
        """Run until :meth:`pause` is reached, or to the end."""
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()
        self._reached.wait()

    def pause(self) -> None:
        """Stop here until somebody calls :meth:`go_on`: a strike for `Faults`."""
        self._reached.set()
        self._go.wait()

    def go_on(self) -> None:
        """Run to the end."""
        self._go.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            self.result = self.begun()
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is told
            self.error = error
        finally:
            self._reached.set()
