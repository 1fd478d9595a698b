"""The writer: one connection, one transaction for everything that waits. The only place that commits.

Callers hand in ``(work, item)``. The writer takes all that wait, runs ``work(unit, items)`` once per kind of work, and
commits once: the fsync itself is the window in which the next group forms. ``work`` must be free of effects outside the
unit: it may be done again (see ``transactions``).

There are two, because the databases differ in who waits for whom. PostgreSQL works in another process while we wait for its
answer: there a thread does it all. SQLite works in ours: there the event loop does the statements itself and only the
commit, which waits for the disk, is a thread's (ADR 0029).
"""

from __future__ import annotations

import asyncio
import contextvars
import queue
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeVar

import structlog
from sqlalchemy import Engine

from bridge.contract.errors import LedgerError
from bridge.ledger.transactions import Job, Transactions
from bridge.ledger.unit import Unit
from bridge.ledger.watch import LOOK, Watch

log = structlog.get_logger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")

GROUP_LIMIT = 500
QUEUE_LIMIT = 10_000
TURN_LIMIT = 64  # jobs that the event loop writes before it looks after others
SLOW_TURN = 0.05  # seconds; what takes longer waits for a disk, or is much: not on the event loop
ASIDE_FOR = (0.5, 10.0)  # seconds: at first, and at most; a process that was merely not let run is soon back


class Writer(ABC):
    """Owns the one writing connection of this process."""

    def __init__(self, engine: Engine, on_commit: Callable[[frozenset[str]], None]) -> None:
        """Write through ``engine``; ``on_commit`` runs on the event loop with the targets that have new work."""
        self._transactions = Transactions(engine)
        self._on_commit = on_commit
        self._waiting = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self.group_sizes: Callable[[int], None] = lambda _size: None

    def start(self) -> None:
        """Start the thread; call it on the event loop."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._serve, name="ledger-writer", daemon=True)
        self._thread.start()

    @abstractmethod
    async def stop(self) -> None:
        """Write what waits, then stop; whatever comes from now on is refused."""

    @property
    def waits(self) -> bool:
        """Whether it was stopped and its thread still waits for a database that is silent."""
        return False

    def submit(
        self, work: Callable[[Unit, list[Item]], Sequence[Result]], item: Item, *, long: bool = False
    ) -> asyncio.Future[Result]:
        """Have ``work`` done on ``item`` in a shared transaction; what is returned is done when it is committed.

        Who stops waiting for it changes nothing: the work is done all the same.

        Args:
            work: done once for all items that wait for it.
            item: what it is done on.
            long: it may take longer than the event loop can be kept from its other work.

        Raises:
            LedgerError: it is not on disk: the ledger is locked, full, gone or overloaded; at once where it is closed or overloaded.
        """
        if self._thread is None or self._loop is None:
            raise LedgerError("the ledger is closed")
        if self._waiting >= QUEUE_LIMIT:
            raise LedgerError("too many writes are waiting")
        self._waiting += 1
        job = Job(work, item, self._loop.create_future())
        self._offer(job, long=long)
        return job.future

    @abstractmethod
    def _offer(self, job: Job, *, long: bool) -> None:
        """Let a job wait for its turn."""

    @abstractmethod
    def _serve(self) -> None:
        """Work until told to stop, in the thread."""

    def _tell(self, jobs: list[Job], woken: frozenset[str]) -> None:
        """Have what was written told on the event loop, from the thread."""
        assert self._loop is not None  # noqa: S101 - start() set it
        with suppress(RuntimeError):  # the loop is closed: whoever waited was told that the database is silent
            self._loop.call_soon_threadsafe(self._resolve, jobs, woken)

    def _resolve(self, jobs: list[Job], woken: frozenset[str]) -> None:
        self._waiting -= len(jobs)
        for job in jobs:
            job.settle()
        if woken:
            self._on_commit(woken)


class ThreadWriter(Writer):
    """For PostgreSQL: one thread takes what waits, asks the database and waits for it."""

    def __init__(self, engine: Engine, on_commit: Callable[[frozenset[str]], None]) -> None:
        """Write through ``engine``; ``on_commit`` runs on the event loop with the targets that have new work."""
        super().__init__(engine, on_commit)
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._watch = Watch()
        self._transactions.answered = self._watch.answered
        self._left: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread; call it on the event loop."""
        super().start()
        self._look()

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
            if self._watch.silent:
                self._waiting -= self._watch.give_up(self._jobs)
                self._left = thread
                log.warning("ledger.left_silent")
                return

    @property
    def waits(self) -> bool:
        """Whether it was stopped and its thread still waits for a database that is silent."""
        return self._left is not None and self._left.is_alive()

    def _offer(self, job: Job, *, long: bool) -> None:  # noqa: ARG002 - no work keeps the event loop here
        self._jobs.put(job)

    def _serve(self) -> None:
        stopping = False
        while not stopping:
            job = self._jobs.get()
            jobs: list[Job] = []
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
                self.group_sizes(len(jobs))
                woken = self._transactions.write(jobs)
                self._watch.end()
                self._tell(jobs, woken)
        self._transactions.disconnect()


class LoopWriter(Writer):
    """For SQLite: the event loop does the statements, a thread commits.

    Two threads that hand SQLite's statements and the interpreter's lock to each other cost more than the statements do.
    What is long, what had to wait (another program holds the file, a disk is slow) and what failed is the thread's as a whole.
    """

    def __init__(self, engine: Engine, on_commit: Callable[[frozenset[str]], None]) -> None:
        """Write through ``engine``; ``on_commit`` runs on the event loop with the targets that have new work."""
        super().__init__(engine, on_commit)
        self._short: deque[Job] = deque()
        self._long: deque[Job] = deque()
        self._turn_taken = False  # from the moment at which a group is to be taken until it is told
        self._last_was_long = False
        self._aside_until = 0.0  # by the loop's clock
        self._aside_for = ASIDE_FOR[0]
        self._steps: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._idle = asyncio.Event()
        self._context = contextvars.Context()  # a group is of many requests: its log lines carry no one's ids

    async def stop(self) -> None:
        """Write what waits, then stop; whatever comes from now on is refused."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        while self._turn_taken:
            self._idle.clear()
            await self._idle.wait()
        self._steps.put(None)
        await asyncio.get_running_loop().run_in_executor(None, thread.join)

    def _offer(self, job: Job, *, long: bool) -> None:
        (self._long if long else self._short).append(job)
        self._next_turn()

    def _next_turn(self) -> None:
        if self._turn_taken or self._loop is None:
            return
        if self._short or self._long:
            self._turn_taken = True
            # Not at once: whoever is served in this round of the loop shall be of this group.
            self._loop.call_soon(self._turn, context=self._context)
        else:
            self._idle.set()

    def _turn(self) -> None:
        assert self._loop is not None  # noqa: S101 - start() set it
        # Where both wait they take turns, so that neither starves.
        self._last_was_long = bool(self._long) and not (self._short and self._last_was_long)
        aside = self._last_was_long or self._loop.time() < self._aside_until
        waiting = self._long if self._last_was_long else self._short
        limit = GROUP_LIMIT if aside else min(GROUP_LIMIT, TURN_LIMIT)
        jobs = [waiting.popleft() for _ in range(min(limit, len(waiting)))]
        self.group_sizes(len(jobs))
        began = time.perf_counter()
        begun = None if aside else self._transactions.begin(jobs)
        if begun is None:
            self._steps.put(lambda: self._tell(jobs, self._transactions.write(jobs)))
            return
        self._steps.put(lambda: self._tell(jobs, self._transactions.commit(begun)))
        if time.perf_counter() - began > SLOW_TURN:
            self._aside_until = self._loop.time() + self._aside_for
            self._aside_for = min(self._aside_for * 2, ASIDE_FOR[1])
        else:
            self._aside_for = ASIDE_FOR[0]

    def _serve(self) -> None:
        while (step := self._steps.get()) is not None:
            step()
        self._transactions.disconnect()

    def _resolve(self, jobs: list[Job], woken: frozenset[str]) -> None:
        super()._resolve(jobs, woken)
        self._turn_taken = False
        self._next_turn()
