"""What other services import: complete, and each name in one place."""

from __future__ import annotations

import inspect
import sys
import typing
from collections.abc import Callable, Iterator
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType
from typing import Any

import attrs
import pytest
from _pytest.assertion.rewrite import AssertionRewritingHook

from galaxy_jobs import domain
from galaxy_jobs.adapters.testing import contracts, memory
from galaxy_jobs.domain import errors, use_cases


HOMES = (domain, use_cases, memory)


def public(module: ModuleType) -> dict[str, Any]:
    return {name: getattr(module, name) for name in module.__all__}


def signatures(thing: Any) -> Iterator[Callable[..., Any] | type]:
    """Yield what has annotations that a caller, or an implementer, meets."""
    yield thing
    if inspect.isclass(thing):
        for name, member in inspect.getmembers(thing):
            if name.startswith("_") and name != "__call__":
                continue
            code = member.fget if isinstance(member, property) else member
            if inspect.isfunction(code) or inspect.ismethod(code):
                yield code


def hints(thing: Any) -> Iterator[Any]:
    if inspect.isclass(thing) and attrs.has(thing):
        names = vars(sys.modules[thing.__module__])
        for attribute in attrs.fields(thing):
            if not attribute.name.startswith("_"):
                yield (
                    eval(attribute.type, names)
                    if isinstance(attribute.type, str)
                    else attribute.type
                )
    elif inspect.isfunction(thing) or inspect.ismethod(thing):
        yield from typing.get_type_hints(thing).values()


def ours(hint: Any) -> Iterator[Any]:
    """Yield the classes and new types of ours that an annotation names."""
    for part in typing.get_args(hint):
        for argument in part if isinstance(part, list) else [part]:
            yield from ours(argument)
    hint = typing.get_origin(hint) or hint
    if isinstance(hint, typing.TypeVar | typing.ForwardRef):
        return
    named = getattr(hint, "__name__", "_")
    home = str(getattr(hint, "__module__", ""))
    if home.startswith("galaxy_jobs.") and not named.startswith("_"):
        yield hint


@pytest.mark.parametrize("home", HOMES, ids=lambda home: home.__name__)
def test_whatever_a_public_signature_names_can_be_imported(home: ModuleType) -> None:
    known = [*public(domain).values(), *public(home).values(), *vars(errors).values()]
    missing = {
        f"{named.__name__} (of {name})"
        for name, thing in public(home).items()
        for signature in signatures(thing)
        for hint in hints(signature)
        for named in ours(hint)
        if not any(named is other for other in known)
    }
    assert missing == set()


def test_no_name_has_two_meanings() -> None:
    everything = [public(domain), public(use_cases), vars(errors)]
    for name in {name for names in everything for name in names}:
        values = [names[name] for names in everything if name in names]
        assert all(value is values[0] for value in values) or name.startswith("__"), (
            name
        )


@pytest.mark.parametrize("name", [m.name for m in iter_modules(contracts.__path__)])
def test_a_failing_assertion_of_a_contract_shows_its_values(name: str) -> None:
    module = import_module(f"{contracts.__name__}.{name}")
    assert isinstance(module.__loader__, AssertionRewritingHook)
