"""What became of many things: each in a line while they are few; else counted by cause, with the first of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

import typer

from bridge.cli.shown import complain, show, show_json, table

AllLines = Annotated[
    bool, typer.Option("--all-lines", help="Show each of them, however many, instead of counts and the first ones.")
]

_FEW: Final = 20
"""So many are shown one by one without being asked to."""
_FIRST: Final = 5
_CAUSES: Final = 50
_WHOLE: Final = ("delivery_id", "quarantine_id", "lookup_id", "event_id", "registration_id", "became", "count")
_NUMBERED: Final = re.compile(r"\b(registration|event|requeue|delivery|line) \d+")


@dataclass(frozen=True, slots=True)
class Alike:
    """What makes rows one cause, and how that is shown.

    Attributes:
        keys: rows that have the same under these are counted together, whichever registration or event a text names.
        columns: key -> heading; of a key that may differ within a cause, the first row's stands for the others.
    """

    keys: Sequence[str]
    columns: Mapping[str, str]


def tell(
    rows: Sequence[Mapping[str, Any]],
    columns: Mapping[str, str],
    alike: Alike,
    *,
    said: str = "",
    as_json: bool = False,
    all_lines: bool = False,
) -> None:
    """Show what became of each row, or of many.

    Args:
        rows: in the order in which they are shown.
        columns: of a row, key -> heading.
        alike: how many of them are counted.
        said: the sentence below.
        as_json: print every row as JSON, and nothing else.
        all_lines: every row, however many there are.
    """
    if as_json:
        show_json(rows)
        return
    if len(rows) > _FEW and not all_lines:
        _show_many(rows, columns, alike)
    elif rows:
        show(table(columns, rows, whole=_WHOLE), "")
    if said:
        show(said)


def some(number: int, what: str) -> str:
    """Return ``3 lines``, or ``1 line``."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def count(rows: Sequence[Any], what: str, verb: str, *, dry_run: bool) -> str:
    """Return how many were done, or would be."""
    number = some(len(rows), what)
    return f"{number} would be {verb}; nothing was changed" if dry_run else f"{number} {verb}"


def missing(ids: Iterable[int] | None, rows: Iterable[Mapping[str, Any]], key: str) -> list[int]:
    """Return the ids that were asked for and are not among the rows."""
    found = {row[key] for row in rows}
    return [number for number in dict.fromkeys(ids or ()) if number not in found]


def stop_at(wrong: Sequence[int], words: str) -> None:
    """Complain of each id, of very many of the first ones.

    Raises:
        typer.Exit: there is one.
    """
    for number in wrong[:_FEW]:
        complain(words.format(number))
    if len(wrong) > _FEW:
        complain(f"... and {len(wrong) - _FEW} more")
    if wrong:
        raise typer.Exit(1)


def _show_many(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], alike: Alike) -> None:
    causes = _counted(rows, alike)
    show(table({"count": "how many", **alike.columns}, causes[:_CAUSES], whole=_WHOLE))
    if len(causes) > _CAUSES:
        rest = sum(int(cause["count"]) for cause in causes[_CAUSES:])
        show(f"... and {rest} of {len(causes) - _CAUSES} more kinds: --json has all of them")
    show("", f"the first {_FIRST}:", table(columns, rows[:_FIRST], whole=_WHOLE))
    show(f"... and {len(rows) - _FIRST} more: --all-lines or --json shows all of them", "")


def _counted(rows: Iterable[Mapping[str, Any]], alike: Alike) -> list[dict[str, Any]]:
    """Return a row for each cause with its ``count``, the most frequent first."""
    causes: dict[tuple[str, ...], dict[str, Any]] = {}
    for row in rows:
        key = tuple(_without_number(row[name]) for name in alike.keys)
        cause = causes.setdefault(key, {"count": 0} | {name: _without_number(row[name]) for name in alike.columns})
        cause["count"] += 1
    return sorted(causes.values(), key=lambda cause: -int(cause["count"]))


def _without_number(value: Any) -> str:
    return _NUMBERED.sub(r"\1 …", "" if value is None else str(value))
