"""What verbs show: tables that fit 80 columns, JSON, masked learners, and complaints on standard error."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson
import typer
from rich import box
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from bridge.edge.masked import plain, veil

__all__ = ["complain", "course_of", "facts", "person_of", "plain", "show", "show_json", "table", "veil"]

_NARROWEST = 12
"""A column of text narrower than this is a torment to read."""


def complain(message: str) -> None:
    """Say on standard error what is wrong."""
    typer.echo(f"bridge: {plain(message)}", err=True)


def show(*parts: RenderableType) -> None:
    """Show renderables on standard output; without colours when that is no terminal."""
    console = Console(highlight=False, markup=False, emoji=False)
    for part in parts:
        console.print(part, soft_wrap=isinstance(part, str))  # a path in a sentence can be copied only in one piece


def show_json(value: Any) -> None:
    """Print one JSON document on standard output."""
    options = orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS
    typer.echo(orjson.dumps(value, default=str, option=options).decode())


def person_of(right: Mapping[str, Any]) -> str:
    """Return by what a target knows the person of a right."""
    return str(right["person"]).removeprefix("email:").removeprefix("id:")


def course_of(right: Mapping[str, Any]) -> str:
    """Return what a target calls the course of a right."""
    return ", ".join(f"{name} {value}" for name, value in right["remote_course"].items())


def table(columns: Mapping[str, str], rows: Iterable[Mapping[str, Any]], *, whole: Sequence[str] = ()) -> Table:
    """Return a table.

    Args:
        columns: key in the rows -> heading.
        rows: what to show.
        whole: keys whose values are not to be broken into lines, as far as they fit: ids, states, times.
    """
    rows = list(rows)
    unbroken = _fitting(
        {key: max(len(columns[key]), *(_widest(row[key]) for row in rows)) for key in whole if key in columns and rows},
        len(columns),
    )
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    for key, heading in columns.items():
        shown.add_column(heading, no_wrap=key in unbroken, overflow="fold")
    for row in rows:
        shown.add_row(*(Text(plain(row[key])) for key in columns))
    return shown


def _widest(value: Any) -> int:
    return max((len(line) for line in plain(value).splitlines()), default=0)


def _fitting(widths: Mapping[str, int], columns: int) -> set[str]:
    """Return the columns that can stay unbroken beside the others; cutting off part of an id would be worse."""
    left = Console().width - columns - _NARROWEST * (columns - len(widths))
    fitting = set()
    for key, width in sorted(widths.items(), key=lambda item: item[1]):
        left -= width
        if left >= 0:
            fitting.add(key)
        else:
            break
    return fitting


def facts(row: Mapping[str, Any], *, without: Sequence[str] = ()) -> Table:
    """Return one thing's plain fields below each other; empty ones are left out."""
    shown = Table.grid(padding=(0, 2, 0, 0))
    shown.add_column(no_wrap=True)
    shown.add_column(overflow="fold")
    for key, value in row.items():
        if key not in without and value not in (None, "", [], {}):
            text = orjson.dumps(value, default=str).decode() if isinstance(value, dict | list) else plain(value)
            shown.add_row(Text(key.replace("_", " ")), Text(plain(text)))
    return shown
