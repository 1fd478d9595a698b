"""When the ledger itself is in trouble the caller is told so in time, and never told success."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, make_url

from bridge.contract.errors import LedgerError, LedgerHeld
from bridge.intake import intake as receiving
from bridge.ledger import writer as writing
from bridge.ledger.hold import holder
from bridge.ledger.store import Ledger
from tests.ledger.rig import PAY, World, buy


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "bridge.db"


@pytest.fixture
async def on_disk(file: Path, sqlite_template: Path):
    """A world on an SQLite file."""
    shutil.copy(sqlite_template, file)
    ledger = Ledger(f"sqlite:///{file}")
    await ledger.open()
    yield World(ledger)
    await ledger.close()


async def kind(world: World, order: str = "o-1") -> str:
    return (await world.accept(buy("INTRO", order=order))).kind


async def test_a_second_bridge_is_refused_with_the_process_id(on_disk: World, file: Path):
    """Two bridges on one SQLite file would deliver everything twice."""
    with pytest.raises(LedgerHeld, match=rf"{file.name} is held by process {os.getpid()}"):
        await Ledger(f"sqlite:///{file}").open()
    assert holder(file) == os.getpid()
    await on_disk.ledger.close()
    assert holder(file) is None
    again = Ledger(f"sqlite:///{file}")
    await again.open()
    await again.close()


async def test_the_hold_ends_with_the_process_however_it_ends(on_disk: World, file: Path):
    """A bridge that was killed is in nobody's way."""
    await on_disk.ledger.close()
    script = (
        "import asyncio, os, signal, sys\nfrom bridge.ledger.store import Ledger\n"
        "asyncio.run(Ledger(sys.argv[1]).open())\nos.kill(os.getpid(), signal.SIGKILL)"
    )
    done = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", script, f"sqlite:///{file}"], check=False)
    assert done.returncode == -9
    again = Ledger(f"sqlite:///{file}")
    await again.open()
    await again.close()


async def test_a_deleted_file_takes_no_write(on_disk: World, file: Path):
    """SQLite would go on writing happily to what nobody will ever read."""
    assert await kind(on_disk) == "accepted"
    os.unlink(file)  # noqa: PTH108 - nothing here waits for the disk
    with pytest.raises(LedgerError, match="gone"):
        await on_disk.ledger.write(lambda unit: unit.run("DELETE FROM lane"))
    assert await kind(on_disk, "o-2") == "unavailable"
    with pytest.raises(LedgerError):
        await on_disk.counts("event")


async def test_a_file_that_vanishes_during_the_write_takes_it_along(on_disk: World, file: Path):
    """Committed to a file that is gone is not kept."""
    with pytest.raises(LedgerError, match="gone"):
        await on_disk.ledger.write(lambda unit: (unit.run("DELETE FROM lane"), file.unlink()))


async def test_a_replaced_file_takes_no_write(on_disk: World, file: Path, sqlite_template: Path):
    """Not even a good ledger's: the ids that were answered are not in it."""
    assert await kind(on_disk) == "accepted"
    other = file.with_name("other.db")
    shutil.copy(sqlite_template, other)
    os.replace(other, file)  # noqa: PTH105 - as above
    assert await kind(on_disk, "o-2") == "unavailable"
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT count(*) FROM registration WHERE business_key = 'o-2'").fetchone() == (0,)


async def test_a_file_that_is_moved_back_is_taken_up_again(on_disk: World, file: Path):
    """Nothing was lost meanwhile, and nothing was promised."""
    assert await kind(on_disk) == "accepted"
    away = file.with_name("away.db")
    shutil.move(file, away)
    assert await kind(on_disk, "o-2") == "unavailable"
    shutil.move(away, file)
    assert await kind(on_disk, "o-2") == "accepted"
    assert await on_disk.counts("event", "registration") == {"event": 2, "registration": 2}


async def _blocked(world: World) -> float:
    started = time.monotonic()
    assert await kind(world, "o-2") == "unavailable"
    return time.monotonic() - started


async def test_a_locked_ledger_says_so_in_time(world: World, url: str):
    """Somebody else holds it: every waiting caller gets an error within about three seconds, and it recovers."""
    assert await kind(world) == "accepted"
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(make_url(url).database, isolation_level=None)) as rival:
            rival.execute("BEGIN IMMEDIATE")
            took = max(await asyncio.gather(*(_blocked(world) for _ in range(5))))
            rival.execute("ROLLBACK")
    else:
        with closing(psycopg.connect(url)) as rival:
            rival.execute("LOCK TABLE event IN ACCESS EXCLUSIVE MODE")
            took = max(await asyncio.gather(*(_blocked(world) for _ in range(5))))
            rival.rollback()
    assert took < 4.5
    assert await kind(world, "o-2") == "accepted"


async def test_a_full_disk_says_so_and_recovers(on_disk: World):
    """No space left for the file: the error comes at once, and writing goes on when there is space again."""
    assert await kind(on_disk) == "accepted"
    pages = await on_disk.ledger.write(lambda unit: unit.rows("PRAGMA page_count")[0][0])
    await on_disk.ledger.write(lambda unit: unit.rows(f"PRAGMA max_page_count = {pages}"))
    with pytest.raises(LedgerError, match="SQLITE_FULL"):
        await on_disk.ledger.write(_large)
    await on_disk.ledger.write(lambda unit: unit.rows("PRAGMA max_page_count = 1000000"))
    assert await kind(on_disk, "o-2") == "accepted"
    assert await on_disk.counts("lane") == {"lane": 0}


def _large(unit: writing.Unit) -> None:
    unit.run("INSERT INTO lane (target, paused_at, paused_by, why) VALUES ('x', 0, 'me', :why)", why="x" * 1_000_000)


_LIMITED = """
import asyncio, resource, signal, sys
from bridge.contract.errors import LedgerError
from bridge.ledger.store import Ledger

def large(unit):
    unit.run("INSERT INTO lane (target, paused_at, paused_by, why) VALUES ('x', 0, 'me', :why)", why="x" * 3_000_000)

async def main():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    ledger = Ledger(sys.argv[1])
    await ledger.open()
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, resource.RLIM_INFINITY))
    try:
        await ledger.write(large)
    except LedgerError:
        print("refused")
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await ledger.write(large)
    print((await ledger.read(lambda connection: connection.exec_driver_sql("SELECT length(why) FROM lane").scalar_one())))
    await ledger.close()

asyncio.run(main())
"""


async def test_a_write_that_the_system_refuses_says_so_and_recovers(file: Path):
    """The operating system takes no more bytes, in the midst of a write: an error, no half of it, and then it goes on."""
    command = [sys.executable, "-c", _LIMITED, f"sqlite:///{file}"]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split()[-2:]) == (0, ["refused", "3000000"]), done.stderr[-800:]


async def test_a_lost_connection_says_so_and_recovers(shared_url: str):
    """PostgreSQL ends the connection: the write under way is refused, and the next one connects again."""
    ledger = Ledger(shared_url)
    await ledger.open()
    world = World(ledger)
    assert await kind(world) == "accepted"

    def cut(unit: writing.Unit) -> None:
        own = unit.rows("SELECT pg_backend_pid()")[0][0]
        with closing(psycopg.connect(shared_url, autocommit=True)) as connection:
            connection.execute("SELECT pg_terminate_backend(%s)", (own,))
        unit.run("DELETE FROM lane")

    with pytest.raises(LedgerError):
        await ledger.write(cut)
    assert await kind(world, "o-2") == "accepted"
    await ledger.close()


async def test_a_database_that_only_reads_says_so_and_recovers(shared_url: str):
    """After a failover to a standby nothing is accepted until there is a primary again, and then it needs no restart."""
    ledger = Ledger(shared_url)
    await ledger.open()
    world = World(ledger)
    every = f'ALTER DATABASE "{make_url(shared_url).database}" {{}} default_transaction_read_only'

    def reading_only(unit: writing.Unit) -> None:
        unit.run("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")

    with closing(psycopg.connect(shared_url, autocommit=True)) as other:
        other.execute(every.format("SET") + " = on")
        await ledger.write(reading_only)
        started = time.monotonic()
        assert {
            reception.kind for reception in await world.together(*[buy("INTRO", order=f"o-{n}") for n in range(50)])
        } == {"unavailable"}
        assert time.monotonic() - started < 4
        other.execute(every.format("RESET"))
    assert await kind(world) == "accepted"
    await ledger.close()


async def test_a_queue_that_is_full_says_so(world: World, monkeypatch: pytest.MonkeyPatch):
    """Rather an error now than an answer that comes when nobody waits any more."""
    monkeypatch.setattr(writing, "QUEUE_LIMIT", 10)
    receptions = await world.together(*[buy("INTRO", order=f"o-{n}") for n in range(40)])
    kinds = [reception.kind for reception in receptions]
    assert kinds.count("accepted") == 10
    assert kinds.count("unavailable") == 30
    assert await world.counts("registration") == {"registration": 10}
    assert await kind(world, "later") == "accepted"


async def test_a_source_that_floods_does_not_use_up_the_queue(world: World, monkeypatch: pytest.MonkeyPatch):
    """It is told to come later, and whoever buys elsewhere at that moment is taken."""
    monkeypatch.setattr(receiving, "SOURCE_LIMIT", 10)
    flood = world.together(*[buy("INTRO", order=f"o-{n}") for n in range(40)])
    elsewhere = world.accept(buy("INTRO", order="elsewhere"), source=PAY)
    receptions, other = await asyncio.gather(flood, elsewhere)
    kinds = [reception.kind for reception in receptions]
    assert (kinds.count("accepted"), kinds.count("unavailable")) == (10, 30)
    assert other.kind == "accepted"
    assert await kind(world, "later") == "accepted"


async def test_a_ledger_that_can_t_be_reached_says_why(tmp_path: Path):
    """Before anything is served; the password is never part of it."""
    ledger = Ledger(f"postgresql://bridge:s3cr3t@/none?host={tmp_path}")
    with pytest.raises(LedgerError, match="can't be opened") as fault:
        await ledger.open()
    assert "s3cr3t" not in str(fault.value)


async def test_a_caller_that_goes_away_does_not_take_its_neighbours_along(world: World):
    """A sender hangs up while its write is on its way: it is kept all the same, and so is everything else."""
    leaving = asyncio.ensure_future(world.accept(buy("INTRO", order="left")))
    staying = asyncio.ensure_future(world.accept(buy("INTRO", order="stayed")))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    leaving.cancel()
    assert (await staying).kind == "accepted"
    await asyncio.gather(leaving, return_exceptions=True)
    assert await world.counts("registration") == {"registration": 2}


async def test_closing_leaves_no_connection_open_that_somebody_still_reads_on(shared_url: str):
    """A page may be asked for while the bridge ends; its connection ends with the question."""
    ledger = Ledger(shared_url)
    await ledger.open()
    asked, answer = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def question(connection: Connection) -> Any:
        loop.call_soon_threadsafe(asked.set)
        answer.wait()
        return connection.connection.driver_connection

    reading = asyncio.ensure_future(ledger.read(question))
    await asked.wait()
    await ledger.close()
    answer.set()
    assert (await reading).closed
