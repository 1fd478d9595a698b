"""Where the two databases differ for a copy of a whole ledger: how rows get in fast, and how ids are counted on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Table, delete, text
from sqlalchemy.exc import DBAPIError

from bridge.contract.errors import LedgerHeld
from bridge.ledger.engine import CHANNEL

AT_ONCE = 200
"""Rows that are held in memory: one of them may carry a body of a megabyte."""

_ONE_COPY = (
    7_265_445  # any number, as long as every copy takes the same one, and leads and upgrades of the schema others
)


def takes_no_nul(connection: Connection) -> bool:
    """Say whether the database refuses a NUL in a text."""
    return _shared(connection)


def take_turn(connection: Connection) -> None:
    """Be the only copy into this database until the connection ends.

    Raises:
        LedgerHeld: there is another one.
    """
    if _shared(connection) and not connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": _ONE_COPY}):
        raise LedgerHeld("another copy into the destination is under way")


def bridges(connection: Connection) -> int:
    """Return how many bridges run on a PostgreSQL ledger; on SQLite the lock tells, not the database."""
    if not _shared(connection):
        return 0
    listening = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query = :listening"
        " AND pid <> pg_backend_pid()"
    )
    return connection.scalar(listening, {"listening": f"LISTEN {CHANNEL}"}) or 0


def empty(connection: Connection, tables: Sequence[Table]) -> None:
    """Take every row out of these; whoever refers to one of them is among them."""
    if _shared(connection) and tables:
        names = ", ".join(_quoted(connection, table.name) for table in tables)
        connection.exec_driver_sql(f"TRUNCATE {names}")
        return
    for table in reversed(tables):
        connection.execute(delete(table))


def pour(connection: Connection, table: Table, rows: Iterable[tuple[Any, ...]]) -> int:
    """Write rows in the order of the table's columns, in the transaction that is open; return how many."""
    counted = _Counted(rows)
    if _shared(connection):
        _copy_in(connection, table, counted)
    else:
        columns = ", ".join(_quoted(connection, column.name) for column in table.columns)
        places = ", ".join("?" for _ in table.columns)
        statement = f"INSERT INTO {_quoted(connection, table.name)} ({columns}) VALUES ({places})"
        left = iter(counted)
        while some := list(islice(left, AT_ONCE)):
            connection.exec_driver_sql(statement, some)
    return counted.number


def _copy_in(connection: Connection, table: Table, rows: Iterable[tuple[Any, ...]]) -> None:
    columns = ", ".join(_quoted(connection, column.name) for column in table.columns)
    statement = f"COPY {_quoted(connection, table.name)} ({columns}) FROM STDIN"
    driver: Any = connection.dialect.loaded_dbapi
    own: Any = connection.connection.driver_connection
    try:
        with own.cursor() as cursor, cursor.copy(statement) as into:
            for row in rows:
                into.write_row(row)
    except driver.Error as fault:  # SQLAlchemy knows no COPY; its faults become what those of other statements are
        raise DBAPIError.instance(statement, None, fault, driver.Error) from None


def counted(connection: Connection, table: Table) -> int:
    """Return the greatest id that the table ever gave, also to a row that is gone; 0 where it gives none."""
    if table.autoincrement_column is None:
        return 0
    if not _shared(connection):
        return connection.scalar(text("SELECT seq FROM sqlite_sequence WHERE name = :name"), {"name": table.name}) or 0
    found = connection.scalar(
        text(f"SELECT CASE WHEN is_called THEN last_value END FROM {_sequence(connection, table)}")
    )
    return found or 0


def count_on(connection: Connection, table: Table, greatest: int) -> None:
    """Have the table's next id be greater than ``greatest``."""
    if not greatest:
        return
    if _shared(connection):
        connection.execute(
            text("SELECT setval(CAST(:name AS regclass), :greatest)"),
            {"name": _sequence(connection, table), "greatest": greatest},
        )
        return
    named = {"name": table.name, "greatest": greatest}
    connection.execute(text("DELETE FROM sqlite_sequence WHERE name = :name"), named)
    connection.execute(text("INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :greatest)"), named)


def settle_in(connection: Connection) -> None:
    """Let the planner know what has come: without statistics PostgreSQL scans what it should look up.

    SQLite plans by the indexes alone, as it does in a ledger that grew by itself.
    """
    if _shared(connection):
        connection.exec_driver_sql("ANALYZE")


def _sequence(connection: Connection, table: Table) -> str:
    column = table.autoincrement_column
    assert column is not None  # noqa: S101 - whoever asks has looked
    named = {"name": _quoted(connection, table.name), "column": column.name}
    return str(connection.scalar(text("SELECT pg_get_serial_sequence(:name, :column)"), named))


def _shared(connection: Connection) -> bool:
    return connection.dialect.name == "postgresql"


def _quoted(connection: Connection, name: str) -> str:
    return connection.dialect.identifier_preparer.quote_identifier(name)


class _Counted:
    """Counts what is taken from it."""

    def __init__(self, rows: Iterable[tuple[Any, ...]]) -> None:
        self._rows = rows
        self.number = 0

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        for row in self._rows:
            self.number += 1
            yield row
