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
from itertools import chain
from typing import Any

from bridge.ledger.rowset import MOST_VALUES, getter, without_nuls

_WORD = re.compile(r"\br\.(\w+)|(?<![:\w]):(\w+)")
_LENGTHS = (*range(1, 17), 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 112, 128)
_NONE: Mapping[str, str] = {}
_NOTHING = "ON CONFLICT DO NOTHING"


class Insertion:
    """What is written about rows of one shape, made once: its statements are kept for each number of rows."""

    def __init__(
        self,
        table: str,
        columns: Mapping[str, str],
        *,
        computed: Mapping[str, str] = _NONE,
        conflict: str = _NOTHING,
    ) -> None:
        """Describe an insertion.

        Args:
            table: where the rows go.
            columns: what they say, ``int`` or ``text`` each.
            computed: further columns, or what becomes of one that the rows name, as SQL over ``r`` and named values.
            conflict: what is done about a row that is there already: SQL; empty where none can be there.
        """
        self.table = table
        self.columns = columns
        self._computed = computed
        self._further = [name for name in computed if name not in columns]
        self._conflict = conflict
        names = {name: None for sql in computed.values() for _, name in _WORD.findall(sql) if name}
        self._named = tuple(names)
        most = MOST_VALUES // len(columns)
        self._lengths = [length for length in _LENGTHS if length <= most]
        self._numbered: dict[int, str] = {}
        self._unnumbered: dict[int, str] = {}
        self._attribute = getter(tuple(columns), mapping=False)
        self._item = getter(tuple(columns), mapping=True)
        self._sets: dict[tuple[str, bool], str] = {}

    def chunks(
        self, rows: Sequence[Any], values: Mapping[str, Any], first: int | None
    ) -> Iterator[tuple[str, list[Any]]]:
        """Yield statements for SQLite's driver, with what is bound, that insert the rows; under ids from ``first`` on.

        They come in a few lengths, so that each is prepared once and found in the driver's cache ever after.
        """
        take = self._item if type(rows[0]) is dict else self._attribute
        flat = without_nuls(list(take(rows[0]) if len(rows) == 1 else chain.from_iterable(map(take, rows))))
        own = [values[name] for name in self._named]
        bound = self._numbered if first is not None else self._unnumbered
        width, total, start = len(self.columns), len(rows), 0
        while start < total:
            length = self._lengths[bisect_right(self._lengths, total - start) - 1]
            statement = bound.get(length) or self._statement(length, numbered=first is not None)
            here = flat if length == total else flat[start * width : (start + length) * width]
            here += own
            if first is not None:
                here.append(first + start)
            yield statement, here
            start += length

    def _statement(self, length: int, *, numbered: bool) -> str:
        """Return the statement for ``length`` rows; after them the named values are bound, and, ``numbered``, the first id."""
        columns = tuple(self.columns)
        own = length * len(columns)
        places = {name: own + place for place, name in enumerate(self._named, start=1)}

        def row(number: int) -> str:
            here = {name: number * len(columns) + place for place, name in enumerate(columns, start=1)}
            values = [
                _WORD.sub(lambda m: f"?{here[m[1]] if m[1] else places[m[2]]}", self._computed.get(name, f"r.{name}"))
                for name in (*columns, *self._further)
            ]
            return ", ".join([*values, f"?{own + len(self._named) + 1} + {number}"] if numbered else values)

        names = ", ".join([*columns, *self._further, *(["id"] if numbered else [])])
        rows = ", ".join(f"({row(number)})" for number in range(length))
        statement = f'INSERT INTO "{self.table}" ({names}) VALUES {rows} {self._conflict}'
        (self._numbered if numbered else self._unnumbered)[length] = statement
        return statement

    def as_set(self, source: str, *, numbered: bool) -> str:
        """Return the statement that inserts a JSON list of rows; ``numbered``: it tells the id of each that was new, by ``n``."""
        statement = self._sets.get((source, numbered))
        if statement is None:
            statement = self._sets[source, numbered] = self._as_set(source, numbered=numbered)
        return statement

    def _as_set(self, source: str, *, numbered: bool) -> str:
        given = [*self.columns, *self._further]
        names = ", ".join(given)
        values = ", ".join(self._computed.get(name, f"r.{name}") for name in given)
        if not numbered:
            return f'INSERT INTO "{self.table}" ({names}) SELECT {values} FROM {source} ORDER BY r.n {self._conflict}'
        # The ids are drawn first, because what an INSERT returns can't be told apart by the place in the list. The sequence
        # is looked up once, and not for each row.
        drawn = f"""nextval((SELECT CAST(pg_get_serial_sequence('"{self.table}"', 'id') AS regclass)))"""
        return f"""
WITH given AS MATERIALIZED (
 SELECT {drawn} AS id, r.* FROM {source} ORDER BY r.n
), made AS (
 INSERT INTO "{self.table}" (id, {names}) SELECT r.id, {values} FROM given r ORDER BY r.n {self._conflict} RETURNING id
) SELECT given.n, made.id FROM given JOIN made ON made.id = given.id"""
