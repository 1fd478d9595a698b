"""One open transaction of the ledger: what its modules write through."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, text

from bridge.ledger.engine import Dialect
from bridge.ledger.rowset import as_json, as_values


class Unit:
    """One open transaction: what the ledger's modules write through."""

    def __init__(self, connection: Connection, dialect: Dialect) -> None:
        """Wrap an open transaction."""
        self._connection = connection
        self.dialect = dialect
        self.woken: set[str] = set()

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
        return self._connection.execute(_prepared(statement), values).all()

    def run(self, statement: str, **values: Any) -> int:
        """Run one statement and return how many rows it touched."""
        return self._connection.execute(_prepared(statement), values).rowcount

    def each(self, statement: str, columns: Mapping[str, str], rows: Sequence[Any], **values: Any) -> Sequence[Any]:
        """Run one set-based statement over ``rows`` and return what it returns.

        ``{rows}`` in the statement becomes a table ``r`` with the named columns (``int`` or ``text``) and ``n``, the
        place in the list. The rows are mappings or dataclasses: a group of five hundred is one statement on either
        dialect (see ``rowset``).
        """
        if not rows:
            return []
        bound = None if self.dialect.many_writers else as_values(statement, columns, rows, values)
        if bound is not None:
            result = self._connection.exec_driver_sql(*bound)
        else:
            source = self.dialect.recordset(columns)
            prepared = _prepared(statement.replace("{rows}", source))
            result = self._connection.execute(prepared, {"rows": as_json(rows), **values})
        return result.all() if result.returns_rows else []

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


_statements: dict[str, Any] = {}


def _prepared(statement: str) -> Any:
    # text() parses its parameters; doing that once per statement keeps it off the hot path.
    prepared = _statements.get(statement)
    if prepared is None:
        prepared = _statements[statement] = text(statement)
    return prepared
