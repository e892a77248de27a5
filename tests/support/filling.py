"""Values on the command line and in forms, as close to them as people can come."""

from __future__ import annotations

import re
from typing import Any

from attrs import define
from playwright.sync_api import Locator, Page

from galaxy_jobs.entrypoints.typed_text import text_of
from tests.support.declared import LEFT_OUT


@define
class Inexpressible(Exception):
    """There is no way to express a value, for that reason."""

    reason: str


def options(label: str, value: Any) -> list[str]:
    """Return the options of the command line that give an input a value.

    Raises:
        Inexpressible: It cannot be typed.
    """
    if value == LEFT_OUT:
        return []
    if value == []:
        raise Inexpressible("no option gives an empty list")
    texts = map(text_of, value if isinstance(value, list) else [value])
    return [word for text in texts for word in ("-p", f"{label}={text}")]


def fill(page: Page, label: str, value: Any) -> None:
    """Fill in the field of an input.

    Raises:
        Inexpressible: It cannot contain the value.
    """
    fields = page.locator(f'[name="p.{label}"]:not([type=hidden])')
    field, text = fields.first, text_of(value)
    match field.evaluate("(field) => field.type"):
        case "checkbox" if fields.count() == 1:
            if not isinstance(value, bool):
                raise Inexpressible("a box is ticked or not")
            field.set_checked(value)
        case "checkbox":
            _tick(fields, value)
        case "select-one":
            _choose(field, text)
        case "color":
            if not re.fullmatch("#[0-9a-fA-F]{6}", text):
                raise Inexpressible("the browser offers colors only")
            field.fill(text)
        case "number":
            _type(field, text)
        case "text":
            _choose_text(page, label, value)
        case other:
            raise AssertionError(other)


def _tick(boxes: Locator, value: Any) -> None:
    """Tick the boxes of a list, and no others."""
    if value is None:
        raise Inexpressible("boxes have no null")
    values = [*map(text_of, value if isinstance(value, list) else [value])]
    offered = boxes.evaluate_all("(boxes) => boxes.map(({value}) => value)")
    if not {*values} <= {*offered}:
        raise Inexpressible("not offered")
    for box in boxes.all():
        box.set_checked(box.get_attribute("value") in values)


def _choose(list_: Locator, text: str) -> None:
    offered = list_.locator("option").evaluate_all(
        "(options) => options.map(({value}) => value)"
    )
    if text not in offered:
        raise Inexpressible("not offered")
    list_.select_option(text)


def _choose_text(page: Page, label: str, value: Any) -> None:
    """Choose no value or the empty text, or type a text."""
    choices = page.locator(f'[name="c.{label}"]')
    if value is None:
        nothing = choices.and_(page.get_by_label("not set", exact=True))
        if not nothing.count():
            raise Inexpressible("a text is never null")
        nothing.check()
    elif value == "" and (empty := choices.and_(page.locator("[value=empty]"))).count():
        empty.check()
    else:
        _type(page.locator(f'input[name="p.{label}"]'), text_of(value))


def _type(field: Locator, text: str) -> None:
    field.fill("")
    field.press_sequentially(text)
    if field.input_value() != text:
        raise Inexpressible("cannot be typed")
