"""Messages of the core name nothing of a delivery; the delivery adds its hints."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from galaxy_jobs import domain
from galaxy_jobs.domain import errors
from galaxy_jobs.domain.errors import DomainError
from galaxy_jobs.entrypoints.hints import HINTS, explain


ID = UUID(int=7)
OF_A_DELIVERY = {
    "a route": re.compile(r"\b(GET|POST|PUT|PATCH|DELETE) |(?<![\w/])/[a-z]"),
    "a header": re.compile(r"\b[A-Z][a-z]+(-[A-Z][a-z]+)+\b"),
    "a command": re.compile(r"galaxy-jobs "),
    "a configuration table": re.compile(r"\[\["),
    "a setting": re.compile(r"GALAXY_[A-Z]"),
}


def texts(source: str) -> Iterator[str]:
    """Yield the text of every string literal that is no docstring."""
    tree = ast.parse(source)
    docstrings = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in docstrings
        ):
            yield node.value


MODULES = sorted(Path(domain.__file__).parent.rglob("*.py"))
NO_MESSAGES = {"galaxy-jobs "}  # how the history of a run is named in Galaxy


@pytest.mark.parametrize("what", OF_A_DELIVERY)
def test_no_message_of_the_core_names(what: str) -> None:
    found = [
        f"{module.name}: {text}"
        for module in MODULES
        for text in texts(module.read_text())
        if OF_A_DELIVERY[what].search(text) and text not in NO_MESSAGES
    ]
    assert found == []


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("a route", "Look at GET /submissions/1."),
        ("a route", "It is at /submissions."),
        ("a header", "This Idempotency-Key was used."),
        ("a command", "Run `galaxy-jobs token list`."),
        ("a configuration table", "Pin it in [[workflows]]."),
        ("a setting", "Correct GALAXY_URL."),
    ],
)
def test_it_would_be_noticed(what: str, message: str) -> None:
    assert OF_A_DELIVERY[what].search(message)


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (errors.BadToken(), "`galaxy-jobs token create`"),
        (errors.TokenNotFound("x"), "`galaxy-jobs token list`"),
        (errors.WorkflowAmbiguous("w", ["1", "2"]), "`id`"),
        (errors.KeyInProgress(ID), f"`GET /submissions/{ID}`"),
        (errors.OutcomeUnknown("Lost.", ID), f"`GET /submissions/{ID}`"),
    ],
)
def test_a_hint_follows_the_message(error: DomainError, hint: str) -> None:
    assert type(error) in HINTS
    text = explain(error)
    assert text.startswith(f"{error} ")
    assert hint in text.removeprefix(str(error))


@pytest.mark.parametrize(
    "error",
    [
        errors.JobNotFound("1"),
        errors.RunRejected("{submission_id}"),
        errors.OutcomeUnknown("Lost."),
    ],
)
def test_without_a_hint_it_is_the_message(error: DomainError) -> None:
    assert explain(error) == str(error)
