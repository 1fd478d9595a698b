"""The ledger as the rest of the bridge holds it: one writer, readers beside it, and the lock that says whose it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DataError, SQLAlchemyError

from bridge.contract.errors import LedgerError
from bridge.ledger import folder, rates
from bridge.ledger.engine import database_file, ledger_url, reading_engine, writing_engine
from bridge.ledger.hold import Hold
from bridge.ledger.lead import Lead
from bridge.ledger.listen import Listener
from bridge.ledger.migrate import upgrade
from bridge.ledger.rates import Ask, Lent
from bridge.ledger.unit import Unit
from bridge.ledger.writer import LoopWriter, ThreadWriter, Writer

_READERS = 8  # fewer than the connections that there may be
Item = TypeVar("Item")
Result = TypeVar("Result")


class Ledger:
    """One ledger, opened for writing by this process.

    On SQLite the process holds an operating-system lock on it for as long as it is open.
    """

    def __init__(self, url: str) -> None:
        """Name the ledger; :meth:`open` opens it.

        Raises:
            ValueError: not an address of a ledger.
        """
        self._url = ledger_url(url)
        self._hold = Hold(self._url)
        self._writing = writing_engine(self._url)
        self._reading = reading_engine(self._url)
        self._listeners: list[Callable[[frozenset[str]], None]] = []
        self._writer: Writer = (ThreadWriter if self.shared else LoopWriter)(self._writing, self._committed)
        self._aside = ThreadWriter(self._writing, self._committed) if self.shared else self._writer
        self._listener: Listener | None = None
        # Threads of their own: those that a silent database keeps are not missed where the ledger is not read.
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="ledger-reader")
        self._reads: set[Future[Any]] = set()
        self._closed = False

    @property
    def waits(self) -> bool:
        """Whether a thread still waits for the database, as one that is silent keeps it waiting after :meth:`close`."""
        return bool(self._reads) or self._writer.waits or self._aside.waits

    @property
    def shared(self) -> bool:
        """Whether other machines may run on the same ledger (PostgreSQL)."""
        return database_file(self._url) is None

    @property
    def file(self) -> Path | None:
        """The file of an SQLite ledger, or None."""
        return database_file(self._url)

    @property
    def made_folder(self) -> Path | None:
        """The folder of an SQLite ledger, where :meth:`open` made it."""
        return self._hold.made

    async def open(self, *, upgrade_schema: bool = True) -> None:
        """Take the ledger, bring its schema up to date, start the writer.

        Raises:
            LedgerHeld: another process runs on it.
            LedgerError: it can't be reached, or its schema is older or newer than this program.
        """
        try:
            await asyncio.to_thread(self._hold.take)
        except OSError as fault:
            raise LedgerError(folder.unopened(self.file or Path(), fault)) from None
        try:
            await asyncio.to_thread(upgrade, self._writing, apply=upgrade_schema)
        except SQLAlchemyError as fault:
            self._hold.release()
            raise LedgerError(f"the ledger can't be opened: {type(fault).__name__}: {_short(fault)}") from None
        except BaseException:
            self._hold.release()
            raise
        self._closed = False
        self._writer.start()
        if self.shared:
            self._aside.start()
            loop = asyncio.get_running_loop()
            self._listener = Listener(self._url, lambda targets: _call_soon(loop, self._committed, targets))
            self._listener.start()

    async def close(self) -> None:
        """Write what waits, then let go of it."""
        if self._listener is not None:
            await asyncio.to_thread(self._listener.stop)
        await asyncio.gather(self._writer.stop(), self._aside.stop())
        self._closed = True
        self._writing.dispose()
        self._reading.dispose()
        self._hold.release()

    def on_commit(self, listener: Callable[[frozenset[str]], None]) -> None:
        """Have ``listener`` called, on the event loop, with the targets that have new work after each commit."""
        self._listeners.append(listener)

    def measure_groups(self, observe: Callable[[int], None]) -> None:
        """Have ``observe`` called, where it is written, with the size of each group."""
        self._writer.group_sizes = observe

    def submit(self, work: Callable[[Unit, Sequence[Item]], Sequence[Result]], item: Item) -> asyncio.Future[Result]:
        """Have ``work`` done on ``item`` in a transaction shared with whatever else waits.

        Raises:
            LedgerError: it is not on disk; now, or once it is waited for.
        """
        return self._writer.submit(work, item)

    async def write(self, work: Callable[[Unit], Result]) -> Result:
        """Have one piece of work of its own kind done, which may be long; it shares no statement with others.

        Raises:
            LedgerError: it is not on disk.
        """
        return await self._writer.submit(_alone, work, long=True)

    async def aside(self, work: Callable[[Unit], Result]) -> Result:
        """Have something small done on a connection of its own, where one is shared: it neither waits for events nor delays them.

        Raises:
            LedgerError: it is not on disk.
        """
        return await self._aside.submit(_alone, work)

    async def lend(self, ask: Ask) -> Lent:
        """Lend rate tokens, aside.

        Raises:
            LedgerError: they are not lent.
        """
        return await self._aside.submit(rates.lend, ask)

    def lead(self) -> Lead:
        """Return what says whether this bridge does the timed jobs; it is to be started and stopped."""
        return Lead(self._url)

    async def read(self, question: Callable[[Connection], Result], within: float | None = None) -> Result:
        """Answer a question on a reading connection, in a thread of its own; ``within`` seconds where somebody waits.

        Raises:
            LedgerError: the ledger can't be read now.
        """
        reading = self._readers.submit(self._read, question)
        self._reads.add(reading)
        reading.add_done_callback(self._reads.discard)
        try:
            async with asyncio.timeout(within):
                answer: Result = await asyncio.wrap_future(reading)
        except TimeoutError:
            raise LedgerError(f"the database has not answered for {within:g} s") from None
        return answer

    def _read(self, question: Callable[[Connection], Any]) -> Any:
        pool = self._reading.pool
        try:
            with self._reading.connect() as connection:
                return question(connection)
        except SQLAlchemyError as fault:
            raise LedgerError(f"the ledger can't be read: {type(fault).__name__}: {_short(fault)}") from None
        finally:
            if self._closed:  # while we read: what went back to the pool just now, nobody else would close
                pool.dispose()

    def _committed(self, targets: frozenset[str]) -> None:
        for listener in self._listeners:
            listener(targets)


def _alone(unit: Unit, works: Sequence[Callable[[Unit], Result]]) -> list[Result]:
    return [work(unit) for work in works]


def _short(fault: SQLAlchemyError) -> str:
    # Connection faults name host and database, which the operator needs; the password is never part of them.
    # A fault of the data is the other way round: it quotes what was asked for.
    text = (
        "a value that it does not take" if isinstance(fault, DataError) else str(getattr(fault, "orig", None) or fault)
    )
    return " ".join(text.split())[:300]


def _call_soon(
    loop: asyncio.AbstractEventLoop, listener: Callable[[frozenset[str]], None], targets: frozenset[str]
) -> None:
    with suppress(RuntimeError):  # the loop is closed: nobody is left to be woken
        loop.call_soon_threadsafe(listener, targets)
