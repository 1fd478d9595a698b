"""The schema that the migrations build is the schema that the code means, on both databases, whoever upgrades."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, create_engine, inspect, text
from sqlalchemy.exc import OperationalError, SAWarning

from bridge.contract.errors import LedgerError
from bridge.ledger.engine import ledger_url, writing_engine
from bridge.ledger.migrate import alembic_config, newest, upgrade
from bridge.ledger.store import Ledger
from bridge.ledger.tables import metadata
from tests.ledger.cluster import Cluster


@pytest.fixture
def engine(empty_url: str) -> Iterator[Engine]:
    found = writing_engine(ledger_url(empty_url))
    yield found
    found.dispose()


def test_migrations_build_what_the_tables_say(engine: Engine):
    """Alembic finds no difference of tables, columns, types, keys and indexes."""
    upgrade(engine)
    with engine.connect() as connection, warnings.catch_warnings():
        for kind in (SAWarning, UserWarning):  # SQLite's indexes over expressions can't be read back
            warnings.filterwarnings("ignore", message=".*(uq_grant|ix_delivery_queue).*", category=kind)
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        differences = [
            one for one in compare_metadata(context, metadata) if not re.search("uq_grant|ix_delivery_queue", str(one))
        ]
    assert differences == []


def test_migrations_build_the_same_schema_word_for_word(engine: Engine, empty_url: str, tmp_path, postgres: Cluster):
    """Defaults, conditions and expressions, which Alembic's comparison passes over, are the same on both roads."""
    upgrade(engine)
    other = f"sqlite:///{tmp_path}/plain.db" if empty_url.startswith("sqlite") else postgres.create("plain")
    plain = create_engine(ledger_url(other))
    try:
        metadata.create_all(plain)
        assert _definitions(engine) == _definitions(plain)
        assert _columns(engine) == _columns(plain)
    finally:
        plain.dispose()


def _definitions(engine: Engine) -> dict[str, str]:
    """Return the indexes as the database wrote them down."""
    if engine.dialect.name == "sqlite":
        statement = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
    else:
        statement = "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
    with engine.connect() as connection:
        rows = connection.execute(text(statement)).all()
    return {
        name: " ".join(definition.split())
        for name, definition in rows
        if not name.startswith(("pk_", "alembic", "mapping_version_digest"))
    }


def _columns(engine: Engine) -> dict[str, dict[str, tuple]]:
    """Return every table's columns with type, default and whether they may be empty."""
    found = inspect(engine)
    return {
        table: {
            column["name"]: (str(column["type"]), column["default"], column["nullable"])
            for column in found.get_columns(table)
        }
        for table in found.get_table_names()
        if table != "alembic_version"
    }


def test_the_index_over_an_expression_is_there(engine: Engine):
    """A grant without an LMS is unique like any other, and the database says so."""
    upgrade(engine)
    definition = _definitions(engine)["uq_grant"].casefold()
    assert "unique index" in definition
    assert "coalesce(right_id" in definition
    assert "attempts > 0" in _definitions(engine)["ix_delivery_queue"]


def test_upgrading_twice_changes_nothing(engine: Engine):
    """The second time finds everything as it should be."""
    assert upgrade(engine) == (None, newest())
    before = sorted(inspect(engine).get_table_names())
    assert upgrade(engine) == (newest(), newest())
    assert sorted(inspect(engine).get_table_names()) == before


def test_a_newer_schema_is_refused(engine: Engine):
    """A program that is older than its ledger does not touch it."""
    upgrade(engine)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(LedgerError, match="9999 is newer than this program"):
        upgrade(engine)


async def test_an_older_schema_is_refused_where_upgrading_is_forbidden(empty_url: str):
    """``--no-upgrade``: the message says what to run, and nothing is built."""
    ledger = Ledger(empty_url)
    with pytest.raises(LedgerError, match="run: bridge db upgrade"):
        await ledger.open(upgrade_schema=False)
    await ledger.open()
    await ledger.close()


def test_a_failing_migration_leaves_nothing(engine: Engine, monkeypatch: pytest.MonkeyPatch):
    """The upgrade is one transaction, on SQLite as well."""

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the last index can't be built")

    monkeypatch.setattr("alembic.op.create_index", broken)
    with pytest.raises(RuntimeError):
        upgrade(engine)
    monkeypatch.undo()
    assert inspect(engine).get_table_names() == []
    assert upgrade(engine) == (None, newest())


_UPGRADE = """
import sys
from bridge.ledger.engine import ledger_url, writing_engine
from bridge.ledger.migrate import upgrade
print(upgrade(writing_engine(ledger_url(sys.argv[1])))[0])
"""


async def test_machines_that_upgrade_at_once_don_t_get_in_each_other_s_way(postgres: Cluster):
    """Three start at the same moment on an empty PostgreSQL: one builds, the others wait and find it built."""
    url = postgres.create("upgraded_at_once")

    def run() -> str:
        done = subprocess.run([sys.executable, "-c", _UPGRADE, url], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    before = await asyncio.gather(*(asyncio.to_thread(run) for _ in range(3)))
    assert sorted(before) == [newest(), newest(), "None"]


@pytest.mark.parametrize(
    "url",
    ["sqlite://", "sqlite:///:memory:", "mysql://localhost/x", "nonsense"],
    ids=["memory", "named memory", "mysql", "no url"],
)
def test_an_address_of_no_ledger_is_refused(url: str):
    """A ledger in memory would forget."""
    with pytest.raises(ValueError, match=r"expected|memory|parse"):
        Ledger(url)


def test_postgresql_vacuums_what_changes_before_a_fifth_of_it_is_dead(postgres: Cluster):
    """What the operator has set stays as it is."""
    engine = writing_engine(ledger_url(postgres.create("vacuumed")))
    try:
        with engine.begin() as connection:
            command.upgrade(alembic_config(connection), "0013")
            connection.execute(text("ALTER TABLE delivery SET (autovacuum_vacuum_threshold = 5, fillfactor = 90)"))
        upgrade(engine)
        with engine.connect() as connection:
            rows = connection.execute(text("SELECT relname, reloptions FROM pg_class WHERE relkind = 'r'")).all()
        found = {row.relname: dict(one.split("=") for one in row.reloptions or ()) for row in rows}
    finally:
        engine.dispose()
    assert found["delivery"] == {
        "autovacuum_vacuum_threshold": "5",
        "fillfactor": "90",
        "autovacuum_vacuum_scale_factor": "0",
        "autovacuum_vacuum_cost_delay": "0",
    }
    for table in ("event", "attempt", "registration", "right"):
        assert found[table]["autovacuum_vacuum_scale_factor"] == "0.02"
    assert found["grant"] == {}


_LEARNER = "INSERT INTO learner (id, namespace, occurred_at, created_at, updated_at) VALUES (1, 'x', 1, 1, 1)"
_EVENT = """INSERT INTO event (id, source, adapter, received_at, method, path, body, state)
 VALUES (:event, 'x', 'x', 1, 'POST', '/', '', 'accepted')"""
_PURCHASE = """INSERT INTO registration (id, source, learner_id, remote_product_id, business_scope, business_key, intent, state,
 occurred_at, event_id, created_at, updated_at) VALUES (:id, 'x', 1, 'P', 'x', :key, 'live', 'active', 9, :event, 1, 1)"""
_EFFECT = "INSERT INTO effect (event_id, registration_id, effect) VALUES (:event, :id, :effect)"


def test_a_ledger_from_before_money_was_dated_lets_a_refund_count_over_a_hold(engine: Engine):
    """What became of a purchase last was a hold or a cancellation, and no refund ever: when it was paid is not known."""
    stories = {
        1: ("created",),
        2: ("created", "suspended", "resumed"),
        3: ("created", "suspended", "resumed", "repeated"),
        4: ("created", "refunded", "resumed"),
        5: ("created", "suspended", "resumed", "noted"),
        6: ("created", "cancelled"),
    }
    with engine.begin() as connection:
        command.upgrade(alembic_config(connection), "0014")
        connection.execute(text(_LEARNER))
        for number, effects in stories.items():
            for n, effect in enumerate(effects):
                told = {"id": number, "key": f"o-{number}", "event": number * 10 + n, "effect": effect}
                connection.execute(text(_EVENT), told)
                if n == 0:
                    connection.execute(text(_PURCHASE), told)
                connection.execute(text(_EFFECT), told)
    upgrade(engine)
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT id, money_at FROM registration")).all()
    assert {row.id: row.money_at for row in rows} == {1: None, 2: 0, 3: None, 4: None, 5: 0, 6: 0}


async def test_an_upgrade_keeps_nobody_waiting_behind_a_dump(postgres: Cluster):
    """A dump that has read a table holds off what changes it, and that would hold off everybody else's writes for hours."""
    url = postgres.create("dumped")
    engine = writing_engine(ledger_url(url))
    with engine.begin() as connection:
        command.upgrade(alembic_config(connection), "0015")  # the next one changes an index of deliveries
    with closing(psycopg.connect(url)) as dump:
        for (table,) in dump.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall():
            dump.execute(f'SELECT 1 FROM "{table}" LIMIT 1')
        with pytest.raises(OperationalError, match="lock timeout"):
            await asyncio.wait_for(asyncio.to_thread(upgrade, engine), 20)
    assert upgrade(engine) == ("0015", newest())
    engine.dispose()
