"""Markdown that the generated passages share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table."""
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"


def named(names: Iterable[str]) -> str:
    """Return names of settings, states and the like, as code, with commas."""
    return ", ".join(f"`{name}`" for name in names)
