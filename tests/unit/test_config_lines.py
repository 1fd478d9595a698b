"""Lines of keys, for every way in which TOML can write one."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator

import pytest

from config.lines import Key, Lines, dotted
from tests.unit.config_types import PAYLOADS

SHAPES = (PAYLOADS / "shapes.toml").read_text(encoding="utf-8")


def keys_of(tree: object, key: Key = ()) -> Iterator[Key]:
    entries = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for step, entry in entries:
        yield (*key, step)
        yield from keys_of(entry, (*key, step))


@pytest.mark.parametrize("name", ["full", "faulty", "shapes"])
def test_knows_exactly_the_keys_that_the_parser_reads(name: str) -> None:
    """No key without a line, no line for something that is text or a comment."""
    text = (PAYLOADS / f"{name}.toml").read_text(encoding="utf-8")
    assert Lines(text).keys() == set(keys_of(tomllib.loads(text)))


@pytest.mark.parametrize(
    ("key", "written"),
    [
        (("top",), "top = 1"),
        (("dotted", "inner", "deep"), "dotted.inner"),
        (('quoted " key', "literal #", "tail"), '"quoted'),
        (("table", "raw"), "raw ="),
        (("table", "list", 0), "  1, #"),
        (("table", "list", 1, 1), "  [2,"),
        (("table", "list", 2, "list", 0), '    "y"'),
        (("table", "inline", "c.d", "e"), "inline ="),
        (("spaced", "out"), "[ spaced"),
        (("later",), "[later]"),
        (("later", "key"), "key = 2"),
        (("rows", 0, "parts", 1, "detail"), "[rows.parts.detail]"),
        (("rows", 1, "detail", "note"), 'note = "inside the second row"'),
    ],
)
def test_finds_the_line(key: Key, written: str) -> None:
    """The line is the one on which the key begins."""
    line = Lines(SHAPES).of(key)
    assert line is not None
    assert SHAPES.splitlines()[line - 1].startswith(written)


def test_counts_the_same_with_windows_line_ends() -> None:
    """An editor's line ends don't move anything."""
    assert Lines(SHAPES.replace("\n", "\r\n")).of(("rows", 1)) == Lines(SHAPES).of(("rows", 1))


def test_an_absent_key_is_at_its_nearest_parent() -> None:
    """What is missing is missing from a table that stands somewhere."""
    lines = Lines("[a]\nb = 1\n[[c]]\n[[c]]\nd = 2\n")
    assert lines.of(("a", "x", "y")) == 1
    assert lines.of(("c", 1, "x")) == 4
    assert lines.of(("x", "y")) is None


def test_keys_are_shown_the_way_they_are_written() -> None:
    """Only what needs quotes gets them."""
    assert dotted(("targets", "crm", "First name")) == 'targets.crm."First name"'
    assert dotted(("products", 0, "source")) == "products[0].source"
