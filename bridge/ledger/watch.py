"""Tells whoever waits for a write that the database does not answer. A lock or a lost connection ends by itself; silence does not.

Silence is a statement without an answer, however long the transaction is that it stands in: work of many statements goes on
for as long as each of them is answered. Whoever waits behind it is not kept waiting for as long.
"""

from __future__ import annotations

import asyncio
import queue
import time
from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

import structlog

from bridge.contract.errors import LedgerError

log = structlog.get_logger(__name__)

PATIENCE = 10.0  # seconds for one statement, and for the transaction that others wait behind
LOOK = 1.0


class Waiting(Protocol):
    """A write that somebody waits for."""

    future: asyncio.Future[Any]


Job = TypeVar("Job", bound=Waiting)


class Watch:
    """Looks at one writer. What is given up may be committed all the same, as when a connection is lost in the commit."""

    def __init__(self) -> None:
        """See nothing under way."""
        self._under_way: Sequence[Waiting] = ()
        self._since = self._answered = float("inf")

    def begin(self, jobs: Sequence[Waiting]) -> None:
        """A transaction with these begins, in the writer's thread."""
        self._under_way = jobs
        self._since = self._answered = time.monotonic()

    def answered(self, *_: object) -> None:
        """A statement of it was answered."""
        self._answered = time.monotonic()

    def end(self) -> None:
        """It has ended."""
        self._since = self._answered = float("inf")

    @property
    def silent(self) -> bool:
        """Whether a statement of the transaction that is under way takes too long."""
        return time.monotonic() - self._answered >= PATIENCE

    def give_up(self, waiting: queue.SimpleQueue[Job | None]) -> int:
        """On the event loop: where the database is silent, fail what is under way; where that takes long, fail what waits behind.

        Returns:
            How many waited.
        """
        error = LedgerError(f"the database has not answered for {PATIENCE:g} s")
        if self.silent:
            _fail(self._under_way, error)
        elif time.monotonic() - self._since < PATIENCE:
            return 0
        else:
            error = LedgerError(f"a write that takes more than {PATIENCE:g} s is under way")
        behind: list[Job] = []
        stopping = False
        while True:
            try:
                job = waiting.get_nowait()
            except queue.Empty:
                break
            if job is None:
                stopping = True
            else:
                behind.append(job)
        if stopping:
            waiting.put(None)
        _fail(behind, error)
        return len(behind)


def _fail(jobs: Sequence[Waiting], error: LedgerError) -> None:
    undone = [job for job in jobs if not job.future.done()]
    for job in undone:
        job.future.set_exception(error)
    if undone:
        log.warning("ledger.given_up", writes=len(undone), fault=str(error))
