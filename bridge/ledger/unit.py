"""One open transaction of the ledger: what its modules write through."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from bridge.ledger.engine import Dialect
from bridge.ledger.insertion import as_chunks, as_set
from bridge.ledger.rowset import as_json, as_values, row_of

_NONE: Mapping[str, str] = {}
_UNTRACED: Mapping[int, str] = {}


class Unit:
    """One open transaction: what the ledger's modules write through."""

    def __init__(self, connection: Connection, dialect: Dialect) -> None:
        """Wrap an open transaction."""
        self._connection = connection
        # On the hot path SQLAlchemy's own share of a statement would be as much as SQLite's (ADR 0019).
        self._driver: Any = None if dialect.many_writers else connection.connection.driver_connection
        self._fault: type[Exception] = connection.dialect.loaded_dbapi.Error
        self.dialect = dialect
        self.woken: set[str] = set()
        self.traced: Mapping[int, str] = _UNTRACED
        """By event id the trace that what it causes belongs to; empty where nothing is traced."""

    def wake(self, targets: Iterable[str]) -> None:
        """Wake the lanes of these targets once the transaction is committed."""
        self.woken.update(targets)

    @contextmanager
    def taken_back(self) -> Iterator[None]:
        """Do what stands in the block, and take it all back at its end: for a look at what would come of it."""
        woken = set(self.woken)
        self._connection.exec_driver_sql("SAVEPOINT looked_at")
        try:
            yield
        finally:
            self._connection.exec_driver_sql("ROLLBACK TO SAVEPOINT looked_at")
            self._connection.exec_driver_sql("RELEASE SAVEPOINT looked_at")
            self.woken = woken

    def rows(self, statement: str, **values: Any) -> Sequence[Any]:
        """Run one statement and return its rows; ``statement`` must be a constant of the ledger's own."""
        if self._driver is not None:
            return _rows(self._asked(statement, values))
        return self._connection.execute(_prepared(statement), values).all()

    def run(self, statement: str, **values: Any) -> int:
        """Run one statement and return how many rows it touched."""
        if self._driver is not None:
            return int(self._asked(statement, values).rowcount)
        return self._connection.execute(_prepared(statement), values).rowcount

    def each(self, statement: str, columns: Mapping[str, str], rows: Sequence[Any], **values: Any) -> Sequence[Any]:
        """Run one set-based statement over ``rows`` and return what it returns.

        ``{rows}`` in the statement becomes a table ``r`` with the named columns (``int`` or ``text``) and ``n``, the
        place in the list. The rows are mappings or dataclasses: a group of five hundred is one statement on either
        dialect (see ``rowset``).
        """
        if not rows:
            return []
        if self._driver is not None and (bound := as_values(statement, columns, rows, values)) is not None:
            return _rows(self._asked(*bound))
        return self._from_json(statement.replace("{rows}", self.dialect.recordset(columns)), rows, values)

    def _from_json(self, statement: str, rows: Sequence[Any], values: Mapping[str, Any]) -> Sequence[Any]:
        """Run a statement whose parameter ``:rows`` is JSON; return its rows, if it has any."""
        bound = {"rows": as_json(rows), **values}
        if self._driver is not None:
            return _rows(self._asked(statement, bound))
        result = self._connection.execute(_prepared(statement), bound)
        return result.all() if result.returns_rows else []

    def insert(
        self,
        table: str,
        columns: Mapping[str, str],
        rows: Sequence[Any],
        computed: Mapping[str, str] = _NONE,
        **values: Any,
    ) -> list[int | None]:
        """Insert rows; return the id of each, or None for one that a unique index knows already, or twice in ``rows``.

        Args:
            table: it has an ``id``.
            columns: as in :meth:`each`.
            rows: mappings or dataclasses, in the order in which other writers insert theirs too.
            computed: further columns, as SQL over ``r`` and the named ``values``.
            values: what the SQL of ``computed`` names.
        """
        if not rows:
            return []
        names, more = tuple(columns), tuple(computed.items())
        if self._driver is None:
            source = self.dialect.recordset(columns)
            statement = as_set(table, names, more, "ON CONFLICT DO NOTHING", source, numbered=True)
            drawn = {row.n: row.id for row in self._from_json(statement, rows, values)}
            return [drawn.get(place) for place in range(1, len(rows) + 1)]
        last = self._asked("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()
        first = last[0] + 1 if last else 1
        new = 0
        for statement, bound in as_chunks(table, names, more, "ON CONFLICT DO NOTHING", rows, values, first):
            new += self._asked(statement, bound).rowcount
        ids = range(first, first + len(rows))
        if new == len(rows):
            return list(ids)
        made = {row[0] for row in self._asked(f'SELECT id FROM "{table}" WHERE id BETWEEN ? AND ?', (ids[0], ids[-1]))}
        return [place if place in made else None for place in ids]

    def put(
        self,
        table: str,
        columns: Mapping[str, str],
        rows: Sequence[Any],
        conflict: str = "",
        computed: Mapping[str, str] = _NONE,
        **values: Any,
    ) -> None:
        """Insert rows whose ids nobody asks for, with what is done about one that is there (``ON CONFLICT ...``)."""
        if not rows:
            return
        names, more = tuple(columns), tuple(computed.items())
        if self._driver is None:
            source = self.dialect.recordset(columns)
            self._from_json(as_set(table, names, more, conflict, source, numbered=False), rows, values)
            return
        for statement, bound in as_chunks(table, names, more, conflict, rows, values, None):
            self._asked(statement, bound)

    def _asked(self, statement: str, bound: Any) -> Any:
        try:
            return self._driver.execute(statement, bound)
        except self._fault as fault:
            # As SQLAlchemy would have raised it: the writer judges both databases' alike.
            raise DBAPIError.instance(statement, None, fault, self._fault, hide_parameters=True) from fault

    def holding(self, table: str) -> str:
        """Return what a SELECT ends with so that it holds the rows of ``table`` until the transaction ends.

        Another writer waits, and then sees what we committed. Nothing on SQLite, where one writer holds the whole ledger.
        Every writer holds learners before registrations before rights before deliveries, each by id: or they deadlock.
        """
        # NO KEY: a row that only points at this one need not wait.
        return f" FOR NO KEY UPDATE OF {table}" if self.dialect.many_writers else ""

    def hold(self, table: str, ids: Iterable[int]) -> None:
        """Hold rows, so that what the next statement derives, it derives from what others have committed."""
        if self.dialect.many_writers:
            statement = f'SELECT h.id FROM {{rows}} JOIN "{table}" h ON h.id = r.id ORDER BY h.id{self.holding("h")}'
            self.each(statement, {"id": "int"}, [{"id": i} for i in sorted(set(ids))])


def _rows(cursor: Any) -> Sequence[Any]:
    if cursor.description is None:
        return []
    return list(map(row_of(tuple([column[0] for column in cursor.description])), cursor.fetchall()))


_statements: dict[str, Any] = {}


def _prepared(statement: str) -> Any:
    # text() parses its parameters; doing that once per statement keeps it off the hot path.
    prepared = _statements.get(statement)
    if prepared is None:
        prepared = _statements[statement] = text(statement)
    return prepared
