"""A running PostgreSQL server, and the ledgers that tests get of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, suppress
from itertools import count

import psycopg
from sqlalchemy import make_url

from bridge.ledger.engine import ledger_url, writing_engine
from bridge.ledger.migrate import upgrade

_numbers = count(1)
_MOST = 30  # tests that one ledger serves: each leaves dead rows behind

_ALONE = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""
_FROM_THE_START = """
SELECT setval(seqrelid::regclass, seqstart, false) FROM pg_sequence JOIN pg_class ON pg_class.oid = seqrelid
WHERE relnamespace = 'public'::regnamespace
"""
_SHAPE = """
WITH ours AS (SELECT * FROM pg_class WHERE relnamespace = 'public'::regnamespace),
part (told) AS (
    SELECT concat_ws(' ', oid, relname, reltuples, reloptions, relacl) FROM ours
    UNION ALL
    SELECT concat_ws(' ', attrelid, attname, atttypid, attnotnull, attacl) FROM pg_attribute JOIN ours ON oid = attrelid
    UNION ALL
    SELECT concat_ws(' ', oid, conname, condeferrable, condeferred) FROM pg_constraint WHERE conrelid IN (SELECT oid FROM ours)
    UNION ALL
    SELECT concat_ws(' ', oid, tgname, tgenabled) FROM pg_trigger WHERE tgrelid IN (SELECT oid FROM ours)
    UNION ALL
    SELECT concat_ws(' ', oid, proname) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    UNION ALL
    SELECT concat_ws(' ', oid, nspname, nspacl) FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_%'
    UNION ALL
    SELECT concat_ws(' ', setconfig) FROM pg_db_role_setting
    WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
    UNION ALL
    SELECT version_num FROM alembic_version
)
SELECT md5(string_agg(told, ',' ORDER BY told)) FROM part
"""


class Cluster:
    """A running PostgreSQL: a ledger is one that a test before has left, emptied, or a copy of one that is migrated."""

    def __init__(self, address: str) -> None:
        self._address = make_url(address)
        self._spare: list[tuple[str, int]] = []
        self._wipe = self._shape = ""
        with closing(psycopg.connect(address)) as connection:
            # Its files are copied as they are: half the time of writing every page into the log. Before 15 nothing else was there.
            self._copied = "STRATEGY FILE_COPY" if connection.info.server_version >= 150_000 else ""

    def url(self, database: str) -> str:
        return self._address.set(database=database).render_as_string(hide_password=False)

    def create(self, database: str, template: str = "template1") -> str:
        """Make a database and return its URL."""
        with closing(psycopg.connect(self.url("postgres"), autocommit=True)) as connection:
            connection.execute(f"CREATE DATABASE {database} TEMPLATE {template} {self._copied}")
        return self.url(database)

    def ask(self, statement: str, database: str = "postgres") -> None:
        with closing(psycopg.connect(self.url(database), autocommit=True)) as connection:
            connection.execute(statement)

    def migrate(self) -> None:
        """Make the ledger that the others are copied from."""
        engine = writing_engine(ledger_url(self.create("migrated")))
        upgrade(engine)
        engine.dispose()
        with closing(psycopg.connect(self.url("migrated"))) as connection:
            tables = connection.execute(
                "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
            ).fetchall()
            emptied = [f'DELETE FROM "{name}"' for (name,) in tables if name != "alembic_version"]
            assert emptied
            self._wipe = "; ".join(["SET session_replication_role = replica", *emptied])  # in whichever order
            self._shape = _shape_of(connection)

    def lend(self, template: str = "template1") -> Iterator[str]:
        """Make a database, yield its URL, drop it: a few hundred of them would fill the disk."""
        database = f"ledger_{next(_numbers)}"
        yield self.create(database, template)
        self._drop(database)

    def lend_ledger(self) -> Iterator[str]:
        """Yield the URL of a ledger with a schema and nothing else.

        Copying a database takes many times as long as emptying it. What is not as it was, or might not be, is dropped.
        """
        database, served = self._spare.pop() if self._spare else (f"ledger_{next(_numbers)}", 0)
        if served == 0:
            self.create(database, "migrated")
        yield self.url(database)
        if served + 1 < _MOST and self._emptied(database):
            self._spare.append((database, served + 1))
        else:
            self._drop(database)

    def _drop(self, database: str) -> None:
        with suppress(psycopg.errors.ObjectInUse):  # a very busy machine takes long to end what was told to end
            self.ask(f"DROP DATABASE {database} WITH (FORCE)")

    def _emptied(self, database: str) -> bool:
        """Empty a ledger; say whether it is then as if it were new: its schema, its settings, no statistics of a planner."""
        try:
            with closing(psycopg.connect(self.url(database), autocommit=True)) as connection:
                gone = connection.execute(_ALONE).fetchall()
                connection.execute(self._wipe)
                connection.execute(_FROM_THE_START)
                return all(ended for (ended,) in gone) and _shape_of(connection) == self._shape
        except psycopg.Error:
            return False


def _shape_of(connection: psycopg.Connection) -> str:
    row = connection.execute(_SHAPE).fetchone()
    assert row is not None
    return str(row[0])
