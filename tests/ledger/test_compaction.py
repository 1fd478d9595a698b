"""``bridge db compact``: the file of an SQLite ledger gets smaller, and whatever goes wrong leaves it as it was."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from bridge.contract.errors import LedgerError
from bridge.ledger import compaction
from bridge.ledger.compaction import Compaction, expect_room
from bridge.ledger.engine import ledger_url, writing_engine
from bridge.ledger.hold import Hold
from bridge.ledger.migrate import upgrade
from bridge.ledger.store import Ledger
from tests.acceptance.cli_rig import Said, ask
from tests.ledger.rig import World, buy

_BODIES = 300


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger with a purchase and many events whose bodies were emptied."""
    file = tmp_path_factory.mktemp("made") / "bridge.db"
    engine = writing_engine(ledger_url(f"sqlite:///{file}"))
    upgrade(engine)
    engine.dispose()
    asyncio.run(_filled(f"sqlite:///{file}"))
    return file


@pytest.fixture
def config(made: Path, tmp_path: Path) -> Path:
    """A copy of it, and a configuration that names it."""
    file, path = tmp_path / "it's a ledger.db", tmp_path / "bridge.toml"
    shutil.copy(made, file)
    path.write_text(f'[ledger]\nurl = "sqlite:///{file}"\n')
    return path


async def _filled(url: str) -> None:
    ledger = Ledger(url)
    await ledger.open()
    world = World(ledger)
    await world.accept(buy("INTRO", order="o-1"))
    fill = (
        "INSERT INTO event (source, adapter, received_at, method, path, body, state) SELECT 'shop', 'stripe', 0, 'POST', '/', :body,"
        " 'accepted' FROM (WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < :rows) SELECT n FROM c)"
    )
    await ledger.write(lambda unit: unit.run(fill, body="x" * 3_000, rows=_BODIES))
    await ledger.write(
        lambda unit: unit.run("UPDATE event SET body = '', encoding = 'emptied' WHERE adapter = 'stripe'")
    )
    await ledger.close()


def ledger_of(config: Path) -> Path:
    return config.with_name("it's a ledger.db")


def rows(config: Path) -> str:
    """Return a digest of all that the ledger holds; it is checked for faults meanwhile."""
    with closing(sqlite3.connect(ledger_of(config))) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        return hashlib.sha256("\n".join(connection.iterdump()).encode()).hexdigest()


def compact(config: Path, *words: str) -> Said:
    return ask("db", "compact", "--config", config, *words)


@contextmanager
def held(config: Path, statement: str) -> Iterator[None]:
    """Another program is in the middle of a transaction."""
    with closing(sqlite3.connect(ledger_of(config), isolation_level=None)) as connection:
        connection.execute("BEGIN")
        connection.execute(statement)
        yield


def test_the_file_gets_smaller_and_holds_the_same(config: Path) -> None:
    """What was said before comes true; a second time there is nothing to gain; no file is left beside it."""
    before, size, there = rows(config), ledger_of(config).stat().st_size, set(config.parent.iterdir())
    said = compact(config, "--dry-run", "--json").json
    assert (said["compacted"], said["bytes"], said["bridge"]) == (False, size, None)
    assert said["kept"] < size - _BODIES * 2_000
    assert ledger_of(config).stat().st_size == size
    done = compact(config, "--json").json
    assert done["compacted"]
    assert done["before"] - done["after"] == done["freed"] > _BODIES * 2_000
    assert done["after"] == ledger_of(config).stat().st_size
    assert 0 <= done["after"] - said["kept"] < size / 3, "what a page for each of many small tables comes to"
    assert rows(config) == before
    assert " 0.0 MB freed in " in f" {compact(config).out}"
    assert set(config.parent.iterdir()) - there <= {config.with_name("it's a ledger.db.lock")}


def test_a_ledger_on_which_a_bridge_runs_is_left_alone(config: Path) -> None:
    """The process is named, and a look is allowed all the same."""
    size = ledger_of(config).stat().st_size
    hold = Hold(ledger_url(f"sqlite:///{ledger_of(config)}"))
    hold.take()
    refused, looked = compact(config), compact(config, "--dry-run")
    hold.release()
    assert refused.code != 0
    assert f"process {os.getpid()}" in refused.err
    assert f"process {os.getpid()}" in looked.err
    assert ledger_of(config).stat().st_size == size


def test_another_program_that_writes_is_waited_for_and_not_disturbed(config: Path) -> None:
    """It is named as the cause, and nothing is changed."""
    before = rows(config)
    with held(config, "UPDATE learner SET first_name = 'Eve'"):
        refused = compact(config)
    assert refused.code != 0
    assert "nothing was changed: another program writes" in refused.err
    assert rows(config) == before


def test_a_reader_keeps_the_file_and_is_told_of(config: Path) -> None:
    """A backup goes on with what it began with; the next run frees what this one could not."""
    size = ledger_of(config).stat().st_size
    with held(config, "SELECT count(*) FROM event"):
        done = compact(config, "--json").json
        assert done["is_read"]
        assert "another program reads it" in compact(config).out
    assert compact(config, "--json").json["is_read"] is False
    assert ledger_of(config).stat().st_size < size - _BODIES * 2_000


def test_a_disk_that_gets_full_leaves_the_ledger_as_it_was(config: Path) -> None:
    """The system takes no larger file than half of what it would come to."""
    before, limit = rows(config), ledger_of(config).stat().st_size // 8
    code = (
        f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
        "from bridge.ledger.compaction import Compaction, LedgerError\n"
        f"try: Compaction({f'sqlite:///{ledger_of(config)}'!r}).run(print)\n"
        "except LedgerError as fault: print(fault)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert "nothing was changed" in found.stdout, found
    assert rows(config) == before
    assert compact(config).code == 0


def test_what_does_not_fit_is_not_begun(tmp_path: Path) -> None:
    """Folder and figures are named."""
    with pytest.raises(LedgerError, match=f"1,125,899,907 MB have to be free in {tmp_path}"):
        expect_room(tmp_path, 1_125_899_906_842_624)


def test_one_that_is_cut_off_leaves_the_ledger_as_it_was(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As by Ctrl-C, at whatever moment it comes; one that comes too late finds it done."""
    monkeypatch.setattr(compaction, "_EVERY", 0.0)
    before = rows(config)

    def stop() -> None:
        raise KeyboardInterrupt

    with suppress(LedgerError):
        Compaction(f"sqlite:///{ledger_of(config)}").run(stop)
    assert rows(config) == before
    assert compact(config).code == 0


def test_a_postgresql_ledger_is_told_what_to_do_instead(tmp_path: Path) -> None:
    """Nothing is asked of it: it need not even be there."""
    config = tmp_path / "bridge.toml"
    config.write_text('[ledger]\nurl = "postgresql://nobody@127.0.0.1:9/nothing"\n')
    said = compact(config)
    assert said.code == 0
    assert "VACUUM FULL" in said.out
    assert compact(config, "--json").json["compacted"] is False
