"""The age of the oldest snapshot: what keeps PostgreSQL from vacuuming the outbox is seen before it is felt."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg
import pytest

from bridge.ledger.snapshots import oldest_snapshot
from bridge.ledger.store import Ledger

POSTGRES = pytest.mark.parametrize("url", ["postgresql"], indirect=True)


@contextmanager
def session(url: str) -> Iterator[psycopg.Connection]:
    with closing(psycopg.connect(url.replace("postgresql+psycopg:", "postgresql:"))) as connection:
        yield connection


async def _grows(ledger: Ledger) -> bool:
    first = await ledger.read(oldest_snapshot)
    return 0 < first < await ledger.read(oldest_snapshot)


async def test_a_ledger_that_nobody_looks_at_has_none(ledger: Ledger) -> None:
    """Not even that of the question itself; and on SQLite there is no such thing."""
    assert await ledger.read(oldest_snapshot) == 0


@POSTGRES
async def test_a_forgotten_reader_is_seen_until_it_ends(ledger: Ledger, url: str) -> None:
    """A snapshot that is kept open, as a backup keeps it."""
    with session(url) as forgotten:
        forgotten.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        forgotten.execute("SELECT count(*) FROM delivery")
        assert await _grows(ledger)
        forgotten.rollback()
        assert await ledger.read(oldest_snapshot) == 0


@POSTGRES
async def test_a_forgotten_writer_is_seen_too(ledger: Ledger, url: str) -> None:
    """It has no snapshot between its statements, and holds vacuum back all the same."""
    with session(url) as forgotten:
        forgotten.execute("CREATE TABLE left_behind (id int)")
        assert await _grows(ledger)


@POSTGRES
async def test_a_session_that_is_only_idle_is_not(ledger: Ledger, url: str) -> None:
    """An open transaction without a snapshot keeps nothing from anybody."""
    with session(url) as idle:
        idle.execute("SELECT 1")
        assert await ledger.read(oldest_snapshot) == 0
