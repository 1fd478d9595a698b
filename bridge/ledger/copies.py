"""A whole ledger taken to another database: marked as unfinished until every table has been read back and found the same.

Tables come from the schema's metadata, parents first, so a new table is copied without a change here. Rows stream from one
snapshot of the source into batches, each a transaction of its own, in constant memory. ADR 0025.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sqlalchemy import URL, Connection, Engine, Table, func, select
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError

from bridge.contract.errors import LedgerError, LedgerHeld
from bridge.ledger import migrate, pouring
from bridge.ledger.digest import Digest, Sum
from bridge.ledger.engine import database_file, ledger_url, reading_engine, writing_engine
from bridge.ledger.hold import Hold, holder
from bridge.ledger.tables import metadata

BATCH = 10_000
"""Rows a transaction: what a cut connection costs to repeat, and far above what a commit costs."""


Watch = Callable[[str, int], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a copy would do.

    Attributes:
        rows: table -> rows in the source, in the order of copying.
        unfinished: whether the destination holds the beginning of an earlier copy.
        bridges: how many bridges run on the source; such a copy is for looking at, not for a bridge to run on.
    """

    rows: dict[str, int]
    unfinished: bool
    bridges: int


@dataclass(frozen=True, slots=True)
class Copied:
    """What a copy did.

    Attributes:
        tables: table -> how many rows, and their digest: the same in the source and in the destination.
        again: whether an earlier beginning did not fit the source any more and was thrown away.
    """

    tables: dict[str, Sum]
    again: bool


class Differs(LedgerError):
    """What was read back is not what was read."""


class Copy:
    """One copy from a ledger to another database. Repeating it with ``resume`` after any kind of end is safe."""

    def __init__(self, source: str, destination: str, *, batch: int = BATCH) -> None:
        """Name the two.

        Raises:
            ValueError: not an address of a ledger.
        """
        self._from, self._to = ledger_url(source), ledger_url(destination)
        self._batch = batch

    def look(self, *, resume: bool = False) -> Plan:
        """Say what :meth:`run` would do; change nothing.

        Raises:
            LedgerHeld: a bridge runs on either.
            LedgerError: it would be refused, or one of the two can't be reached.
        """
        _refuse_missing(self._from)
        _refuse_held(self._from)
        _refuse_held(self._to)
        with _told(), ExitStack() as stack:
            source = stack.enter_context(_snapshot(self._from))
            plan = Plan(_counts(source), unfinished=False, bridges=pouring.bridges(source))
            file = database_file(self._to)
            if file is not None and not file.exists():
                return plan
            with _reading(self._to) as destination:
                return Plan(plan.rows, _fits(destination, resume=resume), plan.bridges)

    def run(self, *, resume: bool = False, watch: Watch = lambda _table, _rows: None) -> Copied:
        """Copy everything, read it back, set the counters of ids behind the greatest, and lift the mark.

        Args:
            resume: go on with a copy that was cut off; where the source has changed since, it is begun anew.
            watch: told a table and how many of its rows are done, after each batch.

        Raises:
            LedgerHeld: a bridge runs on either, or another copy on the destination.
            LedgerError: the source's schema is not this program's, the destination holds something, a value does not fit,
                or a database went away. What the destination holds then stays marked, so that no bridge starts on it.
        """
        with _told(), ExitStack() as stack:
            _refuse_missing(self._from)
            stack.enter_context(_held(self._from))
            source = stack.enter_context(_snapshot(self._from))
            stack.enter_context(_held(self._to))
            destination = stack.enter_context(_writing(self._to))
            with destination.begin():
                pouring.take_turn(destination)
                unfinished = _fits(destination, resume=resume)
                migrate.mark(destination)
            tables, again = self._poured(source, destination, watch, unfinished=unfinished)
            with destination.begin():
                for table in metadata.sorted_tables:
                    pouring.count_on(destination, table, pouring.counted(source, table))
                pouring.settle_in(destination)
                migrate.unmark(destination)
            return Copied(tables, again)

    def _poured(
        self, source: Connection, destination: Connection, watch: Watch, *, unfinished: bool
    ) -> tuple[dict[str, Sum], bool]:
        if unfinished:
            with suppress(Differs, IntegrityError):
                return self._pour(source, destination, watch, go_on=True), False
        return self._pour(source, destination, watch, go_on=False), unfinished

    def _pour(self, source: Connection, destination: Connection, watch: Watch, *, go_on: bool) -> dict[str, Sum]:
        kept = _continued() if go_on else frozenset()
        with destination.begin():
            pouring.empty(destination, [table for table in metadata.sorted_tables if table.name not in kept])
        sums = {}
        for table in metadata.sorted_tables:
            read = self._pour_table(source, destination, table, watch)
            with destination.begin():
                found = _summed(destination, table)
            if found != read:
                raise Differs(
                    f"table {table.name} is not the same in the destination: {found.rows} rows of {read.rows}"
                )
            sums[table.name] = read
        return sums

    def _pour_table(self, source: Connection, destination: Connection, table: Table, watch: Watch) -> Sum:
        """Copy what is missing; return the sum over all of the source's rows, those that were there already among them."""
        with destination.begin():
            after = _greatest(destination, table) if table.name in _continued() else None
        digest = Digest()
        rows = _missing(_rows(source, table, clean=pouring.takes_no_nul(destination)), digest, table, after)
        while True:
            before = digest.rows
            with destination.begin():
                poured = pouring.pour(destination, table, islice(rows, self._batch))
            watch(table.name, digest.rows)
            if poured < self._batch or digest.rows == before:
                return digest.sum()


def _missing(
    rows: Iterator[tuple[Any, ...]], digest: Digest, table: Table, after: int | None
) -> Iterator[tuple[Any, ...]]:
    key = list(table.columns).index(next(iter(table.primary_key)))
    for row in rows:
        digest.add(row)
        if after is None or row[key] > after:
            yield row


def _rows(connection: Connection, table: Table, *, clean: bool) -> Iterator[tuple[Any, ...]]:
    """Yield a table's rows, by id where they have one; texts without NUL where the other side can't hold it.

    The ledger keeps no NUL (see rowset.py); what a person wrote into an SQLite file by hand may have one.
    """
    ordered = select(table).order_by(*table.primary_key) if _numbered(table) else select(table)
    with connection.execute(ordered.execution_options(yield_per=pouring.AT_ONCE)) as found:
        for row in found:
            values = tuple(row)
            if clean and any(value.__class__ is str and "\0" in value for value in values):
                values = tuple(value.replace("\0", "") if isinstance(value, str) else value for value in values)
            yield values


def _summed(connection: Connection, table: Table) -> Sum:
    digest = Digest()
    for row in _rows(connection, table, clean=False):
        digest.add(row)
    return digest.sum()


def _numbered(table: Table) -> bool:
    return table.autoincrement_column is not None


def _continued() -> frozenset[str]:
    """Return the tables of which a part can be kept: numbered ones that refer to no table that is emptied."""
    kept: set[str] = set()
    for table in metadata.sorted_tables:
        if _numbered(table) and all(key.column.table.name in kept | {table.name} for key in table.foreign_keys):
            kept.add(table.name)
    return frozenset(kept)


def _greatest(connection: Connection, table: Table) -> int | None:
    found = connection.scalar(select(func.max(table.autoincrement_column)))
    return None if found is None else int(found)


def _counts(connection: Connection) -> dict[str, int]:
    return {
        table.name: connection.scalar(select(func.count()).select_from(table)) or 0 for table in metadata.sorted_tables
    }


def _fits(destination: Connection, *, resume: bool) -> bool:
    """Return whether the destination holds the beginning of a copy that may go on.

    Raises:
        LedgerHeld: a bridge runs on it.
        LedgerError: it holds something else.
    """
    if pouring.bridges(destination):
        raise LedgerHeld("a bridge runs on the destination; stop it first")
    now, needed = migrate.current(destination), migrate.newest()
    if now is None:
        return False
    if migrate.is_marked(now):
        if now != migrate.marked(needed):
            raise LedgerError("a bridge of another version began the copy in the destination; empty it, and copy anew")
        if not resume:
            raise LedgerError("the destination holds a copy that was cut off; go on with --resume")
        return True
    if now != needed:
        raise LedgerError(
            f"the destination's schema is {now}, this program needs {needed}; run `bridge db upgrade` there"
        )
    if filled := next(
        (t.name for t in metadata.sorted_tables if destination.execute(select(t).limit(1)).first()), None
    ):
        raise LedgerError(
            f"the destination is a ledger already: its table {filled} is not empty; name an empty database"
        )
    return False


def _refuse_missing(url: URL) -> None:
    file = database_file(url)
    if file is not None and not file.exists():
        raise LedgerError(f"there is no ledger {file}")


def _refuse_held(url: URL) -> None:
    file = database_file(url)
    if file is not None and (process := holder(file)) is not None:
        raise LedgerHeld(f"the ledger {file} is held by process {process or 'unknown'}; stop it first")


@contextmanager
def _held(url: URL) -> Iterator[None]:
    hold = Hold(url)
    try:
        hold.take()
    except OSError as fault:
        where = fault.strerror or type(fault).__name__
        raise LedgerError(f"the ledger can't be opened: {where}: {database_file(url)}") from None
    try:
        yield
    finally:
        hold.release()


@contextmanager
def _snapshot(url: URL) -> Iterator[Connection]:
    """Yield a connection that sees the source as it is now, whatever is written meanwhile.

    Raises:
        LedgerError: its schema is not this program's.
    """
    with _reading(url) as connection:
        if database_file(url) is not None:
            connection.exec_driver_sql("BEGIN")  # Python's driver begins nothing for a SELECT
        now, needed = migrate.current(connection), migrate.newest()
        if now is not None and migrate.is_marked(now):
            raise LedgerError("the source is itself a copy that was not finished")
        if now != needed:
            raise LedgerError(
                f"the source's schema is {now or 'empty'}, this program needs {needed}; run `bridge db upgrade` on it"
            )
        yield connection


@contextmanager
def _reading(url: URL) -> Iterator[Connection]:
    with _engine(reading_engine(url)) as engine, engine.connect() as connection:
        if database_file(url) is None:
            connection.execution_options(isolation_level="REPEATABLE READ")
            # A server may end transactions that are silent for long; the source is, while the destination is read back.
            connection.exec_driver_sql("SET idle_in_transaction_session_timeout = 0")
        yield connection


@contextmanager
def _writing(url: URL) -> Iterator[Connection]:
    with _engine(writing_engine(url)) as engine, engine.connect() as connection:
        yield connection


@contextmanager
def _engine(engine: Engine) -> Iterator[Engine]:
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def _told() -> Iterator[None]:
    """Turn what a database says into words without values: only faults of a connection are told in its own."""
    try:
        yield
    except SQLAlchemyError as fault:
        raise LedgerError(f"the copy stopped: {type(fault).__name__}: {_words(fault)}") from None


def _words(fault: SQLAlchemyError) -> str:
    """Return what a database says of itself or the connection; what it says of a value might quote a learner."""
    if (
        not isinstance(fault, DBAPIError)
        or isinstance(fault, DataError | IntegrityError)
        or "decode" in str(fault.orig)
    ):
        return "a value that it does not take"
    primary = getattr(getattr(fault.orig, "diag", None), "message_primary", None)  # without the row that it happened at
    return " ".join(str(primary or fault.orig).split())[:300]
