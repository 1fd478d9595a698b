"""How new rows go into a table: as one set, on SQLite under ids that are known, on PostgreSQL under ids drawn beforehand.

An insert that tells the ids of its rows makes SQLite keep them all aside and hand them back one by one. Where nobody else
writes, the ids are those that follow the last one, and the count of rows says whether each of them was new: measured, a
quarter less for a group of 32. Running through the rows one by one costs more than it saves, because the driver gives the interpreter's lock
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
        self._conflict = conflict
        self._given = {name: computed.get(name, f"r.{name}") for name in (*columns, *computed)}
        # Values are bound in the order of their places (newer drivers of SQLite refuse places with numbers). So those of a row
        # come before those that all rows share, and a column may ask for the one or the other.
        words = {name: _WORD.findall(sql) for name, sql in self._given.items()}
        shared = [name for name, found in words.items() if any(own for _, own in found)]
        if mixed := [name for name in shared if any(of_row for of_row, _ in words[name])]:
            raise ValueError(f"{table}: {', '.join(mixed)} can't be made of a row and of what all rows share")
        self._bound = [*(name for name in words if name not in shared), *shared]
        self._shared = tuple(own for name in shared for _, own in words[name])
        of_row = tuple(name for column in self._bound for name, _ in words[column] if name)
        self._attribute = getter(of_row, mapping=False)
        self._item = getter(of_row, mapping=True)
        self._width = len(of_row) + len(self._shared)
        self._lengths = [length for length in _LENGTHS if length <= MOST_VALUES // self._width]
        self._statements: dict[int, str] = {}
        self._sets: dict[tuple[str, bool], str] = {}

    def chunks(self, rows: Sequence[Any], values: Mapping[str, Any]) -> Iterator[tuple[str, list[Any]]]:
        """Yield statements for SQLite's driver, with what is bound, that insert the rows.

        They come in a few lengths, so that each is prepared once and found in the driver's cache ever after.
        """
        take = self._item if type(rows[0]) is dict else self._attribute
        own = tuple([values[name] for name in self._shared])
        if len(rows) == 1:
            flat = [*take(rows[0]), *own]
        elif own:
            flat = list(chain.from_iterable([take(row) + own for row in rows]))
        else:
            flat = list(chain.from_iterable(map(take, rows)))
        flat = without_nuls(flat)
        total, width, start = len(rows), self._width, 0
        while start < total:
            length = self._lengths[bisect_right(self._lengths, total - start) - 1]
            statement = self._statements.get(length) or self._statement(length)
            yield statement, flat if length == total else flat[start * width : (start + length) * width]
            start += length

    def _statement(self, length: int) -> str:
        names = ", ".join(self._bound)
        row = ", ".join(_WORD.sub("?", self._given[name]) for name in self._bound)
        rows = ", ".join([f"({row})"] * length)
        statement = self._statements[length] = f'INSERT INTO "{self.table}" ({names}) VALUES {rows} {self._conflict}'
        return statement

    def as_set(self, source: str, *, numbered: bool) -> str:
        """Return the statement that inserts a JSON list of rows; ``numbered``: it tells the id of each that was new, by ``n``."""
        statement = self._sets.get((source, numbered))
        if statement is None:
            statement = self._sets[source, numbered] = self._as_set(source, numbered=numbered)
        return statement

    def _as_set(self, source: str, *, numbered: bool) -> str:
        names, values = ", ".join(self._given), ", ".join(self._given.values())
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
