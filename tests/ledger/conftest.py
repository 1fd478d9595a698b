"""One real PostgreSQL server a session, and every ledger test on both databases."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import structlog

from benchmarks.postgresql import Server
from bridge.ledger.store import Ledger
from tests.ledger.blank import blank
from tests.ledger.cluster import Cluster
from tests.ledger.rig import World


def _dropped(*_: object) -> object:
    raise structlog.DropEvent


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Faults are what many of these tests are about; printing each with its trace takes longer than the test."""
    kept = structlog.get_config()
    structlog.configure(processors=[_dropped])
    yield
    structlog.configure(**kept)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    server = Server()
    try:
        cluster = Cluster(server.url())
        for setting in ("fsync = off", "full_page_writes = off"):  # the disk is not what is tested
            cluster.ask(f"ALTER SYSTEM SET {setting}")
        cluster.ask("SELECT pg_reload_conf()")
        cluster.migrate()
        yield cluster
    finally:
        server.end()


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Address of a ledger without a schema."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/bridge.db"
    else:
        yield from request.getfixturevalue("postgres").lend()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path, sqlite_template: Path) -> Iterator[str]:
    """Address of a ledger with a schema and nothing else."""
    if request.param == "sqlite":
        shutil.copy(sqlite_template, tmp_path / "bridge.db")
        yield f"sqlite:///{tmp_path}/bridge.db"
    else:
        yield from request.getfixturevalue("postgres").lend_ledger()


@pytest.fixture(scope="session")
def sqlite_template() -> Path:
    return blank()


@pytest.fixture
async def ledger(url: str) -> AsyncIterator[Ledger]:
    opened = Ledger(url)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
async def world(ledger: Ledger) -> World:
    return World(ledger)


@pytest.fixture
def shared_url(postgres: Cluster) -> Iterator[str]:
    """Address of a ledger that several machines may write to."""
    yield from postgres.lend_ledger()


@pytest.fixture
async def pair(shared_url: str) -> AsyncIterator[tuple[World, World]]:
    """Two bridges on one ledger, each with its own writer."""
    ledgers = Ledger(shared_url), Ledger(shared_url)
    for one in ledgers:
        await one.open()
    yield World(ledgers[0]), World(ledgers[1])
    for one in ledgers:
        await one.close()
