"""A ledger taken to another database is the same there, a bridge goes on with it, and half of one is used by nobody."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from sqlalchemy import create_engine, make_url, select, text

from bridge.app import Bridge
from bridge.contract.errors import LedgerError, LedgerHeld, LedgerUnfinished
from bridge.dispatch.loop import Dispatcher
from bridge.kit.clock import SystemClock
from bridge.ledger import lanes, migrate
from bridge.ledger.copies import Copied, Copy
from bridge.ledger.engine import ledger_url
from bridge.ledger.lead import Lead
from bridge.ledger.store import Ledger
from bridge.ledger.tables import metadata
from bridge.registry import Registry
from config.load import load
from tests.acceptance.cli_rig import ADA, BOB, EVE, Past, ask, command, past
from tests.acceptance.rig import Client, configuration, emulators, live, running, until
from tests.ledger.cluster import Cluster
from tests.ledger.rig import World, buy

CUT = """
import os, signal, sys
from bridge.ledger.copies import Copy
source, destination, table = sys.argv[1:]
def watch(name, rows):
    if name == table:
        os.kill(os.getpid(), signal.SIGKILL)
Copy(source, destination, batch=2).run(watch=watch)
"""

ENDING = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Past:
    return past(tmp_path_factory.mktemp("lived"))


@pytest.fixture
def source(lived: Past, tmp_path: Path) -> str:
    lived.copy(tmp_path)
    return f"sqlite:///{tmp_path}/bridge.db"


@pytest.fixture
def empty(postgres: Cluster) -> Iterator[str]:
    yield from postgres.lend()


def everything(url: str) -> dict[str, list[tuple]]:
    """Return all rows of all tables, read by nothing of ours."""
    engine = create_engine(ledger_url(url))
    try:
        with engine.connect() as connection:
            return {
                table.name: sorted((tuple(row) for row in connection.execute(select(table))), key=repr)
                for table in metadata.sorted_tables
            }
    finally:
        engine.dispose()


def tell(url: str, statement: str) -> None:
    """Change a ledger behind everybody's back."""
    engine = create_engine(ledger_url(url))
    with engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()


def cut_off(source: str, destination: str, table: str) -> None:
    """Copy in a process of its own, which dies when the first rows of a table are there."""
    words = [sys.executable, "-c", CUT, source, destination, table]
    done = subprocess.run(words, cwd=Path(__file__).parents[2], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


def test_everything_is_there_and_back_again(source: str, empty: str, tmp_path: Path):
    """Every row of every table, ids included, to PostgreSQL and from there to another file."""
    before = everything(source)
    assert all(before[name] for name in ("event", "registration", "right", "delivery", "attempt", "quarantine"))
    done = Copy(source, empty).run()
    assert everything(empty) == before
    assert {name: found.rows for name, found in done.tables.items()} == {k: len(rows) for k, rows in before.items()}
    back = f"sqlite:///{tmp_path}/back.db"
    assert Copy(empty, back).run() == done
    assert everything(back) == before


@asynccontextmanager
async def running_on(config: Path, url: str):
    """Run a bridge on another ledger than its file names."""
    settings = load(config, Registry(), env={}).settings
    bridge = Bridge(settings.model_copy(update={"ledger": settings.ledger.model_copy(update={"url": url})}))
    await bridge.start()
    try:
        async with aiohttp.ClientSession() as session:
            yield Client(f"http://127.0.0.1:{bridge.port}", session)
    finally:
        await bridge.stop()


async def test_a_bridge_goes_on_with_the_copy(empty: str, tmp_path: Path):
    """Repeats are recognised, what was open is delivered, and no id is given a second time."""
    async with emulators("elevate") as targets:
        lms = targets["elevate"]
        lms.products = {"INTRO"}
        async with running(tmp_path, targets) as (_, client):
            _, ada = await client.register(**ADA)
            await until(lambda: len(live(lms)) == 1)
            lms.now_fails("status")
            _, bob = await client.register(**BOB)
        tell(f"sqlite:///{tmp_path}/bridge.db", "UPDATE sqlite_sequence SET seq = 700 WHERE name = 'registration'")
        assert ask("db", "copy", f"sqlite:///{tmp_path}/bridge.db", empty).code == 0
        lms.recovers()
        async with running_on(configuration(tmp_path, targets), empty) as client:
            await until(lambda: len(live(lms)) == 2)
            assert (await client.register(**ADA))[1]["registration_id"] == ada["registration_id"]
            assert (await client.register(**BOB))[1]["registration_id"] == bob["registration_id"]
            _, eve = await client.register(**EVE)
            assert eve["registration_id"] > 700
            await until(lambda: len(live(lms)) == 3)
        assert len([seen for seen in lms.journal if b"4711" in seen.body]) == 1


@pytest.mark.parametrize("table", ["event", "registration", "attempt"])
async def test_a_copy_that_was_killed_is_no_ledger_until_it_is_finished(source: str, empty: str, table: str):
    """No bridge starts on it, no verb reads it, no other copy begins on it, and with --resume it becomes whole."""
    cut_off(source, empty, table)
    with pytest.raises(LedgerUnfinished, match="--resume"):
        await Ledger(empty).open()
    assert migrate.newest() not in str(everything_of(empty, "alembic_version")).split("'")
    with pytest.raises(LedgerError, match="cut off; go on with --resume"):
        Copy(source, empty).run()
    assert Copy(source, empty).look(resume=True).unfinished
    assert not Copy(source, empty, batch=2).run(resume=True).again
    assert everything(empty) == everything(source)
    opened = Ledger(empty)
    await opened.open(upgrade_schema=False)
    await opened.close()


def everything_of(url: str, table: str) -> list[tuple]:
    engine = create_engine(ledger_url(url))
    try:
        with engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(f"SELECT * FROM {table}"))]
    finally:
        engine.dispose()


def test_a_verb_says_what_an_unfinished_copy_is(source: str, tmp_path: Path):
    """On SQLite as well, with an exit code and the way on."""
    cut_off(source, f"sqlite:///{tmp_path}/half.db", "registration")
    config = tmp_path / "bridge.toml"
    config.write_text(config.read_text().replace("/bridge.db", "/half.db"))
    said = ask("events", "--config", config)
    assert said.code == 1
    assert "not finished; go on with: bridge db copy" in said.err
    assert ask("db", "upgrade", "--config", config).code == 1


def test_a_source_that_changed_meanwhile_is_copied_anew(source: str, empty: str):
    """A bridge ran on it between the two: nothing of the former state is left in the copy."""
    cut_off(source, empty, "attempt")
    tell(source, "UPDATE delivery SET why = 'another' WHERE id = 1")
    tell(source, "DELETE FROM attempt WHERE id = (SELECT max(id) FROM attempt)")
    assert Copy(source, empty).run(resume=True).again
    assert everything(empty) == everything(source)


async def test_a_ledger_is_not_written_over(source: str, shared_url: str):
    """Also not with --resume, and also not by one row."""
    opened = Ledger(shared_url)
    await opened.open()
    await World(opened).accept(buy("INTRO"))
    await opened.close()
    before = everything(shared_url)
    for resume in (False, True):
        with pytest.raises(LedgerError, match="a ledger already: its table event is not empty"):
            Copy(source, shared_url).run(resume=resume)
    assert everything(shared_url) == before
    opened = Ledger(shared_url)
    await opened.open(upgrade_schema=False)
    await opened.close()


async def test_nothing_is_copied_under_a_running_bridge(source: str, shared_url: str):
    """On SQLite its lock says so, on PostgreSQL that it listens there."""
    holding = Ledger(source)
    await holding.open()
    for refused in (Copy(source, shared_url).run, Copy(source, shared_url).look):
        with pytest.raises(LedgerHeld, match="held by process"):
            refused()
    await holding.close()
    there = Ledger(shared_url)
    await there.open()
    copy = Copy(source, shared_url)
    await until(lambda: refuses(copy))
    await there.close()
    await until(lambda: not refuses(copy))


def refuses(copy: Copy) -> bool:
    try:
        copy.look()
    except LedgerHeld:
        return True
    return False


async def test_a_shared_ledger_is_copied_as_it_was_at_one_moment(shared_url: str, tmp_path: Path):
    """Bridges go on with it meanwhile; what they write then is not in the copy, and breaks nothing."""
    opened = Ledger(shared_url)
    await opened.open()
    world = World(opened)
    await world.accept(buy("INTRO"))
    before = everything(shared_url)
    await until(lambda: Copy(shared_url, f"sqlite:///{tmp_path}/look.db").look().bridges == 1)

    def meanwhile(table: str, _rows: int) -> None:
        if table == "event":
            tell(shared_url, "INSERT INTO operator_action (at, operator, action, subject) VALUES (1, 'a', 'b', 'c')")

    Copy(shared_url, f"sqlite:///{tmp_path}/look.db").run(watch=meanwhile)
    assert everything(f"sqlite:///{tmp_path}/look.db") == before
    await opened.close()


async def test_a_server_that_ends_silent_transactions_does_not_end_the_snapshot(shared_url: str, tmp_path: Path):
    """As is good advice for a server of bridges: the copy says for itself that it may be silent."""
    opened = Ledger(shared_url)
    await opened.open()
    await World(opened).accept(buy("INTRO"))
    await opened.close()
    name = make_url(shared_url).database
    tell(shared_url, f"ALTER DATABASE {name} SET idle_in_transaction_session_timeout = '20ms'")

    def be_slow(_table: str, _rows: int) -> None:
        threading.Event().wait(0.05)

    done = Copy(shared_url, f"sqlite:///{tmp_path}/look.db").run(watch=be_slow)
    assert done.tables["event"].rows == 1


def test_a_lost_connection_is_told_and_gone_on_from(source: str, empty: str):
    """The database ends it in the middle: a message, a marked destination, and the same command finishes it."""

    def cut(table: str, _rows: int) -> None:
        if table == "registration":
            tell(empty, ENDING)

    with pytest.raises(LedgerError, match="the copy stopped: OperationalError"):
        Copy(source, empty, batch=1).run(watch=cut)
    assert everything_of(empty, "alembic_version") == [(migrate.marked(migrate.newest()),)]
    assert not Copy(source, empty).run(resume=True).again
    assert everything(empty) == everything(source)


def test_two_copies_into_one_destination_do_not_mix(lived: Past, source: str, empty: str, tmp_path: Path):
    """The second is refused while the first one is at it."""
    (tmp_path / "other").mkdir()
    lived.copy(tmp_path / "other")
    refused = []

    def meanwhile(table: str, _rows: int) -> None:
        if table == "event":
            with pytest.raises(LedgerHeld, match="another copy") as said:
                Copy(f"sqlite:///{tmp_path}/other/bridge.db", empty).run(resume=True)
            refused.append(said)

    Copy(source, empty).run(watch=meanwhile)
    assert refused
    assert everything(empty) == everything(source)


async def test_a_lane_that_another_bridge_asked_for_is_not_paused_for_ever_on_sqlite(
    tmp_path: Path, sqlite_template: Path
):
    """Copied from a ledger that bridges shared: nobody is left to ask the target, so the lane begins anew."""
    shutil.copy(sqlite_template, tmp_path / "bridge.db")
    ledger = Ledger(f"sqlite:///{tmp_path}/bridge.db")
    await ledger.open()
    await ledger.write(lambda unit: lanes.pause(unit, "lms", "bridge", "the key is refused", "renew it", 1))
    await ledger.write(lambda unit: lanes.troubled(unit, "lms", "a bridge of then"))
    dispatcher = Dispatcher(ledger, {}, SystemClock(), 30.0)
    await dispatcher.start()
    assert await ledger.write(lanes.paused) == []
    await ledger.close()


async def test_a_bridge_that_leads_is_taken_for_no_copy(source: str, shared_url: str):
    """Who does the jobs is one question, which copy is under way another: nobody is told of a copy that there is not."""
    lead = Lead(ledger_url(shared_url))
    lead.start()
    try:
        await until(lambda: lead.held)
        await asyncio.to_thread(Copy(source, shared_url).run)
    finally:
        await asyncio.to_thread(lead.stop)


def test_schemas_must_be_the_same(source: str, empty: str, shared_url: str):
    """The older one is to be upgraded first, whichever it is; nothing is changed."""
    tell(shared_url, "UPDATE alembic_version SET version_num = '0001'")
    with pytest.raises(LedgerError, match=r"destination's schema is 0001.*bridge db upgrade"):
        Copy(source, shared_url).run()
    tell(shared_url, "UPDATE alembic_version SET version_num = 'copying-0001'")
    with pytest.raises(LedgerError, match="another version began"):
        Copy(source, shared_url).run(resume=True)
    tell(source, "UPDATE alembic_version SET version_num = '0001'")
    with pytest.raises(LedgerError, match=r"source's schema is 0001.*bridge db upgrade"):
        Copy(source, empty).run()


def test_a_nul_that_somebody_wrote_by_hand_does_not_stop_the_move(source: str, empty: str):
    """The ledger keeps none; PostgreSQL can't hold one, so it is left out there and kept in a file."""
    tell(source, "UPDATE learner SET first_name = 'A' || char(0) || 'da' WHERE id = 1")
    Copy(source, empty).run()
    assert [row[0] for row in everything_of(empty, "(SELECT first_name FROM learner WHERE id = 1) AS one")] == ["Ada"]


def test_a_value_that_does_not_fit_is_told_without_the_value(source: str, empty: str):
    """Whatever stands in the row stays out of the message; the copy stays marked."""
    tell(source, "UPDATE registration SET quantity = 5000000000 WHERE id = 1")
    with pytest.raises(LedgerError, match="does not take") as said:
        Copy(source, empty).run()
    assert "5000000000" not in str(said.value)
    assert everything_of(empty, "alembic_version") == [(migrate.marked(migrate.newest()),)]


def test_what_keeps_the_destination_from_being_one_is_told(source: str, empty: str, tmp_path: Path):
    """A file of another kind, a database in which the user may make nothing, a server that is not there."""
    (tmp_path / "letter.db").write_text("Dear Sir or Madam, " * 100)
    with pytest.raises(LedgerError, match="not a database"):
        Copy(source, f"sqlite:///{tmp_path}/letter.db").run()
    tell(empty, "DROP ROLE IF EXISTS guest")
    tell(empty, "CREATE ROLE guest LOGIN")
    tell(empty, "REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    as_guest = make_url(empty).set(username="guest").render_as_string(hide_password=False)
    with pytest.raises(LedgerError, match="permission denied for schema public"):
        Copy(source, as_guest).run()
    with pytest.raises(LedgerError, match=r"(?i)connection"):
        Copy(source, "postgresql://bridge:secret-of-the-database@127.0.0.1:9/bridge").run()
    assert ask("db", "copy", source, "postgresql://b:secret-of-the-database@127.0.0.1:9/b").err.count("secret-of") == 0


def test_the_comparison_can_fail(source: str, empty: str):
    """What comes out of a destination as something else is not taken for a copy."""
    Copy(source, empty).run()
    tell(empty, "UPDATE alembic_version SET version_num = 'copying-' || version_num")
    tell(empty, "UPDATE learner SET first_name = 'Somebody else' WHERE id = 1")
    done: Copied = Copy(source, empty).run(resume=True)
    assert done.again
    assert everything(empty) == everything(source)


def test_a_dry_run_says_how_much_and_makes_nothing(source: str, tmp_path: Path):
    """Not even the file."""
    said = ask("db", "copy", source, f"sqlite:///{tmp_path}/new.db", "--dry-run", "--json")
    assert (said.code, said.json["rows"]["learner"], said.json["resumes"]) == (
        0,
        len(everything(source)["learner"]),
        False,
    )
    assert not (tmp_path / "new.db").exists()


async def test_the_verb_shows_what_it_did(source: str, empty: str, tmp_path: Path):
    """A table for people, JSON for machines, exit code 2 for an address that is none, 1 for what can't be done."""
    done = await command("db", "copy", source, empty, "--json")
    assert (done.code, done.err) == (0, "")
    assert {one["name"] for one in json.loads(done.out)["tables"]} == set(metadata.tables)
    again = ask("db", "copy", source, empty)
    assert (again.code, "a ledger already" in again.err) == (1, True)
    assert ask("db", "copy", source, "mysql://x/y").code == 2
    assert ask("db", "copy", f"sqlite:///{tmp_path}/none.db", empty).code == 1
    assert not (tmp_path / "none.db").exists()
    shown = ask("db", "copy", empty, f"sqlite:///{tmp_path}/again.db")
    assert "rows copied, read back, and the same" in shown.out


@pytest.mark.parametrize("way", ["vacuum", "backup"])
async def test_a_backup_of_a_running_ledger_is_a_ledger(tmp_path: Path, way: str):
    """Taken while a bridge writes, with the WAL unfinished: it opens, is whole, and a bridge goes on with it."""
    running_one = Ledger(f"sqlite:///{tmp_path}/bridge.db")
    await running_one.open()
    world = World(running_one)
    await world.accept(buy("INTRO"))
    connection = sqlite3.connect(tmp_path / "bridge.db")
    if way == "vacuum":
        connection.execute("VACUUM INTO ?", (str(tmp_path / "saved.db"),))
    else:
        saved = sqlite3.connect(tmp_path / "saved.db")
        connection.backup(saved)
        saved.close()
    connection.close()
    await world.accept(buy("ETHICS"))
    await running_one.close()
    restored = Ledger(f"sqlite:///{tmp_path}/saved.db")
    await restored.open(upgrade_schema=False)
    after = World(restored)
    assert await after.rows("PRAGMA integrity_check") == [("ok",)]
    assert await after.one("SELECT count(*) FROM registration") == 1
    assert (await after.accept(buy("INTRO"))).lines[0].repeat
    assert not (await after.accept(buy("ETHICS"))).lines[0].repeat
    await restored.close()
