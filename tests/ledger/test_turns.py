"""Who writes what on SQLite: short work on the event loop, the commit and whatever may keep it waiting in a thread."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest
import structlog

from bridge.contract.errors import LedgerError
from bridge.ledger.store import Ledger
from bridge.ledger.unit import Unit
from bridge.ledger.writer import ASIDE_FOR, SLOW_TURN


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "bridge.db"


@pytest.fixture
async def ledger(file: Path, sqlite_template: Path) -> AsyncIterator[Ledger]:
    shutil.copy(sqlite_template, file)
    ledger = Ledger(f"sqlite:///{file}")
    await ledger.open()
    await ledger.write(lambda _: None)  # the thread opens the file
    yield ledger
    await ledger.close()


def where(_unit: Unit, items: Sequence[object]) -> list[bool]:
    """Say for each item whether it was written on this test's own thread."""
    return [threading.current_thread() is threading.main_thread() for _ in items]


async def test_short_work_is_the_event_loops_and_long_work_the_threads(ledger: Ledger):
    """What an accept writes is handed to nobody; a merge keeps no accept from being heard."""
    assert await ledger.submit(where, "short")
    assert not await ledger.write(lambda unit: where(unit, ["long"])[0])


async def test_a_group_speaks_for_no_single_request(ledger: Ledger):
    """What is logged of a group does not carry the ids of whoever came first."""

    def said(_unit: Unit, items: Sequence[object]) -> list[object]:
        return [structlog.contextvars.get_contextvars() for _ in items]

    with structlog.contextvars.bound_contextvars(trace_id="of one request"):
        assert await ledger.submit(said, "short") == {}


async def test_the_event_loop_waits_for_no_other_program(ledger: Ledger, file: Path):
    """While another program holds the file the loop goes on, and so it can be the loop that sees it let go."""
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        written = asyncio.ensure_future(ledger.submit(where, "held"))
        for _ in range(10):
            await asyncio.sleep(0)
        assert not written.done()
        other.execute("ROLLBACK")
        assert not await written, "the thread had to wait for it"
    assert await ledger.submit(where, "free again")


async def test_what_failed_on_the_loop_is_told_from_the_thread(ledger: Ledger):
    """A poisoned item fails alone, whoever met it first."""

    def picky(_unit: Unit, items: Sequence[str]) -> list[str]:
        if "poison" in items:
            raise ZeroDivisionError
        return list(items)

    results = await asyncio.gather(
        *(ledger.submit(picky, item) for item in ("a", "poison", "b")), return_exceptions=True
    )
    assert [results[0], results[2]] == ["a", "b"]
    assert isinstance(results[1], LedgerError)
    assert await ledger.submit(where, "after it")


def slow(_unit: Unit, items: Sequence[object]) -> list[object]:
    """Keep whoever writes it longer than a turn may take."""
    until = time.perf_counter() + 1.5 * SLOW_TURN
    while time.perf_counter() < until:
        pass
    return list(items)


async def test_a_slow_turn_sends_the_next_ones_to_the_thread(ledger: Ledger):
    """A disk that keeps the loop waiting does so ever more seldom."""
    ledger._writer._aside_for = 30.0
    await ledger.submit(slow, "first")
    assert not await ledger.submit(where, "second")
    assert ledger._writer._aside_for == ASIDE_FOR[1]


async def test_after_one_slow_turn_the_loop_writes_again_soon(ledger: Ledger):
    """A process that was merely not let run for a moment is back in half a second; the next slow turn counts as the first."""
    await ledger.submit(slow, "once")
    while not await ledger.submit(where, "later"):  # noqa: ASYNC110 - the writer tells nobody
        await asyncio.sleep(0.02)
    assert ledger._writer._aside_for == ASIDE_FOR[0]


async def test_long_and_short_work_take_turns(ledger: Ledger):
    """Neither a flood of accepts nor a row of long jobs starves the other."""
    order: list[str] = []
    held = threading.Event()

    def long(name: str, wait: threading.Event | None = None):
        def work(_unit: Unit) -> None:
            if wait is not None:
                wait.wait()
            order.append(name)

        return ledger.write(work)

    def short(_unit: Unit, items: Sequence[str]) -> list[None]:
        order.extend(items)
        return [None for _ in items]

    first = asyncio.ensure_future(long("long 1", held))
    for _ in range(3):
        await asyncio.sleep(0)  # it has its turn
    others = [long("long 2"), ledger.submit(short, "short 1"), long("long 3"), ledger.submit(short, "short 2")]
    rest = [asyncio.ensure_future(other) for other in others]
    for _ in range(3):
        await asyncio.sleep(0)
    held.set()
    await asyncio.gather(first, *rest)
    assert order == ["long 1", "short 1", "short 2", "long 2", "long 3"]


async def test_closing_writes_what_waits(file: Path, sqlite_template: Path):
    """Whoever was let in before the end is told that it is on disk; whoever comes later is refused."""
    shutil.copy(sqlite_template, file)
    ledger = Ledger(f"sqlite:///{file}")
    await ledger.open()
    waiting = [asyncio.ensure_future(ledger.submit(where, n)) for n in range(200)]
    waiting += [asyncio.ensure_future(ledger.write(lambda _: True)) for _ in range(3)]
    await asyncio.sleep(0)
    await ledger.close()
    assert len(await asyncio.gather(*waiting)) == 203
    with pytest.raises(LedgerError, match="closed"):
        await ledger.submit(where, "late")
