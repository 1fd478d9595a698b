"""Transactions of a writer: one connection, and everything that waits for it in one commit.

A group that fails is run again one by one, each job in a transaction of its own, so that a poisoned one fails alone; where
it is the ledger itself that fails (locked, full, gone), everything that waits is told so at once.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import Connection, Engine, RootTransaction, event
from sqlalchemy.exc import SQLAlchemyError
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_fixed

from bridge.ledger.engine import BUSY_MS, database_file, dialect_of
from bridge.ledger.faults import Away, as_ledger_error, busy, ends_connection, held_up, of_the_ledger, retriable
from bridge.ledger.unit import Unit

log = structlog.get_logger(__name__)

Work = Callable[[Unit, list[Any]], Sequence[Any]]

_TRIES_ALONE = 4
_HURRIED_MS = 100  # for a row that others hold, once a whole group has waited for one in vain
_MOST_HELD = 20  # of a group; the others are told then, before they have waited for long
_PAUSE = 0.01  # seconds between two looks whether another program still holds an SQLite ledger
_NOBODY: frozenset[str] = frozenset()


@dataclass(slots=True)
class Job:
    """Something to be written, and who waits for it."""

    work: Work
    item: Any
    future: asyncio.Future[Any]
    result: Any = None
    fault: BaseException | None = None

    def settle(self) -> None:
        """Tell whoever waits, on the event loop."""
        if self.future.done():
            return
        if self.fault is not None:
            self.future.set_exception(self.fault)
        else:
            self.future.set_result(self.result)


@dataclass(slots=True)
class Begun:
    """A transaction in which everything is done but the commit."""

    jobs: list[Job]
    transaction: RootTransaction
    woken: frozenset[str]


@dataclass(slots=True)
class _Group:
    work: Work
    jobs: list[Job] = field(default_factory=list)


class Transactions:
    """Owns one writing connection. It may be used by several threads, one after the other."""

    def __init__(self, engine: Engine) -> None:
        """Write through ``engine``."""
        self._engine = engine
        self._dialect = dialect_of(engine)
        self._connection: Connection | None = None
        self._file = database_file(engine.url)
        self._identity: tuple[int, int] | None = None  # device and inode
        self._log_identity: tuple[int, int] | None = None
        self.answered: Callable[..., None] | None = None
        """Called when the database has answered a statement, where somebody watches it."""

    def write(self, jobs: list[Job]) -> frozenset[str]:
        """Write a group and commit it; return the targets that have new work. Every job knows its result or fault then."""
        return self._judged(jobs, lambda: self._commit(self._open(jobs, BUSY_MS / 1000)))

    def begin(self, jobs: list[Job]) -> Begun | None:
        """Do everything for a group but the commit, without waiting for anybody; None where :meth:`write` has to do it."""
        if self._connection is None:  # to open the file may mean waiting for whoever holds it
            return None
        try:
            return self._open(jobs, patience=0.0)
        except Exception:  # noqa: BLE001 - whatever it is, write() meets it again, and judges it
            return None

    def commit(self, begun: Begun) -> frozenset[str]:
        """Commit what was begun; return the targets that have new work."""
        return self._judged(begun.jobs, lambda: self._commit(begun))

    def _judged(self, jobs: list[Job], attempt: Callable[[], frozenset[str]]) -> frozenset[str]:
        try:
            return attempt()
        except Exception as fault:  # noqa: BLE001 - whatever it is, it must not stop the writer or fail the neighbours
            hurried = held_up(fault)
            if of_the_ledger(fault) and not (hurried and len(jobs) > 1):
                return _all_failed(jobs, fault)
            if len(jobs) > 1:
                log.warning("ledger.group_failed", jobs=len(jobs), fault=type(fault).__name__)
            elif not retriable(fault):
                return _all_failed(jobs, fault)
        return self._one_by_one(jobs, hurried=hurried)

    def _one_by_one(self, jobs: list[Job], *, hurried: bool) -> frozenset[str]:
        woken: set[str] = set()
        held = 0
        for n, job in enumerate(jobs):
            try:
                woken |= self._alone(job, hurried=hurried)
            except Exception as fault:  # noqa: BLE001 - as above
                # Where the ledger itself fails, nobody waits for it once per job; nor where much of it is held by others.
                held += held_up(fault)
                over = of_the_ledger(fault) and not (hurried and held_up(fault) and held < _MOST_HELD)
                _all_failed(jobs[n:] if over else [job], fault)
                if over:
                    break
        return frozenset(woken)

    def _alone(self, job: Job, *, hurried: bool) -> frozenset[str]:
        for _ in range(_TRIES_ALONE - 1):
            try:
                return self._commit(self._open([job], BUSY_MS / 1000, hurried=hurried))
            except Exception as fault:
                if not retriable(fault):
                    raise
        return self._commit(self._open([job], BUSY_MS / 1000, hurried=hurried))

    def _open(self, jobs: list[Job], patience: float, *, hurried: bool = False) -> Begun:
        transaction, unit = self._begun(patience)
        try:
            if hurried:
                unit.run(f"SET LOCAL lock_timeout = {_HURRIED_MS}")
            for group in _grouped(jobs):
                results = group.work(unit, [job.item for job in group.jobs])
                for job, result in zip(group.jobs, results, strict=True):
                    job.result = result
            self._dialect.notify(unit.rows, unit.woken)
        except BaseException as fault:
            self._roll_back(transaction, fault)
            raise
        return Begun(jobs, transaction, frozenset(unit.woken))

    def _begun(self, patience: float) -> tuple[RootTransaction, Unit]:
        """Begin; where the connection was lost while nobody used it, on a new one: nothing was done on it that could be lost."""
        known = self._connection is not None
        transaction = self._transaction(patience)
        unit = Unit(transaction.connection, self._dialect, self.answered)
        try:
            unit.ensure_begun()
        except BaseException as fault:
            self._roll_back(transaction, fault)
            if not (known and ends_connection(fault)):
                raise
            transaction = self._transaction(patience)
            unit = Unit(transaction.connection, self._dialect, self.answered)
        return transaction, unit

    def _transaction(self, patience: float) -> RootTransaction:
        """Return a transaction; another program that holds an SQLite ledger is waited for, so many seconds."""
        connection = self._connected()
        if not patience:
            return connection.begin()
        held = Retrying(
            retry=retry_if_exception(busy), stop=stop_after_delay(patience), wait=wait_fixed(_PAUSE), reraise=True
        )
        return held(connection.begin)

    def _commit(self, begun: Begun) -> frozenset[str]:
        try:
            begun.transaction.commit()
        except BaseException:
            self.disconnect()  # SQLAlchemy takes it for ended, SQLite may not: nothing could begin on it any more
            raise
        if self._file is not None:
            self._check_file(self._file)  # gone in the meantime: what was just committed, nobody will ever read
        return begun.woken

    def _roll_back(self, transaction: RootTransaction, fault: BaseException) -> None:
        try:
            transaction.rollback()
        except SQLAlchemyError:
            self.disconnect()
        if ends_connection(fault):
            self.disconnect()

    def _connected(self) -> Connection:
        if self._file is not None:
            self._check_file(self._file)
        if self._connection is None:
            self._connection = self._engine.connect()
            if self._file is not None:  # whether somebody is waited for is decided here, because the event loop can't
                _waiting(self._connection, 0)
            if self.answered is not None:
                event.listen(self._connection, "after_cursor_execute", self.answered)
        return self._connection

    def _check_file(self, file: Path) -> None:
        # SQLite goes on writing happily to a file that somebody has deleted or replaced. The connection stays open, so
        # that the inode can't be given to another file, and the ledger goes on when the file is moved back.
        try:
            found = os.stat(file)  # noqa: PTH116 - twice per commit: Path.stat costs twice as much
        except OSError:
            raise Away("the ledger's file is gone") from None
        identity = (found.st_dev, found.st_ino)
        if self._identity is None:
            self._identity = identity
        elif self._identity != identity:
            raise Away("the ledger's file was replaced while the bridge ran; restart the bridge")
        if self._connection is not None:
            self._check_log(file)

    def _check_log(self, file: Path) -> None:
        # The same with the write-ahead log: what is committed lives there until the next checkpoint.
        try:
            found = os.stat(f"{file}-wal")  # noqa: PTH116 - as above
            identity = (found.st_dev, found.st_ino)
        except OSError:
            identity = None
        if self._log_identity is None:
            self._log_identity = identity
        elif self._log_identity != identity:
            self._save_log()
            raise Away("the ledger's write-ahead log was taken away; what it held is saved, and a new one is begun")

    def _save_log(self) -> None:
        """Bring what stands in a log that has lost its name into the file itself, while we still hold it open."""
        try:
            if self._connection is not None:
                _waiting(self._connection, BUSY_MS)
                cursor = self._connection.connection.cursor()  # a checkpoint can't run inside a transaction
                cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                cursor.close()
        except (SQLAlchemyError, self._engine.dialect.loaded_dbapi.Error) as fault:
            log.critical("ledger.log_lost", fault=type(fault).__name__)
        self.disconnect()

    def disconnect(self) -> None:
        """Let go of the connection; the next write makes a new one."""
        connection, self._connection = self._connection, None
        self._log_identity = None
        if connection is not None:
            try:
                connection.invalidate()
                connection.close()
            except SQLAlchemyError as fault:
                log.warning("ledger.close_failed", fault=type(fault).__name__)


def _waiting(connection: Connection, milliseconds: int) -> None:
    cursor = connection.connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={milliseconds}")
    cursor.close()


def _grouped(jobs: list[Job]) -> list[_Group]:
    groups: dict[Work, _Group] = {}
    for job in jobs:
        groups.setdefault(job.work, _Group(job.work)).jobs.append(job)
    return list(groups.values())


def _all_failed(jobs: list[Job], fault: Exception) -> frozenset[str]:
    error = as_ledger_error(fault)
    for job in jobs:
        job.fault = error
    return _NOBODY
