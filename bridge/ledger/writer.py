"""The writer: one thread, one connection, one transaction for everything that waits. The only place that commits.

Callers hand in ``(work, item)``. The writer takes all that wait, runs ``work(unit, items)`` once per kind of work, and
commits once: the fsync itself is the window in which the next group forms. A group that fails is run again one by one,
each item in a transaction of its own, so that a poisoned item fails alone; where it is the ledger itself that fails
(locked, full, gone), everything that waits is told so at once. ``work`` must be free of effects outside the unit.
"""

from __future__ import annotations

import asyncio
import os
import queue
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import structlog
from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError

from bridge.contract.errors import LedgerError
from bridge.kit.masking import mask_text
from bridge.ledger.engine import database_file, dialect_of
from bridge.ledger.unit import Unit
from bridge.ledger.watch import LOOK, Watch

log = structlog.get_logger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")
Work = Callable[[Unit, list[Any]], Sequence[Any]]

GROUP_LIMIT = 500
QUEUE_LIMIT = 10_000
# PostgreSQL: serialisation failure, deadlock, and a unique row that another process put there at this moment.
_RETRIED_ALONE = {"40001", "40P01", "23505"}
_TRIES_ALONE = 4
# What fails the ledger as a whole, and not one write: by SQLite's primary code and by PostgreSQL's class or state.
_SQLITE_TROUBLE = {"BUSY", "LOCKED", "FULL", "IOERR", "READONLY", "CANTOPEN", "CORRUPT", "NOTADB", "PERM", "PROTOCOL"}
_POSTGRES_CLASSES = {"08", "53", "57", "58"}  # connection, resources, operator intervention, system error
_READ_ONLY = "25006"  # a standby
_POSTGRES_STATES = {_READ_ONLY, "55P03"}  # lock not available in time


@dataclass(slots=True)
class _Job:
    work: Work
    item: Any
    future: asyncio.Future[Any]
    result: Any = None
    fault: BaseException | None = None


@dataclass(slots=True)
class _Group:
    work: Work
    jobs: list[_Job] = field(default_factory=list)


class Writer:
    """Owns the one writing connection of this process."""

    def __init__(self, engine: Engine, on_commit: Callable[[frozenset[str]], None]) -> None:
        """Write through ``engine``; ``on_commit`` runs on the event loop with the targets that have new work."""
        self._engine = engine
        self._dialect = dialect_of(engine)
        self._on_commit = on_commit
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._waiting = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._connection: Connection | None = None
        self._watch = Watch()
        self._left: threading.Thread | None = None
        self._file = database_file(engine.url)
        self._identity: tuple[int, int] | None = None  # device and inode
        self._log_identity: tuple[int, int] | None = None
        self.group_sizes: Callable[[int], None] = lambda _size: None

    def start(self) -> None:
        """Start the thread; call it on the event loop."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._serve, name="ledger-writer", daemon=True)
        self._thread.start()
        if self._dialect.many_writers:
            self._loop.call_later(LOOK, self._look)

    def _look(self) -> None:
        if self._thread is not None and self._loop is not None:
            self._loop.call_later(LOOK, self._look)
        self._waiting -= self._watch.give_up(self._jobs)

    async def stop(self) -> None:
        """Write what waits, then stop; whatever comes from now on is refused. A database that is silent is not waited for."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._jobs.put(None)
        while thread.is_alive():
            await asyncio.get_running_loop().run_in_executor(None, thread.join, LOOK)
            if self._dialect.many_writers and self._watch.silent:
                self._waiting -= self._watch.give_up(self._jobs)
                self._left = thread
                log.warning("ledger.left_silent")
                return

    @property
    def waits(self) -> bool:
        """Whether it was stopped and its thread still waits for a database that is silent."""
        return self._left is not None and self._left.is_alive()

    async def submit(self, work: Callable[[Unit, list[Item]], Sequence[Result]], item: Item) -> Result:
        """Have ``work`` done on ``item`` in a shared transaction; return when it is committed.

        Raises:
            LedgerError: it is not on disk: the ledger is locked, full, gone or overloaded.
        """
        if self._thread is None or self._loop is None:
            raise LedgerError("the ledger is closed")
        if self._waiting >= QUEUE_LIMIT:
            raise LedgerError("too many writes are waiting")
        self._waiting += 1
        job = _Job(work, item, self._loop.create_future())
        self._jobs.put(job)
        result: Result = await job.future  # who stops waiting changes nothing: the work is done all the same
        return result

    def _serve(self) -> None:
        stopping = False
        while not stopping:
            job = self._jobs.get()
            jobs: list[_Job] = []
            while job is not None:
                jobs.append(job)
                if len(jobs) >= GROUP_LIMIT:
                    break
                try:
                    job = self._jobs.get_nowait()
                except queue.Empty:
                    break
            stopping = job is None
            if jobs:
                self._watch.begin(jobs)
                woken = self._write(jobs)
                self._watch.end()
                assert self._loop is not None  # noqa: S101 - start() set it
                with suppress(RuntimeError):  # the loop is closed: whoever waited was told that the database is silent
                    self._loop.call_soon_threadsafe(self._resolve, jobs, woken)
        self._disconnect()

    def _write(self, jobs: list[_Job]) -> frozenset[str]:
        try:
            self.group_sizes(len(jobs))
            return self._transaction(_grouped(jobs))
        except Exception as fault:  # noqa: BLE001 - whatever it is, it must not stop the writer or fail the neighbours
            if _of_the_ledger(fault):
                return _all_failed(jobs, fault)
            if len(jobs) > 1:
                log.warning("ledger.group_failed", jobs=len(jobs), fault=type(fault).__name__)
            elif not _retriable(fault):
                return _all_failed(jobs, fault)
        return self._one_by_one(jobs)

    def _one_by_one(self, jobs: list[_Job]) -> frozenset[str]:
        woken: set[str] = set()
        for n, job in enumerate(jobs):
            try:
                woken |= self._alone(job)
            except Exception as fault:  # noqa: BLE001 - as above
                # Where the ledger itself fails, nobody waits for it once per job.
                _all_failed(jobs[n:] if _of_the_ledger(fault) else [job], fault)
                if _of_the_ledger(fault):
                    break
        return frozenset(woken)

    def _alone(self, job: _Job) -> frozenset[str]:
        for _ in range(_TRIES_ALONE - 1):
            try:
                return self._transaction([_Group(job.work, [job])])
            except Exception as fault:
                if not _retriable(fault):
                    raise
        return self._transaction([_Group(job.work, [job])])

    def _transaction(self, groups: list[_Group]) -> frozenset[str]:
        connection = self._connected()
        transaction = connection.begin()
        try:
            unit = Unit(connection, self._dialect)
            for group in groups:
                results = group.work(unit, [job.item for job in group.jobs])
                for job, result in zip(group.jobs, results, strict=True):
                    job.result = result
            self._dialect.notify(connection, unit.woken)
        except BaseException as fault:
            self._roll_back(transaction, fault)
            raise
        try:
            transaction.commit()
        except BaseException:
            self._disconnect()  # SQLAlchemy takes it for ended, SQLite may not: nothing could begin on it any more
            raise
        if self._file is not None:
            self._check_file(self._file)  # gone in the meantime: what was just committed, nobody will ever read
        return frozenset(unit.woken)

    def _roll_back(self, transaction: Any, fault: BaseException) -> None:
        try:
            transaction.rollback()
        except SQLAlchemyError:
            self._disconnect()
        # A server that has become a standby stays one: the next connection is made to the one that has taken its place.
        if isinstance(fault, DBAPIError) and (fault.connection_invalidated or _code(fault) == _READ_ONLY):
            self._disconnect()

    def _connected(self) -> Connection:
        if self._file is not None:
            self._check_file(self._file)
        if self._connection is None:
            self._connection = self._engine.connect()
            if self._dialect.many_writers:
                event.listen(self._connection, "after_cursor_execute", self._watch.answered)
        return self._connection

    def _check_file(self, file: Path) -> None:
        # SQLite goes on writing happily to a file that somebody has deleted or replaced. The connection stays open, so
        # that the inode can't be given to another file, and the ledger goes on when the file is moved back.
        try:
            found = os.stat(file)  # noqa: PTH116 - twice per commit: Path.stat costs twice as much
        except OSError:
            raise _Away("the ledger's file is gone") from None
        identity = (found.st_dev, found.st_ino)
        if self._identity is None:
            self._identity = identity
        elif self._identity != identity:
            raise _Away("the ledger's file was replaced while the bridge ran; restart the bridge")
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
            raise _Away("the ledger's write-ahead log was taken away; what it held is saved, and a new one is begun")

    def _save_log(self) -> None:
        """Bring what stands in a log that has lost its name into the file itself, while we still hold it open."""
        try:
            if self._connection is not None:
                cursor = self._connection.connection.cursor()  # a checkpoint can't run inside a transaction
                cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                cursor.close()
        except (SQLAlchemyError, self._engine.dialect.loaded_dbapi.Error) as fault:
            log.critical("ledger.log_lost", fault=type(fault).__name__)
        self._disconnect()

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        self._log_identity = None
        if connection is not None:
            try:
                connection.invalidate()
                connection.close()
            except SQLAlchemyError as fault:
                log.warning("ledger.close_failed", fault=type(fault).__name__)

    def _resolve(self, jobs: list[_Job], woken: frozenset[str]) -> None:
        self._waiting -= len(jobs)
        for job in jobs:
            if job.future.done():
                continue
            if job.fault is not None:
                job.future.set_exception(job.fault)
            else:
                job.future.set_result(job.result)
        if woken:
            self._on_commit(woken)


def _grouped(jobs: list[_Job]) -> list[_Group]:
    groups: dict[Work, _Group] = {}
    for job in jobs:
        groups.setdefault(job.work, _Group(job.work)).jobs.append(job)
    return list(groups.values())


class _Away(LedgerError):
    """The ledger's file is not where it was."""


def _all_failed(jobs: list[_Job], fault: Exception) -> frozenset[str]:
    error = fault if isinstance(fault, LedgerError) else _as_ledger_error(fault)
    for job in jobs:
        job.fault = error
    return frozenset()


def _code(fault: BaseException) -> str:
    original = fault.orig if isinstance(fault, DBAPIError) else fault
    return str(getattr(original, "sqlite_errorname", None) or getattr(original, "sqlstate", None) or "")


def _retriable(fault: BaseException) -> bool:
    return isinstance(fault, DBAPIError) and _code(fault) in _RETRIED_ALONE


def _of_the_ledger(fault: BaseException) -> bool:
    """Say whether the ledger as a whole is in trouble, so that no other write would fare better."""
    if not isinstance(fault, DBAPIError):
        return isinstance(fault, _Away)
    code = _code(fault)
    if code.startswith("SQLITE_"):
        return code.split("_")[1] in _SQLITE_TROUBLE
    if not code:  # the driver's own: no connection, where it is operational; else a value it can't carry
        return isinstance(fault, OperationalError)
    return fault.connection_invalidated or code[:2] in _POSTGRES_CLASSES or code in _POSTGRES_STATES


def _as_ledger_error(fault: BaseException) -> LedgerError:
    # The driver's message may quote values; its class and, for SQLite, its short code say enough.
    original = fault.orig if isinstance(fault, DBAPIError) else fault
    code = _code(fault)
    error = LedgerError(f"the ledger did not take the write: {type(original).__name__}{f' ({code})' if code else ''}")
    if not isinstance(fault, SQLAlchemyError):
        log.error("ledger.work_failed", fault=type(fault).__name__, exc_info=fault)
    elif not _of_the_ledger(fault):
        log.error("ledger.statement_failed", fault=mask_text(str(original).partition("DETAIL")[0]))
    return error
