"""One open transaction of the ledger: what its modules write through."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from bridge.contract.errors import LedgerError
from bridge.ledger.engine import Dialect
from bridge.ledger.insertion import Insertion
from bridge.ledger.libpq import Libpq
from bridge.ledger.rowset import as_json, as_values, row_of

_UNTRACED: Mapping[int, str] = {}


class Rare(NamedTuple):
    """Of what a ledger seldom holds any of, whether it may hold some.

    Attributes:
        parked: commands that wait for their purchase.
        scheduled: changes that take effect later.
        merged: learners who were merged into others.
    """

    parked: bool
    scheduled: bool
    merged: bool


_ANYTHING = Rare(parked=True, scheduled=True, merged=True)
_RARE = """
SELECT EXISTS (SELECT 1 FROM parked_key), EXISTS (SELECT 1 FROM scheduled_change),
 EXISTS (SELECT 1 FROM learner WHERE merged_into IS NOT NULL)"""


class Unit:
    """One open transaction: what the ledger's modules write through."""

    def __init__(self, connection: Connection, dialect: Dialect, answered: Callable[[], None] | None = None) -> None:
        """Wrap an open transaction; ``answered`` is called when a database in another process has answered a statement."""
        self._connection = connection
        # On the hot path SQLAlchemy's own share of a statement would be as much as the database's (ADR 0019, ADR 0033).
        driver: Any = connection.connection.driver_connection
        self._driver = driver
        self._libpq: Libpq | None = None
        if dialect.many_writers:
            # Kept with the connection, because the statements that it has prepared are.
            kept: Libpq | None = connection.info.get("libpq")
            self._libpq = connection.info["libpq"] = kept or Libpq(driver, answered)
        self._fault: type[Exception] = connection.dialect.loaded_dbapi.Error
        self.dialect = dialect
        self.woken: set[str] = set()
        self._last: dict[str, int] = {}
        self._rare: Rare | None = None
        self.traced: Mapping[int, str] = _UNTRACED
        """By event id the trace that what it causes belongs to; empty where nothing is traced."""

    def ensure_begun(self) -> None:
        """Tell a database in another process now, and not with the first statement, that a transaction begins.

        Raises:
            DBAPIError: it can't be told; nothing was done.
        """
        if self._libpq is not None:
            self._libpq.ensure_begun()

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

    def rare(self) -> Rare:
        """Say what need not be looked for. Where others write too, they may just be adding some of anything."""
        if self._libpq is not None:
            return _ANYTHING
        if self._rare is None:
            self._rare = Rare(*map(bool, self._asked(_RARE, ()).fetchone()))
        return self._rare

    def rows(self, statement: str, **values: Any) -> Sequence[Any]:
        """Run one statement and return its rows; ``statement`` must be a constant of the ledger's own."""
        if self._libpq is not None:
            return self._libpq.rows(statement, values)
        return _rows(self._other(statement, values))

    def run(self, statement: str, **values: Any) -> int:
        """Run one statement and return how many rows it touched."""
        if self._libpq is not None:
            return self._libpq.run(statement, values)
        return int(self._other(statement, values).rowcount)

    def each(self, statement: str, columns: Mapping[str, str], rows: Sequence[Any], **values: Any) -> Sequence[Any]:
        """Run one set-based statement over ``rows`` and return what it returns.

        ``{rows}`` in the statement becomes a table ``r`` with the named columns (``int`` or ``text``) and ``n``, the
        place in the list. The rows are mappings or dataclasses: a group of five hundred is one statement on either
        dialect (see ``rowset``).
        """
        if not rows:
            return []
        if self._libpq is None and (bound := as_values(statement, columns, rows, values)) is not None:
            return _rows(self._other(*bound))
        return self._from_json(statement.replace("{rows}", self.dialect.recordset(columns)), rows, values)

    def _from_json(self, statement: str, rows: Sequence[Any], values: Mapping[str, Any]) -> Sequence[Any]:
        """Run a statement whose parameter ``:rows`` is JSON; return its rows, if it has any."""
        bound = {"rows": as_json(rows), **values}
        if self._libpq is not None:
            return self._libpq.rows(statement, bound)
        return _rows(self._other(statement, bound))

    def insert(self, into: Insertion, rows: Sequence[Any], **values: Any) -> list[int | None]:
        """Insert rows; return the id of each, or None for one that a unique index knows already, or twice in ``rows``.

        Args:
            into: its table has an ``id``, and it does nothing about what is there already.
            rows: dictionaries or dataclasses, in the order in which other writers insert theirs too.
            values: what the computed columns name.
        """
        if not rows:
            return []
        if self._libpq is not None:
            statement = into.as_set(self.dialect.recordset(into.columns), numbered=True)
            drawn = {row.n: row.id for row in self._from_json(statement, rows, values)}
            return [drawn.get(place) for place in range(1, len(rows) + 1)]
        first = self._last_id(into.table) + 1
        new = 0
        for statement, bound in into.chunks(rows, values):
            new += self._asked(statement, bound).rowcount
        ids = range(first, first + len(rows))
        self._last[into.table] = ids[-1]  # of which some may be nobody's
        if new == len(rows):
            return list(ids)
        # A row that is there already uses up the id that it would have had, so each place in the list has its own.
        self._last = {}
        if self._last_id(into.table) != ids[-1]:
            raise LedgerError(f"this SQLite numbers the rows of {into.table} in a way that the bridge does not know")
        found = self._asked(f'SELECT id FROM "{into.table}" WHERE id BETWEEN ? AND ?', (ids[0], ids[-1]))
        made = {row[0] for row in found}
        return [place if place in made else None for place in ids]

    def put(self, into: Insertion, rows: Sequence[Any], **values: Any) -> None:
        """Insert rows whose ids nobody asks for; the insertion says what is done about one that is there."""
        if not rows:
            return
        if self._libpq is not None:
            statement = into.as_set(self.dialect.recordset(into.columns), numbered=False)
            self._from_json(statement, rows, values)
            return
        self._last.pop(into.table, None)
        for statement, bound in into.chunks(rows, values):
            self._asked(statement, bound)

    def _last_id(self, table: str) -> int:
        """Return the last id that was given in a table: asked for once for all, until somebody else may have given one."""
        if table not in self._last:
            self._last = dict(self._asked("SELECT name, seq FROM sqlite_sequence", ()).fetchall())
        return self._last.get(table, 0)

    def _other(self, statement: str, bound: Any) -> Any:
        """Run a statement that may give ids of its own, or add something rare."""
        if "INSERT" in statement or "UPDATE" in statement:
            self._last = {}
            self._rare = None
        return self._asked(statement, bound)

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
    found = cursor.fetchall()
    return list(map(row_of(tuple([column[0] for column in cursor.description])), found)) if found else found
