"""How new rows go into a table: as one set, on SQLite under ids of our own, on PostgreSQL under ids drawn beforehand.

An insert that tells the ids of its rows makes SQLite keep them all aside and hand them back one by one. Where nobody else
writes, the ids are ours to give, and the count of rows says whether each of them was new: measured, a quarter less for a
group of 32. Running through the rows one by one costs more than it saves, because the driver gives the interpreter's lock
away for each of them.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

from bridge.ledger.rowset import MOST_VALUES, getter, without_nuls

_WORD = re.compile(r"\br\.(\w+)|(?<![:\w]):(\w+)")
_LENGTHS = (*range(1, 17), 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 112, 128)
Computed = tuple[tuple[str, str], ...]
"""Further columns and what they are, as SQL over ``r`` and named values."""


def as_chunks(
    table: str,
    columns: tuple[str, ...],
    computed: Computed,
    conflict: str,
    rows: Sequence[Any],
    values: Mapping[str, Any],
    first: int | None,
) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Yield statements for SQLite's driver, with what is bound, that insert the rows; under ids from ``first`` on.

    They come in a few lengths, so that each is prepared once and found in the driver's cache ever after.
    """
    take = getter(columns, mapping=isinstance(rows[0], Mapping))
    flat = without_nuls(list(chain.from_iterable(map(take, rows))))
    width = len(columns)
    most = MOST_VALUES // width
    start = 0
    while start < len(rows):
        length = _LENGTHS[bisect_right(_LENGTHS, min(len(rows) - start, most)) - 1]
        statement, named = _statement(table, columns, computed, conflict, length, numbered=first is not None)
        own = [values[name] for name in named]
        if first is not None:
            own.append(first + start)
        yield statement, (*flat[start * width : (start + length) * width], *own)
        start += length


@lru_cache(maxsize=1_024)
def _statement(
    table: str, columns: tuple[str, ...], computed: Computed, conflict: str, length: int, *, numbered: bool
) -> tuple[str, tuple[str, ...]]:
    """Return a statement for ``length`` rows and the names of what is bound after them; ``numbered``: then the first id."""
    own = length * len(columns)
    named = {name: None for _, sql in computed for _, name in _WORD.findall(sql) if name}
    places = {name: own + place for place, name in enumerate(named, start=1)}

    def row(number: int) -> str:
        here = {name: number * len(columns) + place for place, name in enumerate(columns, start=1)}
        values = [f"?{place}" for place in here.values()]
        values += [_WORD.sub(lambda m: f"?{here[m[1]] if m[1] else places[m[2]]}", sql) for _, sql in computed]
        return ", ".join([*values, f"?{own + len(named) + 1} + {number}"] if numbered else values)

    names = ", ".join([*columns, *(name for name, _ in computed), *(["id"] if numbered else [])])
    rows = ", ".join(f"({row(number)})" for number in range(length))
    return f'INSERT INTO "{table}" ({names}) VALUES {rows} {conflict}', tuple(named)


@lru_cache(maxsize=256)
def as_set(
    table: str,
    columns: tuple[str, ...],
    computed: Computed,
    conflict: str,
    source: str,
    *,
    numbered: bool,
) -> str:
    """Return the statement that inserts a JSON list of rows; ``numbered``: it tells the id of each that was new, by ``n``."""
    names = ", ".join([*columns, *(name for name, _ in computed)])
    values = ", ".join([*columns, *(sql for _, sql in computed)])
    if not numbered:
        return f'INSERT INTO "{table}" ({names}) SELECT {values} FROM {source} ORDER BY r.n {conflict}'
    # The ids are drawn first, because what an INSERT returns can't be told apart by the place in the list. The sequence is
    # looked up once, and not for each row.
    drawn = f"""nextval((SELECT CAST(pg_get_serial_sequence('"{table}"', 'id') AS regclass)))"""
    return f"""
WITH given AS MATERIALIZED (
 SELECT {drawn} AS id, r.* FROM {source} ORDER BY r.n
), made AS (
 INSERT INTO "{table}" (id, {names}) SELECT r.id, {values} FROM given r ORDER BY r.n {conflict} RETURNING id
) SELECT given.n, made.id FROM given JOIN made ON made.id = given.id"""
